"""Sums over the sharing: per VMA, process, cgroup or order, in pages.

For the tables and the JSON. A page counts as often as a group maps it in `resident`, `exclusive` and `shared`; the
columns mean the same whatever the group is.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.extents import ABSENT, EXCLUSIVE, HUGE
from rmaplab.inspect.folios import COUNTED, HUGETLB, SPECIAL, ZERO
from rmaplab.inspect.sharing import Rows, Sharing
from rmaplab.inspect.snapshot import Snapshot

COLUMNS: Final = (
    "resident",
    "exclusive",
    "shared",
    "uss",
    "pss",
    "pmd",
    "partial",
    "kernel_exclusive",
    "hugetlb",
    "zero",
    "special",
)
"""resident: mapped pages; exclusive, shared: of these in folios mapped by one owner or several; uss: pages nobody else
maps; pss: pages divided by their mappings; pmd: mapped by PMDs; partial: in folios with unmapped pages;
kernel_exclusive: with pagemap's mmap-exclusive bit. hugetlb, zero, special stand apart and are in none of the others."""

Table = dict[str, NDArray[np.float64]]


def tally(sharing: Sharing, group: NDArray[np.int64], groups: int) -> Table:
    """Pages per group, `group` (int64) naming each extent's: COLUMNS, each float64 of shape (groups,)."""
    sums = {name: np.zeros(groups) for name in COLUMNS}
    for rows in sharing.rows():
        if len(rows.folio):
            _add(sums, sharing, rows, group[rows.extent])
    return sums


def _add(sums: Table, sharing: Sharing, rows: Rows, group: NDArray[np.int64]) -> None:
    kind = sharing.folios.kind[rows.folio]
    flags = sharing.extents.flags[rows.extent]
    pages = rows.pages.astype(np.float64)
    resident = np.where(kind < COUNTED, pages, 0)
    alone = rows.folio_owners == 1
    parts = {
        "resident": resident,
        "exclusive": np.where(alone, resident, 0),
        "shared": np.where(alone, 0, resident),
        "uss": np.where(rows.page_owners == 1, resident / rows.depth, 0),
        "pss": resident / rows.depth,
        "pmd": np.where(flags & HUGE, resident, 0),
        "partial": np.where(rows.partial, resident, 0),
        "kernel_exclusive": np.where(flags & EXCLUSIVE, resident, 0),
        "hugetlb": np.where(kind == HUGETLB, pages, 0),
        "zero": np.where(kind == ZERO, pages, 0),
        "special": np.where(kind == SPECIAL, pages, 0),
    }
    for name, weights in parts.items():
        sums[name] += np.bincount(group, weights, len(sums[name]))


ORDER_COLUMNS: Final = ("folios", "resident", "exclusive", "shared", "partial", "unmapped", "hugetlb", "max_owners")
"""Each folio once. unmapped: pages that nobody maps of folios that are mapped in part; hugetlb: in no other column but
folios and max_owners."""


def by_order(sharing: Sharing) -> tuple[NDArray[np.int64], Table]:
    """The orders of the folios, and per order ORDER_COLUMNS in pages (folios and owners in numbers)."""
    kind = sharing.folios.kind
    chosen = (kind < COUNTED) | (kind == HUGETLB)
    order = sharing.folios.order[chosen].astype(np.int64)
    hugetlb = kind[chosen] == HUGETLB
    all_mapped, pages, owners = (
        sharing.mapped[chosen].astype(np.float64),
        sharing.folios.pages[chosen],
        sharing.owners[chosen],
    )
    mapped = np.where(hugetlb, 0.0, all_mapped)
    size = int(order.max(initial=0)) + 1
    most = np.zeros(size)
    np.maximum.at(most, order, owners)
    parts: Table = {
        "folios": np.ones(len(order), np.float64),
        "resident": mapped,
        "exclusive": np.where(owners == 1, mapped, 0.0),
        "shared": np.where(owners > 1, mapped, 0.0),
        "partial": np.where(mapped < pages, mapped, 0.0),
        "unmapped": np.where(hugetlb, 0.0, pages.astype(np.float64) - all_mapped),
        "hugetlb": np.where(hugetlb, all_mapped, 0.0),
    }
    sums: Table = {name: np.bincount(order, weights, size).astype(np.float64) for name, weights in parts.items()}
    sums["max_owners"] = most
    here = np.flatnonzero(sums["folios"])
    return here, {name: column[here] for name, column in sums.items()}


def apart(snapshot: Snapshot) -> dict[str, int]:
    """Bytes of the targets' memory that no sum of resident memory contains, by kind; kinds with nothing left out.

    Pages count as often as they are mapped; `hugetlb`, `zero` and `special` as in COLUMNS, the rest as in scan.ABSENT.
    """
    sharing, size = snapshot.sharing, snapshot.page_size
    mine = np.isin(snapshot.vmas.mm, snapshot.targets)
    sums = {name: int(snapshot.absent_pages(name)[mine].sum()) for name in ABSENT}
    wanted = np.isin(sharing.owner, snapshot.targets)
    for rows in sharing.rows() if (sharing.folios.kind >= COUNTED).any() else ():
        kind = sharing.folios.kind[rows.folio]
        for name, number in (("hugetlb", HUGETLB), ("zero", ZERO), ("special", SPECIAL)):
            chosen = (kind == number) & wanted[rows.extent]
            sums[name] = sums.get(name, 0) + int(rows.pages[chosen].sum())
    return {name: pages * size for name, pages in sums.items() if pages}
