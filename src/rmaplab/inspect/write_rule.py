"""Whether a write to a page of a private mapping copies it: Linux' rule, and a precise one. The only place that knows.

For prices (`price`) and for what is said of folios taken for shared (`disagree`). The rule is Linux 6.18's for a write
fault (do_wp_page, do_huge_pmd_wp_page, hugetlb_wp): a page marked AnonExclusive is written without a question; else

- a small folio is reused iff its only reference is this mapping;
- a PTE-mapped large one iff it has more than one mapping, is not maybe-shared, and has no reference besides its mappings;
- a PMD-mapped one iff its only reference is this mapping; else the PMD is split and each page asked about;
- a hugetlb folio iff it is anonymous and has one mapping; else all of it is copied;
- a page of the page cache, and a KSM page, is always copied.

Before MM ids (6.15) there was one rule for anonymous folios of every size: reused iff the only reference is this mapping.

The swap cache's references do not count if it gives the folio up, which it does unless some page table still has one
of the folio's slots (folio_free_swap). The precise rule puts the truth in place of "maybe shared", and one remaining
mapping is no reason to copy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.extents import HUGE, Extents
from rmaplab.inspect.folio_state import FolioState
from rmaplab.inspect.folios import ANON, FILE, HUGETLB, KSM, SHMEM, Folios
from rmaplab.inspect.join import Index, spread
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.sharing import member
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.machine.live.proc import procfs

_KPF_LRU: Final = np.uint64(1 << 5)
_KPF_WRITEBACK: Final = np.uint64(1 << 8)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of private writable mappings, one element a page, in scan order: `vpn`, `pfn`, row of the folio table,
    index of the MM; int64; `huge`: mapped by a PMD."""

    vpn: Index
    pfn: Index
    folio: Index
    mm: Index
    huge: Bools

    def __len__(self) -> int:
        return len(self.pfn)

    def __getitem__(self, which: Bools | slice) -> "Pages":
        return Pages(self.vpn[which], self.pfn[which], self.folio[which], self.mm[which], self.huge[which])


@dataclass(frozen=True, slots=True)
class Verdict:
    """Per page, bool: `kernel`, `precise`: whether either rule copies it; `unasked`: whether it is AnonExclusive;
    `unsure`: the folio is not as it was when its mappings were read, or its references come and go."""

    kernel: Bools
    precise: Bools
    unasked: Bools
    unsure: Bools


def private_pages(snapshot: Snapshot, mms: Index, folios: Index | None = None) -> Pages:
    """All pages that the MMs `mms` have in private writable mappings; of the folios `folios` (ascending) only, if given.

    32 bytes a page. O(their extents, and pages found).
    """
    vmas, extents, sharing = snapshot.vmas, snapshot.sharing.extents, snapshot.sharing
    mine = vmas.of(mms)
    mine = mine[vmas.writable[mine] & ~vmas.shared[mine]]
    first, after = (np.searchsorted(extents.vma, mine.astype(extents.vma.dtype), side) for side in ("left", "right"))
    own = extents[spread(first, after - first)]
    if folios is not None:
        own = own[_reaching(sharing.folios, own, folios)]
    pfn = spread(own.pfn.astype(np.int64), own.pages)
    heads = sharing.folios.head
    folio = np.searchsorted(heads, pfn.astype(heads.dtype), side="right") - 1
    pages = Pages(
        spread(own.vpn.astype(np.int64), own.pages),
        pfn,
        folio,
        np.repeat(vmas.mm[own.vma], own.pages),
        np.repeat((own.flags & HUGE) != 0, own.pages),
    )
    return pages if folios is None else pages[member(folios, folio)]


def _reaching(table: Folios, extents: Extents, folios: Index) -> Bools:
    """Which extents, all of pages of the table's folios, map a page of one of `folios` (rows, ascending)."""
    first = extents.pfn.astype(table.head.dtype)
    low = np.searchsorted(table.head, first, side="right") - 1
    high = np.searchsorted(table.head, first + (extents.pages - 1).astype(table.head.dtype), side="right")
    return np.asarray(np.searchsorted(folios, low) < np.searchsorted(folios, high))


def judge(snapshot: Snapshot, view: KernelView, pages: Pages) -> Verdict:
    """What a write to each page does. Raises procfs.Missing without root, BpfError if reading fails."""
    kind = snapshot.sharing.folios.kind[pages.folio]
    copied = (kind == FILE) | (kind == SHMEM) | (kind == KSM)
    kernel, precise, unsure = copied.copy(), copied.copy(), np.zeros(len(pages), np.bool_)
    unasked = _marked(snapshot, view, pages) & (kind == ANON)
    asked, hugetlb = (kind == ANON) & ~unasked, kind == HUGETLB
    if asked.any():
        kernel[asked], precise[asked], unsure[asked] = _anonymous(snapshot, view, pages[asked])
    if hugetlb.any():
        kernel[hugetlb], precise[hugetlb], unsure[hugetlb] = _hugetlb(snapshot, pages[hugetlb])
    return Verdict(kernel, precise, unasked, unsure)


def _marked(snapshot: Snapshot, view: KernelView, pages: Pages) -> Bools:
    """Which pages are AnonExclusive; of a PMD mapping the head's mark counts."""
    if not view.anon_exclusive:
        return np.zeros(len(pages), np.bool_)
    head = snapshot.sharing.folios.head[pages.folio].astype(np.int64)
    flags = procfs.kpageflags(np.where(pages.huge, head, pages.pfn).astype(np.uint64))
    return np.asarray((flags & procfs.KPF_ANON_EXCLUSIVE) != 0)


def _anonymous(snapshot: Snapshot, view: KernelView, pages: Pages) -> tuple[Bools, Bools, Bools]:
    """Per page: copied by the kernel, by a precise rule, unsure."""
    rows, place = np.unique(pages.folio, return_inverse=True)
    table = snapshot.sharing.folios[rows]
    large = table.order > 0
    alone = snapshot.sharing.owners_of(rows) == 1
    if view.reader is None:
        return ~alone[place], ~alone[place], np.zeros(len(place), np.bool_)
    state = view.reader.read(table.head.astype(np.uint64), large, view.flag_bit)
    references, passing = _references(snapshot, state, table.head, table.pages)
    counted = np.where(large, view.reader.counts_large, view.reader.counts_small)
    found = snapshot.sharing.mapcount_of(rows)
    mapcount = np.where(counted, state.mapcount, found)
    mapped_only = references == mapcount
    flagged = np.where(state.maybe_shared >= 0, state.maybe_shared == 1, ~alone)
    sole = references == 1
    by_pte = by_pmd = sole
    if view.reader.has_mm_ids:
        by_pte = np.where(large, (mapcount > 1) & ~flagged & mapped_only, sole)
        # Split, every page becomes a mapping and a reference: the difference stays.
        by_pmd = sole | (~flagged & mapped_only)
    reused = np.where(pages.huge, by_pmd[place], by_pte[place])
    precise = np.where(large, alone & mapped_only, sole)
    unsure = passing | ~state.known
    unsure |= counted & ~snapshot.sharing.is_unseen(rows) & (state.mapcount != found)
    return ~reused, ~precise[place], unsure[place]


def anonymous(snapshot: Snapshot, pages: Pages) -> Bools:
    """Which pages are reused once nobody else maps them: anonymous ones, hugetlb's too, but not KSM's."""
    kind = snapshot.sharing.folios.kind[pages.folio]
    out = kind == ANON
    hugetlb = np.flatnonzero(kind == HUGETLB)
    heads = snapshot.sharing.folios.head[pages.folio[hugetlb]].astype(np.uint64)
    out[hugetlb] = (procfs.kpageflags(heads) & procfs.KPF_ANON) != 0
    return np.asarray(out)


def mapped_only(snapshot: Snapshot, view: KernelView, rows: Index) -> Bools:
    """Per folio: whether all references that count at a write are mappings; taken for true without BPF."""
    if view.reader is None or not len(rows):
        return np.ones(len(rows), np.bool_)
    table = snapshot.sharing.folios[rows]
    state = view.reader.read(table.head.astype(np.uint64), table.order > 0, view.flag_bit)
    references, passing = _references(snapshot, state, table.head, table.pages)
    counted = np.where(table.order > 0, view.reader.counts_large, view.reader.counts_small)
    mapcount = np.where(counted, state.mapcount, snapshot.sharing.mapcount_of(rows))
    return np.asarray(state.known & ~passing & (references == mapcount))


def _hugetlb(snapshot: Snapshot, pages: Pages) -> tuple[Bools, Bools, Bools]:
    """The same of hugetlb folios: what counts is whether they are mapped once, and anonymous (else page cache)."""
    rows, place = np.unique(pages.folio, return_inverse=True)
    table = snapshot.sharing.folios[rows]
    head = table.head.astype(np.uint64)
    anonymous = (procfs.kpageflags(head) & procfs.KPF_ANON) != 0
    alone = snapshot.sharing.owners_of(rows) == 1
    count = procfs.kpagecount(head)
    copied = ~(anonymous & (count == 1))
    return copied[place], ~(anonymous & alone)[place], (alone != (count == 1))[place]


def _references(snapshot: Snapshot, state: FolioState, head: NDArray[np.uint32], pages: Index) -> tuple[Index, Bools]:
    """References that count at a write, and whether one of them may go any moment (writeback).

    Not that of a per-CPU batch on the way to the LRU list, which the fault handler drains first; nor the swap cache's,
    one a page, unless a page table still has a slot of the folio.
    """
    flags = procfs.kpageflags(head.astype(np.uint64))
    cached = (flags & procfs.KPF_SWAPCACHE) != 0
    needed = cached & _slots_in_use(snapshot, state.swap, pages)
    batched = ((flags & _KPF_LRU) == 0) & (state.refcount > 1)
    given_up = np.where(cached & ~needed, pages, 0)
    return np.asarray(state.refcount - batched - given_up), cached & ((flags & _KPF_WRITEBACK) != 0)


def _slots_in_use(snapshot: Snapshot, first: NDArray[np.uint64], pages: Index) -> Bools:
    """Whether a page table has one of the slots `first` to `first` + `pages` - 1 of the same swap device."""
    used, low = snapshot.slots_by_device, procfs.slot_place(first)
    high = low + pages.astype(np.uint64)
    return np.asarray(np.searchsorted(used, low) < np.searchsorted(used, high))
