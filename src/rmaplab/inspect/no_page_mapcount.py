"""What the kernel's statistics would say once large folios have no per-page mapcounts, beside the truth.

For `rmaplab inspect --what-if no-page-mapcount`. The rules are CONFIG_NO_PAGE_MAPCOUNT's of Linux 6.15 (fs/proc) and
of the RFC <20260412-mapcount-v1-0-05e8dfab52e0@kernel.org>, for large folios: Pss divides by the folio's average
mapcount, Uss and pagemap's bit 56 follow the maybe-shared flag, AnonPages counts a folio whole once it is mapped, and a
folio counts as partially mapped only while it has fewer mappings than pages. Small folios stay as they are. The flag is
the running kernel's; where it is not known the folio is left to the truth, and `unknown` has its bytes.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.extents import EXCLUSIVE
from rmaplab.inspect.folios import ANON, COUNTED, KSM
from rmaplab.inspect.join import Index
from rmaplab.inspect.sharing import Sharing
from rmaplab.inspect.snapshot import Snapshot

Column = NDArray[np.float64]

_PER_TARGET: Final = ("uss_true", "uss_then", "pss_true", "pss_then", "bit_true", "bit_now", "bit_then", "unknown")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Bytes. `each` (per target): Uss and Pss, and pages of which pagemap says mmap-exclusive: `true`, as the page tables
    have it, and as they would be said (`then`); `bit_now`: as bit 56 is said now; `unknown`: as above.

    `together`: AnonPages now and then; anonymous folios mapped in part, and those of them still noticed;
    `average_wrong`: pages whose kpagecount would be another number than their mapcount.
    """

    each: dict[str, Column]
    together: dict[str, int]


def no_page_mapcount(snapshot: Snapshot, large: LargeFolios) -> Statistics:
    """O(mappings)."""
    sharing, size = snapshot.sharing, snapshot.page_size
    average = _averages(sharing)
    flag = np.full(len(sharing.folios), -1, np.int8)
    if large.state is not None:
        flag[large.row] = np.where(large.state.known, large.state.maybe_shared, -1)
    count = len(snapshot.mms)
    sums = {name: np.zeros(count) for name in _PER_TARGET}
    wrong = 0.0
    for rows in sharing.rows(flag):
        if not len(rows.folio):
            continue
        pages = np.where(sharing.folios.kind[rows.folio] < COUNTED, rows.pages, 0).astype(np.float64)
        own, said = flag[rows.folio], flag[rows.folio] >= 0
        truly = (rows.page_owners == 1).astype(np.float64)
        once = (rows.depth == 1).astype(np.float64)
        then = np.where(said, own == 0, once)
        divide = np.where(said, average[rows.folio], rows.depth)
        now = (sharing.extents.flags[rows.extent] & EXCLUSIVE) != 0
        parts = {
            "uss_true": truly / rows.depth,
            "uss_then": then,
            "pss_true": 1 / rows.depth,
            "pss_then": 1 / divide,
            "bit_true": truly,
            "bit_now": now,
            "bit_then": then,
            "unknown": (sharing.folios.order[rows.folio] > 0) & ~said,
        }
        owner = sharing.owner[rows.extent]
        for name, part in parts.items():
            sums[name] += np.bincount(owner, pages * part, count)
        wrong += float((pages / rows.depth)[said & (divide != rows.depth)].sum())
    chosen = np.flatnonzero(np.isin(sharing.folios.kind, (ANON, KSM)))
    mapped, whole = sharing.mapped[chosen], sharing.folios.pages[chosen]
    part = mapped < whole
    together = {
        "anon_now": int(mapped.sum()) * size,
        "anon_then": int(whole.sum()) * size,
        "partial": int(part.sum()),
        "partial_noticed": int((sharing.mapcount_of(chosen[part]) < whole[part]).sum()),
        "average_wrong": round(wrong) * size,
    }
    return Statistics({name: column[snapshot.targets] * size for name, column in sums.items()}, together)


def _averages(sharing: Sharing) -> Index:
    """folio_average_page_mapcount() of each folio, from the mappings found: rounded to the nearest, at least 1."""
    mappings, folios = sharing.mappings(), sharing.folios
    ptes = np.bincount(mappings.folio, mappings.ptes, len(folios)).astype(np.int64)
    entire = np.bincount(mappings.folio, mappings.pmds, len(folios)).astype(np.int64)
    # A folio of several PMDs counts each as a part of an entire mapping.
    parts = np.maximum(folios.pages // 512, 1)
    return np.asarray(np.maximum((ptes + folios.pages // 2) // folios.pages + entire // parts, 1))


def statistics_rows(snapshot: Snapshot, found: Statistics) -> list[dict[str, Any]]:
    """One row a target, bytes; beside it what smaps says now is for the caller to read."""
    made = []
    for place, mm in enumerate(snapshot.targets.tolist()):
        leader = snapshot.mms[mm].leader
        values = {name: round(float(found.each[name][place])) for name in _PER_TARGET}
        made.append({"pid": leader.pid, "name": leader.name, "cgroup": snapshot.cgroups[mm]} | values)
    return sorted(made, key=lambda row: -row["pss_true"])


def by_cgroup(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, summed over the cgroups' processes."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = sums.setdefault(row["cgroup"], {"cgroup": row["cgroup"], "processes": 0})
        one["processes"] += 1
        for name in _PER_TARGET:
            one[name] = one.get(name, 0) + row[name]
    return sorted(sums.values(), key=lambda row: -row["pss_true"])
