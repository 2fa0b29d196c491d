"""How much a forked worker still has of what it inherited: per worker and VMA, from one look.

For `rmaplab inspect --family --by worker`. Private anonymous memory only. A page of it was *inherited* if the VMA it
was first faulted into (its anon_vma, read from struct folio) is one whose pages an ancestor has:

- `still_shared`: inherited, and another MM maps it too;
- `alone`: inherited, and mine alone by now: the others have copied or dropped it, or ended. Once I write to such a page
  the kernel makes it mine (folio_move_anon_rmap), and it counts as copied;
- `copied`: mine, and an ancestor has a page of its own at that address: I wrote, and copied;
- `born`: mine, and nobody I descend from has anything there.

*kept* = still_shared / (still_shared + alone + copied): the part of its inheritance that a worker still shares. What it
has unmapped, or has in swap, is in none of these. Without BPF a page that nobody else maps cannot be told from a copy:
it counts as copied. And a page that was left alone and written since looks like a copy, one whose VMA every ancestor has
unmapped like one born here: a row with either is an estimate.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.family import ancestors, parents
from rmaplab.inspect.folios import ANON, KSM
from rmaplab.inspect.join import Index
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.sums import Row
from rmaplab.inspect.write_rule import Pages, private_pages

KINDS: Final = ("still_shared", "alone", "copied", "born")
_SHARED, _ALONE, _COPIED, _BORN = range(len(KINDS))
_CHUNK: Final = 1 << 16

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Worker:
    """One MM of the family that descends from another one of it. `pages` (int64, shape (VMAs, KINDS)) counts pages of the
    snapshot's VMAs `vmas`."""

    mm: int
    vmas: Index
    pages: NDArray[np.int64]
    exact: bool


@dataclass(frozen=True, slots=True)
class _Elder:
    """Somebody others descend from: its private pages, and names of the VMAs they were first faulted into, each once."""

    pages: Pages
    births: Words | None


def kept(sizes: Row) -> float | None:
    """still_shared / inherited; None where nothing was inherited."""
    inherited = int(sizes["still_shared"] + sizes["alone"] + sizes["copied"])
    return float(sizes["still_shared"]) / inherited if inherited else None


def erosion(snapshot: Snapshot, view: KernelView) -> list[Worker]:
    """Every target that descends from another target. O(pages of private writable mappings, once per generation)."""
    parent = parents(snapshot)
    workers = [mm for mm in snapshot.targets.tolist() if parent[mm] >= 0]
    births, elders = _births(snapshot, view), set(parent.tolist())
    kept_elders: dict[int, _Elder] = {}

    def elder(mm: int) -> _Elder:
        if mm not in kept_elders:
            pages = private_pages(snapshot, np.array([mm]))
            kept_elders[mm] = _Elder(pages, None if births is None else np.unique(births[pages.folio]))
        return kept_elders[mm]

    return [
        _worker(snapshot, mm, [elder(one) for one in ancestors(parent, mm)], births, childless=mm not in elders)
        for mm in workers
    ]


def _worker(snapshot: Snapshot, mm: int, elders: list[_Elder], births: Words | None, *, childless: bool) -> Worker:
    sharing, mine = snapshot.sharing, private_pages(snapshot, np.array([mm]))
    anonymous = np.isin(sharing.folios.kind[mine.folio], (ANON, KSM))
    mine = mine[anonymous]
    shared = _page_owners(snapshot, mine.pfn) > 1
    shared |= sharing.is_unseen(mine.folio)
    there = np.zeros(len(mine), np.bool_)
    same = np.zeros(len(mine), np.bool_)
    for elder in (one.pages for one in elders):
        at = np.minimum(np.searchsorted(elder.vpn, mine.vpn), max(len(elder) - 1, 0))
        hit = elder.vpn[at] == mine.vpn if len(elder) else there
        there = there | hit
        same |= hit & (elder.pfn[at] == mine.pfn) if len(elder) else there
    if births is None:
        inherited = same | shared
    else:
        mother = births[mine.folio]
        of_elder = [np.isin(mother, one.births) for one in elders if one.births is not None]
        inherited = same | ((mother != 0) & np.any(of_elder, axis=0))
        if childless:  # then whoever else maps a page has it from where I have it
            inherited |= shared
    kind = np.where(inherited, np.where(shared, _SHARED, _ALONE), np.where(there, _COPIED, _BORN))
    vmas = snapshot.vmas.of(np.array([mm]))
    start = snapshot.vmas.start[vmas] // np.uint64(snapshot.page_size)
    place = np.searchsorted(start, mine.vpn.astype(np.uint64), side="right") - 1
    table = np.bincount(place * len(KINDS) + kind, minlength=len(vmas) * len(KINDS)).reshape(-1, len(KINDS))
    used = table.any(axis=1)
    told_apart = not table[:, [_COPIED, _BORN]].any()
    exact = births is not None and told_apart and snapshot.exactness.label == "exact"
    return Worker(mm, vmas[used], table[used], exact)


def _page_owners(snapshot: Snapshot, pfn: Index) -> Index:
    """Distinct MMs that map each of these frames."""
    joined = snapshot.sharing.joined
    if not len(joined):
        return np.zeros(len(pfn), np.int64)
    return joined.owners[np.searchsorted(joined.start, pfn, side="right") - 1].astype(np.int64)


def _births(snapshot: Snapshot, view: KernelView) -> Words | None:
    """Per folio a name of the VMA it was first faulted into, 0 if unknown; None without BPF."""
    if view.reader is None or not view.reader.tells_ksm:
        return None
    folios = snapshot.sharing.folios
    out = np.zeros(len(folios), np.uint64)
    rows = np.flatnonzero(folios.kind == ANON)
    try:
        for low in range(0, len(rows), _CHUNK):
            part = rows[low : low + _CHUNK]
            state = view.reader.read(folios.head[part].astype(np.uint64), folios.order[part] > 0)
            out[part] = np.where(state.known, state.birth, 0)
    except BpfError:
        return None
    return out


def worker_rows(snapshot: Snapshot, workers: list[Worker], *, addresses: bool = False) -> list[Row]:
    """One row a worker, sizes in bytes, `vmas` its VMAs in the same way."""
    made = []
    parent = parents(snapshot)
    for one in workers:
        leader = snapshot.mms[one.mm].leader
        sizes = _sizes(one.pages.sum(axis=0), snapshot.page_size)
        vmas = []
        for vma, pages in zip(one.vmas.tolist(), one.pages, strict=True):
            edges = {"start": f"{int(snapshot.vmas.start[vma]):x}", "end": f"{int(snapshot.vmas.end[vma]):x}"}
            vmas.append(
                {"name": snapshot.vmas.name[vma] or "[anon]"}
                | (edges if addresses else {})
                | _sizes(pages, snapshot.page_size)
            )
        made.append(
            {"pid": leader.pid, "name": leader.name, "parent": snapshot.mms[int(parent[one.mm])].leader.pid}
            | sizes
            | {"exactness": "exact" if one.exact else "estimate", "vmas": vmas}
        )
    return made


def _sizes(pages: NDArray[np.int64], page_size: int) -> Row:
    sizes: Row = {name: int(count) * page_size for name, count in zip(KINDS, pages.tolist(), strict=True)}
    inherited = sizes["still_shared"] + sizes["alone"] + sizes["copied"]
    return {"inherited": inherited} | sizes | {"kept": kept(sizes)}
