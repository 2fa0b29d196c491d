"""What it would cost if a process wrote all its memory now: bytes copied, by the running kernel's rule and a precise one.

For `rmaplab inspect --what-if write`. The rule is Linux 6.18's for a write fault on a page of a private mapping
(do_wp_page, do_huge_pmd_wp_page): a page marked AnonExclusive is written without a question; else

- a small folio is reused iff its only reference is this mapping;
- a PTE-mapped large one iff it has more than one mapping, is not maybe-shared, and has no reference besides its mappings;
- a PMD-mapped one iff its only reference is this mapping; else the PMD is split and each page asked about;
- a page of the page cache, and a KSM page, is always copied.

The precise rule puts the truth in place of "maybe shared", and one remaining mapping is no reason to copy.
Not for shared mappings (nothing is copied there) nor for memory that cannot be written.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.folio_state import FolioState
from rmaplab.inspect.folios import ANON, FILE, KSM, SHMEM
from rmaplab.inspect.join import spread
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.scan import HUGE
from rmaplab.inspect.snapshot import Exactness, Snapshot
from rmaplab.machine.live import procfs

_KPF_LRU: Final = np.uint64(1 << 5)


@dataclass(frozen=True, slots=True)
class Price:
    """Bytes, for one MM. `written`: present in private writable mappings; `unasked`: of these AnonExclusive;
    `page_cache` and `ksm`: always copied (and contained in both sums); `kernel` and `precise`: copied under either
    rule; `zero`: first-touch pages that a zero page stands for, allocated but not copied."""

    written: int
    unasked: int
    page_cache: int
    ksm: int
    kernel: int
    precise: int
    zero: int
    exactness: Exactness
    why: str


@dataclass(frozen=True, slots=True)
class _Pages:
    """Private writable pages of one MM: `pfn`, row of the folio table, PMD-mapped. One element a page."""

    pfn: NDArray[np.int64]
    folio: NDArray[np.int64]
    huge: NDArray[np.bool_]


def what_if_write(snapshot: Snapshot, mm: int, view: KernelView) -> Price:
    """The price for MM `mm`. O(pages written); raises procfs.Missing without root, BpfError if reading fails."""
    pages = _writable_pages(snapshot, mm)
    kind = snapshot.sharing.folios.kind[pages.folio]
    anon = kind == ANON
    asked = _Pages(pages.pfn[anon], pages.folio[anon], pages.huge[anon])
    marked = _marked(asked, snapshot, view)
    asked = _Pages(asked.pfn[~marked], asked.folio[~marked], asked.huge[~marked])
    cached, ksm = int(((kind == FILE) | (kind == SHMEM)).sum()), int((kind == KSM).sum())
    folios, page_folio = np.unique(asked.folio, return_inverse=True)
    exactness, why = _label(snapshot, view)
    kernel, precise = _copied(snapshot, view, folios, page_folio, asked.huge)
    size = snapshot.page_size
    mine = (snapshot.vmas.mm == mm) & snapshot.vmas.writable & ~snapshot.vmas.shared
    return Price(
        size * (int(anon.sum()) + cached + ksm),
        size * int(marked.sum()),
        size * cached,
        size * ksm,
        size * (int(kernel.sum()) + cached + ksm),
        size * (int(precise.sum()) + cached + ksm),
        size * int(snapshot.zero[mine].sum()),
        exactness,
        why,
    )


def _label(snapshot: Snapshot, view: KernelView) -> tuple[Exactness, str]:
    if view.reader is None:
        return "estimate", "no BPF: references that are not mappings, and the kernel's flag, are not seen"
    if not view.anon_exclusive:
        return "estimate", "kpageflags does not show AnonExclusive"
    if view.flag_bit < 0:
        return "estimate", "the kernel's maybe-shared flag is not understood"
    return snapshot.exactness, "holds while nothing else touches these folios"


def _writable_pages(snapshot: Snapshot, mm: int) -> _Pages:
    vmas, extents, folios = snapshot.vmas, snapshot.sharing.extents, snapshot.sharing.folios
    wanted = (vmas.mm == mm) & vmas.writable & ~vmas.shared
    own = extents[wanted[extents.vma]]
    pfn = spread(own.pfn.astype(np.int64), own.pages)
    folio = np.searchsorted(folios.head, pfn.astype(folios.head.dtype), side="right") - 1
    return _Pages(pfn, folio, np.repeat((own.flags & HUGE) != 0, own.pages))


def _marked(pages: _Pages, snapshot: Snapshot, view: KernelView) -> NDArray[np.bool_]:
    """Which pages are AnonExclusive; of a PMD mapping the head's mark counts."""
    if not view.anon_exclusive:
        return np.zeros(len(pages.pfn), np.bool_)
    head = snapshot.sharing.folios.head[pages.folio].astype(np.int64)
    flags = procfs.kpageflags(np.where(pages.huge, head, pages.pfn).astype(np.uint64))
    return np.asarray((flags & procfs.KPF_ANON_EXCLUSIVE) != 0)


def _copied(
    snapshot: Snapshot,
    view: KernelView,
    folios: NDArray[np.int64],
    page_folio: NDArray[np.int64],
    huge: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Per asked page whether either rule copies it. `folios`: rows of the folio table, `page_folio` indexes them."""
    table = snapshot.sharing.folios[folios]
    large = table.order > 0
    alone = snapshot.sharing.owners_of(folios) == 1
    if view.reader is None:
        return ~alone[page_folio], ~alone[page_folio]
    state = view.reader.read(table.head.astype(np.uint64), large, view.flag_bit)
    sole = _references(state, table.head) == 1
    mapped_only = state.refcount == state.mapcount
    flagged = np.where(state.maybe_shared >= 0, state.maybe_shared == 1, ~alone)
    by_pte = np.where(large, (state.mapcount > 1) & ~flagged & mapped_only, sole)
    reused = np.where(huge, (sole | _after_split(state, flagged))[page_folio], by_pte[page_folio])
    precise = np.where(large, alone & mapped_only, sole)
    return ~reused, ~precise[page_folio]


def _after_split(state: FolioState, flagged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """PMD-mapped, then split: every page becomes a mapping and a reference, the difference stays."""
    return np.asarray(~flagged & (state.refcount == state.mapcount))


def _references(state: FolioState, head: NDArray[np.uint32]) -> NDArray[np.int64]:
    """References that count: not the swap cache's, nor that of a per-CPU batch on the way to the LRU list, which the
    fault handler drains first."""
    flags = procfs.kpageflags(head.astype(np.uint64))
    batched = ((flags & _KPF_LRU) == 0) & (state.refcount > 1)
    cached = (flags & procfs.KPF_SWAPCACHE) != 0
    return np.asarray(state.refcount - batched - cached)
