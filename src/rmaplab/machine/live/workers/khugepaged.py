"""khugepaged, hurried: full scans until nothing more is collapsed.

For the warden; the knobs are set by then, and given back by whoever set them. Standard library only. The files are those
of Documentation/admin-guide/mm/transhuge.rst.
"""

import errno
import mmap
import time
from pathlib import Path

from ksm import drain, end_anchor, start_anchor  # type: ignore[import-not-found]

KHUGEPAGED = Path("/sys/kernel/mm/transparent_hugepage/khugepaged")

_SIZE = 4 << 20
"""Room for a THP wherever it begins."""

_PATIENCE = 120.0
"""Seconds in which a full scan must end."""


def scan() -> None:
    """Wait until a full scan, begun after this call, has collapsed nothing; then empty the LRU batches. Raises OSError if
    a scan does not end."""
    anchor, seen = start_anchor(_memory_to_visit), -1
    try:
        while seen != (seen := _number("pages_collapsed")):
            # The scan that is under way ends, and one more.
            _wait(_number("full_scans") + 2)
    finally:
        end_anchor(anchor)
    drain()


def _memory_to_visit() -> mmap.mmap:
    """Where no process has any, scans are not counted. A process is visited once it has a page."""
    memory = mmap.mmap(-1, _SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[0] = 1
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _wait(until: int) -> None:
    limit = time.monotonic() + _PATIENCE
    while (scans := _number("full_scans")) < until:
        if time.monotonic() > limit:
            raise OSError(errno.ETIMEDOUT, f"full scan {scans + 1} did not end in {_PATIENCE:.0f} s", str(KHUGEPAGED))
        time.sleep(0.001)


def _number(name: str) -> int:
    return int((KHUGEPAGED / name).read_text())
