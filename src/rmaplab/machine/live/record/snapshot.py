"""The whole world of a live machine at one instant: who maps which page, and what is known of each page.

For the recorder and the COW judge. A snapshot is exact because nothing else runs on the machine's memory while it
is taken. Only folios count: zero pages, swapped-out pages and holes have no row.

PageAnonExclusive is per page, but kpageflags shows the bit of the folio's first page for all of them (Linux 6.18). It
is exact for small folios, first pages and PMD-mapped folios; for the other pages it is carried on from one
snapshot to the next by the rules the kernel follows (`carry_exclusive`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.live.proc import pageflags, procfs
from rmaplab.machine.protocol import ARENA_BASE, PMD_ORDER

ARENA_PAGE: Final = ARENA_BASE >> procfs.PAGE_SHIFT
MM_SHIFT: Final = 40
"""A key names a slot, one virtual page of one MM: mm << MM_SHIFT | pages above ARENA_BASE."""
PMD_PAGES: Final = 1 << PMD_ORDER

KIND_NAMES: Final = ("anon", "file", "shmem", "ksm")

Index = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Pages:
    """The physical pages that are mapped, ascending by PFN; arrays of one length, but `folio_*`, one per folio.

    `local` is the row of `folio_*` (ascending by head); `folio_id` is the trace's, set by the recorder.
    """

    pfn: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    exclusive: Bools
    local: Index
    folio_head: NDArray[np.uint64]
    folio_order: NDArray[np.uint8]
    folio_kind: NDArray[np.uint8]
    folio_id: Index

    @property
    def offset(self) -> Index:
        """Each page's place in its folio."""
        return (self.pfn - self.folio_head[self.local]).astype(np.int64)


@dataclass(slots=True)
class Snapshot:
    """One row per mapped slot, ascending by `key`: row of `pages`, and whether a PMD maps it (512 rows then).

    `counted` rows are mappings: every PTE, and of a PMD mapping the first slot only. `tracked`: those that userfaultfd
    write-protects.
    """

    key: Index
    page: Index
    pmd: Bools
    counted: Bools
    tracked: Bools
    pages: Pages

    @property
    def mm(self) -> Index:
        return self.key >> MM_SHIFT

    def rows(self, mm: int, address: int, length: int) -> slice:
        """The rows of bytes [address, address + length) of `mm`."""
        low = key_of(mm, address)
        ends = np.searchsorted(self.key, [low, low + (length >> procfs.PAGE_SHIFT)])
        return slice(int(ends[0]), int(ends[1]))

    def mapcounts(self, mm: int) -> tuple[Index, Index]:
        """Mappings of every folio, and how many of them are MM `mm`'s: two int64 arrays, one element a folio."""
        local, folios = self.pages.local[self.page], len(self.pages.folio_id)
        mine = self.counted & (self.mm == mm)
        return np.bincount(local[self.counted], minlength=folios), np.bincount(local[mine], minlength=folios)


@dataclass(frozen=True, slots=True)
class Space:
    """One address space to look at: MM, pid, and the byte ranges [start, start + length) it may have mapped."""

    mm: int
    pid: int
    ranges: Sequence[tuple[int, int]]


def key_of(mm: int, address: int) -> int:
    return mm << MM_SHIFT | ((address >> procfs.PAGE_SHIFT) - ARENA_PAGE)


def read_slots(space: Space) -> tuple[Index, NDArray[np.uint64], Bools, Bools]:
    """Key, PFN, whether a PMD maps it, and whether userfaultfd tracks it, of every present page of `space`, zero pages
    included."""
    keys, pfns, pmds, tracked = [], [], [], []
    if space.ranges:
        with procfs.Pagemap(space.pid) as pagemap:
            for start, length in sorted(space.ranges):
                entries = pagemap.entries(start, length)
                pmd = np.zeros(len(entries), np.bool_)
                spans = (pagemap.pmd_mapped(start, length) - np.uint64(start)) >> np.uint64(procfs.PAGE_SHIFT)
                for first, end in spans.tolist():
                    pmd[first:end] = True
                here = np.flatnonzero(entries & procfs.PM_PRESENT)
                keys.append(here + key_of(space.mm, start))
                pfns.append(entries[here] & procfs.PM_PFN)
                pmds.append(pmd[here])
                tracked.append(entries[here] & procfs.PM_UFFD_WP != 0)
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    return np.concatenate(keys), np.concatenate(pfns), np.concatenate(pmds), np.concatenate(tracked)


def take(spaces: Iterable[Space]) -> Snapshot:
    """Look at all `spaces` (ascending by MM). O(slots log slots), about 60 ns a slot plus 100 ns a physical page."""
    parts = [read_slots(space) for space in spaces]
    key = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    pfn = np.concatenate([np.zeros(0, np.uint64), *(part[1] for part in parts)])
    pmd = np.concatenate([np.zeros(0, np.bool_), *(part[2] for part in parts)])
    tracked = np.concatenate([np.zeros(0, np.bool_), *(part[3] for part in parts)])
    unique = np.unique(pfn)
    found = procfs.folios(unique)
    flags = pageflags.here().of(found.flags)
    real = flags & procfs.KPF_ZERO_PAGE == 0
    page = np.searchsorted(unique, pfn)
    keep = real[page]
    if not keep.all():
        key, pmd, tracked, page = key[keep], pmd[keep], tracked[keep], (np.cumsum(real) - 1)[page[keep]]
    pages = _pages(unique[real], flags[real], found.head[real], found.order[real])
    return Snapshot(key, page, pmd, ~pmd | (key & (PMD_PAGES - 1) == 0), tracked, pages)


def _pages(
    pfn: NDArray[np.uint64], flags: NDArray[np.uint64], head: NDArray[np.uint64], order: NDArray[np.uint8]
) -> Pages:
    first = np.ones(len(pfn), np.bool_)
    first[1:] = head[1:] != head[:-1]
    where = np.flatnonzero(first)
    kind = np.where(
        flags & procfs.KPF_KSM != 0,
        3,
        np.where(flags & procfs.KPF_ANON != 0, 0, np.where(flags & procfs.KPF_SWAPBACKED != 0, 2, 1)),
    ).astype(np.uint8)
    return Pages(
        pfn=pfn,
        flags=flags,
        exclusive=(kind == 0) & (flags & procfs.KPF_ANON_EXCLUSIVE != 0),
        local=np.cumsum(first) - 1,
        folio_head=head[where],
        folio_order=order[where],
        folio_kind=kind[where],
        folio_id=np.full(len(where), -1, np.int64),
    )


def moved(old: Snapshot, mm: int, source: int, target: int, length: int) -> Snapshot:
    """`old` as if the slots [source, source + length) of `mm` had always been at `target` (mremap moves PTEs)."""
    rows = old.rows(mm, source, length)
    key = old.key.copy()
    key[rows] += (target - source) >> procfs.PAGE_SHIFT
    order = np.argsort(key, kind="stable")
    return Snapshot(key[order], old.page[order], old.pmd[order], old.counted[order], old.tracked[order], old.pages)


@dataclass(slots=True)
class Pairing:
    """How the rows and pages of a new snapshot continue those of the one before; -1: they do not.

    `row`: old row of the same slot, `page`: old page of the same folio, both one per new row or page.
    `same`: new rows whose slot holds the page it held before.
    """

    row: Index
    same: Bools
    page: Index


def pair(old: Snapshot, new: Snapshot) -> Pairing:
    """Match slots by key and pages by PFN. A page continues iff some slot held it before and holds it now: a PFN
    that moved between slots was freed and allocated again. Folio ids of continuing folios are copied to `new`."""
    if np.array_equal(old.key, new.key):
        row = np.arange(len(new.key))
    else:
        row = np.searchsorted(old.key, new.key)
        row[row == len(old.key)] = 0
        row = np.where(old.key[row] == new.key, row, -1) if len(old.key) else np.full(len(new.key), -1)
    both = np.flatnonzero(row >= 0)
    before = old.page[row[both]]
    held = old.pages.pfn[before] == new.pages.pfn[new.page[both]]
    same = np.zeros(len(new.key), np.bool_)
    same[both[held]] = True
    page = np.full(len(new.pages.pfn), -1, np.int64)
    page[new.page[both[held]]] = before[held]
    _continue_folios(old.pages, new.pages, page)
    return Pairing(row, same, page)


def _continue_folios(old: Pages, new: Pages, page: Index) -> None:
    kept = np.flatnonzero(page >= 0)
    now, then = new.local[kept], old.local[page[kept]]
    alike = (
        (new.folio_head[now] == old.folio_head[then])
        & (new.folio_order[now] == old.folio_order[then])
        & (new.folio_kind[now] == old.folio_kind[then])
    )
    new.folio_id[now[alike]] = old.folio_id[then[alike]]


def carry_exclusive(old: Snapshot, new: Snapshot, pairing: Pairing, reused: Index) -> None:
    """Set `new.pages.exclusive` where kpageflags cannot tell: pages after a folio's first that no PMD maps.

    A page new to the world is what its folio's first page is (one fault brought both: a write, or a swap-in), one of a
    COW reuse (rows `reused` of `new`) becomes exclusive, one that got another mapping (fork) stops being so; else it
    stays what it was. A new page where another one was is that page, migrated: copies made by faults are small, and
    kpageflags tells of them.
    """
    pages = new.pages
    unclear = pages.offset > 0
    unclear[new.page[new.pmd]] = False
    unclear &= pages.folio_kind[pages.local] == 0
    which = np.flatnonzero(unclear)
    both = np.flatnonzero(pairing.row >= 0)
    origin = pairing.page.copy()
    there = new.page[both]
    origin[there] = np.where(origin[there] < 0, old.page[pairing.row[both]], origin[there])
    then = origin[which]
    count = np.bincount(new.page, minlength=len(pages.pfn))[which]
    count_then = np.append(np.bincount(old.page, minlength=len(old.pages.pfn)), 0)[then]
    carried = np.append(old.pages.exclusive, True)[then] & (count <= count_then)
    carried = np.where(then < 0, pages.exclusive[which], carried)
    pages.exclusive[which] = carried
    pages.exclusive[new.page[reused]] = True
