"""One MM's page table as extents: runs of virtual pages on consecutive page frames.

For `rmaplab.inspect.snapshot`. Asks PAGEMAP_SCAN where anything is and what PMDs map, then reads pagemap only there,
so that a sparse mapping of 64 TiB costs what its populated pages cost. Not for truth about sharing: that takes all MMs.
"""

import fcntl
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect import fast, runs
from rmaplab.inspect.extents import ABSENT, Extents, Populated, Slots, Words, narrow
from rmaplab.inspect.processes import Notes
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.proc.procfs import PAGE_SHIFT

_SCAN: Final = 0xC060_6610
_IS_PRESENT, _IS_SWAPPED, _IS_ZERO, _IS_HUGE = 1 << 3, 1 << 4, 1 << 5, 1 << 6
_REGIONS: Final = 1 << 12
_UNSCANNED_LIMIT: Final = 1 << 30
"""Without PAGEMAP_SCAN: pages of a VMA beyond which it is left out, 8 GiB of pagemap to read."""
_KERNEL: Final = 1 << 63
"""Addresses from here on ([vsyscall]) are in no process' page table."""


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
        rows = self._scan(end, _IS_HUGE)
        if rows is None:
            return None
        shift = np.uint64(PAGE_SHIFT)
        return Populated(rows[:, 0] >> shift, rows[:, 1] >> shift, (rows[:, 2] & np.uint64(_IS_HUGE)) != 0)

    def kinds(self, end: int) -> tuple[int, int] | None:
        """Bytes below address `end` that map a zero page, and that PMDs map (a huge zero page is both).

        By the PAGEMAP_SCAN ioctl (Linux 6.7), which needs no root. None where there is no such call.
        """
        rows = self._scan(end, _IS_ZERO | _IS_HUGE)
        if rows is None:
            return None
        sizes = rows[:, 1] - rows[:, 0]
        zero, huge = ((rows[:, 2] & np.uint64(bit)) != 0 for bit in (_IS_ZERO, _IS_HUGE))
        return int(sizes[zero].sum()), int(sizes[huge].sum())

    def _scan(self, end: int, wanted: int) -> Words | None:
        """What is present or swapped below `end`: rows of first and past-the-end byte, and which `wanted` bits it has."""
        vec = np.zeros((_REGIONS, 3), np.uint64)
        found: list[Words] = []
        start = 0
        while start < end:
            arg = np.array(
                [96, 0, start, end, 0, vec.ctypes.data, _REGIONS, 0, 0, 0, _IS_PRESENT | _IS_SWAPPED, wanted],
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
        return np.concatenate([np.zeros((0, 3), np.uint64), *found])

    def read(self, where: Populated, vma_start: Words, zero_pfn: int, absent: NDArray[np.int64]) -> tuple[Extents, Slots]:
        """Extents and swap slots of what is populated, `vma` as in `vma_start`; adds to `absent` (ABSENT, VMAs)."""
        if not fast.available():
            return runs.read_runs(self._pagemap, where, vma_start, zero_pfn, absent)
        with self._pagemap.faults():
            found = fast.read_runs(
                self._pagemap.fileno(), where.start, where.end, where.huge, vma_start, zero_pfn, absent
            )
        return Extents(found.vma, found.vpn, narrow(found.pfn), found.pages, found.flags), Slots(
            found.slot_vma, found.slot
        )


def kinds(pid: int) -> tuple[int, int] | None:
    """Of a process that we may look at, bytes that map a zero page, and that PMDs map; None where that is not told."""
    try:
        table = PageTable(pid)
        try:
            return table.kinds(_end(procfs.regions(pid)))
        finally:
            table.close()
    except (procfs.ProcessGone, procfs.Missing):
        return None


def _end(regions: list[procfs.Region]) -> int:
    return max((r.end for r in regions if r.end < _KERNEL), default=0)


def _everywhere(pid: int, regions: list[procfs.Region], notes: Notes) -> Populated:
    """Every VMA as one range; those too large to read are left out."""
    notes.add("no PAGEMAP_SCAN ioctl (Linux 6.7): PMD mappings count as PTE mappings")
    spans = [(r.start >> PAGE_SHIFT, r.end >> PAGE_SHIFT) for r in regions if r.end < _KERNEL]
    for low, high in spans:
        if high - low > _UNSCANNED_LIMIT:
            notes.tear(pid, f"a VMA of {high - low} pages not read: needs the PAGEMAP_SCAN ioctl")
    kept = np.array([s for s in spans if s[1] - s[0] <= _UNSCANNED_LIMIT], np.uint64).reshape(-1, 2)
    return Populated(kept[:, 0], kept[:, 1], np.zeros(len(kept), np.bool_))


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
        where = table.populated(_end(regions))
        pmds = where is not None
        if where is None:
            where = _everywhere(pid, regions, notes)
        vma_start = np.array([r.start >> PAGE_SHIFT for r in regions], np.uint64)
        absent = np.zeros((len(ABSENT), len(regions)), np.int64)
        found, out = table.read(where, vma_start, zero_pfn, absent)
    finally:
        table.close()
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
