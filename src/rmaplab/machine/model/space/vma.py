"""VMAs: which attributes hold where, split and merged as the kernel does it, because boundaries decide.

For the model's address spaces: a THP must fit into one VMA, an unaligned boundary splits the PMD under it. Page
tables stand elsewhere and do not know VMAs.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import count
from operator import attrgetter
from typing import Final

from rmaplab.machine.model.backing.pagecache import ModelFile

_places: Final = count(1)
_SHOWN: Final = ("thp", "nothp", "dontfork", "wipeonfork", "mergeable", "locked", "uffd", "cloned")
"""Flags that a VMA's text names."""


@dataclass(slots=True)
class Vma:
    """Virtual pages [start, end) with the same attributes.

    `order` is what faults here shall get. `anon_vma` is 0 until the first anonymous page could exist (it decides whether
    fork copies page tables); `cloned` says that it came by fork, which forbids merging with an unfaulted neighbour.
    `pgoff` is the file page of `start`. `accounted` is VM_ACCOUNT: memory made read-only before anything was
    written loses it, and differs from its neighbours ever after. `guarded`: fork copies page tables for the guards in
    them. `uffd`: userfaultfd tracks writes to it. `placed` grows with time: of VMAs that begin at the same place of an
    anon_vma the reverse map walks first those that were put into its interval tree first.
    """

    start: int
    end: int
    order: int = 0
    writable: bool = True
    readable: bool = True
    shared: bool = False
    file: ModelFile | None = None
    pgoff: int = 0
    thp: bool = False
    nothp: bool = False
    dontfork: bool = False
    wipeonfork: bool = False
    mergeable: bool = False
    locked: bool = False
    accounted: bool = True
    anon_vma: int = 0
    cloned: bool = False
    guarded: bool = False
    uffd: bool = False
    placed: int = field(init=False, default_factory=_places.__next__)

    def __repr__(self) -> str:
        access = f"{'r' if self.readable else '-'}{'w' if self.writable else '-'}-{'s' if self.shared else 'p'}"
        behind = f"anon_vma {self.anon_vma or 'none'}"
        if self.file is not None:
            behind = f"{self.file!r} from page {self.pgoff}"
        flags = [name for name in _SHOWN if getattr(self, name)]
        return f"<Vma {self.start << 12:#x}-{self.end << 12:#x} {access}, {', '.join([behind, *flags])}>"

    def place(self) -> None:
        """It is put into its anon_vma's interval tree (again): who changes its bounds takes it out for that long."""
        self.placed = next(_places)

    @property
    def private(self) -> bool:
        return not self.shared

    @property
    def anonymous(self) -> bool:
        return self.file is None

    @property
    def on_disk(self) -> bool:
        """Of a file of a disk file system, whose page cache has folios of its own choice."""
        return self.file is not None and self.file.on_disk

    @property
    def maps_by_pmd(self) -> bool:
        """May a fault map a THP of the page cache by a PMD? (vma_thp_disabled(); shmem is asked for by MADV_HUGEPAGE.)"""
        return not self.nothp if self.on_disk else self.thp

    @property
    def fault_order(self) -> int:
        """Order of the folios a fault brings in. MADV_HUGEPAGE on a mapping nobody asked an order for gives THPs.

        Anonymous folios have no order 1 (THP_ORDERS_ALL_ANON): the deferred split list needs a third page.
        """
        if self.anonymous and self.order == 1:
            return 0
        return (self.order or 9) if self.thp else 0

    def offset_of(self, page: int) -> int:
        """File page behind virtual page `page`."""
        return self.pgoff + page - self.start

    def allows(self, first: int, pages: int) -> bool:
        """Do `pages` pages from `first` on fit in?"""
        return self.start <= first and first + pages <= self.end

    def attributes(self) -> tuple[object, ...]:
        """What must be equal for two neighbours to merge (anon_vma and offsets aside)."""
        flags = (self.thp, self.nothp, self.dontfork, self.wipeonfork, self.mergeable, self.locked, self.uffd)
        return (self.order, self.writable, self.readable, self.shared, id(self.file), self.accounted, *flags)

    def protect(self, *, writable: bool, readable: bool) -> None:
        """mprotect(2) of the whole VMA, commit accounting included (mprotect_fixup())."""
        self.writable, self.readable = writable, readable
        if writable:
            self.accounted = True
        elif self.private and self.anonymous and not self.anon_vma:
            self.accounted = False


_fields: Final = attrgetter(*(each.name for each in fields(Vma) if each.init))


class VmaList:
    """The VMAs of one address space in address order. O(log n) to find one."""

    def __init__(self, vmas: list[Vma] | None = None) -> None:
        self._vmas = vmas or []
        self._starts = [vma.start for vma in self._vmas]

    def __iter__(self) -> Iterator[Vma]:
        return iter(self._vmas)

    def __len__(self) -> int:
        return len(self._vmas)

    def add(self, vma: Vma) -> None:
        """Insert; the range is free."""
        self._insert(bisect_right(self._starts, vma.start), vma)

    def _insert(self, at: int, vma: Vma) -> None:
        self._vmas.insert(at, vma)
        self._starts.insert(at, vma.start)

    def remove(self, vma: Vma) -> None:
        at = bisect_left(self._starts, vma.start)
        del self._vmas[at], self._starts[at]

    def within(self, start: int, end: int) -> list[Vma]:
        """VMAs that overlap [start, end)."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        if first < len(self._vmas) and (vma := self._vmas[first]).start <= start < end <= vma.end:
            return [vma]  # as most ranges lie
        last = bisect_left(self._starts, end) if start < end else first
        return [v for v in self._vmas[first:last] if v.end > start]

    def covers(self, start: int, end: int) -> bool:
        """Is every page of [start, end) in some VMA?"""
        page = start
        for vma in self.within(start, end):
            if vma.start > page:
                return False
            page = vma.end
        return page >= end

    def cut(self, page: int) -> bool:
        """Make `page` a boundary; true if a VMA had to be cut in two."""
        at = bisect_right(self._starts, page) - 1
        if at < 0 or not self._vmas[at].start < page < self._vmas[at].end:
            return False
        vma = self._vmas[at]
        upper = Vma(*_fields(vma))
        upper.start, upper.pgoff = page, vma.offset_of(page)
        self._insert(at + 1, upper)
        vma.end = page
        vma.place()
        return True

    def merge(self, start: int, end: int) -> None:
        """Merge neighbours at and around [start, end) where the kernel would."""
        at = max(bisect_left(self._starts, start), 1)
        while at < len(self._vmas) and self._vmas[at].start <= end:
            before, vma = self._vmas[at - 1], self._vmas[at]
            if _mergeable(before, vma):
                before.end = vma.end
                before.anon_vma = before.anon_vma or vma.anon_vma
                before.cloned = before.cloned or vma.cloned
                before.guarded = before.guarded or vma.guarded
                before.place()
                del self._vmas[at], self._starts[at]
            else:
                at += 1

    def neighbour_anon_vma(self, vma: Vma) -> int:
        """What a first fault in `vma` takes over from a neighbour that differs in permissions at most; 0 if none."""
        for other in self.within(vma.start - 1, vma.end + 1):
            touching = other.end == vma.start or other.start == vma.end
            if touching and other.anon_vma and not other.cloned and _alike(other, vma):
                return other.anon_vma
        return 0


def _alike(one: Vma, two: Vma) -> bool:
    ours, theirs = (replace(vma, writable=True, readable=True).attributes() for vma in (one, two))
    return ours == theirs and one.offset_of(two.start) == two.pgoff


def _mergeable(one: Vma, two: Vma) -> bool:
    if one.end != two.start or one.attributes() != two.attributes() or one.offset_of(two.start) != two.pgoff:
        return False
    if one.anon_vma == two.anon_vma:
        return True
    return (not one.anon_vma and not two.cloned) or (not two.anon_vma and not one.cloned)
