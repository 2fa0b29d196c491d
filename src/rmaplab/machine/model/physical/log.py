"""Rows that are only ever added and seldom read: what a trace is written to while it grows.

For the recorder only. A row costs what tells it from its neighbours: of many rows written at once, a value they share is
kept once; rows written one by one are kept as plain numbers and packed a few thousand at a time.
"""

from array import array
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Part = tuple[int, tuple[Any, ...]]
"""Rows, and of each column an array of so many values, or the one value of all."""

_PACKED: Final = 1 << 16
"""Numbers of single rows that are packed together."""

_FEW: Final = 64
"""Rows written at once that are kept as single ones: as a part of their own they would take more room."""


class Log:
    """Columns of the given dtypes. O(1) a row that is added, O(rows) to read a column."""

    def __init__(self, dtypes: dict[str, Any]) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._parts: list[Part] = []
        self._packed = 0
        """Rows in `_parts`."""
        self._single = array("q")
        """Rows that follow them, number by number: objects of their own would keep the garbage collector busy."""

    @property
    def rows(self) -> int:
        return self._packed + len(self._single) // len(self._dtypes)

    def add(self, *row: int) -> None:
        """Append one row of plain numbers."""
        self._single.extend(row)
        if len(self._single) >= _PACKED:
            self._pack()

    def extend(self, rows: int, *values: ArrayLike) -> None:
        """Append `rows` rows: of each column an array of so many values, or the one value of all. They are copied."""
        if rows < _FEW:
            few = np.empty((rows, len(values)), np.int64)
            for number, value in enumerate(values):
                few[:, number] = value
            self._single.frombytes(few.tobytes())
            return
        self._pack()
        columns = zip(values, self._dtypes.values(), strict=True)
        kept = tuple(np.array(v, dtype) if isinstance(v, np.ndarray) else v for v, dtype in columns)
        self._parts.append((rows, kept))
        self._packed += rows

    def _pack(self) -> None:
        if not self._single:
            return
        columns = np.frombuffer(self._single, np.int64).reshape(-1, len(self._dtypes)).T
        kept = tuple(np.array(c, dtype) for c, dtype in zip(columns, self._dtypes.values(), strict=True))
        self._parts.append((columns.shape[1], kept))
        self._packed += columns.shape[1]
        self._single = array("q")

    def column(self, name: str) -> NDArray[Any]:
        """All of one column."""
        self._pack()
        number, dtype = list(self._dtypes).index(name), self._dtypes[name]
        whole, at = np.empty(self._packed, dtype), 0
        for rows, values in self._parts:
            whole[at : at + rows] = values[number]
            at += rows
        return whole

    @property
    def bytes(self) -> int:
        """What the arrays hold."""
        return sum(v.nbytes for _, values in self._parts for v in values if isinstance(v, np.ndarray))
