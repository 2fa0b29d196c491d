"""Do two machines show the same world? Observations compared up to the names of frames.

For the differential runner. Pure functions over `Machine.observe()` tables, whose rows stand by MM and address.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.machine.protocol import PAGE_SIZE

_PLAIN: Final = ("state", "order", "mapcount", "mmap_exclusive", "anon_exclusive", "pmd_mapped")
_NULL: Final = -1


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row on which live kernel and model disagree about `what`."""

    what: str
    where: str
    live: str
    model: str

    def __str__(self) -> str:
        return f"{self.what}{self.where}: live {self.live}, model {self.model}"


def compare(live: pl.DataFrame, model: pl.DataFrame) -> Difference | None:
    """None if the two tables of schema OBSERVATION agree up to renaming of frames."""
    if not (live["mm"].equals(model["mm"]) and live["address"].equals(model["address"])):
        keys, theirs = _keys(live), _keys(model)
        only = sorted(set(keys) ^ set(theirs))[0]
        return Difference("mapped", _place(*only), str(only in keys), str(only in theirs))
    for name in _PLAIN:
        one, two = _numbers(live[name]), _numbers(model[name])
        if not np.array_equal(one, two):
            row = int(np.argmax(one != two))
            return Difference(name, _row(live, row), str(live[name][row]), str(model[name][row]))
    return _frames(live, model)


def _keys(table: pl.DataFrame) -> list[tuple[int, int]]:
    return list(zip(table["mm"].to_list(), table["address"].to_list(), strict=True))


def _numbers(column: pl.Series) -> NDArray[Any]:
    """Values as int64, null as -1, names by their code."""
    if column.dtype == pl.Enum:
        return column.to_physical().to_numpy()
    return column.cast(pl.Int64).fill_null(_NULL).to_numpy()


def _frames(live: pl.DataFrame, model: pl.DataFrame) -> Difference | None:
    """Frames must correspond one to one, and stand at the same place in their folios."""
    one, two = _numbers(live["frame"]), _numbers(model["frame"])
    for ours, theirs, who in ((one, two, "live"), (two, one, "model")):
        _, first, which = np.unique(ours, return_index=True, return_inverse=True)
        wrong = theirs[first][which] != theirs
        if wrong.any():
            row = int(np.argmax(wrong))
            other = _row(live, int(first[which[row]]))
            shares = {"live": f"shares its page with the one{other}", "model": "does not"}
            if who == "model":
                shares = {"live": shares["model"], "model": shares["live"]}
            return Difference("page", _row(live, row), **shares)
    inside, theirs = one - _numbers(live["head"]), two - _numbers(model["head"])
    inside[one == _NULL] = theirs[two == _NULL] = 0
    folio = _numbers(live["head"]) != _NULL
    wrong = folio & (inside != theirs)
    if wrong.any():
        row = int(np.argmax(wrong))
        return Difference("place in folio", _row(live, row), str(inside[row]), str(theirs[row]))
    return None


def _row(table: pl.DataFrame, row: int) -> str:
    return _place(table["mm"][row], table["address"][row])


def _place(mm: int, address: int) -> str:
    return f" in MM {mm} at {address:#x} (page {address // PAGE_SIZE % 512} of its block)"
