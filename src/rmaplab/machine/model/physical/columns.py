"""Growable columns and runs: the two data structures everything in the model is made of.

For the rest of the model only. Nothing here knows of memory management.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Index = NDArray[np.int64]

_ONLY: Final = np.zeros(1, np.int64)

_LONG_RUN: Final = 16
"""From this mean length on, a slice per run beats one fancy index over all elements."""


class Columns:
    """Named arrays of one common length that grow by an eighth; `columns["name"]` is the array itself.

    New rows are zero. O(1) amortised an appended row.
    """

    def __init__(self, dtypes: dict[str, Any], capacity: int = 1024) -> None:
        self._arrays = {name: np.zeros(capacity, dtype) for name, dtype in dtypes.items()}
        self._capacity = capacity
        self.rows = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def extend(self, rows: int) -> int:
        """Make room for `rows` more; returns the number of the first."""
        first = self.rows
        self.rows += rows
        if self.rows > self._capacity:
            self._capacity = max(self.rows, self._capacity + self._capacity // 8)
            for name, old in self._arrays.items():
                self._arrays[name] = np.zeros(self._capacity, old.dtype)
                self._arrays[name][:first] = old[:first]
        return first

    def append(self, rows: int, values: dict[str, ArrayLike]) -> None:
        """Append `rows` rows; columns not named stay zero."""
        first = self.extend(rows)
        for name, value in values.items():
            self._arrays[name][first : self.rows] = value

    def used(self, name: str) -> NDArray[Any]:
        """The rows in use of one column, a view."""
        return self._arrays[name][: self.rows]

    @property
    def bytes(self) -> int:
        return sum(a.nbytes for a in self._arrays.values())


class Pool:
    """Numbers that were given back, to be given out again, the last ones first."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint32]] = []

    def give(self, numbers: NDArray[np.uint32]) -> None:
        """Put these in."""
        self._parts.append(numbers)

    def take(self, count: int) -> NDArray[np.uint32]:
        """Take `count` of them out, or all if there are fewer. O(count + arrays put in)."""
        parts = [np.zeros(0, np.uint32)]
        while count and self._parts:
            part = self._parts.pop()
            if len(part) > count:
                self._parts.append(part[count:])
                part = part[:count]
            parts.append(part)
            count -= len(part)
        return parts[-1] if len(parts) <= 2 else np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of consecutive frames of one folio: one element a run.

    `at` is the position of the run's first element in the array it was found in, `first` its first frame, `size` its
    length in pages. All int64, shape (runs,).
    """

    at: Index
    first: Index
    size: Index

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, which: NDArray[Any]) -> "Runs":
        return Runs(self.at[which], self.first[which], self.size[which])

    def frames(self) -> Index:
        """Every frame of every run, in order: int64, shape (pages,)."""
        return spread(self.first, self.size)

    def add(self, column: NDArray[Any], delta: int) -> None:
        """`column[frame] += delta` once for every frame of every run (a frame may occur in several runs)."""
        if self._long():
            for first, size in zip(self.first.tolist(), self.size.tolist(), strict=True):
                column[first : first + size] += column.dtype.type(delta)
        else:
            np.add.at(column, self.frames(), column.dtype.type(delta))

    def fill(self, column: NDArray[Any], value: int | bool) -> None:
        """`column[frame] = value` for every frame of every run."""
        if self._long():
            for first, size in zip(self.first.tolist(), self.size.tolist(), strict=True):
                column[first : first + size] = value
        else:
            column[self.frames()] = value

    def _long(self) -> bool:
        return int(self.size.sum()) >= _LONG_RUN * len(self)


def spread(first: Index, size: Index) -> Index:
    """Concatenation of `arange(first[i], first[i] + size[i])`: int64."""
    ends = np.cumsum(size)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + np.repeat(first - (ends - size), size), np.int64)


def runs_of(frames: NDArray[np.uint32], heads: NDArray[np.bool_]) -> Runs:
    """Split `frames` (as found in a page table, in address order) into runs of consecutive frames of one folio.

    `heads` tells which frames are a folio's first. O(len(frames)).
    """
    if not len(frames):
        nothing = np.zeros(0, np.int64)
        return Runs(nothing, nothing, nothing)
    jump = frames[1:] != frames[:-1] + np.uint32(1)
    jump |= heads[frames[1:]]
    at = np.concatenate(([0], np.flatnonzero(jump) + 1)).astype(np.int64)
    size = np.diff(at, append=len(frames))
    return Runs(at, frames[at].astype(np.int64), size)


def distinct_rounds(keys: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Partition positions so that no key occurs twice within a part, the k-th occurrences standing in part k.

    For updates that must not meet the same element twice. One part if the keys are distinct.
    """
    if len(keys) == 1:
        return [_ONLY]
    if bool((keys[1:] > keys[:-1]).all()):
        return [np.arange(len(keys))]
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    starts = np.flatnonzero(new)
    rank = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))
    return [np.sort(order[rank == k]) for k in range(int(rank.max()) + 1)]
