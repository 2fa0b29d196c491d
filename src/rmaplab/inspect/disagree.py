"""Where the kernel's answers and the truth part, and over how many bytes.

For the tables, the JSON and the exit code. Two kinds: the kernel takes for shared what one MM maps (costs copies and
wrong statistics), or for exclusive what several map (must never be).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.folio_state import FolioState
from rmaplab.inspect.folios import ANON, COUNTED
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.scan import EXCLUSIVE
from rmaplab.inspect.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class LargeFolios:
    """The large folios of some MMs with the kernel's state beside: `row` of the folio table (int64), `state` (None
    without BPF), and bool: `false_shared`, `false_exclusive`; `unseen`: the kernel counts more mappings than were
    found, so whoever was not read maps it too and the truth is open."""

    row: NDArray[np.int64]
    state: FolioState | None
    false_shared: NDArray[np.bool_]
    false_exclusive: NDArray[np.bool_]
    unseen: NDArray[np.bool_]


def large_folios(snapshot: Snapshot, view: KernelView) -> LargeFolios:
    """Ask the kernel about all large folios. Raises BpfError if reading fails."""
    sharing = snapshot.sharing
    row = np.flatnonzero((sharing.folios.order > 0) & (sharing.folios.kind < COUNTED))
    nothing = np.zeros(len(row), np.bool_)
    if view.reader is None or not len(row):
        return LargeFolios(row, None, nothing, nothing, nothing)
    state = view.reader.read(sharing.folios.head[row].astype(np.uint64), np.ones(len(row), np.bool_), view.flag_bit)
    mappings = sharing.mappings()
    found = np.bincount(mappings.folio, mappings.mapcount, len(sharing.folios))[row]
    owners = sharing.owners_of(row)
    unseen = state.known & (state.mapcount > found)
    asked = state.known & (state.maybe_shared >= 0) & ~unseen & (state.mapcount == found)
    return LargeFolios(
        row,
        state,
        asked & (owners == 1) & (state.maybe_shared == 1),
        asked & (owners > 1) & (state.maybe_shared == 0),
        unseen,
    )


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One way in which an answer of the kernel differs from the truth: folios (or pages) and bytes concerned."""

    what: str
    count: int
    bytes: int
    finding: bool = False


def disagreements(snapshot: Snapshot, large: LargeFolios) -> list[Disagreement]:
    """All of them, those with nothing to report left out."""
    sharing, size = snapshot.sharing, snapshot.page_size
    odd = sharing.folios[sharing.odd_folios]
    unmapped = np.where(odd.kind == ANON, odd.pages - sharing.odd_mapped, 0)
    partial, part_bytes = int((unmapped > 0).sum()), int(unmapped.sum())
    mapped = sharing.mapped_of(large.row)

    def of(what: str, which: NDArray[np.bool_], finding: bool = False) -> Disagreement:
        return Disagreement(what, int(which.sum()), int(mapped[which].sum()) * size, finding)

    twice = _exclusive_but_unmarked(snapshot)
    found = [
        of("folios one MM maps, taken for shared (copied on the next write)", large.false_shared),
        of("folios several MMs map, taken for exclusive", large.false_exclusive, True),
        of("folios the kernel counts more mappings of than were found", large.unseen),
        Disagreement("pages one MM maps, without pagemap's mmap-exclusive bit", twice, twice * size),
        Disagreement("anonymous folios mapped in part: memory held, not mapped", partial, part_bytes * size),
    ]
    return [d for d in found if d.count]


def _exclusive_but_unmarked(snapshot: Snapshot) -> int:
    """Pages that only one MM maps but pagemap does not call mapped exclusively (a page it maps twice, say)."""
    sharing = snapshot.sharing
    total = 0.0
    for rows in sharing.rows():
        if len(rows.folio):
            kind = sharing.folios.kind[rows.folio]
            bare = (sharing.extents.flags[rows.extent] & EXCLUSIVE) == 0
            chosen = (kind < COUNTED) & (rows.page_owners == 1) & bare
            total += float((rows.pages / rows.depth)[chosen].sum())
    return round(total)
