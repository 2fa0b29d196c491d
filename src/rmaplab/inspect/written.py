"""Which pages a process writes in a span of time: what decides how much a fork will copy.

For `fork_price`. Where the kernel tracks writes (soft-dirty: clear_refs 4, bit 55 of pagemap) it is asked. Else there are
bounds: at least the pages whose content changed (read twice through /proc/PID/mem; a write of what was there before is
not seen), at most those accessed (clear_refs 1, Referenced in smaps). Userfaultfd's write protection (PAGEMAP_SCAN)
would count exactly, but only a process itself can ask for it.
"""

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab import proctext
from rmaplab.errors import NotAvailable
from rmaplab.inspect.join import Index
from rmaplab.machine.live.proc import procfs
from rmaplab.system.reading import SMAPS, content

_SOFT_DIRTY: Final = np.uint64(1 << 55)
_FORGET_ACCESSES, _FORGET_WRITES = "1", "4"
"""What /proc/PID/clear_refs takes (Documentation/filesystems/proc.rst)."""
_RUN: Final = 1024
"""Pages read at once."""

Wait = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Written:
    """`seen`: bool, per page asked about, whether it was certainly written; `least`, `most`: pages, bounds of how many
    were; `seconds`: how long was looked; `by`: how it is known."""

    seen: NDArray[np.bool_]
    least: int
    most: int
    seconds: float
    by: str


def written(pid: int, vpn: Index, huge: NDArray[np.bool_], seconds: float, wait: Wait = time.sleep) -> Written:
    """Which of the present pages `vpn` (int64, ascending) of a process are written within `seconds`; `huge`: by PMDs.

    Clears the process' accessed or soft-dirty bits: reclaim, and a checkpointer that uses them, see it. Raises
    NotAvailable if the process may not be looked at, or is gone.
    """
    try:
        if soft_dirty():
            return _by_soft_dirty(pid, vpn, huge, seconds, wait)
        return _by_content(pid, vpn, seconds, wait)
    except OSError as error:
        raise NotAvailable(f"what PID {pid} writes cannot be seen: {error.strerror}") from error


def soft_dirty() -> bool:
    """Whether this kernel tracks writes: a page of ours is written, forgotten and written again."""
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        page[0] = 1
        view = (ctypes.c_char * mmap.PAGESIZE).from_buffer(page)
        address = ctypes.addressof(view)
        del view
        try:
            _forget(os.getpid(), _FORGET_WRITES)
        except OSError:
            return False
        clean = not _marked(os.getpid(), np.array([address // mmap.PAGESIZE]))[0]
        page[0] = 2
        return clean and bool(_marked(os.getpid(), np.array([address // mmap.PAGESIZE]))[0])


def _by_soft_dirty(pid: int, vpn: Index, huge: NDArray[np.bool_], seconds: float, wait: Wait) -> Written:
    _forget(pid, _FORGET_WRITES)
    began = time.monotonic()
    wait(seconds)
    took = time.monotonic() - began
    marked = _marked(pid, vpn)
    # A PMD has one mark for all its pages: at least one of them was written.
    tables = len(np.unique(vpn[marked & huge] // 512))
    return Written(marked & ~huge, int((marked & ~huge).sum()) + tables, int(marked.sum()), took, "soft-dirty")


def _by_content(pid: int, vpn: Index, seconds: float, wait: Wait) -> Written:
    before = _contents(pid, vpn)
    _forget(pid, _FORGET_ACCESSES)
    began = time.monotonic()
    wait(seconds)
    took = time.monotonic() - began
    accessed = _accessed(pid, vpn)
    after = _contents(pid, vpn)
    seen = np.array([a is not None and b is not None and a != b for a, b in zip(before, after, strict=True)], np.bool_)
    gone = sum(a is None or b is None for a, b in zip(before, after, strict=True))
    least = int(seen.sum())
    return Written(seen, least, min(len(vpn), max(least, accessed + gone)), took, "contents and accesses")


def _forget(pid: int, what: str) -> None:
    (procfs.PROC / str(pid) / "clear_refs").write_text(what, encoding="ascii")


def _runs(vpn: Index) -> Iterator[tuple[int, int]]:
    """First page and number of pages of each consecutive run, at most _RUN long."""
    edges = np.flatnonzero(np.diff(vpn, prepend=-2) != 1)
    for low, high in zip(edges.tolist(), [*edges[1:].tolist(), len(vpn)], strict=True):
        for first in range(low, high, _RUN):
            yield int(vpn[first]), min(_RUN, high - first)


def _marked(pid: int, vpn: Index) -> NDArray[np.bool_]:
    with procfs.Pagemap(pid) as pagemap:
        parts = [pagemap.entries(first * mmap.PAGESIZE, count * mmap.PAGESIZE) for first, count in _runs(vpn)]
    return np.asarray((np.concatenate([np.zeros(0, np.uint64), *parts]) & _SOFT_DIRTY) != 0)


def _contents(pid: int, vpn: Index) -> list[int | None]:
    """A 64-bit name of what each page holds (Python's keyed hash of bytes); None where it could not be read."""
    found: list[int | None] = []
    fd = os.open(procfs.PROC / str(pid) / "mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for first, count in _runs(vpn):
            try:
                raw = os.pread(fd, count * mmap.PAGESIZE, first * mmap.PAGESIZE)
            except OSError:
                raw = b""
            whole = len(raw) // mmap.PAGESIZE
            found += [hash(raw[at * mmap.PAGESIZE : (at + 1) * mmap.PAGESIZE]) for at in range(whole)]
            found += [None] * (count - whole)
    finally:
        os.close(fd)
    return found


def _accessed(pid: int, vpn: Index) -> int:
    """At most so many of the pages were accessed: per VMA, what smaps calls Referenced, if that is not more."""
    total = 0
    for start, end, size in _referenced(pid):
        asked = int(np.searchsorted(vpn, end // mmap.PAGESIZE) - np.searchsorted(vpn, start // mmap.PAGESIZE))
        total += min(asked, size // mmap.PAGESIZE)
    return total


def _referenced(pid: int) -> Iterator[tuple[int, int, int]]:
    """First byte, past the end, and bytes referenced, of each VMA."""
    for start, sizes in proctext.smaps(content(procfs.PROC / str(pid) / "smaps", SMAPS)):
        yield start, start + sizes.get("Size", 0), sizes.get("Referenced", 0)
