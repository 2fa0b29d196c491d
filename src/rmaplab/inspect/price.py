"""What it would cost if a process wrote all its memory now: bytes copied, by the running kernel's rule and a precise one.

For `rmaplab inspect --what-if write`. The rule stands in `write_rule`; here are the sums, what they leave out, and how
exact they are. Memory moves meanwhile: pages that are not what they were once the kernel was asked are in the upper
bound of a price only. Not for shared mappings (nothing is copied there) nor for memory that cannot be written.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rmaplab import proctext
from rmaplab.inspect.exactness import Exactness, Reason
from rmaplab.inspect.folios import ANON, FILE, HUGETLB, KSM, SHMEM, SPECIAL, ZERO
from rmaplab.inspect.hugepool import short
from rmaplab.inspect.join import Index, spread
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.write_rule import Bools, Pages, Verdict, judge, private_pages
from rmaplab.machine.live.proc import procfs
from rmaplab.system.reading import content

_KSM_SHARED: Final = Path("/sys/kernel/mm/ksm/pages_shared")


@dataclass(frozen=True, slots=True)
class Price:
    """Bytes, for one MM. `written`: present in private writable mappings; of these `unasked`: AnonExclusive;
    `page_cache`, `ksm`: always copied; `hugetlb`. `kernel`, `precise`: copied for certain under either rule, at most
    `kernel_most`, `precise_most` (equal unless memory moved meanwhile).

    Besides: `zero`: first-touch pages that a zero page stands for, allocated but not copied; `swapped`: read back first,
    of which `swapped_shared` are copied then, since another page table has the slot too; `special`: devices' and other
    memory without a mapcount, not priced.
    """

    written: int
    unasked: int
    page_cache: int
    ksm: int
    hugetlb: int
    kernel: int
    kernel_most: int
    precise: int
    precise_most: int
    zero: int
    swapped: int
    swapped_shared: int
    special: int
    exactness: Exactness

    @property
    def sure(self) -> bool:
        """Whether both prices are numbers, not bounds."""
        return self.kernel == self.kernel_most and self.precise == self.precise_most

    def as_json(self) -> dict[str, Any]:
        """For the JSON: a price that is not sure is null, its bounds stand beside."""
        names = ("written", "unasked", "page_cache", "ksm", "hugetlb", "zero", "swapped", "swapped_shared", "special")
        return {name: getattr(self, name) for name in names} | {
            "kernel": self.kernel if self.sure else None,
            "precise": self.precise if self.sure else None,
            "kernel_bounds": [self.kernel, self.kernel_most],
            "precise_bounds": [self.precise, self.precise_most],
            "exactness": self.exactness.label,
            "why": self.exactness.why,
        }


def what_if_write(snapshot: Snapshot, mm: int, view: KernelView) -> Price:
    """The price for MM `mm`. O(pages written); raises procfs.Missing without root, BpfError if reading fails."""
    pages = private_pages(snapshot, np.array([mm]))
    verdict = judge(snapshot, view, pages)
    adrift = verdict.unsure | moved(snapshot, mm, pages)
    wanting = without_a_page(snapshot, pages, verdict)
    unsure = adrift | wanting
    kind, size = snapshot.sharing.folios.kind[pages.folio], snapshot.page_size

    def of(*kinds: int) -> int:
        return size * int(np.isin(kind, kinds).sum())

    def least(copied: Bools) -> int:
        return size * int((copied & ~unsure).sum())

    def most(copied: Bools) -> int:
        return size * int((copied | (unsure & np.isin(kind, (ANON, FILE, SHMEM, KSM, HUGETLB)))).sum())

    mine = snapshot.vmas.of(np.array([mm]))
    mine = mine[snapshot.vmas.writable[mine] & ~snapshot.vmas.shared[mine]]
    slots = slots_of(snapshot, mine)
    return Price(
        written=of(ANON, FILE, SHMEM, KSM, HUGETLB),
        unasked=size * int(verdict.unasked.sum()),
        page_cache=of(FILE, SHMEM),
        ksm=of(KSM),
        hugetlb=of(HUGETLB),
        kernel=least(verdict.kernel),
        kernel_most=most(verdict.kernel),
        precise=least(verdict.precise),
        precise_most=most(verdict.precise),
        zero=size * int(snapshot.absent_pages("zero")[mine].sum()) + of(ZERO),
        swapped=size * len(slots),
        swapped_shared=size * int(snapshot.shared_slots[slots].sum()),
        special=of(SPECIAL),
        exactness=snapshot.exactness.and_also(reasons(snapshot, view, pages, adrift, wanting, len(slots), of(SPECIAL))),
    )


def without_a_page(snapshot: Snapshot, pages: Pages, verdict: Verdict) -> Bools:
    """Pages of hugetlb folios that would be copied, and perhaps are not, for want of a free huge page."""
    hugetlb = snapshot.sharing.folios.kind[pages.folio] == HUGETLB
    copied = np.unique(pages.folio[hugetlb & (verdict.kernel | verdict.precise)])
    return np.asarray(np.isin(pages.folio, copied[short(snapshot.sharing.folios, copied)]))


def slots_of(snapshot: Snapshot, vmas: Index) -> Index:
    """Rows of the slots that the VMAs `vmas` have, O(rows found)."""
    first, after = (np.searchsorted(snapshot.slots.vma, vmas.astype(np.uint32), side) for side in ("left", "right"))
    return spread(first, after - first)


def reasons(
    snapshot: Snapshot, view: KernelView, pages: Pages, adrift: Bools, wanting: Bools, swapped: int, special: int
) -> list[Reason]:
    """What makes a price an estimate besides what makes the look one."""
    found = []
    if view.reader is None:
        found.append("no BPF: references that are not mappings, and the kernel's flag, are not seen")
    elif not (view.reader.counts_large and view.reader.counts_small):
        found.append("the folio's own mapcount is not to be had")
    if not view.anon_exclusive:
        found.append("kpageflags does not show AnonExclusive")
    if view.flag_bit < 0 and (view.reader is None or view.reader.has_mm_ids):
        found.append("the kernel's maybe-shared flag is not understood")
    if adrift.any():
        found.append(f"{int(adrift.sum())} pages moved, or their folios changed, while they were priced")
    if wanting.any():
        size = snapshot.page_size * int(wanting.sum())
        found.append(f"{size} bytes of hugetlb are copied only if huge pages become free: the pool has too few")
    cached = _cached(snapshot, pages)
    if (swapped or cached) and snapshot.slots_may_be_elsewhere:
        found.append("whether somebody unseen has the same swap slots cannot be told")
    if swapped and _swap_cache_in_use():
        found.append("the swap cache is not empty: whether others map from it what this one has in swap is not looked up")
    if cached and view.reader is not None and not view.reader.tells_swap:
        found.append("which slot a folio of the swap cache has cannot be told")
    if not view.flags.trusts("ksm") and (view.reader is None or not view.reader.tells_ksm) and _ksm_in_use():
        found.append("KSM pages cannot be told from anonymous ones")
    if special:
        found.append(f"{special} bytes without a mapcount are not priced")
    return [Reason(text) for text in found]


def _cached(snapshot: Snapshot, pages: Pages) -> bool:
    """Whether one of the pages' folios is in the swap cache."""
    if not len(snapshot.slots.slot) and snapshot.notes.exact:
        return False
    heads = snapshot.sharing.folios.head[np.unique(pages.folio)].astype(np.uint64)
    return bool(((procfs.kpageflags(heads) & procfs.KPF_SWAPCACHE) != 0).any())


def _swap_cache_in_use() -> bool:
    try:
        said = proctext.fields(content(procfs.PROC / "meminfo")).get("SwapCached", "")
    except OSError:
        return True
    return said.split()[:1] != ["0"]


def _ksm_in_use() -> bool:
    try:
        return int(content(_KSM_SHARED)) > 0
    except (OSError, ValueError):
        return False


def moved(snapshot: Snapshot, mm: int, pages: Pages) -> Bools:
    """Per page of MM `mm`: whether its page table holds something else by now; all, if the process is gone."""
    if not len(pages):
        return np.zeros(0, np.bool_)
    apart = np.flatnonzero(np.diff(pages.vpn) != 1) + 1
    first = np.append(0, apart)
    sizes = np.diff(np.append(first, len(pages)))
    try:
        with procfs.Pagemap(snapshot.mms[mm].leader.tid) as pagemap:
            parts = [
                pagemap.entries(vpn << procfs.PAGE_SHIFT, count << procfs.PAGE_SHIFT)
                for vpn, count in zip(pages.vpn[first].tolist(), sizes.tolist(), strict=True)
            ]
    except procfs.ProcfsError:
        return np.ones(len(pages), np.bool_)
    now = np.concatenate(parts)
    return np.asarray(((now & procfs.PM_PRESENT) == 0) | ((now & procfs.PM_PFN).astype(np.int64) != pages.pfn))
