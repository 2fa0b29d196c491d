"""How an inheritance erodes over time, from a trace: what each MM shared when it was first seen, and what became of it.

For `rmaplab trace erosion`. Anonymous memory only. An MM *inherited* the pages that it maps at its first step while
another MM maps them too; at every later step such a page is still shared, mine alone (nobody else maps it), or gone:
copied or unmapped, which page-table events do not tell apart. *kept* = still shared / inherited, as in `rmaplab inspect
--by worker`. Where parent and child first appear in one step, both have what they share then.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.trace import Trace

_MOST_POINTS: Final = 200
Pages = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Point:
    """Pages of one MM's inheritance at one step."""

    step: int
    still_shared: int
    alone: int
    gone: int

    @property
    def kept(self) -> float:
        """Of the inheritance, the part still shared: 0..1."""
        return self.still_shared / max(1, self.still_shared + self.alone + self.gone)


@dataclass(slots=True)
class Curve:
    """One MM: its rmap ID, the pages it inherited (ids over all folios), and the points of its curve."""

    mm: int
    inherited: Pages
    points: list[Point] = field(default_factory=list)


def erosion(trace: Trace) -> list[Curve]:
    """The curve of every MM that inherited something; at most 200 points each. O(events + points * inherited pages),
    2 bytes a page and MM."""
    order = trace.folios["order"].to_numpy().astype(np.int64)
    pages = np.int64(1) << order
    base = np.cumsum(pages) - pages
    anonymous = (trace.folios["kind"] == "anon").to_numpy()
    total = int(pages.sum())
    owners = np.zeros(total, np.int32)
    counts: dict[int, NDArray[np.int16]] = {}
    curves: dict[int, Curve] = {}
    steps = _steps(trace)
    wanted = set(np.linspace(0, len(steps) - 1, min(len(steps), _MOST_POINTS)).astype(int).tolist()) if steps else set()
    for number, (step, folio, mm, page, nr, entire) in enumerate(steps):
        new = []
        for one in np.unique(mm).tolist():
            if one not in counts:
                counts[one] = np.zeros(total, np.int16)
                new.append(one)
            _apply(counts[one], owners, *_touched(mm == one, folio, page, nr, entire, base, pages))
        for one in new:
            held = np.flatnonzero((counts[one] > 0) & (owners > 1))
            held = held[anonymous[np.searchsorted(base, held, side="right") - 1]]
            if len(held):
                curves[one] = Curve(one, held)
        if number in wanted or number == len(steps) - 1:
            for curve in curves.values():
                curve.points.append(_point(step, curve, counts[curve.mm], owners))
    return list(curves.values())


_Step = tuple[int, Pages, Pages, Pages, Pages, NDArray[np.bool_]]


def _steps(trace: Trace) -> list[_Step]:
    """The events, step by step: step, and columns folio, mm, page, nr, entire."""
    if not len(trace.events):
        return []
    step = trace.events["step"].to_numpy()
    columns = [trace.events[name].to_numpy().astype(np.int64) for name in ("folio", "mm", "page", "nr")]
    entire = trace.events["entire"].to_numpy()
    cuts = np.append(np.flatnonzero(np.diff(step, prepend=-1)), len(step))
    return list(_cut(step, columns, entire, cuts))


def _cut(step: Pages, columns: list[Pages], entire: NDArray[np.bool_], cuts: Pages) -> Iterator[_Step]:
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        folio, mm, page, nr = (column[low:high] for column in columns)
        yield int(step[low]), folio, mm, page, nr, entire[low:high]


def _touched(
    which: NDArray[np.bool_], folio: Pages, page: Pages, nr: Pages, entire: NDArray[np.bool_], base: Pages, pages: Pages
) -> tuple[Pages, Pages]:
    """Page ids that the events `which` change, and by how many mappings."""
    folio, page, nr, entire = folio[which], page[which], nr[which], entire[which]
    length = np.where(entire, pages[folio], np.abs(nr))
    first = base[folio] + np.where(entire, 0, page)
    ends = np.cumsum(length)
    ids = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(first - (ends - length), length)
    return ids, np.repeat(np.where(entire, nr, np.sign(nr)), length)


def _apply(count: NDArray[np.int16], owners: NDArray[np.int32], ids: Pages, change: Pages) -> None:
    """Count an MM's mappings, and in `owners` the MMs that map each page."""
    touched = np.unique(ids)
    before = count[touched] > 0
    np.add.at(count, ids, change.astype(np.int16))
    owners[touched] += (count[touched] > 0).astype(np.int32) - before.astype(np.int32)


def _point(step: int, curve: Curve, count: NDArray[np.int16], owners: NDArray[np.int32]) -> Point:
    mine = count[curve.inherited] > 0
    shared = int((mine & (owners[curve.inherited] > 1)).sum())
    alone = int(mine.sum()) - shared
    return Point(step, shared, alone, len(mine) - shared - alone)
