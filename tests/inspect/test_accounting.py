"""The kernel's counts against what was found, on drawn page tables of which one is hidden. Needs no privileges."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from test_join import FRAMES, MMS, ORDERS, RUNS, build, count, folio_of, page_tables

from rmaplab.inspect.accounting import Account, account
from rmaplab.inspect.exactness import Exactness
from rmaplab.inspect.folio_state import FolioState
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.sharing import Sharing
from rmaplab.inspect.tally import tally

HIDDEN = MMS - 1
NONE = np.zeros(0, np.int64)


class Counts:
    """A reader whose kernel maps what `frames` says."""

    counts_small = counts_large = True

    def __init__(self, frames: dict[int, Counter[int]], orders: dict[int, int]) -> None:
        self.frames, self.orders = frames, orders

    def read(self, heads: np.ndarray[Any, Any], _large: np.ndarray[Any, Any], _bit: int = -1) -> FolioState:
        counts = [
            sum(self.frames[p].total() for p in range(h, h + (1 << self.orders[h])) if p in self.frames)
            for h in heads.tolist()
        ]
        mapcount, blank = np.array(counts, np.int64), np.zeros(len(heads), np.int64)
        pair = np.zeros((len(heads), 2), np.int64)
        yes = np.ones(len(heads), np.bool_)
        return FolioState(mapcount, mapcount, blank.astype(np.uint64), ~yes, pair, pair, blank.astype(np.int8), yes)


def look(orders: list[int], drawn: list[tuple[int, int, int]]) -> tuple[Sharing, Account, dict[int, Counter[int]]] | None:
    """What is found without the MM HIDDEN, the account, and the truth; None if nothing else is mapped."""
    shown = [run for run in drawn if run[0] != HIDDEN]
    if not shown:
        return None
    frames = count(page_tables(drawn))
    sharing, _ = build(orders, shown)
    sizes = dict(zip(sharing.folios.head.tolist(), sharing.folios.order.tolist(), strict=True))
    view = KernelView([], Counts(frames, sizes), -1, True)  # type: ignore[arg-type]
    found = account(sharing, view, pmds=True, everybodys=NONE)
    return replace(sharing, unseen=found.unseen, times=found.times), found, frames


@given(ORDERS, RUNS)
def test_no_folio_that_somebody_hidden_maps_is_exclusive(orders: list[int], drawn: list[tuple[int, int, int]]) -> None:
    if (made := look(orders, drawn)) is None:
        return
    sharing, found, frames = made
    for row in range(len(sharing.folios)):
        mms = set().union(*(frames[p] for p in folio_of(sharing, row) if p in frames))
        assert (HIDDEN in mms) == (row in found.more.tolist())
        assert sharing.owners[row] == sharing.owners_of(np.array([row]))[0] == len(mms)
    assert found.agrees == (len(found.doubtful) == 0)
    assert not len(found.fewer)
    exactness = Exactness("proof", tuple(found.reasons(sharing, "")))
    assert exactness.label == ("exact" if found.agrees else "estimate")
    assert sum(r.folios for r in exactness.reasons) == len(found.doubtful)


@given(ORDERS, RUNS)
def test_sums_of_small_folios_are_the_truth_whoever_is_hidden(
    orders: list[int], drawn: list[tuple[int, int, int]]
) -> None:
    del orders
    if (made := look([0] * FRAMES, drawn)) is None:
        return
    sharing, found, frames = made
    table = tally(sharing, sharing.owner, MMS)
    for mm in range(HIDDEN):
        mine = [who for who in frames.values() if mm in who]
        assert table["resident"][mm] == sum(who[mm] for who in mine)
        assert np.isclose(table["exclusive"][mm], sum(who[mm] for who in mine if len(who) == 1))
        assert np.isclose(table["uss"][mm], sum(1 for who in mine if len(who) == 1))
        assert np.isclose(table["pss"][mm], sum(who[mm] / who.total() for who in mine))
    several = {row for row in found.more.tolist() if len(frames[int(sharing.folios.head[row])]) > 2}
    assert set(found.nameless.tolist()) == several


@given(ORDERS, RUNS)
def test_mapping_that_went_is_noticed(orders: list[int], drawn: list[tuple[int, int, int]]) -> None:
    sharing, frames = build(orders, drawn)
    frame = min(frames)
    frames[frame] = Counter({mm: n - 1 for mm, n in frames[frame].items()})
    sizes = dict(zip(sharing.folios.head.tolist(), sharing.folios.order.tolist(), strict=True))
    found = account(sharing, KernelView([], Counts(frames, sizes), -1, True), pmds=True, everybodys=NONE)  # type: ignore[arg-type]
    assert len(found.fewer) == 1
    assert frame in folio_of(sharing, int(found.fewer[0]))
