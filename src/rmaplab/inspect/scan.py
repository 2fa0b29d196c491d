"""One MM's page table as extents: runs of virtual pages on consecutive page frames.

For `rmaplab.inspect.snapshot`. Asks PAGEMAP_SCAN where anything is and what PMDs map, then reads pagemap only there,
so that a sparse mapping of 64 TiB costs what its populated pages cost. Not for truth about sharing: that takes all MMs.
"""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.processes import Notes
from rmaplab.machine.live.proc import procfs
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
)

HUGE: Final = 1
EXCLUSIVE: Final = 2
FILE: Final = 4
"""Flags of an extent: PMD-mapped; the kernel's mmap-exclusive bit; file-backed or shmem (pagemap's bit)."""

_SCAN: Final = 0xC060_6610
_IS_PRESENT, _IS_SWAPPED, _IS_HUGE = 1 << 3, 1 << 4, 1 << 6
_REGIONS: Final = 1 << 12
_BATCH: Final = 1 << 17
_JOIN_GAP: Final = 64
"""Reading that many empty entries costs less than another system call."""
_UNSCANNED_LIMIT: Final = 1 << 30
"""Without PAGEMAP_SCAN: pages of a VMA beyond which it is left out, 8 GiB of pagemap to read."""
_KERNEL: Final = 1 << 63
"""Addresses from here on ([vsyscall]) are in no process' page table."""

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Extents:
    """One row per run. `vma` uint32 (row of the VMA table), `vpn` uint64 (first virtual page), `pfn` uint64 or uint32,
    `pages` uint32, `flags` uint8. 21 to 25 bytes a run."""

    vma: NDArray[np.uint32]
    vpn: Words
    pfn: NDArray[Any]
    pages: NDArray[np.uint32]
    flags: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.vma)

    def __getitem__(self, which: Any) -> "Extents":
        return Extents(*(getattr(self, f.name)[which] for f in fields(self)))

    @property
    def bytes(self) -> int:
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    @classmethod
    def join(cls, parts: "list[Extents]") -> Self:
        """All rows, in order. PFNs become uint32 if they fit (16 TiB of memory)."""
        if not parts:
            none = np.zeros(0, np.uint32)
            return cls(none, none.astype(np.uint64), none, none, none.astype(np.uint8))
        columns = [np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)]
        if not len(columns[2]) or int(columns[2].max()) < 1 << 32:
            columns[2] = columns[2].astype(np.uint32)
        return cls(*columns)


@dataclass(frozen=True, slots=True)
class Populated:
    """Where something is: pages [start, end), uint64, ascending; `huge` bool: PMDs map it."""

    start: Words
    end: Words
    huge: NDArray[np.bool_]


class PageTable:
    """/proc/PID/pagemap of one MM, held open. Raises procfs.ProcessGone or procfs.Missing."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pagemap = procfs.Pagemap(pid)

    def close(self) -> None:
        self._pagemap.close()

    def populated(self, end: int) -> Populated | None:
        """All present or swapped pages below address `end`, by the PAGEMAP_SCAN ioctl (Linux 6.7).

        None where there is no such call.
        """
        vec = np.zeros((_REGIONS, 3), np.uint64)
        found: list[Words] = []
        start = 0
        while start < end:
            arg = np.array(
                [96, 0, start, end, 0, vec.ctypes.data, _REGIONS, 0, 0, 0, _IS_PRESENT | _IS_SWAPPED, _IS_HUGE],
                np.uint64,
            )
            try:
                filled = fcntl.ioctl(self._pagemap.fileno(), _SCAN, arg.data)
            except ProcessLookupError as error:
                raise procfs.ProcessGone(f"/proc/{self._pid}/pagemap: {error.strerror}") from error
            except OSError:
                return None
            found.append(vec[:filled].copy())
            start = int(arg[4]) if filled == _REGIONS else end
        rows = np.concatenate([np.zeros((0, 3), np.uint64), *found])
        shift = np.uint64(PAGE_SHIFT)
        return Populated(rows[:, 0] >> shift, rows[:, 1] >> shift, (rows[:, 2] & np.uint64(_IS_HUGE)) != 0)

    def read(self, start: int, out: Words) -> None:
        """Pagemap entries of the pages from `start` on into `out`."""
        out[:] = self._pagemap.entries(start << PAGE_SHIFT, len(out) << PAGE_SHIFT)


def _everywhere(pid: int, regions: list[procfs.Region], notes: Notes) -> Populated:
    """Every VMA as one range; those too large to read are left out."""
    notes.add("no PAGEMAP_SCAN ioctl (Linux 6.7): PMD mappings count as PTE mappings")
    spans = [(r.start >> PAGE_SHIFT, r.end >> PAGE_SHIFT) for r in regions if r.end < _KERNEL]
    for low, high in spans:
        if high - low > _UNSCANNED_LIMIT:
            notes.tear(pid, f"a VMA of {high - low} pages not read: needs the PAGEMAP_SCAN ioctl")
    kept = np.array([s for s in spans if s[1] - s[0] <= _UNSCANNED_LIMIT], np.uint64).reshape(-1, 2)
    return Populated(kept[:, 0], kept[:, 1], np.zeros(len(kept), np.bool_))


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


@dataclass(frozen=True, slots=True)
class Slots:
    """Pages in swap, one row a page: `vma` uint32 (row of the VMA table), `slot` uint64 (type and offset, as pagemap
    has them). 12 bytes a page."""

    vma: NDArray[np.uint32]
    slot: Words

    @classmethod
    def join(cls, parts: "list[Slots]") -> Self:
        none = np.zeros(0, np.uint32)
        return cls(
            np.concatenate([none, *(p.vma for p in parts)]),
            np.concatenate([none.astype(np.uint64), *(p.slot for p in parts)]),
        )


ABSENT: Final = ("zero", "swapped", "guard", "markers", "elsewhere")
"""What a page table holds besides folios, pages per VMA. zero: the zero page; swapped: in swap; guard: guard regions
(MADV_GUARD_INSTALL); markers: other PTE markers (userfaultfd's write protection, poison); elsewhere: migrating just
then, in a device's memory, or poisoned."""
_ZERO, _SWAPPED, _GUARD, _MARKERS, _ELSEWHERE = range(len(ABSENT))


@dataclass(frozen=True, slots=True)
class Scan:
    """What one MM has: extents; swap slots; pages per VMA that are no folio's, int64 of shape (ABSENT, VMAs); whether
    PMD mappings were told from others."""

    extents: Extents
    slots: Slots
    absent: NDArray[np.int64]
    pmds: bool


def scan(pid: int, regions: list[procfs.Region], first_vma: int, zero_pfn: int, notes: Notes) -> Scan:
    """The page table of `pid`, whose VMAs are `regions`, numbered from `first_vma` on.

    Raises procfs.ProcessGone, procfs.Missing. O(populated pages) time, one batch of 2 MiB plus the extents in memory.
    """
    table = PageTable(pid)
    try:
        where = table.populated(max((r.end for r in regions if r.end < _KERNEL), default=0))
        pmds = where is not None
        if where is None:
            where = _everywhere(pid, regions, notes)
        vma_start = np.array([r.start >> PAGE_SHIFT for r in regions], np.uint64)
        absent = np.zeros((len(ABSENT), len(regions)), np.int64)
        parts: list[Extents] = []
        slots: list[Slots] = []
        for batch in _batches(where):
            extents, swapped = _batch(table, batch, where, vma_start, zero_pfn, absent)
            parts.append(extents)
            slots.append(swapped)
    finally:
        table.close()
    found, out = Extents.join(parts), Slots.join(slots)
    if (hidden := found.pfn == 0).any():
        notes.tear(pid, "pagemap hides page frame numbers")
        found = found[~hidden]
    row = np.uint32(first_vma)
    return Scan(
        Extents(found.vma + row, found.vpn, found.pfn, found.pages, found.flags),
        Slots(out.vma + row, out.slot),
        absent,
        pmds,
    )


def _batch(
    table: PageTable,
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
        table.read(low, entries[begin:end])
    first = np.array([r[0] for r in ranges], np.uint64)
    key = entries & (PM_PFN | PM_MMAP_EXCLUSIVE | PM_FILE | PM_PRESENT)
    cut = np.empty(len(key), np.bool_)
    cut[0] = True
    np.not_equal(key[1:] - key[:-1], np.uint64(1), out=cut[1:])
    cut[at[1:-1]] = True
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
