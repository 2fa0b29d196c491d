"""Files of /proc and /sys read whole, and never more of them than the kernel would write there.

For every reader of such a file. Anything may be mounted over one: a device without an end must cost a line, not the
machine's memory. And some of them a process makes as long as it likes: its command line may be all of its memory.
"""

import errno
import os
from pathlib import Path
from typing import Final

MOST: Final = 1 << 26
"""Bytes that are taken for possible: ten times the type information of today's kernels."""
SMAPS: Final = 1 << 28
"""The same for smaps and maps: three hundred thousand mappings."""


def beginning(path: Path | str, most: int) -> bytes:
    """The first `most` bytes, or all there are. Raises OSError."""
    parts, room = [], most
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while room and (part := os.read(descriptor, min(room, 1 << 16))):
            parts.append(part)
            room -= len(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


def content(path: Path | str, most: int = MOST) -> bytes:
    """All of it. Raises OSError, EOVERFLOW if that is more than `most` bytes."""
    raw = beginning(path, most + 1)
    if len(raw) > most:
        raise OSError(errno.EOVERFLOW, f"is longer than {most} bytes: is no file of the kernel's", str(path))
    return raw
