"""The snapshot as rows: by process, VMA, cgroup, order or folio. Sizes in bytes, names as in docs/inspect.md.

For the table, the JSON and the page, which all show the same rows, each with its exactness. No PFN and no address unless
asked for, and no column that costs more than all others unless `details` are.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from rmaplab.errors import RmaplabError
from rmaplab.inspect import kernel
from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.folios import COUNTED, HUGETLB, KINDS
from rmaplab.inspect.groups import by_cgroup, by_command, by_container, by_file, by_user
from rmaplab.inspect.processes import command_line
from rmaplab.inspect.sharers import sharers
from rmaplab.inspect.sharing import member
from rmaplab.inspect.sums import Row, Scope, Sums
from rmaplab.inspect.tally import ORDER_COLUMNS, by_order
from rmaplab.names import must_be

__all__ = ["By", "Row", "Scope", "rows", "sort_rows"]

By = Literal["process", "vma", "cgroup", "user", "command", "container", "file", "order", "folio", "worker"]


def rows(scope: Scope, by: By, *, details: bool = True) -> list[Row]:
    """The rows of one grouping, largest first. Without `details` they lack `sharers`, which no table shows."""
    made = _VIEWS[by](scope)
    if details and by == "process":
        for row, met in zip(made, sharers(scope.snapshot).tolist(), strict=True):
            row["sharers"] = met
    return sorted(made, key=lambda row: -row["resident"])


def sort_rows(found: list[Row], keys: Sequence[str], top: int | None) -> list[Row]:
    """Sorted by `keys`, the first counts most (numbers descending, text ascending; with a "-" the other way), cut to
    `top`. Raises RmaplabError for an unknown key."""
    for key in reversed(keys):
        name, turned = key.removeprefix("-"), key.startswith("-")
        if found and name not in found[0]:
            raise RmaplabError(f"--sort {key}: {must_be(name, found[0])}")
        if any(isinstance(row[name], str) for row in found):
            found = sorted(found, key=lambda row, name=name: str(row[name]), reverse=turned)  # type: ignore[misc]
        else:
            found = sorted(found, key=lambda row, name=name: _number(row[name]), reverse=not turned)  # type: ignore[misc]
    return found if top is None else found[:top]


def _number(value: object) -> float:
    if isinstance(value, list):
        return float(len(value))
    return float(value) if isinstance(value, int | float) else -1.0


def _by_process(scope: Scope) -> list[Row]:
    snapshot = scope.snapshot
    count = len(snapshot.mms)
    sums = Sums.of(scope, snapshot.vmas.mm, count)
    made = []
    for mm in scope.snapshot.targets.tolist():
        leader = snapshot.mms[mm].leader
        made.append(
            {"pid": leader.pid, "pids": list(snapshot.mms[mm].pids), "name": leader.name}
            | sums.row(mm)
            | sums.trust(mm)
            | _kernel_columns(kernel.rollup(leader.tid) if scope.smaps else None)
            | {"command": command_line(leader.tid), "cgroup": snapshot.cgroups[mm]}
        )
    return made


def _kernel_columns(counters: kernel.Counters | None) -> Row:
    return {f"kernel_{name}": None if counters is None else counters[name] for name in ("rss", "uss", "pss", "swap")}


def _by_vma(scope: Scope) -> list[Row]:
    snapshot, vmas = scope.snapshot, scope.snapshot.vmas
    sums = Sums.of(scope, np.arange(len(vmas)), len(vmas))
    asked = snapshot.targets.tolist()
    smaps = {mm: (kernel.per_vma(snapshot.mms[mm].leader.tid) if scope.smaps else None) or {} for mm in asked}
    made = []
    for vma in np.flatnonzero(np.isin(vmas.mm, scope.snapshot.targets)).tolist():
        sizes = sums.row(vma)
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
            | sums.trust(vma)
            | _kernel_columns(smaps[mm].get(start))
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


_VIEWS: Final[dict[str, Callable[[Scope], list[Row]]]] = {
    "process": _by_process,
    "vma": _by_vma,
    "cgroup": by_cgroup,
    "user": by_user,
    "command": by_command,
    "container": by_container,
    "file": by_file,
    "order": _by_order,
    "folio": _by_folio,
}
