"""Runs of pages on consecutive frames, found by NumPy: for `scan`, where the C (`fast`) was not built.

What is populated is read in batches of 2 MiB, and each batch cut where frames, flags or VMAs change.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.extents import ABSENT, EXCLUSIVE, FILE, HUGE, Extents, Populated, Slots, Words
from rmaplab.machine.live.proc.procfs import (
    PAGE_SHIFT,
    PM_FILE,
    PM_GUARD,
    PM_MMAP_EXCLUSIVE,
    PM_PFN,
    PM_PRESENT,
    PM_SLOT,
    PM_SWAP,
    SWAP_MARKER,
    SWAP_TYPE,
    SWAP_TYPES,
    Pagemap,
)

_BATCH: Final = 1 << 17
_JOIN_GAP: Final = 64
"""Reading that many empty entries costs less than another system call."""
_ZERO, _SWAPPED, _GUARD, _MARKERS, _ELSEWHERE = range(len(ABSENT))


def read_runs(
    pagemap: Pagemap, where: Populated, vma_start: Words, zero_pfn: int, absent: NDArray[np.int64]
) -> tuple[Extents, Slots]:
    """Extents and swap slots of what is populated, `vma` as in `vma_start`; adds to `absent`, shape (ABSENT, VMAs)."""
    parts: list[Extents] = []
    slots: list[Slots] = []
    for batch in _batches(where):
        extents, swapped = _batch(pagemap, batch, where, vma_start, zero_pfn, absent)
        parts.append(extents)
        slots.append(swapped)
    return Extents.join(parts), Slots.join(slots)


def _batches(where: Populated) -> Iterator[list[tuple[int, int]]]:
    """Page ranges to read, neighbours joined, in groups of at most `_BATCH` pages."""
    if not len(where.start):
        return
    apart = np.flatnonzero(where.start[1:] > where.end[:-1] + np.uint64(_JOIN_GAP)) + 1
    low = where.start[np.concatenate(([0], apart))].tolist()
    high = where.end[np.concatenate((apart - 1, [len(where.end) - 1]))].tolist()
    batch: list[tuple[int, int]] = []
    room = _BATCH
    for begin, end in zip(low, high, strict=True):
        for first in range(begin, end, _BATCH):
            last = min(first + _BATCH, end)
            if last - first > room:
                yield batch
                batch, room = [], _BATCH
            batch.append((first, last))
            room -= last - first
    yield batch


def _batch(
    pagemap: Pagemap,
    ranges: list[tuple[int, int]],
    where: Populated,
    vma_start: Words,
    zero_pfn: int,
    absent: NDArray[np.int64],
) -> tuple[Extents, Slots]:
    """Extents and swap slots of some ranges, read into one buffer; adds to `absent`."""
    sizes = np.array([high - low for low, high in ranges])
    at = np.concatenate(([0], np.cumsum(sizes)))
    entries = np.empty(at[-1], np.uint64)
    for (low, _), begin, end in zip(ranges, at[:-1].tolist(), at[1:].tolist(), strict=True):
        entries[begin:end] = pagemap.entries(low << PAGE_SHIFT, (end - begin) << PAGE_SHIFT)
    first = np.array([r[0] for r in ranges], np.uint64)
    key = entries & (PM_PFN | PM_MMAP_EXCLUSIVE | PM_FILE | PM_PRESENT)
    cut = np.empty(len(key), np.bool_)
    cut[0] = True
    np.not_equal(key[1:] - key[:-1], np.uint64(1), out=cut[1:])
    cut[at[1:-1]] = True
    if zero_pfn:
        zeros = np.flatnonzero(((key & PM_PRESENT) != 0) & ((key & PM_PFN) == np.uint64(zero_pfn)))
        cut[zeros] = True
        cut[np.minimum(zeros + 1, len(key) - 1)] = True
    for edges in (vma_start, where.start[where.huge], where.end[where.huge]):
        cut[_positions(edges, first, sizes, at)] = True
    begin = np.flatnonzero(cut)
    pages = np.diff(begin, append=len(key))
    value = key[begin]
    part = np.searchsorted(at, begin, side="right") - 1
    vpn = first[part] + (begin - at[part]).astype(np.uint64)
    vma = np.searchsorted(vma_start, vpn, side="right") - 1
    present = (value & PM_PRESENT) != 0
    zero = present & ((value & PM_PFN) == np.uint64(zero_pfn)) if zero_pfn else np.zeros(len(value), np.bool_)
    np.add.at(absent[_ZERO], vma[zero], pages[zero])
    slots = _not_present(entries, first, at, vma_start, absent)
    keep = present & ~zero
    flags = np.where(value & PM_MMAP_EXCLUSIVE, EXCLUSIVE, 0) | np.where(value & PM_FILE, FILE, 0)
    if where.huge.any():
        starts, ends = where.start[where.huge], where.end[where.huge]
        inside = np.searchsorted(starts, vpn, side="right")
        flags = flags | np.where((inside > 0) & (vpn < ends[np.maximum(inside, 1) - 1]), HUGE, 0)
    extents = Extents(
        vma[keep].astype(np.uint32),
        vpn[keep],
        value[keep] & PM_PFN,
        pages[keep].astype(np.uint32),
        flags[keep].astype(np.uint8),
    )
    return extents, slots


def _positions(edges: Words, low: Words, sizes: NDArray[Any], at: NDArray[Any]) -> NDArray[Any]:
    """Buffer positions of those pages in `edges` that lie in one of the ranges."""
    which = np.searchsorted(low, edges, side="right") - 1
    offset = edges.astype(np.int64) - low[np.maximum(which, 0)].astype(np.int64)
    inside = (which >= 0) & (offset < sizes[np.maximum(which, 0)])
    return np.asarray(at[which[inside]] + offset[inside])


def _not_present(entries: Words, low: Words, at: NDArray[Any], vma_start: Words, absent: NDArray[np.int64]) -> Slots:
    """Swap slots, and into `absent` what else pagemap marks as swap: every entry that is neither present nor empty."""
    where = np.flatnonzero((entries & PM_SWAP) != 0)
    entry = entries[where]
    part = np.searchsorted(at, where, side="right") - 1
    vpn = low[part] + (where - at[part]).astype(np.uint64)
    vma = np.searchsorted(vma_start, vpn, side="right") - 1
    kind = what_is_not_present(entry)
    for name in np.unique(kind).tolist():
        np.add.at(absent[name], vma[kind == name], 1)
    swapped = kind == _SWAPPED
    return Slots(vma[swapped].astype(np.uint32), entry[swapped] & PM_SLOT)


def what_is_not_present(entry: Words) -> NDArray[np.int64]:
    """Row of ABSENT of pagemap entries that carry the swap bit, int64: only a type below SWAP_TYPES is a swap device."""
    kind = entry & SWAP_TYPE
    out = np.full(len(entry), _ELSEWHERE, np.int64)
    out[kind < SWAP_TYPES] = _SWAPPED
    out[kind == SWAP_MARKER] = _MARKERS
    out[(entry & PM_GUARD) != 0] = _GUARD
    return out
