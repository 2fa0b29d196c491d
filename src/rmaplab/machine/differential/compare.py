"""Do two machines show the same world? Observations compared up to the names of frames.

For the differential runner. Pure functions over `Machine.observe()` tables.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from rmaplab.machine.protocol import PAGE_SIZE

_PLAIN: Final = ("state", "order", "mapcount", "mmap_exclusive", "anon_exclusive", "pmd_mapped")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row on which live kernel and model disagree about `what`."""

    what: str
    where: str
    live: str
    model: str

    def __str__(self) -> str:
        return f"{self.what} {self.where}: live {self.live}, model {self.model}"


def compare(live: pl.DataFrame, model: pl.DataFrame) -> Difference | None:
    """None if the two tables of schema OBSERVATION agree up to renaming of frames."""
    live, model = live.sort("mm", "address"), model.sort("mm", "address")
    keys = live.select("mm", "address")
    if not keys.equals(model.select("mm", "address")):
        ours, theirs = set(keys.rows()), set(model.select("mm", "address").rows())
        only = sorted(ours ^ theirs)[0]
        return Difference("mapped", _place(*only), str(only in ours), str(only in theirs))
    for name in _PLAIN:
        same = live[name].eq_missing(model[name])
        if not same.all():
            return _at(name, live, model, int((~same).arg_max() or 0))
    return _renaming(live, model)


def _renaming(live: pl.DataFrame, model: pl.DataFrame) -> Difference | None:
    """Frames must correspond one to one, and stand at the same place in their folios."""
    present = live["frame"].is_not_null().to_numpy()
    rows = np.flatnonzero(present)
    ours, theirs = live["frame"].to_numpy()[rows], model["frame"].to_numpy()[rows]
    for one, two in ((ours, theirs), (theirs, ours)):
        _, first, which = np.unique(one, return_index=True, return_inverse=True)
        wrong = np.flatnonzero(two[first][which] != two)
        if len(wrong):
            at = int(rows[wrong[0]])
            other = int(rows[first[which[wrong[0]]]])
            with_row = _place(live["mm"][other], live["address"][other])
            shares = "shares its page with" if one is ours else "does not share its page with"
            words = (shares, "does not") if one is ours else (shares, "does")
            return Difference("frame", _place(live["mm"][at], live["address"][at]), f"{words[0]} {with_row}", words[1])
    place = (live["frame"].cast(pl.Int64) - live["head"].cast(pl.Int64)).eq_missing(
        model["frame"].cast(pl.Int64) - model["head"].cast(pl.Int64)
    )
    return None if place.all() else _at("head", live, model, int((~place).arg_max() or 0))


def _at(name: str, live: pl.DataFrame, model: pl.DataFrame, row: int) -> Difference:
    place = _place(live["mm"][row], live["address"][row])
    return Difference(name, place, str(live[name][row]), str(model[name][row]))


def _place(mm: int, address: int) -> str:
    return f"in MM {mm} at {address:#x} (page {address // PAGE_SIZE % 512} of its block)"
