"""Where the kernel's answers and the truth part, and over how many bytes.

For the tables, the JSON and the exit code. Two kinds: the kernel takes for shared what one MM maps (costs copies and
wrong statistics), or for exclusive what several map (must never be).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.extents import EXCLUSIVE
from rmaplab.inspect.folio_state import FolioState
from rmaplab.inspect.folios import ANON, COUNTED
from rmaplab.inspect.join import Index
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.sharing import member
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.write_rule import judge, private_pages


@dataclass(frozen=True, slots=True)
class LargeFolios:
    """The large folios of some MMs with the kernel's state beside: `row` of the folio table (int64), `state` (None
    without BPF), and bool: `false_shared`, `false_exclusive`. `needless` (pages, int64): what a write to all of the
    folio would copy by the kernel's rule and not by a precise one: nothing of a folio that is not mapped privately.
    `untold`: of so many nothing is said, for they moved, do not add up, or the kernel's flag is not known."""

    row: Index
    state: FolioState | None
    false_shared: NDArray[np.bool_]
    false_exclusive: NDArray[np.bool_]
    needless: Index
    untold: int = 0

    @property
    def asked(self) -> bool:
        """Whether the kernel's flag could be read of any of them, or there is none to read."""
        flags = None if self.state is None else self.state.known & (self.state.maybe_shared >= 0)
        return not len(self.row) or (flags is not None and bool(flags.any()))


def large_folios(snapshot: Snapshot, view: KernelView) -> LargeFolios:
    """Ask the kernel about all large folios. Raises BpfError if reading fails."""
    sharing = snapshot.sharing
    row = np.flatnonzero((sharing.folios.order > 0) & (sharing.folios.kind < COUNTED))
    nothing, none = np.zeros(len(row), np.bool_), np.zeros(len(row), np.int64)
    if view.reader is None or not len(row):
        return LargeFolios(row, None, nothing, nothing, none, len(row))
    state = view.reader.read(sharing.folios.head[row].astype(np.uint64), np.ones(len(row), np.bool_), view.flag_bit)
    owners = sharing.owners_of(row)
    asked = state.known & (state.maybe_shared >= 0) & ~member(snapshot.account.doubtful, row)
    if view.reader.counts_large:
        asked &= state.mapcount == sharing.mapcount_of(row)
    false_shared = asked & (owners == 1) & (state.maybe_shared == 1)
    needless = np.zeros(len(row), np.int64)
    needless[false_shared] = _needless(snapshot, view, row[false_shared])
    false_exclusive = asked & (owners > 1) & (state.maybe_shared == 0)
    return LargeFolios(row, state, false_shared, false_exclusive, needless, int((~asked).sum()))


def _needless(snapshot: Snapshot, view: KernelView, rows: Index) -> Index:
    """Pages of the folios `rows` (ascending) that a write would copy by the kernel's rule and not by a precise one."""
    if not len(rows):
        return np.zeros(0, np.int64)
    pages = private_pages(snapshot, snapshot.targets, rows)
    verdict = judge(snapshot, view, pages)
    chosen = verdict.kernel & ~verdict.precise & ~verdict.unsure
    return np.bincount(np.searchsorted(rows, pages.folio[chosen]), minlength=len(rows))


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One way in which an answer of the kernel differs from the truth: folios (or pages) and bytes concerned."""

    what: str
    count: int
    bytes: int
    finding: bool = False


def disagreements(snapshot: Snapshot, large: LargeFolios, view: KernelView) -> list[Disagreement]:
    """All of them, those with nothing to report left out."""
    sharing, size = snapshot.sharing, snapshot.page_size
    odd = sharing.folios[sharing.odd_folios]
    unmapped = np.where(odd.kind == ANON, odd.pages - sharing.odd_mapped, 0)
    partial, part_bytes = int((unmapped > 0).sum()), int(unmapped.sum())
    mapped = sharing.mapped_of(large.row)

    def of(what: str, which: NDArray[np.bool_], pages: Index, finding: bool = False) -> Disagreement:
        return Disagreement(what, int(which.sum()), int(pages[which].sum()) * size, finding)

    twice = _exclusive_but_unmarked(snapshot) if view.flags.trusts("mmap_exclusive") else 0
    found = [
        of("folios one MM maps, taken for shared", large.false_shared, mapped),
        of("of these folios a write copies, needlessly", large.needless > 0, large.needless),
        of("folios several MMs map, taken for exclusive", large.false_exclusive, mapped, True),
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
