"""What a page table holds, a row a run of pages: data, for everybody who reads or joins page tables."""

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.growing import Growing

HUGE: Final = 1
EXCLUSIVE: Final = 2
FILE: Final = 4
"""Flags of an extent: PMD-mapped; the kernel's mmap-exclusive bit; file-backed or shmem (pagemap's bit)."""

ABSENT: Final = ("zero", "swapped", "guard", "markers", "elsewhere")
"""What a page table holds besides folios, pages per VMA. zero: the zero page; swapped: in swap; guard: guard regions
(MADV_GUARD_INSTALL); markers: other PTE markers (userfaultfd's write protection, poison); elsewhere: migrating just
then, in a device's memory, or poisoned."""
Words = NDArray[np.uint64]


def _narrow_rows() -> Growing:
    return Growing(np.uint32, np.uint64, np.uint32, np.uint32, np.uint8)


class Table:
    """Extents of one page table after the other, in one place."""

    def __init__(self) -> None:
        self._wide, self._rows = False, _narrow_rows()

    def add(self, part: "Extents") -> None:
        """Append rows."""
        if part.pfn.dtype == np.uint64 and not self._wide:
            vma, vpn, pfn, pages, flags = self._rows.columns()
            self._rows, self._wide = Growing(np.uint32, np.uint64, np.uint64, np.uint32, np.uint8), True
            self._rows.add(vma, vpn, pfn, pages, flags)
        self._rows.add(part.vma, part.vpn, part.pfn, part.pages, part.flags)

    def take(self) -> "Extents":
        """All rows, which are the caller's from now on; the table is empty."""
        rows = Extents(*self._rows.columns())
        self._wide, self._rows = False, _narrow_rows()
        return rows


def narrow(pfn: NDArray[Any]) -> NDArray[Any]:
    """Page frame numbers as uint32 where all fit (16 TiB of memory), else as they are."""
    return pfn.astype(np.uint32, copy=False) if not len(pfn) or int(pfn.max()) < 1 << 32 else pfn


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
        vma, vpn, pfn, pages, flags = (np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls))
        return cls(vma, vpn, narrow(pfn), pages, flags)


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


@dataclass(frozen=True, slots=True)
class Populated:
    """Where something is: pages [start, end), uint64, ascending; `huge` bool: PMDs map it."""

    start: Words
    end: Words
    huge: NDArray[np.bool_]
