"""Page tables: a few arrays per 32 MiB, shared between address spaces until one of them changes.

For the model's address spaces. Virtual pages are numbered from 0 (address / 4096). A page is one of: nothing
(`frame` 0), present (`frame` names memory), a guard (`frame` is GUARD) or swapped (`SWAP` set, `frame` names
a swap slot).
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 512
"""Pages under one PMD."""
LEAF: Final = 16 * BLOCK
"""Pages of a leaf: 74 KiB to copy when one address space of many that share it changes a page."""

W: Final = 1
"""Writable in hardware: a write does not fault."""
PMD: Final = 2
"""Part of a PMD mapping."""
SWAP: Final = 4
"""`frame` is a swap slot."""
SWAP_EXCLUSIVE: Final = 8
"""A swap entry that was AnonExclusive."""
DIRTY: Final = 16
"""A shared file page written through this entry: mprotect gives write access back without a fault."""
CLEAN: Final = 32
"""Not dirty: an anonymous page not written through this entry since MADV_FREE, swap-in, a merge, or a copy made without
writing."""
WP: Final = 64
"""Write-protected by userfaultfd, which goes with the next write. Of nothing (`frame` 0) it is a marker."""

GUARD: Final = 2
"""Frame of an entry that is a guard: no memory has this number, as none has the zero page's."""


def any_of(flags: NDArray[np.uint8], which: int) -> bool:
    """Has any of these entries a flag of `which`?"""
    return bool(int(np.bitwise_or.reduce(flags)) & which)


@dataclass(slots=True)
class Leaf:
    """Up to `LEAF` consecutive pages, from a 2 MiB boundary on. 9 B a page and one per 2 MiB.

    `expect` is the content version a private page must read as (the leak oracle); `tables` says which 2 MiB blocks have
    a table of PTEs, even an empty one. `sharers` counts the page tables that hold this leaf. `mapped` is what fork found
    all of it to map, kept while nobody may change the leaf.
    """

    frame: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    expect: NDArray[np.uint32]
    tables: NDArray[np.bool_]
    sharers: int = 1
    mapped: tuple[NDArray[np.uint32], NDArray[np.bool_]] | None = None

    @classmethod
    def empty(cls, pages: int) -> "Leaf":
        blocks = -(-pages // BLOCK)
        return cls(
            np.zeros(pages, np.uint32), np.zeros(pages, np.uint8), np.zeros(pages, np.uint32), np.zeros(blocks, np.bool_)
        )

    def copy(self) -> "Leaf":
        return Leaf(self.frame.copy(), self.flags.copy(), self.expect.copy(), self.tables.copy())

    @property
    def bytes(self) -> int:
        return self.frame.nbytes + self.flags.nbytes + self.expect.nbytes + self.tables.nbytes

    def present(self, lo: int, hi: int) -> NDArray[np.int64]:
        """Indexes of present pages in [lo, hi)."""
        return lo + np.flatnonzero((self.frame[lo:hi] != 0) & (self.flags[lo:hi] & SWAP == 0))

    def guards(self, lo: int, hi: int) -> NDArray[np.int64]:
        """Indexes of guards in [lo, hi)."""
        return lo + np.flatnonzero((self.frame[lo:hi] == GUARD) & (self.flags[lo:hi] & SWAP == 0))

    def memory(self) -> NDArray[np.uint32]:
        """The frame behind every page, 0 for those not present. Not to be changed."""
        swapped = self.flags & SWAP != 0
        return np.where(swapped, np.uint32(0), self.frame) if swapped.any() else self.frame

    def clear(self, lo: int, hi: int) -> None:
        """Make [lo, hi) nothing."""
        self.frame[lo:hi] = 0
        self.flags[lo:hi] = 0
        self.expect[lo:hi] = 0


@dataclass(slots=True)
class Region:
    """Addresses one mmap or mremap made: `pages` from page `start` on, never given to anything else. `kept`: it stays
    when nothing is mapped in it. `inherited` is what fork found all leaves to map, kept while nobody may change any."""

    start: int
    pages: int
    leaves: dict[int, Leaf] = field(default_factory=dict)
    kept: bool = False
    inherited: tuple[NDArray[np.uint32], NDArray[np.bool_]] | None = None

    def leaf_pages(self, number: int) -> int:
        return min(LEAF, self.pages - number * LEAF)


class Window(NamedTuple):
    """The part [lo, hi) of one leaf; `page` is the virtual page of index `lo`."""

    leaf: Leaf
    lo: int
    hi: int
    page: int

    @property
    def base(self) -> int:
        """Virtual page of index 0 of the leaf."""
        return self.page - self.lo


class PageTable:
    """The page tables of one address space."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self._starts: list[int] = []

    def add(self, start: int, pages: int) -> Region:
        """Prepare [start, start + pages) for mappings; `start` is the highest so far."""
        region = Region(start, pages)
        self.adopt(region)
        return region

    def adopt(self, region: Region) -> None:
        """Take over `region`, made elsewhere."""
        at = bisect_right(self._starts, region.start)
        self._starts.insert(at, region.start)
        self.regions.insert(at, region)

    def keep(self, start: int, pages: int) -> None:
        """Have a region for [start, start + pages), and keep it from now on."""
        at = bisect_right(self._starts, start) - 1
        if at < 0 or self.regions[at].start + self.regions[at].pages <= start:
            self.adopt(Region(start, pages))
            at += 1
        self.regions[at].kept = True

    def remove(self, region: Region) -> None:
        """Forget a region in which nothing is mapped."""
        at = self.regions.index(region)
        del self.regions[at], self._starts[at]

    def region(self, page: int) -> Region:
        return self.regions[bisect_right(self._starts, page) - 1]

    def grow(self, region: Region, pages: int) -> None:
        """Let `region` have at least `pages` pages."""
        if pages <= region.pages:
            return
        last = (region.pages - 1) // LEAF
        old = self.own(region, last) if last in region.leaves else None
        region.pages, region.inherited = pages, None
        if old is not None:
            new = Leaf.empty(region.leaf_pages(last))
            have = len(old.frame)
            new.frame[:have], new.flags[:have], new.expect[:have] = old.frame, old.flags, old.expect
            new.tables[: len(old.tables)] = old.tables
            region.leaves[last] = new

    def windows(self, start: int, end: int, *, write: bool = False, create: bool = False) -> Iterator[Window]:
        """Leaves under [start, end), which lies in one region. `write`: they may be changed; `create`: missing ones
        are made (else they are left out: nothing is mapped there)."""
        region = self.region(start)
        page = start
        while page < end:
            number, lo = divmod(page - region.start, LEAF)
            hi = min(lo + end - page, region.leaf_pages(number))
            if create and number not in region.leaves:
                region.leaves[number], region.inherited = Leaf.empty(region.leaf_pages(number)), None
            if number in region.leaves:
                leaf = self.own(region, number) if write else region.leaves[number]
                yield Window(leaf, lo, hi, page)
            page += hi - lo

    def entry(self, page: int, *, write: bool = False) -> tuple[Leaf, int] | None:
        """The leaf that `page` has, and its index there: what `windows` finds of a single page."""
        region = self.region(page)
        number, at = divmod(page - region.start, LEAF)
        leaf = region.leaves.get(number)
        if leaf is None or at >= len(leaf.flags):
            return None
        return (self.own(region, number) if write else leaf), at

    def maps_by_pmd(self, page: int) -> bool:
        """Does a PMD map `page`?"""
        found = self.entry(page)
        return found is not None and bool(found[0].flags[found[1]] & PMD)

    @staticmethod
    def own(region: Region, number: int) -> Leaf:
        """Leaf `number`, which exists, for changing: a copy if others share it."""
        leaf = region.leaves[number]
        if leaf.sharers > 1:
            leaf.sharers -= 1
            leaf = region.leaves[number] = leaf.copy()
        leaf.mapped = region.inherited = None
        return leaf

    def drop(self) -> None:
        """Give up every leaf."""
        for region in self.regions:
            for leaf in region.leaves.values():
                leaf.sharers -= 1
        self.regions, self._starts = [], []
