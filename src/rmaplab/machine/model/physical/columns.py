"""Growable columns and runs: the two data structures everything in the model is made of.

For the rest of the model only. Nothing here knows of memory management.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]

_ONLY: Final = np.zeros(1, np.int64)

_LONG_RUN: Final = 16
"""From this mean length on, a slice per run beats one fancy index over all elements."""


def cells_of(array: NDArray[Any]) -> memoryview:
    """The memory of `array`, an element of which is read and written as a plain number."""
    return memoryview(array)  # type: ignore[arg-type]  # an ndarray is a buffer; Python 3.11 cannot say so


class Columns:
    """Named arrays of one common length that grow by an eighth; `columns["name"]` is the array itself.

    `cells["name"]` is the same memory for who reads or writes one element as a plain number: NumPy takes five times as
    long for that. Neither is to be kept: growing makes new ones. New rows are zero. O(1) amortised an appended row.
    """

    def __init__(self, dtypes: dict[str, Any], capacity: int = 1024) -> None:
        self._arrays = {name: np.zeros(capacity, dtype) for name, dtype in dtypes.items()}
        self.cells = {name: cells_of(array) for name, array in self._arrays.items()}
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
            self.cells = {name: cells_of(array) for name, array in self._arrays.items()}
        return first

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
            for first, end in self._stretches():
                column[first:end] += column.dtype.type(delta)
        else:
            np.add.at(column, self.frames(), column.dtype.type(delta))

    def fill(self, column: NDArray[Any], value: int | bool) -> None:
        """`column[frame] = value` for every frame of every run."""
        if self._long():
            for first, end in self._stretches():
                column[first:end] = value
        else:
            column[self.frames()] = value

    def _long(self) -> bool:
        return 0 < _LONG_RUN * len(self) <= int(self.size.sum())

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """First frame and end of what runs make up that follow one another."""
        ends = self.first + self.size
        begins = np.concatenate(([True], self.first[1:] != ends[:-1]))
        return zip(self.first[begins].tolist(), ends[np.append(begins[1:], True)].tolist(), strict=True)


Where = slice | NDArray[Any] | None
"""An index in which no element occurs twice; None for one in which some may."""


def distinct(keys: NDArray[Any]) -> Where:
    """`keys` as an index in which none occurs twice, a slice where they follow one another; None where one may.

    O(keys). Adding to a column through such an index counts each key once, and a slice takes a fraction of the time.
    """
    if len(keys) > 1 and not bool((keys[1:] > keys[:-1]).all()):
        return None
    first, last = (int(keys[0]), int(keys[-1])) if len(keys) else (0, -1)
    return slice(first, last + 1) if last - first + 1 == len(keys) else keys


def alike(values: Index) -> Index | int:
    """The one number that all of `values` (at least one) are, or `values`."""
    first = int(values[0])
    return first if bool((values == first).all()) else values


def add_at(
    column: NDArray[Any], keys: NDArray[Any], where: slice | NDArray[Any] | None, delta: NDArray[Any] | int
) -> None:
    """`column[key] += delta` once for every element of `keys`, of which one may occur several times; `where` is what
    `distinct` says of them."""
    if where is None:
        np.add.at(column, keys, delta)
    else:
        column[where] += delta


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
