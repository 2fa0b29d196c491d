"""The errors a user can mend, as every package raises and the command line reports them.

For all packages. An `RmaplabError` says in one line which thing has which value and which rule that breaks.
"""


class RmaplabError(Exception):
    """Bad input: names the thing, the value and the rule. CLI exit code 2."""


class NotAvailable(RmaplabError):
    """Something needed is missing or not permitted here: names what, and what still works. CLI exit code 3."""
