"""Any sub-IDs at all, as a table: breadth-first search over sums, from both ends.

For users' functions (`--subids`) and as the cross-check of the methods that know a scheme's structure; small ID ranges
only. For a caller x the sums of differences v(id) - v(x) are walked one mapping at a time in the group (Z / 2^W)^K; the
shortest way back to 0 is the fewest mappings. A walk of n steps has a middle, so depth ceil(n/2) from 0 decides n.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rmaplab.verify.refute.problem import Budget, OutOfBudget, Witness

Rows = NDArray[np.uint64]
"""Group elements, uint64, shape (count, K)."""

_MM_SEARCH = 300_000
_SUMS = 20_000_000
_PER_SECOND = 1_000_000
"""Sums sorted in a second, at least: one sort cannot be interrupted, and is not begun with less time left."""


@dataclass(frozen=True, slots=True)
class Table:
    """What each of `ids` does to the words a caller compares with its own: `steps(k)`, seen from caller ids[k].

    `steps(k)` has a row for every id, that of ids[k] being 0; words are `word_bits` <= 64 wide.
    """

    ids: Sequence[int]
    steps: Callable[[int], Rows]
    word_bits: int

    @property
    def mask(self) -> np.uint64:
        return np.uint64((1 << self.word_bits) - 1)


def from_subids(ids: Sequence[int], subids: Callable[[int], Sequence[int]], word_bits: int) -> Table:
    """The table of a scheme whose values add `subids(id)` for every mapping: integers of any size."""
    mask = (1 << word_bits) - 1
    values = np.array([[int(v) & mask for v in subids(mm)] for mm in ids], np.uint64)
    return Table(ids, lambda k: (values - values[k]) & np.uint64(mask), word_bits)


@dataclass(frozen=True, slots=True)
class Collision:
    """A witness, and what is proved of it; fewest MMs counts among the witnesses of as many mappings."""

    witness: Witness
    fewest_mappings: bool
    fewest_mms: bool


def smallest_collision(table: Table, most: int, budget: Budget) -> Collision | None:
    """A witness of at most `most` mappings with fewest mappings, then fewest MMs; None: there is none.

    Raises OutOfBudget if time ran out before any was found. O(|ids| * sums reached) per caller. All callers are
    searched up to 2 mappings, then up to 4, 8, ...: a small witness of a late caller is found early.
    """
    bound = 1
    while bound < most:
        bound = min(2 * bound, most)
        shortest, complete = _search(table, bound, budget)
        if shortest:
            return _smallest(table, shortest, complete, budget)
    return _smallest(table, *_search(table, 1, budget), budget) if most == 1 else None


def _search(table: Table, bound: int, budget: Budget) -> tuple[dict[int, tuple[int, ...]], bool]:
    """The shortest way back of each caller that has one no longer than another's; False: stopped by the budget."""
    shortest: dict[int, tuple[int, ...]] = {}
    known = bound // 2
    for asked in range(len(table.ids)):
        steps = np.delete(table.steps(asked), asked, axis=0)
        progress = (
            f"no collision of up to {known} mappings; up to {bound} searched for {asked} of {len(table.ids)} callers"
        )
        try:
            path = _way_back(steps, table.mask, bound, budget, progress)
        except OutOfBudget:
            if shortest:
                return shortest, False
            raise
        if path is not None:
            bound = len(path)
            others = [k for k in range(len(table.ids)) if k != asked]
            shortest[asked] = tuple(others[s] for s in path)
    return {asked: path for asked, path in shortest.items() if len(path) == bound}, True


def _smallest(table: Table, shortest: dict[int, tuple[int, ...]], complete: bool, budget: Budget) -> Collision | None:
    if not shortest:
        return None
    n = min(len(path) for path in shortest.values())
    best = {asked: path for asked, path in shortest.items() if len(path) == n}
    witness, fewest = _fewest_mms(table, best, n, budget)
    return Collision(witness, complete or n == 1, (complete and fewest) or n == 1)


def _way_back(steps: Rows, mask: np.uint64, most: int, budget: Budget, progress: str) -> tuple[int, ...] | None:
    """Fewest steps (indices, repetition allowed) that sum to 0, at most `most`; None if there are none."""
    if len(steps) == 0:
        return None
    layers = [np.zeros((1, steps.shape[1]), np.uint64)]
    seen = layers[0]
    for depth in range(1, (most + 1) // 2 + 1):
        parts = []
        sums = len(layers[-1]) * len(steps)
        if sums > _SUMS:
            raise OutOfBudget(f"{progress}; more than {_SUMS:,} sums do not fit")
        budget.check(progress, needed=sums / _PER_SECOND if sums > _PER_SECOND else 0.0)
        for step in steps:
            budget.check(progress)
            parts.append((layers[-1] + step) & mask)
        new = _unique(np.concatenate(parts))
        if depth == 1 and not new.any(axis=1).all():
            return (int(np.flatnonzero(~steps.any(axis=1))[0]),)
        new = new[~_member(new, seen)]
        if len(new) == 0:
            return None
        layers.append(new)
        seen = _unique(np.concatenate([seen, new]))
        closed = _close(layers, steps, mask, most)
        if closed is not None:
            return closed
    return None


def _close(layers: list[Rows], steps: Rows, mask: np.uint64, most: int) -> tuple[int, ...] | None:
    """The shortest closed walk whose halves end in the newest layer and in any layer."""
    newest = len(layers) - 1
    for other in range(newest + 1):
        if newest + other > most or newest + other == 0:
            continue
        meeting = layers[newest][_member((np.uint64(0) - layers[newest]) & mask, layers[other])]
        if len(meeting):
            there = _descend(layers, newest, meeting[0], steps, mask)
            back = _descend(layers, other, (np.uint64(0) - meeting[0]) & mask, steps, mask)
            return tuple(there + back)
    return None


def _descend(layers: list[Rows], depth: int, sum_: Rows, steps: Rows, mask: np.uint64) -> list[int]:
    """Steps that lead from 0 to `sum_`, an element of layer `depth`."""
    path = []
    for level in range(depth - 1, -1, -1):
        before = (sum_ - steps) & mask
        step = int(np.flatnonzero(_member(before, layers[level]))[0])
        path.append(step)
        sum_ = before[step]
    return path


def _keys(rows: Rows) -> NDArray[np.void]:
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _unique(rows: Rows) -> Rows:
    if rows.shape[1] == 1:
        return np.unique(rows.ravel())[:, None]
    return rows[np.unique(_keys(rows), return_index=True)[1]]


def _member(rows: Rows, among: Rows) -> NDArray[np.bool_]:
    if rows.shape[1] == 1:
        return np.isin(rows.ravel(), among.ravel())
    return np.isin(_keys(rows), _keys(among))


def _fewest_mms(table: Table, paths: dict[int, tuple[int, ...]], n: int, budget: Budget) -> tuple[Witness, bool]:
    """Among the witnesses of `n` mappings one with fewest MMs: tries m = 1, 2, ... distinct MMs for every caller."""
    known, caller = min((len(set(path)), asked) for asked, path in paths.items())
    size = len(table.ids)
    for mms in range(1, known):
        if size ** (mms + 1) * n ** (mms - 1) > _MM_SEARCH:
            return _as_witness(table.ids, caller, paths[caller]), False
        for asked in paths:
            if not budget.left:
                return _as_witness(table.ids, caller, paths[caller]), False
            steps = table.steps(asked)
            for chosen in combinations([k for k in range(size) if k != asked], mms):
                split = _split(steps[list(chosen)], n, table.mask)
                if split is not None:
                    path = tuple(k for k, times in zip(chosen, split, strict=True) for _ in range(times))
                    return _as_witness(table.ids, asked, path), True
    return _as_witness(table.ids, caller, paths[caller]), True


def _split(steps: Rows, n: int, mask: np.uint64) -> tuple[int, ...] | None:
    """Positive multiplicities that sum to `n` and take `steps` to 0."""
    size = len(steps)
    if size == 1:
        return None if ((steps[0] * np.uint64(n)) & mask).any() else (n,)
    for cuts in combinations(range(1, n), size - 1):
        times = np.diff(np.array([0, *cuts, n])).astype(np.uint64)
        if not ((steps * times[:, None]).sum(axis=0, dtype=np.uint64) & mask).any():
            return tuple(int(t) for t in times)
    return None


def _as_witness(ids: Sequence[int], asked: int, path: tuple[int, ...]) -> Witness:
    pages: dict[int, int] = {}
    for k in sorted(path):
        pages[ids[k]] = pages.get(ids[k], 0) + 1
    return Witness(ids[asked], pages)
