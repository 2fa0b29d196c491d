"""State of the question "exclusive or shared?" for every large folio: the policy's scheme, and the truth.

For `memory`. One table per folio order; a folio's row in it is the folio table's `row`. Small folios have no row: their
mapcount answers, as in every kernel.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.columns import Index, Pool, add_at, cells_of, distinct, distinct_rounds
from rmaplab.schemes import Scheme, State
from rmaplab.trace import Verdict

_MODULUS: Final = 1 << 64
_REMEMBERED: Final = 1 << 14
"""Updates of single folios an order's table remembers, about 300 B each."""


class _Table:
    """Rows of one order: the scheme's state, and the sums that tell the truth.

    `ids` and `squares` are the sums of the mapping MMs' IDs and of their squares, modulo 2^64: all mappings are
    `x`'s iff squares - 2*x*ids + mapcount*x^2 is 0, exact here for any number of mappings a test machine can hold.
    """

    def __init__(self, scheme: Scheme, order: int) -> None:
        self.scheme = scheme if order in scheme.orders else None
        self.order = order
        self._accepted = scheme.accepted_ids(order) if self.scheme else 0
        self.state: NDArray[Any] = scheme.start(order, 0).data if self.scheme else np.zeros((0, 1), np.uint64)
        self.sums = np.zeros((0, 3), np.uint64)
        self.free = Pool()
        self._fresh = 0
        self._bytes = _as_bytes(self.state) if self.scheme else None
        self._cells = cells_of(self.sums)
        self._seen: dict[tuple[bytes, int, int, int, bool], NDArray[np.uint8]] = {}
        """State, argument of an update: the state after it."""

    def open(self, count: int) -> NDArray[np.uint32]:
        rows = self.free.take(count)
        fresh = count - len(rows)
        if fresh:
            self._reserve(self._fresh + fresh)
            rows = np.concatenate((rows, np.arange(self._fresh, self._fresh + fresh, dtype=np.uint32)))
            self._fresh += fresh
        self.sums[rows] = 0
        if self.scheme:
            self.state[rows] = self.scheme.start(self.order, len(rows)).data
        return rows

    def _reserve(self, rows: int) -> None:
        have = len(self.sums)
        if rows <= have:
            return
        more = max(rows - have, have, 64)
        self.sums = np.concatenate((self.sums, np.zeros((more, 3), np.uint64)))
        self._cells = cells_of(self.sums)
        if self.scheme:
            self.state = np.concatenate((self.state, self.scheme.start(self.order, more).data))
            self._bytes = _as_bytes(self.state)

    def update(self, rows: Index, mm: int, page: Index | int, nr: Index | int, *, entire: bool) -> None:
        """To the scheme's state and to the truth."""
        where = distinct(rows)
        self._count(rows, where, mm, nr)
        if self.scheme is None:
            return
        if mm >= self._accepted:
            self.scheme.check_ids(self.order, mm)
        if isinstance(page, int) and isinstance(nr, int) and self._update_alike(where, mm, page, nr, entire=entire):
            return
        pages, nrs = np.broadcast_to(page, len(rows)), np.broadcast_to(nr, len(rows))
        for part in distinct_rounds(rows):
            which = rows[part]
            state = State(self.order, self.state[which])
            self.state[which] = self.scheme.update(state, mm, pages[part], nrs[part], entire).data

    def _update_alike(self, where: slice | Index | None, mm: int, page: int, nr: int, *, entire: bool) -> bool:
        """The scheme's part of `update` for rows that are all in one state, as in memory forked whole: once for all.
        False if they are not."""
        if self._bytes is None or where is None:
            return False
        states = self._bytes[where]
        if not len(states) or not bool((states == states[0]).all()):
            return False
        self._bytes[where] = self._after(states[0], mm, page, nr, entire=entire)
        return True

    def _after(self, before: NDArray[np.uint8], mm: int, page: int, nr: int, *, entire: bool) -> NDArray[np.uint8]:
        """What a state becomes, as bytes. What a scheme made of one once it makes of it again."""
        key = (before.tobytes(), mm, page, nr, entire)
        after = self._seen.get(key)
        if after is None:
            assert self.scheme is not None
            if mm >= self._accepted:
                self.scheme.check_ids(self.order, mm)
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            state = State(self.order, before.copy().view(self.state.dtype).reshape(1, *self.state.shape[1:]))
            made = self.scheme.update(state, mm, np.array([page]), np.array([nr]), entire).data
            after = self._seen[key] = made.view(np.uint8).reshape(-1)
        return after

    def _count(self, rows: Index, where: slice | Index | None, mm: int, nr: Index | int) -> None:
        if isinstance(nr, int):
            moved = np.array([nr % _MODULUS, nr * mm % _MODULUS, nr * mm * mm % _MODULUS], np.uint64)
        else:
            times, who = nr.astype(np.uint64), np.uint64(mm)
            moved = np.stack((times, times * who, times * who * who), axis=1)
        add_at(self.sums, rows, where, moved)

    def update_one(self, row: int, mm: int, page: int, nr: int, *, entire: bool) -> None:
        """`update` of one row, in plain numbers."""
        cells, moved = self._cells, nr * mm
        cells[row, 0] = (cells[row, 0] + nr) % _MODULUS
        cells[row, 1] = (cells[row, 1] + moved) % _MODULUS
        cells[row, 2] = (cells[row, 2] + moved * mm) % _MODULUS
        if self._bytes is not None:
            self._bytes[row] = self._after(self._bytes[row], mm, page, nr, entire=entire)
        elif self.scheme is not None:
            if mm >= self._accepted:
                self.scheme.check_ids(self.order, mm)
            state = State(self.order, self.state[row : row + 1])
            self.state[row : row + 1] = self.scheme.update(state, mm, np.array([page]), np.array([nr]), entire).data


def _as_bytes(state: NDArray[Any]) -> NDArray[np.uint8] | None:
    """A view of the state with one row of bytes a folio; None if it holds objects (the `truth` scheme)."""
    if state.dtype.hasobject:
        return None
    width = state.dtype.itemsize * math.prod(state.shape[1:])
    return state.view(np.uint8).reshape(len(state), width)


class Answers:
    """All large folios' tables, by order."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self._tables: dict[int, _Table] = {}

    def open(self, order: int, count: int) -> NDArray[np.uint32]:
        """Rows for `count` new folios of `order` > 0 that nobody maps."""
        if order not in self._tables:
            self._tables[order] = _Table(self.scheme, order)
        return self._tables[order].open(count)

    def close(self, order: int, rows: NDArray[np.uint32]) -> None:
        """Give rows back."""
        self._tables[order].free.give(rows)

    def update(self, order: int, rows: Index, mm: int, page: Index | int, nr: Index | int, *, entire: bool) -> None:
        """One rmap update per element (rows may repeat: then in this order), to the scheme's state and to the truth; a
        number is the same for all."""
        self._tables[order].update(rows, mm, page, nr, entire=entire)

    def update_one(self, order: int, row: int, mm: int, page: int, nr: int, *, entire: bool) -> None:
        """The same for one row."""
        self._tables[order].update_one(row, mm, page, nr, entire=entire)

    def verdict(self, order: int, rows: Index, mm: int) -> NDArray[np.uint8]:
        """What the scheme says to `mm`, one `Verdict` a row; UNKNOWN if it does not cover the order."""
        table = self._tables[order]
        if table.scheme is None:
            return np.full(len(rows), Verdict.UNKNOWN, np.uint8)
        return table.scheme.verdict(State(order, table.state[rows]), mm)

    def truth(self, order: int, rows: Index, mm: int) -> NDArray[np.uint8]:
        """What is so, for `mm`: EXCLUSIVE or SHARED."""
        n, ids, squares = self._tables[order].sums[rows].T
        x = np.uint64(mm)
        others = squares - np.uint64(2) * x * ids + n * x * x
        return np.where(others == 0, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)

    def sums(self, order: int, rows: Index) -> NDArray[np.uint64]:
        """Mapcount, sum of IDs and sum of squared IDs, shape (rows, 3), for the invariants."""
        return self._tables[order].sums[rows]

    def state(self, order: int, rows: Index) -> State | None:
        """The scheme's state, for observers and invariants; None if the scheme does not cover the order."""
        table = self._tables[order]
        return State(order, table.state[rows]) if table.scheme else None

    @property
    def bytes(self) -> int:
        return sum(t.state.nbytes + t.sums.nbytes for t in self._tables.values())
