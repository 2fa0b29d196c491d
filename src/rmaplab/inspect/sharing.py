"""Who maps each folio: the join, cut at folio boundaries.

For the sums (`rmaplab.inspect.tally`), the prices and the exports. Most folios lie within one interval, so all their
pages are mapped by the same extents: they are *uniform* and need no rows of their own. The others (partly unmapped,
partly copied) get one row per (folio, interval, extent).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.extents import HUGE, Extents
from rmaplab.inspect.folios import Folios
from rmaplab.inspect.join import Index, Join, Narrow, distinct, reached, spread

PMD_PAGES: Final = 512
_CHUNK: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Rows:
    """Stretches of pages with all that is known about their mapping by one extent; arrays of one length.

    `folio`: a folio they belong to (one of a group of equals); `extent`; `first`: page of the folio they begin at;
    `pages` (int64); `depth`: mappings of each
    page; `page_owners`, `folio_owners`: distinct owners of each page and of the folio; `partial`: the folio has
    unmapped pages. Whoever maps the folio unseen (Sharing.unseen) is one owner of it and of each of its pages.
    """

    folio: Index
    extent: Narrow
    first: Index
    pages: Index
    depth: NDArray[np.float64]
    page_owners: Index
    folio_owners: Index
    partial: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Mappings:
    """One row per (folio, owner) with mappings, in folio order: pages mapped by PTEs, PMD mappings; all int64."""

    folio: Index
    owner: Index
    ptes: Index
    pmds: Index

    @property
    def mapcount(self) -> Index:
        """Mappings as Linux counts them: a PMD mapping is one."""
        return self.ptes + self.pmds


@dataclass(frozen=True)
class Sharing:
    """The join by folio. `interval` uint32: a folio's first one; `odd_folios` int64: those that are not uniform;
    `odd_owners` and `odd_mapped` (pages mapped at least once) describe these, `odd` holds their rows.
    `unseen` (int64, ascending): the folios somebody maps whose page table was not seen; `times` (float64): how many
    mappings each of them has for one found (`accounting` tells). 10 bytes a uniform folio; the arrays that `owners` and
    `mapped` make for all folios are not kept."""

    extents: Extents
    owner: Index
    joined: Join
    folios: Folios
    interval: Narrow
    odd_folios: Index
    odd_owners: Narrow
    odd_mapped: Narrow
    odd: Rows
    unseen: Index = field(default_factory=lambda: np.zeros(0, np.int64))
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def owners(self) -> Narrow:
        """Distinct MMs that map each folio, all unseen ones as one: uint32."""
        out = self.joined.owners[self.interval]
        out[self.odd_folios] = self.odd_owners
        out[self.unseen] += 1
        return out

    def owners_of(self, rows: Index) -> Narrow:
        """The same of the folios `rows` only."""
        seen = self._patched(self.joined.owners[self.interval[rows]], rows, self.odd_owners)
        return np.asarray(seen + self.is_unseen(rows), np.uint32)

    def is_unseen(self, rows: Index) -> NDArray[np.bool_]:
        """Which of the folios `rows` somebody maps who was not seen."""
        return member(self.unseen, rows)

    @property
    def mapped(self) -> Index:
        """Pages of each folio mapped at least once: int64."""
        out = self.folios.pages
        out[self.odd_folios] = self.odd_mapped
        return out

    def mapped_of(self, rows: Index) -> Index:
        """The same of the folios `rows` only."""
        return self._patched(self.folios[rows].pages, rows, self.odd_mapped)

    def _patched(self, values: NDArray[Any], rows: Index, odd: NDArray[Any]) -> NDArray[Any]:
        """`values` of the folios `rows`, those of odd folios replaced by `odd`."""
        if len(self.odd_folios):
            at = np.minimum(np.searchsorted(self.odd_folios, rows), len(self.odd_folios) - 1)
            values = np.where(self.odd_folios[at] == rows, odd[at], values)
        return values

    def mapcount_of(self, rows: Index) -> Index:
        """Mappings found of the folios `rows`, as Linux counts them (a PMD mapping is one): int64."""
        return self.mapcounts[rows].astype(np.int64)

    @cached_property
    def mapcounts(self) -> Narrow:
        """The same of all folios: uint32. O(rows), once; 4 bytes a folio."""
        huge = (self.extents.flags[self.joined.extent] & HUGE) != 0
        running = np.concatenate((np.zeros(1, np.uint32), np.cumsum(huge, dtype=np.uint32)))
        out = np.empty(len(self.folios), np.uint32)
        for at in range(0, len(out), _CHUNK):
            first = self.interval[at : at + _CHUNK].astype(np.int64)
            low, high = self.joined.ptr[first], self.joined.ptr[first + 1]
            pages, pmds = self.folios[at : at + _CHUNK].pages, running[high].astype(np.int64) - running[low]
            out[at : at + _CHUNK] = (high - low - pmds) * pages + pmds * np.maximum(pages // PMD_PAGES, 1)
        if len(self.odd_folios):
            huge = (self.extents.flags[self.odd.extent] & HUGE) != 0
            place = np.searchsorted(self.odd_folios, self.odd.folio)
            ptes = np.bincount(place, np.where(huge, 0, self.odd.pages), len(self.odd_folios))
            pmds = np.bincount(place, np.where(huge, self.odd.pages, 0), len(self.odd_folios)) // PMD_PAGES
            out[self.odd_folios] = ptes + pmds
        return out

    @property
    def uniform(self) -> NDArray[np.bool_]:
        """Whether all pages of a folio are mapped by the same extents."""
        out = np.ones(len(self.folios), np.bool_)
        out[self.odd_folios] = False
        return out

    @property
    def bytes(self) -> int:
        odd = sum(a.nbytes for a in (self.odd_folios, self.odd_owners, self.odd_mapped, self.odd.folio)) * 6
        return odd + self.interval.nbytes + self.extents.bytes + self.joined.bytes + self.folios.bytes

    def rows(self, marks: NDArray[Any] | None = None) -> Iterator[Rows]:
        """All rows, in parts of bounded size: first those of uniform folios, equal neighbours as one, then the odd.

        Neighbours are equal in who maps them, order and kind, and, where `marks` (one element a folio) is given, in that.
        """
        which = np.flatnonzero(self.uniform)
        for low in range(0, len(which), _CHUNK):
            yield self._uniform_rows(which[low : low + _CHUNK], marks)
        yield self._with_unseen(self.odd)

    def _with_unseen(self, rows: Rows) -> Rows:
        """`rows` with those counted who map their folios unseen: one owner, and mappings of each page in proportion."""
        which = self.is_unseen(rows.folio)
        if not which.any():
            return rows
        times = np.ones(len(which))
        times[which] = self.times[np.searchsorted(self.unseen, rows.folio[which])]
        return replace(
            rows,
            depth=rows.depth * times,
            page_owners=rows.page_owners + which,
            folio_owners=rows.folio_owners + which,
        )

    def _uniform_rows(self, which: Index, marks: NDArray[Any] | None) -> Rows:
        f, interval = self.folios[which], self.interval[which].astype(np.int64)
        unseen = self.is_unseen(which)
        key = (interval << 17) | (f.order.astype(np.int64) << 9) | f.kind
        # Folios that somebody unseen maps differ in how often he does: none is like another.
        key = np.where(unseen, -1 - np.arange(len(which)), key)
        differs = key[1:] != key[:-1]
        if marks is not None:
            differs |= marks[which[1:]] != marks[which[:-1]]
        first = np.flatnonzero(np.append(True, differs))
        pages = np.add.reduceat(f.pages, first)
        interval = interval[first]
        ptr = self.joined.ptr
        depth = ptr[interval + 1] - ptr[interval]
        rows = np.repeat(np.arange(len(first)), depth)
        owners = self.joined.owners[interval].astype(np.int64)[rows]
        made = Rows(
            which[first][rows],
            self.joined.extent[spread(ptr[interval], depth)],
            np.zeros(len(rows), np.int64),
            pages[rows],
            depth[rows].astype(np.float64),
            owners,
            owners,
            np.zeros(len(rows), np.bool_),
        )
        return self._with_unseen(made)

    def first_extents(self, owners: Index) -> Index:
        """Of each folio, one extent that maps it: one of `owners` if they have any; int64. 12 bytes a mapping."""
        which, joined = np.flatnonzero(self.uniform), self.joined
        interval = self.interval[which].astype(np.int64)
        depth = joined.ptr[interval + 1] - joined.ptr[interval]
        folio = np.concatenate((np.repeat(which, depth), self.odd.folio))
        extent = np.concatenate((joined.extent[spread(joined.ptr[interval], depth)], self.odd.extent))
        found = np.zeros(len(self.folios), np.int64)
        theirs = np.isin(self.owner[extent], owners)
        for chosen in (slice(None, None, -1), np.flatnonzero(theirs)[::-1]):
            found[folio[chosen]] = extent[chosen]  # of several the last one written stays: the first
        return found

    def mappings(self) -> Mappings:
        """Who maps each folio and how often. 32 bytes a row: for exports and prices, not for every look."""
        f, joined = self.folios, self.joined
        which = np.flatnonzero(self.uniform)
        interval = self.interval[which].astype(np.int64)
        depth = joined.ptr[interval + 1] - joined.ptr[interval]
        folio = np.concatenate((np.repeat(which, depth), self.odd.folio))
        extent = np.concatenate((joined.extent[spread(joined.ptr[interval], depth)], self.odd.extent))
        pages = np.concatenate((np.repeat(f.pages[which], depth), self.odd.pages))
        owner = self.owner[extent]
        order = np.lexsort((owner, folio))
        folio, owner, pages, extent = folio[order], owner[order], pages[order], extent[order]
        huge = (self.extents.flags[extent] & HUGE) != 0
        new = (np.diff(folio, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0)
        at = np.flatnonzero(new)
        if not len(at):
            return Mappings(folio, owner, pages, pages)
        ptes = np.add.reduceat(np.where(huge, 0, pages), at)
        pmds = np.add.reduceat(np.where(huge, pages, 0), at) // PMD_PAGES
        return Mappings(folio[at], owner[at], ptes, pmds)


def member(ordered: Index, rows: Index) -> NDArray[np.bool_]:
    """Which of `rows` are in `ordered` (ascending): bool, one element per row."""
    if not len(ordered):
        return np.zeros(len(rows), np.bool_)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)] == rows)


def reached_folios(sharing: Sharing, extents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which folios the chosen extents (bool, per extent) map a page of: bool, per folio."""
    if not len(sharing.folios):
        return np.zeros(0, np.bool_)
    out = reached(sharing.joined, extents)[sharing.interval]
    out[sharing.odd_folios] = False
    out[sharing.odd.folio[extents[sharing.odd.extent]]] = True
    return out


def share(extents: Extents, owner: Index, joined: Join, folios: Folios) -> Sharing:
    """Cut the join at folio boundaries. O(folios + rows)."""
    interval = np.empty(len(folios), np.uint32)
    odd, spans = [np.zeros(0, np.int64)], [np.zeros((2, 0), np.int64)]
    start, end = joined.start, joined.end
    for low in range(0, len(folios), _CHUNK):
        part = folios[low : low + _CHUNK]
        head = part.head.astype(np.int64)
        stop = head + part.pages
        first, last = np.searchsorted(end, head, side="right"), np.searchsorted(start, stop)
        at = np.minimum(first, len(joined) - 1)
        torn = np.flatnonzero((last - first != 1) | (start[at] > head) | (end[at] < stop))
        interval[low : low + _CHUNK] = at
        odd.append(torn + low)
        spans.append(np.array((first[torn], last[torn])))
    which, span = np.concatenate(odd), np.concatenate(spans, axis=1)
    rows, owners, mapped = _odd_rows(owner, joined, folios, which, span)
    return Sharing(extents, owner, joined, folios, interval, which, owners, mapped, rows)


def _odd_rows(owner: Index, joined: Join, folios: Folios, which: Index, span: Index) -> tuple[Rows, Narrow, Narrow]:
    """Rows of the folios `which`, which lie in intervals `span[0]` to before `span[1]`; their owners and mapped pages."""
    first, count = span[0], span[1] - span[0]
    interval, place = spread(first, count), np.repeat(np.arange(len(which)), count)
    head = folios.head[which].astype(np.int64)
    pages = folios.pages[which]
    low = np.maximum(joined.start[interval], head[place])
    covered = np.minimum(joined.end[interval], (head + pages)[place]) - low
    mapped = np.bincount(place, covered, len(which)).astype(np.uint32)
    depth = joined.ptr[interval + 1] - joined.ptr[interval]
    rows = np.repeat(np.arange(len(interval)), depth)
    extent = joined.extent[spread(joined.ptr[interval], depth)]
    owners = distinct(place[rows], owner[extent], len(which))
    return (
        Rows(
            which[place[rows]],
            extent,
            (low - head[place])[rows],
            covered[rows],
            depth[rows].astype(np.float64),
            joined.owners[interval[rows]].astype(np.int64),
            owners[place[rows]].astype(np.int64),
            (mapped < pages)[place[rows]],
        ),
        owners,
        mapped,
    )
