"""The sharing as rmap updates: which pages of which folio each MM maps, as runs.

For recorded traces and the Parquet export, whose event rows these become.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.extents import HUGE
from rmaplab.inspect.folios import COUNTED
from rmaplab.inspect.join import Index, spread
from rmaplab.inspect.sharing import PMD_PAGES, Sharing


@dataclass(frozen=True, slots=True)
class Runs:
    """One row per run: `folio` (row of the folio table), `owner` (MM index), `page` (first, inside the folio), `nr`
    (pages; PMD mappings if `entire`); int64, in folio order. An entire run has page 0."""

    folio: Index
    owner: Index
    page: Index
    nr: Index
    entire: NDArray[np.bool_]

    def __getitem__(self, which: NDArray[np.bool_] | Index) -> "Runs":
        return Runs(*(getattr(self, f.name)[which] for f in fields(self)))


def runs(sharing: Sharing, wanted: NDArray[np.bool_]) -> Runs:
    """The runs of the `wanted` folios (bool, per folio) that count as resident. 40 bytes a run."""
    folios = sharing.folios
    chosen = wanted & (folios.kind < COUNTED)
    parts = (_uniform(sharing, np.flatnonzero(chosen & sharing.uniform)), _odd(sharing, chosen))
    folio, extent, page, nr = (np.concatenate([part[i] for part in parts]).astype(np.int64) for i in range(4))
    huge = (sharing.extents.flags[extent] & HUGE) != 0
    entire = _entire(folio[huge], sharing.owner[extent[huge]], nr[huge])
    plain = ~huge
    found = Runs(
        np.concatenate((folio[plain], entire[0])),
        np.concatenate((sharing.owner[extent[plain]], entire[1])),
        np.concatenate((page[plain], np.zeros(len(entire[0]), np.int64))),
        np.concatenate((nr[plain], entire[2])),
        np.concatenate((np.zeros(int(plain.sum()), np.bool_), np.ones(len(entire[0]), np.bool_))),
    )
    return found[np.lexsort((found.page, found.owner, found.folio))]


def _uniform(sharing: Sharing, which: Index) -> tuple[Index, NDArray[np.uint32], Index, Index]:
    joined, interval = sharing.joined, sharing.interval[which].astype(np.int64)
    depth = joined.ptr[interval + 1] - joined.ptr[interval]
    extent = joined.extent[spread(joined.ptr[interval], depth)]
    folio = np.repeat(which, depth)
    return folio, extent, np.zeros(len(folio), np.int64), np.repeat(sharing.folios[which].pages, depth)


def _odd(sharing: Sharing, chosen: NDArray[np.bool_]) -> tuple[Index, NDArray[np.uint32], Index, Index]:
    rows = sharing.odd
    kept = chosen[rows.folio]
    return rows.folio[kept], rows.extent[kept], rows.first[kept], rows.pages[kept]


def _entire(folio: Index, owner: Index, pages: Index) -> tuple[Index, Index, Index]:
    """PMD mappings per (folio, owner): a PMD mapping cut by others' partial mappings is still one."""
    order = np.lexsort((owner, folio))
    folio, owner, pages = folio[order], owner[order], pages[order]
    at = np.flatnonzero((np.diff(folio, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0))
    if not len(at):
        return folio, owner, pages
    return folio[at], owner[at], np.add.reduceat(pages, at) // PMD_PAGES
