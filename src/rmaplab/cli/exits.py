"""How a command ends when something is wrong: one line on stderr and an exit code, never a traceback.

For `rmaplab.cli.app`. Errors that are the user's to mend carry their line; everything else is a bug and shows itself.
A reader that has seen enough (`| head`) is no error.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.extras import remedy
from rmaplab.system.signals import Interrupted
from rmaplab.text import for_terminal

FINDING: Final = 1
USAGE: Final = 2
NOT_AVAILABLE: Final = 3
INTERRUPTED: Final = 130

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SCARCE: Final = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
"""What a limit of the caller's, or a full machine, refuses at any call: memory, descriptors, processes."""


@contextmanager
def reporting() -> Iterator[None]:
    """Turn usage errors, the package's own and the system's into one line and an exit code."""
    _check_streams()
    data = os.dup(1)  # rich puts /dev/null in the place of a stdout that nobody reads
    try:
        yield
        sys.stdout.flush()
    except NotAvailable as error:
        _end(error, NOT_AVAILABLE)
    except RmaplabError as error:
        _end(error, USAGE)
    except ModuleNotFoundError as error:
        if (line := remedy(error)) is None:
            raise
        _end(line, NOT_AVAILABLE)
    except _of_typer("TyperException") as error:
        message = error.format_message()  # type: ignore[attr-defined]
        _end(f"{message} (see --help)" if message else "", USAGE)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except _of_typer("Abort"):
        _end("interrupted", INTERRUPTED)
    except Interrupted as signalled:
        _end(signalled, 128 + signalled.number)
    except (SystemExit, BrokenPipeError) as error:
        # typer and rich end with 1, which means a finding here, where they meet a pipe without a reader.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        if not _reader_has_left(data, 2):
            raise
        _drop_output()
        sys.exit(0)
    except OSError as error:
        if error.errno in _NO_ROOM:
            _drop_output()
            _end(f"cannot write: {error.strerror}", NOT_AVAILABLE)
        if error.errno not in _SCARCE:
            raise
        _end(f"cannot go on: {error.strerror}", NOT_AVAILABLE)
    except MemoryError:
        _end("cannot go on: out of memory", NOT_AVAILABLE)
    finally:
        os.close(data)


def _of_typer(name: str) -> tuple[type[Exception], ...]:
    """An exception of typer's, which only who parses options has loaded."""
    typer = sys.modules.get("typer")
    return () if typer is None else (getattr(typer, name),)


def _check_streams() -> None:
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    elif isinstance(sys.stderr, io.TextIOWrapper) and sys.stderr is sys.__stderr__:
        sys.stderr = io.TextIOWrapper(_Notes(2, "w", closefd=False), sys.stderr.encoding, write_through=True)
    if sys.stdout is None:
        _end("stdout: is closed: must be open, data goes there", USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the locale's encoding lacks
    if os.environ.get("COLUMNS") == "0":
        del os.environ["COLUMNS"]  # rich, which prints the help, takes it for a width


class _Notes(io.FileIO):
    """stderr: a note that cannot be written (full disk, no reader) fails nothing, the data are elsewhere."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data) or 0
        return memoryview(data).nbytes


def _reader_has_left(*outputs: int) -> bool:
    poll = select.poll()
    for output in outputs:
        poll.register(output, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _drop_output() -> None:
    """What is still buffered goes nowhere, so that Python does not try again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _end(error: object, code: int) -> None:
    if line := str(error):
        print(f"rmaplab: {for_terminal(line)}", file=sys.stderr)
    sys.exit(code)
