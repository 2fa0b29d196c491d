"""With how many others each MM shares: against sets, and how much work that is, counted in elements handled."""

from typing import Any

import numpy as np
import pytest
from elements import Counting
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.inspect import sharers as module
from rmaplab.inspect.sharers import distinct_sets, neighbours

MMS = 140
PLACES = st.lists(st.lists(st.integers(0, MMS - 1), min_size=1, max_size=6), max_size=30)


def columns(places: list[list[int]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    pairs = [(place, mm) for place, members in enumerate(places) for mm in members]
    return np.array([p for p, _ in pairs], np.int64), np.array([m for _, m in pairs], np.int64)


@given(PLACES)
def test_every_mm_meets_those_it_is_in_a_set_with(places: list[list[int]]) -> None:
    wanted = np.arange(MMS)
    met: list[set[int]] = [set() for _ in range(MMS)]
    for members in places:
        for mm in members:
            met[mm] |= set(members) - {mm}
    found = neighbours(*distinct_sets(*columns(places)), wanted, MMS)
    assert found.tolist() == [len(others) for others in met]


@given(PLACES)
def test_sets_are_kept_once_and_without_doubles(places: list[list[int]]) -> None:
    sets, members = distinct_sets(*columns([*places, *places, [m for mms in places[:1] for m in mms * 2]]))
    found: dict[int, list[int]] = {}
    for one, member in zip(sets.tolist(), members.tolist(), strict=True):
        found.setdefault(one, []).append(member)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, {frozenset(p) for p in places}))


def family(mms: int, extents: int) -> list[list[int]]:
    """What `extents` extents of each of `mms` forked workers come to: each wrote other pages, so that every place is
    mapped by another set."""
    stays = np.random.default_rng(mms).random((extents, mms)) < 0.8
    return [np.flatnonzero(row).tolist() for row in stays]


def work(monkeypatch: pytest.MonkeyPatch, mms: int, extents: int) -> float:
    """Elements handled per mapping of a family."""
    place, owner = columns(family(mms, extents))
    counting = Counting()
    monkeypatch.setattr(module, "np", counting)
    neighbours(*distinct_sets(place, owner), np.arange(mms), mms)
    return counting.elements / len(place)


def test_work_is_linear_in_the_extents_of_a_large_family(monkeypatch: pytest.MonkeyPatch) -> None:
    few = work(monkeypatch, 150, 400)
    assert work(monkeypatch, 150, 1600) < 1.1 * few
    assert work(monkeypatch, 50, 1600) < 2 * few
    assert few < 40
