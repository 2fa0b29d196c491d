"""How `rmaplab` answers an interrupt while it loads. Only modules that are part of the interpreter are loaded here."""

import posix


def end(number: int, _frame: object) -> None:
    """Signal handler: say so and end. There is nothing to clean up yet."""
    posix.write(2, b"rmaplab: interrupted\n")
    posix._exit(128 + number)
