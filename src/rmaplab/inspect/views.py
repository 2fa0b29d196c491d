"""The snapshot as rows: by process, VMA, cgroup, order or folio. Sizes in bytes, names as in docs/inspect.md.

For the table, the JSON and the page, which all show the same rows, each with its exactness. No PFN and no address unless
asked for, and no column that costs more than all others unless `details` are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.errors import RmaplabError
from rmaplab.inspect import kernel
from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.folios import COUNTED, HUGETLB, KINDS
from rmaplab.inspect.join import regroup
from rmaplab.inspect.processes import command_line
from rmaplab.inspect.scan import ABSENT
from rmaplab.inspect.sharers import sharers
from rmaplab.inspect.sharing import member, share
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.tally import COLUMNS, ORDER_COLUMNS, Table, by_order, tally
from rmaplab.names import must_be

By = Literal["process", "vma", "cgroup", "order", "folio"]
Row = dict[str, Any]

_SHOWN: Final = tuple(c for c in COLUMNS if c != "kernel_exclusive")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is shown: a snapshot, the kernel's state of its large folios, and whether addresses may be."""

    snapshot: Snapshot
    large: LargeFolios | None = None
    addresses: bool = False


def rows(scope: Scope, by: By, *, details: bool = True) -> list[Row]:
    """The rows of one grouping, largest first. Without `details` they lack `sharers`, which no table shows."""
    made = _VIEWS[by](scope)
    if details and by == "process":
        for row, met in zip(made, sharers(scope.snapshot).tolist(), strict=True):
            row["sharers"] = met
    return sorted(made, key=lambda row: -row["resident"])


def sort_rows(found: list[Row], key: str | None, top: int | None) -> list[Row]:
    """Sorted by `key` (numbers descending, text ascending), cut to `top`. Raises RmaplabError for an unknown key."""
    if key is not None and found:
        if key not in found[0]:
            raise RmaplabError(f"--sort {key}: {must_be(key, found[0])}")
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


def _absent(snapshot: Snapshot, group: NDArray[np.int64], groups: int) -> dict[str, NDArray[np.int64]]:
    """Bytes per group of VMAs of everything in a page table that is no folio's: by scan.ABSENT."""
    return {name: _per_group(snapshot, snapshot.absent_pages(name), group, groups) for name in ABSENT}


def _with_absent(sizes: Row, absent: dict[str, NDArray[np.int64]], index: int) -> Row:
    """`sizes` and what is no folio's; the zero page counts with zero folios (huge ones)."""
    more = {name: int(column[index]) for name, column in absent.items()}
    return sizes | more | {"zero": sizes["zero"] + more["zero"]}


def _bytes_of(scope: Scope, folios: NDArray[np.int64], owner: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Bytes that each group maps of the folios `folios` (rows), as often as it maps them."""
    if not len(folios):
        return np.zeros(groups, np.int64)
    sharing = scope.snapshot.sharing
    wanted = np.zeros(len(sharing.folios), np.bool_)
    wanted[folios] = True
    sums = np.zeros(groups)
    for part in sharing.rows():
        chosen = wanted[part.folio]
        sums += np.bincount(owner[part.extent[chosen]], part.pages[chosen], groups)
    return (sums * scope.snapshot.page_size).round().astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Marks:
    """Per group, in bytes: `wrong`: taken for shared by the kernel though one MM maps it; `unseen`: somebody maps it
    whose page table was not seen; `doubtful`: sizes that do not add up with the kernel's counts. `general`:
    a reason concerns all rows."""

    wrong: NDArray[np.int64]
    unseen: NDArray[np.int64]
    doubtful: NDArray[np.int64]
    general: bool

    @classmethod
    def of(cls, scope: Scope, owner: NDArray[np.int64], groups: int) -> "_Marks":
        large, account = scope.large, scope.snapshot.account
        wrong = np.zeros(0, np.int64) if large is None else large.row[large.false_shared]
        return cls(
            _bytes_of(scope, wrong, owner, groups),
            _bytes_of(scope, account.more, owner, groups),
            _bytes_of(scope, account.missized, owner, groups),
            scope.snapshot.exactness.general,
        )

    def row(self, index: int) -> Row:
        """Columns that say how far a row's numbers can be trusted."""
        exact = not (self.general or self.doubtful[index])
        return {
            "false_shared": int(self.wrong[index]),
            "unseen": int(self.unseen[index]),
            "exactness": "exact" if exact else "estimate",
        }


def _by_process(scope: Scope) -> list[Row]:
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    count = len(snapshot.mms)
    table = tally(sharing, sharing.owner, count)
    absent = _absent(snapshot, snapshot.vmas.mm, count)
    marks = _Marks.of(scope, sharing.owner, count)
    made = []
    for mm in scope.snapshot.targets.tolist():
        leader = snapshot.mms[mm].leader
        made.append(
            {"pid": leader.pid, "pids": list(snapshot.mms[mm].pids), "name": leader.name}
            | _with_absent(_sizes(table, mm, snapshot.page_size), absent, mm)
            | marks.row(mm)
            | _kernel_columns(kernel.rollup(leader.tid))
            | {"command": command_line(leader.tid), "cgroup": snapshot.cgroups[mm]}
        )
    return made


def _kernel_columns(counters: kernel.Counters | None) -> Row:
    return {f"kernel_{name}": None if counters is None else counters[name] for name in ("rss", "uss", "pss", "swap")}


def _by_vma(scope: Scope) -> list[Row]:
    snapshot, sharing, vmas = scope.snapshot, scope.snapshot.sharing, scope.snapshot.vmas
    group = sharing.extents.vma.astype(np.int64)
    table = tally(sharing, group, len(vmas))
    absent = _absent(snapshot, np.arange(len(vmas)), len(vmas))
    marks = _Marks.of(scope, group, len(vmas))
    smaps = {mm: kernel.per_vma(snapshot.mms[mm].leader.tid) or {} for mm in scope.snapshot.targets.tolist()}
    made = []
    for vma in np.flatnonzero(np.isin(vmas.mm, scope.snapshot.targets)).tolist():
        sizes = _with_absent(_sizes(table, vma, snapshot.page_size), absent, vma)
        if not any(sizes.values()):
            continue
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
            | marks.row(vma)
            | _kernel_columns(smaps[mm].get(start))
        )
    return made


def _by_cgroup(scope: Scope) -> list[Row]:
    """Here a cgroup is the owner: exclusive is what no process outside maps."""
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    names, of_mm = np.unique(np.array(snapshot.cgroups, object), return_inverse=True)
    owner = of_mm[sharing.owner].astype(np.int64)
    grouped = replace(
        share(sharing.extents, owner, regroup(sharing.joined, owner), sharing.folios),
        unseen=sharing.unseen,
        times=sharing.times,
    )
    table = tally(grouped, owner, len(names))
    absent = _absent(snapshot, of_mm[snapshot.vmas.mm].astype(np.int64), len(names))
    marks = _Marks.of(scope, owner, len(names))
    made = []
    for index in np.unique(of_mm[scope.snapshot.targets]).tolist():
        members = np.flatnonzero(of_mm == index).tolist()
        made.append(
            {"cgroup": str(names[index]), "processes": sum(len(snapshot.mms[mm].pids) for mm in members)}
            | _with_absent(_sizes(table, index, snapshot.page_size), absent, index)
            | marks.row(index)
        )
    return made


def _by_order(scope: Scope) -> list[Row]:
    """Each folio that a target maps, once; hugetlb folios stand apart."""
    snapshot, folios = scope.snapshot, scope.snapshot.sharing.folios
    orders, table = by_order(snapshot.sharing)
    size = int(orders.max(initial=0)) + 1
    doubtful, unseen, wrong = np.zeros(size, np.bool_), np.zeros(size, np.int64), np.zeros(size, np.int64)
    doubtful[folios.order[snapshot.account.missized]] = True
    parts = [(unseen, snapshot.account.more)]
    if scope.large is not None:
        parts.append((wrong, scope.large.row[scope.large.false_shared]))
    for column, which in parts:
        np.add.at(column, folios.order[which], snapshot.sharing.mapped_of(which) * snapshot.page_size)
    sizes = [name for name in ORDER_COLUMNS if name not in ("folios", "max_owners")]
    return [
        {"order": order, "folio_size": snapshot.page_size << order, "folios": int(table["folios"][i])}
        | {name: round(float(table[name][i]) * snapshot.page_size) for name in sizes}
        | {
            "max_owners": int(table["max_owners"][i]),
            "false_shared": int(wrong[order]),
            "unseen": int(unseen[order]),
            "exactness": "estimate" if doubtful[order] or snapshot.exactness.general else "exact",
        }
        for i, order in enumerate(orders.tolist())
    ]


def _by_folio(scope: Scope) -> list[Row]:
    """Every folio that a target maps, who maps it, and what the kernel keeps about it."""
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    chosen = np.flatnonzero((sharing.folios.kind < COUNTED) | (sharing.folios.kind == HUGETLB))
    part, owners, mapped = sharing.folios[chosen], sharing.owners[chosen], sharing.mapped[chosen]
    mappings = sharing.mappings()
    first = np.searchsorted(mappings.folio, chosen)
    last = np.searchsorted(mappings.folio, chosen, side="right")
    leaders = np.array([mm.leader.pid for mm in snapshot.mms])
    pids, mapcount = leaders[mappings.owner].tolist(), mappings.mapcount
    unseen, doubtful = sharing.is_unseen(chosen), member(snapshot.account.doubtful, chosen)
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
            "unseen": bool(unseen[i]),
            "exactness": "estimate" if doubtful[i] or snapshot.exactness.general else "exact",
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
