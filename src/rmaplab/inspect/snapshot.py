"""One look at the machine: every MM's page table, joined.

For the commands and everybody who wants the truth. Truth about one process takes the page tables of all: a target only
decides what is shown. Not here: the kernel's own answers (`kernel`), prices (`price`), exports.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.errors import NotAvailable
from rmaplab.inspect.accounting import Account, account
from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.exactness import Exactness, Reason
from rmaplab.inspect.extents import ABSENT, Extents, Slots, Table
from rmaplab.inspect.folios import ANON, HUGETLB, KSM, Folios, folios
from rmaplab.inspect.join import Index, close_to, join, keep, reached, spread
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.processes import Mm, Notes, Process, cgroup_of, group, process, processes, swaps, unseen
from rmaplab.inspect.scan import Scan, scan
from rmaplab.inspect.sharing import Sharing, reached_folios, share
from rmaplab.machine.live.proc import ownpages, procfs
from rmaplab.system.pids import checked_pid, find

Progress = Callable[[int, int], None]
Choose = Callable[[Sequence[Mm]], Index]
"""Picks the MMs one wants to know about: their indices, ascending."""

_PROGRESS_EVERY: Final = 64
_ASKED_AT_ONCE: Final = 1 << 16
_CPUS: Final = os.cpu_count() or 1
_UNSURE_RSS: Final = 3 * _CPUS * max(32, 2 * _CPUS)
"""Pages that /proc/PID/stat may be wrong by: each CPU keeps a batch of each of three counters (percpu_counter_batch)."""
_FAR_ORDER, _ANY_ORDER = 9, 52
"""Folios are rarely larger than a PMD maps; if one is, the join is made again with all that may belong to it."""


@dataclass(frozen=True, slots=True)
class Vmas:
    """All VMAs of all MMs, in scan order: `mm` int64 (index), `start` and `end` uint64, `writable` and `shared` bool."""

    mm: NDArray[np.int64]
    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    writable: NDArray[np.bool_]
    shared: NDArray[np.bool_]
    name: list[str]

    def __len__(self) -> int:
        return len(self.mm)

    def of(self, mms: Index) -> Index:
        """Rows of the VMAs of the MMs `mms`, ascending. O(rows found + mms log VMAs)."""
        first, after = (np.searchsorted(self.mm, np.sort(mms), side) for side in ("left", "right"))
        return spread(first, after - first)


@dataclass(frozen=True)
class Snapshot:
    """Who maps what, at one time: every folio that one of `targets` (indices of MMs) maps, with all its mappings.

    `absent`: pages per VMA that are no folio's, int64 of shape (ABSENT, VMAs); `slots`: everybody's pages in swap;
    `account`: what the kernel counted; `began` (Unix time) and `seconds` say when and how long.
    """

    mms: tuple[Mm, ...]
    targets: Index
    vmas: Vmas
    sharing: Sharing
    absent: NDArray[np.int64]
    slots: Slots
    notes: Notes
    account: Account
    exactness: Exactness
    began: float
    seconds: float
    page_size: int = procfs.PAGE_SIZE

    def absent_pages(self, name: str) -> NDArray[np.int64]:
        """Pages per VMA of one of ABSENT."""
        return np.asarray(self.absent[ABSENT.index(name)])

    @cached_property
    def mm_of_pid(self) -> dict[int, int]:
        """Index of the MM of every process seen."""
        return by_pid(self.mms)

    @cached_property
    def shared_slots(self) -> NDArray[np.bool_]:
        """Per row of `slots`: whether another page-table entry has the slot too."""
        _, place, count = np.unique(self.slots.slot, return_inverse=True, return_counts=True)
        return np.asarray(count[place] > 1)

    @cached_property
    def slots_by_device(self) -> NDArray[np.uint64]:
        """The slots in use as numbers in which those of a device follow each other (`procfs.slot_place`), ascending."""
        return np.sort(procfs.slot_place(self.slots.slot))

    @cached_property
    def slots_may_be_elsewhere(self) -> bool:
        """Whether somebody whose page table was not read may have pages in swap."""
        return self.notes.blind or bool(self.notes.torn) or any(swaps(pid) for pid in self.notes.unread)

    @cached_property
    def cgroups(self) -> tuple[str, ...]:
        """The cgroup of each MM's leader."""
        return tuple(cgroup_of(mm.leader.pid) for mm in self.mms)


def require_frames() -> None:
    """Raise NotAvailable unless page frame numbers can be read: without them nothing can be joined."""
    try:
        visible, why = procfs.pfns_visible(), "page frame numbers are hidden"
    except procfs.ProcfsError as error:
        visible, why = False, str(error)
    if not visible:
        raise NotAvailable(f"{why}: no truth, only the kernel's own counters (it takes root, CAP_SYS_ADMIN)")
    try:
        procfs.kpageflags(np.zeros(1, np.uint64))
    except procfs.Missing as error:
        raise NotAvailable(f"{error}: folios cannot be told without it") from error


def by_pid(mms: Sequence[Mm]) -> dict[int, int]:
    """Index of the MM of every process."""
    return {pid: index for index, mm in enumerate(mms) for pid in mm.pids}


def everybody(mms: Sequence[Mm]) -> Index:
    """All MMs, as a `Choose`."""
    return np.arange(len(mms))


def take(view: KernelView, choose: Choose = everybody, progress: Progress | None = None) -> Snapshot:
    """Read and join all page tables, find the folios that the chosen MMs map, and hold the kernel's counts of them
    against what was found. Raises NotAvailable without root."""
    require_frames()
    if view.flags.folios:
        raise NotAvailable(f"{view.flags.folios}: folios cannot be told here")
    began, clock = time.time(), time.perf_counter()
    notes = Notes()
    for line in unseen():
        notes.hide(line)
    mms, scans, table, regions = _scan_all(group(processes(), notes), notes, progress)
    targets = choose(mms)
    vmas = _vma_table(regions)
    sharing = _share(table.take(), vmas.mm, targets, view)
    vdso = np.array([name == "[vdso]" for name in vmas.name], np.bool_)
    everybodys = np.flatnonzero(reached_folios(sharing, vdso[sharing.extents.vma]))
    counted = account(
        sharing,
        view,
        pmds=all(s.pmds for s in scans) and view.flags.trusts("scan_huge"),
        everybodys=everybodys,
        tabled=np.zeros(0, np.int64) if notes.exact else _tabled(sharing, vmas),
    )
    sharing = replace(sharing, unseen=counted.unseen, times=counted.times)
    return Snapshot(
        tuple(mms),
        targets,
        vmas,
        sharing,
        np.concatenate([np.zeros((len(ABSENT), 0), np.int64), *(s.absent for s in scans)], axis=1),
        Slots.join([s.slots for s in scans]),
        notes,
        counted,
        _exactness(mms, targets, sharing, counted, notes, view),
        began,
        time.perf_counter() - clock,
    )


def _exactness(
    mms: Sequence[Mm], targets: Index, sharing: Sharing, counted: Account, notes: Notes, view: KernelView
) -> Exactness:
    """What the numbers of this snapshot may be called."""
    read = "all page tables were read" if notes.exact else "not all page tables could be read"
    proof = f"{read}; the kernel counts as many mappings as were found of all {counted.asked} folios ({counted.by})"
    if not counted.asked:
        proof = f"{read}; there is no folio to ask the kernel about"
    untold = "; ".join(s.why for s in view.sources[:2] if s.exactness != "exact") or "they could not be read"
    reasons = counted.reasons(sharing, f"the kernel's counts cannot stand against what was found: {untold}")
    own = {pid for mm in targets.tolist() for pid in mms[mm].pids}
    if "guard" in view.flags.refuted:
        reasons.append(Reason(f"pagemap: {view.flags.refuted['guard']}", ("mapped",)))
    reasons += [Reason(f"PID {pid}: {text}") for pid, text in notes.torn.items() if pid in own]
    return Exactness(proof, tuple(reasons))


def _share(extents: Extents, mm_of_vma: Index, targets: Index, view: KernelView) -> Sharing:
    """The folios that the targets map, and everybody's mappings of them.

    Others' extents far from all of the targets' frames are left out of the join: a folio does not reach that far.
    """
    for order in (_FAR_ORDER, _ANY_ORDER):
        mine = np.isin(mm_of_vma[extents.vma], targets)
        near = extents if mine.all() else extents[close_to(extents, mine, order)]
        owner = mm_of_vma[near.vma]
        joined = join(near, owner)
        found = folios(keep(joined, reached(joined, np.isin(owner, targets))), view.flags)
        if int(found.order.max(initial=0)) <= order:
            break
    del extents, mine  # before what is made next: `near` is a copy if anything was left out
    _tell_ksm(found, view)
    return share(near, owner, keep(joined, found.touch(joined)), found)


def _tabled(sharing: Sharing, vmas: Vmas) -> Index:
    """Rows of the hugetlb folios whose page table several MMs can share: VMAs mapped shared, over all that a table maps
    (vma_shareable and huge_pmd_share, mm/hugetlb.c)."""
    hugetlb = sharing.folios.kind == HUGETLB
    if not hugetlb.any():
        return np.zeros(0, np.int64)
    reach = np.uint64(procfs.PAGE_SIZE * (procfs.PAGE_SIZE // 8) ** 2)
    first = (vmas.start + reach - np.uint64(1)) // reach * reach
    whole = (first >= vmas.start) & (first + reach <= vmas.end)
    return np.flatnonzero(hugetlb & reached_folios(sharing, (vmas.shared & whole)[sharing.extents.vma]))


def _tell_ksm(found: Folios, view: KernelView) -> None:
    """Where kpageflags cannot tell KSM pages from anonymous ones, the folios' mappings do."""
    if view.flags.trusts("ksm") or view.reader is None or not view.reader.tells_ksm:
        return
    rows = np.flatnonzero((found.kind == ANON) & (found.order == 0))
    for low in range(0, len(rows), _ASKED_AT_ONCE):
        part = rows[low : low + _ASKED_AT_ONCE]
        try:
            state = view.reader.read(found.head[part].astype(np.uint64), np.zeros(len(part), np.bool_))
        except BpfError:
            return
        found.kind[part[state.known & state.ksm]] = KSM


def _scan_all(
    found: list[Mm], notes: Notes, progress: Progress | None
) -> tuple[list[Mm], list[Scan], Table, list[list[procfs.Region]]]:
    """Scan each MM; those that end or exec meanwhile, or may not be read, are noted and left out. All extents are in the
    table, and none in the scans."""
    zero_pfn = ownpages.zero_page()
    mms: list[Mm] = []
    scans: list[Scan] = []
    table, none = Table(), Extents.join([])
    regions: list[list[procfs.Region]] = []
    rows = 0
    for number, mm in enumerate(found):
        if progress and number % _PROGRESS_EVERY == 0:
            progress(number, len(found))
        # An MM lives as long as one of its processes: the others are asked where the first has ended.
        if (read := next((r for one in mm.processes if (r := _scan_one(one, rows, zero_pfn, notes))), None)) is None:
            continue
        mms.append(mm)
        table.add(read[0].extents)
        scans.append(replace(read[0], extents=none))
        regions.append(read[1])
        rows += len(read[1])
    return mms, scans, table, regions


def _scan_one(one: Process, rows: int, zero_pfn: int, notes: Notes) -> tuple[Scan, list[procfs.Region]] | None:
    """The page table that `one` uses; None, and a note, if it cannot be had."""
    try:
        mapped = procfs.regions(one.tid)
        scanned = scan(one.tid, mapped, rows, zero_pfn, notes)
    except procfs.ProcessGone:
        notes.add("a process ended while being read: left out")
        return None
    except procfs.Missing as error:
        notes.refuse(one.pid, f"{error}: its mappings are not counted")
        return None
    now = process(one.pid)
    if now is not None and (now.start, now.identity[:3]) != (one.start, one.identity[:3]):
        notes.add("a PID was reused, or its program replaced, while being read: left out")
        return None
    shown, resident = int(scanned.extents.pages.sum()), min(one.resident, one.resident if now is None else now.resident)
    if shown + shown // 8 + _UNSURE_RSS < resident:
        notes.tear(one.pid, f"pagemap shows {shown} pages, the kernel counts about {resident}")
    return scanned, mapped


def _vma_table(regions: list[list[procfs.Region]]) -> Vmas:
    flat = [r for mapped in regions for r in mapped]
    return Vmas(
        np.repeat(np.arange(len(regions)), [len(mapped) for mapped in regions]),
        np.array([r.start for r in flat], np.uint64),
        np.array([r.end for r in flat], np.uint64),
        np.array([r.writable for r in flat], np.bool_),
        np.array([r.shared for r in flat], np.bool_),
        [r.path for r in flat],
    )


def of_pids(mms: Sequence[Mm], pids: Iterable[int]) -> Index:
    """Indices of the MMs of `pids`, ascending. Raises RmaplabError for a PID that was not found, naming the reason."""
    found = set()
    known = by_pid(mms)
    for pid in map(checked_pid, pids):
        if pid in known:
            found.add(known[pid])
        else:
            find(pid)
            raise NotAvailable(f"PID {pid}: has no address space that could be read")
    return np.array(sorted(found), np.int64)
