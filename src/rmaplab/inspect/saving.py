"""Traces the inspector leaves behind: readable by their owner only.

For `inspect --parquet` and `rmaplab record`.
"""

import os
from pathlib import Path

from rmaplab.trace import Trace, write


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
