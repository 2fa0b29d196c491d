"""Files the inspector leaves behind: readable by their owner only, complete or not there at all.

For the HTML page, the Parquet directory and recorded traces.
"""

import os
from pathlib import Path

from rmaplab.errors import RmaplabError
from rmaplab.trace import Trace, write


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, mode 0600, by renaming a finished file. Raises RmaplabError naming path and reason."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RmaplabError(f"{path}: cannot be written: {error.strerror}") from error


def make_private(directory: Path) -> None:
    """Take group's and others' rights from a directory and the files in it."""
    directory.chmod(0o700)
    for file in directory.iterdir():
        file.chmod(0o600)


def save_trace(trace: Trace, path: Path) -> None:
    """Write a trace directory, mode 0700, its files 0600. Raises TraceError."""
    before = os.umask(0o077)
    try:
        write(trace, path)
    finally:
        os.umask(before)
    make_private(path)
