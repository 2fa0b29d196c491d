"""What `Machine.observe()` shows, as plain arrays: one element per virtual page, unknown values -1.

For the machines, which fill it, and the differential test, which compares two after every step: there the table
(`table`) would cost more than the look itself.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.machine.protocol import OBSERVATION
from rmaplab.trace import KIND, KINDS

Index = NDArray[np.int64]

UNKNOWN: Final = -1
NONE, PRESENT, SWAP, GUARD = range(4)
"""Codes of `Observation.state`."""

_KINDS: Final = pl.Series([*KINDS, None], dtype=KIND)
_STATES: Final = pl.Series(["none", "present", "swap", "guard"], dtype=OBSERVATION["state"])


@dataclass(frozen=True, slots=True)
class Observation:
    """The columns of schema OBSERVATION, by MM and address: int64, shape (pages,), `UNKNOWN` where the table has null.

    `mm`, `address`, `state` and `uffd_wp` are always known.
    """

    mm: Index
    address: Index
    state: Index
    frame: Index
    head: Index
    order: Index
    mapcount: Index
    mmap_exclusive: Index
    anon_exclusive: Index
    pmd_mapped: Index
    kind: Index
    slot: Index
    uffd_wp: Index

    def __len__(self) -> int:
        return len(self.mm)

    def table(self) -> pl.DataFrame:
        """The same with schema OBSERVATION."""
        return pl.DataFrame({name: self._series(name, dtype) for name, dtype in OBSERVATION.items()})

    def _series(self, name: str, dtype: pl.DataType) -> pl.Series:
        values = getattr(self, name)
        if name == "state":
            return _STATES.gather(values)
        if name == "kind":
            return _KINDS.gather(np.where(values == UNKNOWN, len(KINDS), values))
        return pl.Series(values).set(pl.Series(values == UNKNOWN), None).cast(dtype)


def known_where(mask: NDArray[np.bool_], values: NDArray[np.generic]) -> Index:
    """`values` as int64, UNKNOWN where `mask` is false."""
    return np.where(mask, values.astype(np.int64), UNKNOWN)
