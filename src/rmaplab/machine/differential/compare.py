"""Do two machines show the same world? Observations compared up to the names of frames.

For the differential runner. Pure functions over two `Observation`s.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from rmaplab.machine.observation import UNKNOWN, Observation
from rmaplab.machine.protocol import PAGE_SIZE

_PLAIN: Final = ("state", "order", "mapcount", "mmap_exclusive", "anon_exclusive", "pmd_mapped", "kind", "uffd_wp")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first page on which live kernel and model disagree about `what`."""

    what: str
    where: str
    live: str
    model: str

    def __str__(self) -> str:
        return f"{self.what}{self.where}: live {self.live}, model {self.model}"


def compare(live: Observation, model: Observation) -> Difference | None:
    """None if the two agree up to renaming of frames and swap slots."""
    if not (np.array_equal(live.mm, model.mm) and np.array_equal(live.address, model.address)):
        keys, theirs = _keys(live), _keys(model)
        only = sorted(set(keys) ^ set(theirs))[0]
        return Difference("mapped", _place(*only), str(only in keys), str(only in theirs))
    for name in _PLAIN:
        one, two = getattr(live, name), getattr(model, name)
        if not np.array_equal(one, two):
            row = int(np.argmax(one != two))
            values = (side.table()[name][row] for side in (live, model))
            return Difference(name, _row(live, row), *(str(value) for value in values))
    return _same(live, model, "frame", "page") or _places(live, model) or _same(live, model, "slot", "swap slot")


def _keys(seen: Observation) -> list[tuple[int, int]]:
    return list(zip(seen.mm.tolist(), seen.address.tolist(), strict=True))


def _same(live: Observation, model: Observation, column: str, what: str) -> Difference | None:
    """The names in `column` must correspond one to one."""
    one, two = getattr(live, column), getattr(model, column)
    for ours, theirs, who in ((one, two, "live"), (two, one, "model")):
        _, first, which = np.unique(ours, return_index=True, return_inverse=True)
        wrong = theirs[first][which] != theirs
        if wrong.any():
            row = int(np.argmax(wrong))
            other = _row(live, int(first[which[row]]))
            shares = {"live": f"shares its {what} with the page{other}", "model": "does not"}
            if who == "model":
                shares = {"live": shares["model"], "model": shares["live"]}
            return Difference(what, _row(live, row), **shares)
    return None


def _places(live: Observation, model: Observation) -> Difference | None:
    """Frames must stand at the same place in their folios."""
    inside, theirs = live.frame - live.head, model.frame - model.head
    wrong = (live.head != UNKNOWN) & (inside != theirs)
    if wrong.any():
        row = int(np.argmax(wrong))
        return Difference("place in folio", _row(live, row), str(inside[row]), str(theirs[row]))
    return None


def _row(seen: Observation, row: int) -> str:
    return _place(int(seen.mm[row]), int(seen.address[row]))


def _place(mm: int, address: int) -> str:
    return f" in MM {mm} at {address:#x} (page {address // PAGE_SIZE % 512} of its block)"
