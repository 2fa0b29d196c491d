"""The join of all page tables: which page frames are mapped by which MMs.

For `rmaplab.inspect.snapshot`. Page frames are cut into *intervals*, maximal runs of frames mapped by the same extents;
an interval's rows say who maps each of its frames. Everything else (folios, USS, PSS, verdicts) follows from them.
O(extents log extents + rows); no per-page memory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect import fast
from rmaplab.inspect.extents import Extents

Index = NDArray[np.int64]
Narrow = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Join:
    """Mapped page frames, ascending, as intervals; `rows[ptr[i]:ptr[i+1]]` are the extents that map interval i.

    `start` (PFNs) int64, `pages` and `owners` (distinct owners, MMs unless regrouped) uint32, shape (intervals,);
    `ptr` int64, one longer; `extent` uint32, shape (rows,). 24 bytes an interval, 4 a row.
    """

    start: Index
    pages: Narrow
    owners: Narrow
    ptr: Index
    extent: Narrow

    def __len__(self) -> int:
        return len(self.start)

    @property
    def end(self) -> Index:
        """First frame behind each interval."""
        end: Index = self.start + self.pages
        return end

    @property
    def depth(self) -> Index:
        """Page-table mappings of each frame of an interval."""
        depth: Index = np.diff(self.ptr)
        return depth

    @property
    def bytes(self) -> int:
        return sum(a.nbytes for a in (self.start, self.pages, self.owners, self.ptr, self.extent))


def spread(first: NDArray[Any], count: NDArray[Any]) -> Index:
    """Concatenation of `arange(first[i], first[i] + count[i])`: int64."""
    ends = np.cumsum(count, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    values: Index = np.arange(total, dtype=np.int64) + np.repeat(first - (ends - count), count)
    return values


def join(extents: Extents, owner: Index) -> Join:
    """Join `extents`; `owner` (int64, one per extent) says whose page table each is in (an MM, or a group of MMs)."""
    if fast.available():
        return Join(*fast.join_runs(extents.pfn, extents.pages, owner))
    order = np.argsort(extents.pfn).astype(np.uint32)
    start = extents.pfn[order].astype(np.int64)
    end = start + extents.pages[order]
    reach = np.maximum.accumulate(end)
    apart = np.append(True, start[1:] >= reach[:-1]) if len(start) else np.zeros(0, np.bool_)
    alone = apart & np.append(apart[1:], True)[: len(apart)]
    shared = _overlapping(start[~alone], end[~alone], order[~alone], owner)
    ones = np.ones(int(alone.sum()), np.uint32)
    single = Join(start[alone], extents.pages[order[alone]], ones, np.arange(len(ones) + 1), order[alone])
    return _merge(single, shared)


def _overlapping(start: Index, end: Index, extent: Narrow, owner: Index) -> Join:
    """The join of extents that may overlap, ascending by `start`; O(rows log rows)."""
    edges = different(np.concatenate((start, end)))
    low = np.searchsorted(edges, start)
    spans = np.searchsorted(edges, end) - low
    row_interval = spread(low, spans)
    rows = np.repeat(extent, spans)
    depth = np.bincount(row_interval, minlength=len(edges))
    covered = np.flatnonzero(depth)
    pages = (edges[np.minimum(covered + 1, len(edges) - 1)] - edges[covered]).astype(np.uint32)
    owners = distinct(row_interval, owner[rows], len(edges))[covered]
    rows = rows[np.argsort(row_interval, kind="stable")]
    return Join(edges[covered], pages, owners, np.concatenate(([0], np.cumsum(depth[covered]))), rows)


def distinct(place: Index, owner: Index, places: int) -> Narrow:
    """How many different owners each place has: uint32, shape (places,)."""
    width = int(owner.max(initial=0)) + 1
    return np.bincount(different(place * width + owner) // width, minlength=places).astype(np.uint32)


def different(values: Index) -> Index:
    """The different values, ascending: int64. Several times faster here than np.unique, which hashes."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _merge(a: Join, b: Join) -> Join:
    """Two joins of disjoint frames as one, ascending."""
    if not len(b):
        return a
    start = np.concatenate((a.start, b.start))
    order = np.argsort(start)
    first = np.concatenate((a.ptr[:-1], b.ptr[:-1] + len(a.extent)))[order]
    depth = np.concatenate((a.depth, b.depth))[order]
    return Join(
        start[order],
        np.concatenate((a.pages, b.pages))[order],
        np.concatenate((a.owners, b.owners))[order],
        np.concatenate(([0], np.cumsum(depth))),
        np.concatenate((a.extent, b.extent))[spread(first, depth)],
    )


def reached(joined: Join, extents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which intervals the chosen extents (bool, per extent) map."""
    hit = extents[joined.extent]
    return np.add.reduceat(hit, joined.ptr[:-1], dtype=np.int64) > 0 if len(joined) else hit


def close_to(extents: Extents, mine: NDArray[np.bool_], order: int) -> NDArray[np.bool_]:
    """Which extents have a frame in an aligned block of 2^order frames in which one of `mine` (bool) has one."""
    first = extents.pfn.astype(np.int64) >> order
    last = (extents.pfn.astype(np.int64) + extents.pages - 1) >> order
    edges = np.zeros(int(last.max(initial=0)) + 2, np.int64)
    np.add.at(edges, first[mine], 1)
    np.subtract.at(edges, last[mine] + 1, 1)
    before = np.concatenate(([0], np.cumsum(np.cumsum(edges) > 0)))
    return np.asarray(before[last + 1] > before[first])


def keep(joined: Join, intervals: NDArray[np.bool_]) -> Join:
    """The join of the chosen intervals (bool, per interval) only."""
    if intervals.all():
        return joined
    depth = joined.depth[intervals]
    rows = joined.extent[np.repeat(intervals, joined.depth)]
    ptr = np.concatenate(([0], np.cumsum(depth)))
    return Join(joined.start[intervals], joined.pages[intervals], joined.owners[intervals], ptr, rows)


def regroup(joined: Join, owner: Index) -> Join:
    """The same intervals, owned by other groups of MMs (cgroups, say)."""
    interval = np.repeat(np.arange(len(joined)), joined.depth)
    owners = distinct(interval, owner[joined.extent], len(joined))
    return Join(joined.start, joined.pages, owners, joined.ptr, joined.extent)
