"""The snapshot as rows: by process, VMA, cgroup, order or folio. Sizes in bytes, names as in docs/inspect.md.

For the table, the JSON and the page, which all show the same rows. No PFN and no address unless asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.errors import RmaplabError
from rmaplab.inspect import kernel
from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.folios import COUNTED, KINDS
from rmaplab.inspect.join import Index, regroup, spread
from rmaplab.inspect.processes import command_line
from rmaplab.inspect.sharing import share
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.tally import COLUMNS, Table, by_order, tally

By = Literal["process", "vma", "cgroup", "order", "folio"]
Row = dict[str, Any]

_SHOWN: Final = tuple(c for c in COLUMNS if c != "kernel_exclusive")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is shown: a snapshot, the kernel's state of its large folios, and whether addresses may be."""

    snapshot: Snapshot
    large: LargeFolios | None = None
    addresses: bool = False


def rows(scope: Scope, by: By) -> list[Row]:
    """The rows of one grouping, largest first."""
    made = _VIEWS[by](scope)
    return sorted(made, key=lambda row: -row["resident"])


def sort_rows(found: list[Row], key: str | None, top: int | None) -> list[Row]:
    """Sorted by `key` (numbers descending, text ascending), cut to `top`. Raises RmaplabError for an unknown key."""
    if key is not None and found:
        if key not in found[0]:
            raise RmaplabError(f"--sort {key}: must be one of {', '.join(found[0])}")
        text = [row for row in found if isinstance(row[key], str)]
        if text:
            found = sorted(found, key=lambda row: str(row[key]))
        else:
            found = sorted(found, key=lambda row: _number(row[key]), reverse=True)
    return found if top is None else found[:top]


def _number(value: object) -> float:
    if isinstance(value, list):
        return float(len(value))
    return float(value) if isinstance(value, int | float) else -1.0


def _sizes(table: Table, index: int, page_size: int) -> Row:
    return {name: round(float(table[name][index]) * page_size) for name in _SHOWN}


def _per_group(snapshot: Snapshot, pages: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> Any:
    """Pages per VMA summed over groups of VMAs, in bytes."""
    return (np.bincount(group, pages, groups) * snapshot.page_size).astype(np.int64)


def _false_shared(scope: Scope, owner: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Bytes that a group maps of folios the kernel takes for shared though one MM maps them."""
    if scope.large is None:
        return np.zeros(groups, np.int64)
    sharing = scope.snapshot.sharing
    wrong = np.zeros(len(sharing.folios), np.bool_)
    wrong[scope.large.row[scope.large.false_shared]] = True
    sums = np.zeros(groups)
    for part in sharing.rows():
        chosen = wrong[part.folio]
        sums += np.bincount(owner[part.extent[chosen]], part.pages[chosen] / part.depth[chosen], groups)
    return (sums * scope.snapshot.page_size).round().astype(np.int64)


def _by_process(scope: Scope) -> list[Row]:
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    count = len(snapshot.mms)
    table = tally(sharing, sharing.owner, count)
    swapped = _per_group(snapshot, snapshot.swapped, snapshot.vmas.mm, count)
    zero = _per_group(snapshot, snapshot.zero, snapshot.vmas.mm, count)
    wrong = _false_shared(scope, sharing.owner, count)
    others = sharers(snapshot).tolist()
    made = []
    for mm, met in zip(scope.snapshot.targets.tolist(), others, strict=True):
        sizes = _sizes(table, mm, snapshot.page_size)
        sizes["zero"] += int(zero[mm])
        leader = snapshot.mms[mm].leader
        made.append(
            {"pid": leader.pid, "pids": list(snapshot.mms[mm].pids), "name": leader.name}
            | sizes
            | {"swapped": int(swapped[mm]), "false_shared": int(wrong[mm]), "sharers": met}
            | _kernel_columns(kernel.rollup(leader.pid))
            | {"command": command_line(leader.pid), "cgroup": snapshot.cgroups[mm]}
        )
    return made


def _kernel_columns(counters: kernel.Counters | None) -> Row:
    return {f"kernel_{name}": None if counters is None else counters[name] for name in ("rss", "uss", "pss")}


def _by_vma(scope: Scope) -> list[Row]:
    snapshot, sharing, vmas = scope.snapshot, scope.snapshot.sharing, scope.snapshot.vmas
    group = sharing.extents.vma.astype(np.int64)
    table = tally(sharing, group, len(vmas))
    wrong = _false_shared(scope, group, len(vmas))
    smaps = {mm: kernel.per_vma(snapshot.mms[mm].leader.pid) or {} for mm in scope.snapshot.targets.tolist()}
    made = []
    for vma in np.flatnonzero(np.isin(vmas.mm, scope.snapshot.targets)).tolist():
        sizes = _sizes(table, vma, snapshot.page_size)
        if not (sizes["resident"] or sizes["hugetlb"] or sizes["special"] or snapshot.swapped[vma]):
            continue
        sizes["zero"] += int(snapshot.zero[vma]) * snapshot.page_size
        mm, start = int(vmas.mm[vma]), int(vmas.start[vma])
        where = {"start": f"{start:x}", "end": f"{int(vmas.end[vma]):x}"} if scope.addresses else {}
        made.append(
            {
                "pid": snapshot.mms[mm].leader.pid,
                "name": vmas.name[vma] or "[anon]",
                "shared_mapping": bool(vmas.shared[vma]),
            }
            | where
            | sizes
            | {"swapped": int(snapshot.swapped[vma]) * snapshot.page_size, "false_shared": int(wrong[vma])}
            | _kernel_columns(smaps[mm].get(start))
        )
    return made


def _by_cgroup(scope: Scope) -> list[Row]:
    """Here a cgroup is the owner: exclusive is what no process outside maps."""
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    names, of_mm = np.unique(np.array(snapshot.cgroups, object), return_inverse=True)
    owner = of_mm[sharing.owner].astype(np.int64)
    grouped = share(sharing.extents, owner, regroup(sharing.joined, owner), sharing.folios)
    table = tally(grouped, owner, len(names))
    swapped = _per_group(snapshot, snapshot.swapped, of_mm[snapshot.vmas.mm], len(names))
    wrong = _false_shared(scope, owner, len(names))
    made = []
    for index in np.unique(of_mm[scope.snapshot.targets]).tolist():
        members = np.flatnonzero(of_mm == index).tolist()
        made.append(
            {"cgroup": str(names[index]), "processes": sum(len(snapshot.mms[mm].pids) for mm in members)}
            | _sizes(table, index, snapshot.page_size)
            | {"swapped": int(swapped[index]), "false_shared": int(wrong[index])}
        )
    return made


def _by_order(scope: Scope) -> list[Row]:
    """Each folio that a target maps, once."""
    snapshot = scope.snapshot
    orders, table = by_order(snapshot.sharing)
    wrong = np.zeros(int(orders.max(initial=0)) + 1, np.int64)
    if scope.large is not None:
        rows_wrong = scope.large.row[scope.large.false_shared]
        np.add.at(wrong, snapshot.sharing.folios.order[rows_wrong], snapshot.sharing.mapped[rows_wrong])
    return [
        {"order": order, "folio_size": snapshot.page_size << order, "folios": int(table["folios"][i])}
        | {
            n: round(float(table[n][i]) * snapshot.page_size)
            for n in ("resident", "exclusive", "shared", "partial", "unmapped")
        }
        | {"max_owners": int(table["max_owners"][i]), "false_shared": int(wrong[order]) * snapshot.page_size}
        for i, order in enumerate(orders.tolist())
    ]


def _by_folio(scope: Scope) -> list[Row]:
    """Every folio that a target maps, who maps it, and what the kernel keeps about it."""
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    chosen = np.flatnonzero(sharing.folios.kind < COUNTED)
    part, owners, mapped = sharing.folios[chosen], sharing.owners[chosen], sharing.mapped[chosen]
    mappings = sharing.mappings()
    first = np.searchsorted(mappings.folio, chosen)
    last = np.searchsorted(mappings.folio, chosen, side="right")
    leaders = np.array([mm.leader.pid for mm in snapshot.mms])
    pids, mapcount = leaders[mappings.owner].tolist(), mappings.mapcount
    of_large = {} if scope.large is None else {row: i for i, row in enumerate(scope.large.row.tolist())}
    made = []
    for i, row in enumerate(chosen.tolist()):
        span = slice(int(first[i]), int(last[i]))
        found: Row = {"folio": row, "order": int(part.order[i]), "kind": KINDS[part.kind[i]]}
        if scope.addresses:
            found["pfn"] = int(part.head[i])
        found |= {
            "resident": int(mapped[i]) * snapshot.page_size,
            "owners": int(owners[i]),
            "pids": pids[span],
            "mapcount": int(mapcount[span].sum()),
            "pmd_mappings": int(mappings.pmds[span].sum()),
        }
        made.append(found | _state_columns(scope.large, of_large.get(row)))
    return made


def _state_columns(large: LargeFolios | None, at: int | None) -> Row:
    """The kernel's view of a large folio; None where it was not read."""
    state = None if large is None or at is None else large.state
    if state is None or at is None or not state.known[at]:
        return dict.fromkeys(("kernel_refcount", "kernel_mapcount", "kernel_shared", "kernel_slots"))
    flag = int(state.maybe_shared[at])
    used = state.slot_count[at] > 0
    return {
        "kernel_refcount": int(state.refcount[at]),
        "kernel_mapcount": int(state.mapcount[at]),
        "kernel_shared": None if flag < 0 else bool(flag),
        "kernel_slots": [
            [int(a), int(b)] for a, b in zip(state.slot_id[at][used], state.slot_count[at][used], strict=True)
        ],
    }


_VIEWS: Final[dict[By, Callable[[Scope], list[Row]]]] = {
    "process": _by_process,
    "vma": _by_vma,
    "cgroup": _by_cgroup,
    "order": _by_order,
    "folio": _by_folio,
}


def sharers(snapshot: Snapshot) -> Index:
    """With how many other MMs each target shares at least one folio: int64, in the order of the targets.

    Sets of MMs that occur more than once are looked at once. O(rows log rows + distinct sets * their sizes).
    """
    sharing, joined = snapshot.sharing, snapshot.sharing.joined
    several = np.flatnonzero(joined.owners > 1)
    depth = joined.depth[several]
    place = np.concatenate((np.repeat(several, depth), len(joined) + sharing.odd.folio))
    extent = np.concatenate((joined.extent[spread(joined.ptr[several], depth)], sharing.odd.extent))
    order = np.argsort(place, kind="stable")
    place, owner = place[order], sharing.owner[extent[order]]
    first = np.flatnonzero(np.diff(place, prepend=-1))
    met = np.zeros((len(snapshot.mms), len(snapshot.mms)), np.bool_)
    if len(first):
        names = np.random.default_rng(0).integers(1 << 63, size=len(snapshot.mms), dtype=np.uint64)
        _, kept = np.unique(np.add.reduceat(names[owner], first), return_index=True)
        end = np.append(first[1:], len(owner))
        for at in kept.tolist():
            members = owner[first[at] : end[at]]
            met[np.ix_(members, members)] = True
    return np.asarray(met.sum(axis=1) - met.diagonal())[snapshot.targets]
