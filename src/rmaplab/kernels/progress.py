"""One line of progress to stderr. For the room."""

import sys


def say(line: str) -> None:
    """What is being done now, for whoever waits for it."""
    print(line, file=sys.stderr, flush=True)
