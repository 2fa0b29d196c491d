"""One look at the machine: every MM's page table, joined.

For the commands and everybody who wants the truth. Truth about one process takes the page tables of all: a target only
decides what is shown. Not here: the kernel's own answers (`kernel`), prices (`price`), exports.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab import proctext
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.inspect.folios import folios
from rmaplab.inspect.join import Index, close_to, join, keep, reached
from rmaplab.inspect.processes import Mm, Notes, Process, cgroup_of, group, hidden_processes, process, processes
from rmaplab.inspect.scan import Extents, Scan, find_zero_page, scan
from rmaplab.inspect.sharing import Sharing, share
from rmaplab.machine.live import procfs

Exactness = Literal["exact", "estimate", "unknown"]
Progress = Callable[[int, int], None]
Choose = Callable[[Sequence[Mm]], Index]
"""Picks the MMs one wants to know about: their indices, ascending."""

_PROGRESS_EVERY: Final = 64
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


@dataclass(frozen=True)
class Snapshot:
    """Who maps what, at one time: every folio that one of `targets` (indices of MMs) maps, with all its mappings.

    `swapped` and `zero` are pages per VMA; `began` (Unix time) and `seconds` say when and how long.
    """

    mms: tuple[Mm, ...]
    targets: Index
    vmas: Vmas
    sharing: Sharing
    swapped: NDArray[np.int64]
    zero: NDArray[np.int64]
    notes: Notes
    began: float
    seconds: float
    page_size: int = procfs.PAGE_SIZE

    @property
    def exactness(self) -> Exactness:
        """Of the truth: an estimate if page tables of others could not be read."""
        return "exact" if self.notes.exact else "estimate"

    @cached_property
    def mm_of_pid(self) -> dict[int, int]:
        """Index of the MM of every process seen."""
        return by_pid(self.mms)

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


def take(choose: Choose = everybody, progress: Progress | None = None) -> Snapshot:
    """Read and join all page tables; find the folios that the chosen MMs map. Raises NotAvailable without root."""
    require_frames()
    began, clock = time.time(), time.perf_counter()
    notes = Notes()
    if hidden_processes():
        notes.add("/proc hides other users' processes (hidepid): their mappings are not counted", hurts=True)
    mms, scans, regions = _scan_all(group(processes(), notes), notes, progress)
    targets = choose(mms)
    vmas = _vma_table(regions)
    sharing = _share(Extents.join([s.extents for s in scans]), vmas.mm, targets)
    none = np.zeros(0, np.int64)
    return Snapshot(
        tuple(mms),
        targets,
        vmas,
        sharing,
        np.concatenate([none, *(s.swapped for s in scans)]),
        np.concatenate([none, *(s.zero for s in scans)]),
        notes,
        began,
        time.perf_counter() - clock,
    )


def _share(extents: Extents, mm_of_vma: Index, targets: Index) -> Sharing:
    """The folios that the targets map, and everybody's mappings of them.

    Others' extents far from all of the targets' frames are left out of the join: a folio does not reach that far.
    """
    for order in (_FAR_ORDER, _ANY_ORDER):
        mine = np.isin(mm_of_vma[extents.vma], targets)
        near = extents if mine.all() else extents[close_to(extents, mine, order)]
        owner = mm_of_vma[near.vma]
        joined = join(near, owner)
        found = folios(keep(joined, reached(joined, np.isin(owner, targets))))
        if int(found.order.max(initial=0)) <= order:
            break
    return share(near, owner, keep(joined, found.touch(joined)), found)


def _scan_all(
    found: list[Mm], notes: Notes, progress: Progress | None
) -> tuple[list[Mm], list[Scan], list[list[procfs.Region]]]:
    """Scan each MM; those that end or exec meanwhile, or may not be read, are noted and left out."""
    zero_pfn = find_zero_page()
    mms: list[Mm] = []
    scans: list[Scan] = []
    regions: list[list[procfs.Region]] = []
    rows = 0
    for number, mm in enumerate(found):
        if progress and number % _PROGRESS_EVERY == 0:
            progress(number, len(found))
        pid = mm.leader.pid
        try:
            mapped = procfs.regions(pid)
            scanned = scan(pid, mapped, rows, zero_pfn, notes)
        except procfs.ProcessGone:
            notes.add("a process ended while being read: left out")
            continue
        except procfs.Missing as error:
            notes.add(f"{error}: its mappings are not counted", hurts=True)
            continue
        if _other_process(mm.leader):
            notes.add("a PID was reused, or its program replaced, while being read: left out")
            continue
        mms.append(mm)
        scans.append(scanned)
        regions.append(mapped)
        rows += len(mapped)
    return mms, scans, regions


def _other_process(before: Process) -> bool:
    """Whether the PID is another process by now, or the same after exec."""
    now = process(before.pid)
    return now is not None and (now.start, now.identity[:3]) != (before.start, before.identity[:3])


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
    for pid in pids:
        if pid in known:
            found.add(known[pid])
        elif not os.path.exists(f"{procfs.PROC}/{pid}"):
            raise RmaplabError(f"PID {pid}: must be a running process")
        else:
            raise NotAvailable(f"PID {pid}: has no address space that could be read")
    return np.array(sorted(found), np.int64)


def cgroup_pids(path: str) -> list[int]:
    """The processes in a cgroup and below. `path`: a directory, or relative to where cgroups are mounted.

    Raises RmaplabError if there is no such cgroup.
    """
    directory = find_cgroup(path)
    pids: set[int] = set()
    for folder, _, files in os.walk(directory):
        if "cgroup.procs" in files:
            pids.update(proctext.pids(Path(folder, "cgroup.procs").read_bytes()))
    return sorted(pids)


def find_cgroup(path: str) -> Path:
    """The directory of a cgroup: as given, or below a mounted hierarchy (v2 first). Raises RmaplabError."""
    root = Path("/sys/fs/cgroup")
    hierarchies = [root, root / "unified", root / "freezer", *sorted(root.glob("*"))]
    for candidate in (Path(path), *(base / path.lstrip("/") for base in hierarchies)):
        if (candidate / "cgroup.procs").is_file():
            return candidate
    raise RmaplabError(f"cgroup {path}: must be a cgroup's directory, or its path below where cgroups are mounted")
