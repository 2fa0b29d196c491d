"""What somebody may have meant by a name that does not exist.

For every error about a name: schemes, scenarios, kernels, commands, programs.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def must_be(name: object, known: Iterable[str], more: str = "") -> str:
    """The rule of an error line: "must be one of a, b; did you mean b?"; `more` follows the list."""
    listed = list(known)
    return f"must be one of {', '.join(listed)}{more}{did_you_mean(name, listed)}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """ "; did you mean X?" with the name closest to `name`, or nothing if none is close."""
    listed = {one.lower(): one for one in known}
    asked = str(name).lower().replace("_", "-").replace(" ", "-")
    close = get_close_matches(asked, listed, 1)
    begun = [one for one in listed if asked and one.startswith(asked)]
    found = close or begun[:1]
    return f"; did you mean {listed[found[0]]}?" if found else ""
