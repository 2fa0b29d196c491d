"""The C that reads page tables and joins them (c/look.h), as functions on arrays; the GIL is not held meanwhile.

For `scan`, `folios` and `join`, which do the same with NumPy where no C compiler was when rmaplab was installed:
`available` says which. Nothing here knows what the numbers mean.
"""

import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Index = NDArray[np.int64]

_AT_ONCE: Final = 1 << 22
"""Page-table entries of a call: signals are answered between two calls, some 50 ms apart."""
_FOLIOS: Final = 1 << 15
"""Folios of a call."""


class Runs(NamedTuple):
    """Runs of pages (`vma` uint32, `vpn` and `pfn` uint64, `pages` uint32, `flags` uint8), and pages in swap (`slot_vma`
    uint32, `slot` uint64)."""

    vma: NDArray[np.uint32]
    vpn: Words
    pfn: Words
    pages: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    slot_vma: NDArray[np.uint32]
    slot: Words


class Intervals(NamedTuple):
    """The columns of a Join."""

    start: Index
    pages: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    ptr: Index
    extent: NDArray[np.uint32]


try:
    from rmaplab.inspect import _fast as _FAST
except ImportError:
    _FAST = None  # type: ignore[assignment]


def available() -> bool:
    """Whether the C was built here."""
    return _FAST is not None


def _pointer(array: NDArray[Any], kind: str) -> Any:
    return _FAST.ffi.cast(f"{kind} *", array.ctypes.data)


def _taken(pointer: Any, count: int, dtype: Any) -> NDArray[Any]:
    """A column that C made, as an array that frees it."""
    owned = _FAST.ffi.gc(pointer, _FAST.lib.rmap_free)
    if not count:
        return np.zeros(0, dtype)
    return np.frombuffer(_FAST.ffi.buffer(owned, count * np.dtype(dtype).itemsize), dtype)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def read_runs(
    fd: int, start: Words, end: Words, huge: NDArray[np.bool_], vma_start: Words, zero_pfn: int, absent: Index
) -> Runs:
    """What pagemap `fd` has of the pages in [start, end), ascending, some of them `huge`: mapped by PMDs.
    `absent`: counters of shape (kinds, VMAs), added to. Raises OSError, ESRCH where the process has no memory."""
    start, end, huge = np.ascontiguousarray(start), np.ascontiguousarray(end), np.ascontiguousarray(huge, np.uint8)
    where = _FAST.ffi.new("struct rmap_where *")
    where.start, where.end, where.huge = _pointer(start, "uint64_t"), _pointer(end, "uint64_t"), _pointer(huge, "uint8_t")
    where.vma_start, where.ranges, where.vmas = _pointer(vma_start, "uint64_t"), len(start), len(vma_start)
    where.zero_pfn = zero_pfn
    out, counters = _FAST.ffi.new("struct rmap_runs *"), _pointer(absent, "int64_t")
    result = _FAST.lib.rmap_scan(fd, where, 0, _AT_ONCE, out, counters)
    while result > 0:
        result = _FAST.lib.rmap_scan(fd, where, result, _AT_ONCE, out, counters)
    found = Runs(
        _taken(out.vma, out.runs, np.uint32),
        _taken(out.vpn, out.runs, np.uint64),
        _taken(out.pfn, out.runs, np.uint64),
        _taken(out.pages, out.runs, np.uint32),
        _taken(out.flags, out.runs, np.uint8),
        _taken(out.slot_vma, out.slots, np.uint32),
        _taken(out.slot, out.slots, np.uint64),
    )
    _checked(result)
    return found


def find_folios(fd: int, low: Index, high: Index) -> Iterator[tuple[Words, NDArray[np.uint8], Words]]:
    """The folios that have a frame in [low, high) (ascending, apart), by kpageflags `fd`, some ten thousand at a time:
    heads, ascending; orders; and the flags of the first frame of each that was asked for. Raises OSError."""
    low, high = np.ascontiguousarray(low, np.int64), np.ascontiguousarray(high, np.int64)
    spans, at = (_pointer(low, "int64_t"), _pointer(high, "int64_t"), len(low)), 0
    while True:
        out = _FAST.ffi.new("struct rmap_folios *")
        at = _FAST.lib.rmap_find_folios(fd, *spans, at, _FOLIOS, out)
        found = (
            _taken(out.head, out.count, np.uint64),
            _taken(out.order, out.count, np.uint8),
            _taken(out.flags, out.count, np.uint64),
        )
        _checked(at)
        yield found
        if not at:
            return


def join_runs(pfn: NDArray[Any], pages: NDArray[np.uint32], owner: Index) -> Intervals:
    """The join of runs from frame `pfn` (uint32 or uint64) on, each in the page table of `owner`. Raises OSError."""
    ffi, none = _FAST.ffi, _FAST.ffi.NULL
    narrow = pfn.dtype == np.uint32
    frames = np.ascontiguousarray(pfn if narrow else pfn.astype(np.uint64))
    pages, owner32 = np.ascontiguousarray(pages, np.uint32), owner.astype(np.uint32)
    out = ffi.new("struct rmap_join *")
    result = _FAST.lib.rmap_join_runs(
        _pointer(frames, "uint32_t") if narrow else none,
        none if narrow else _pointer(frames, "uint64_t"),
        _pointer(pages, "uint32_t"),
        _pointer(owner32, "uint32_t"),
        len(frames),
        out,
    )
    found = Intervals(
        _taken(out.start, out.count, np.int64),
        _taken(out.pages, out.count, np.uint32),
        _taken(out.owners, out.count, np.uint32),
        _taken(out.ptr, out.count + 1 if not result else 0, np.int64),
        _taken(out.extent, out.rows, np.uint32),
    )
    _checked(result)
    return found
