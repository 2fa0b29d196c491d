"""Traces the inspector leaves behind: readable by their owner only.

For `inspect --parquet` and `rmaplab record`.
"""

import os
from pathlib import Path

from rmaplab.trace import Trace, parts_of, write, write_parts


def make_private(directory: Path) -> None:
    """Take group's and others' rights from a directory and what is in it."""
    directory.chmod(0o700)
    for one in directory.rglob("*"):
        one.chmod(0o700 if one.is_dir() else 0o600)


def save_trace(trace: Trace, path: Path, parts: int | None = None) -> None:
    """Write a trace directory, or one in at most `parts` parts, mode 0700, its files 0600. Raises TraceError."""
    before = os.umask(0o077)
    try:
        if parts is None:
            write(trace, path)
        else:
            cut = list(parts_of(trace, parts))
            write_parts(path, trace.meta, cut, len(cut))
    finally:
        os.umask(before)
    make_private(path)
