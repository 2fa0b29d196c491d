"""How a command ends when something is wrong: one line on stderr and an exit code, never a traceback.

For `rmaplab.cli.app`. Errors that are the user's to mend carry their line; everything else is a bug and shows itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from rmaplab.errors import NotAvailable, RmaplabError

FINDING: Final = 1
USAGE: Final = 2
NOT_AVAILABLE: Final = 3
INTERRUPTED: Final = 130


@contextmanager
def reporting() -> Iterator[None]:
    """Turn usage errors and the package's own into one line and an exit code."""
    try:
        yield
    except NotAvailable as error:
        _end(error, NOT_AVAILABLE)
    except RmaplabError as error:
        _end(error, USAGE)
    except typer.TyperException as error:
        _end(f"{error.format_message()} (see --help)", USAGE)
    except (KeyboardInterrupt, typer.Abort):
        _end("interrupted", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _end(error: object, code: int) -> None:
    print(f"rmaplab: {error}", file=sys.stderr)
    sys.exit(code)
