"""Columns that grow together, with no second copy of what is there: for tables that make the peak of a look's memory."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FIRST: Final = 1 << 10


class Growing:
    """Arrays of one length and given dtypes. O(1) amortised a row; large ones grow where they are, or by mremap(2)."""

    def __init__(self, *dtypes: Any) -> None:
        self._columns: list[NDArray[Any]] = [np.empty(_FIRST, dtype) for dtype in dtypes]
        self._rows = 0

    def add(self, *parts: NDArray[Any]) -> None:
        """Append a part to each column; their dtypes become the columns'."""
        first, self._rows = self._rows, self._rows + len(parts[0])
        room = len(self._columns[0])
        if self._rows > room:
            self._resize(max(self._rows, room + room // 8))
        for column, part in zip(self._columns, parts, strict=True):
            column[first : self._rows] = part

    def columns(self) -> list[NDArray[Any]]:
        """The arrays; nothing is added afterwards."""
        self._resize(self._rows)
        return self._columns

    def _resize(self, rows: int) -> None:
        for column in self._columns:
            column.resize(rows, refcheck=False)
