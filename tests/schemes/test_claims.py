"""Every label agrees with what is found: sound schemes on random traces, heuristics by a concrete wrong answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmaplab.engine import Plan, replay, truth
from rmaplab.schemes import SCHEMES, Exactness, LinearScheme, Predicate, Scheme
from rmaplab.schemes.generations import POSTED
from rmaplab.schemes.mm_id import MmId
from rmaplab.trace import Meta, Trace, TraceBuilder, Verdict
from strategies import rmap_ids, traces

E, S, U = Verdict.EXCLUSIVE, Verdict.SHARED, Verdict.UNKNOWN

SOUND = [s for s in SCHEMES.values() if s.exact is not Exactness.HEURISTIC]
EXACT = [s for s in SCHEMES.values() if s.exact is Exactness.NEVER_WRONG]
LINEAR = [s for s in SCHEMES.values() if isinstance(s, LinearScheme)]


def by_name(scheme: Scheme) -> str:
    return scheme.name


def draw_trace(data: st.DataObject, scheme: Scheme, orders: list[int] | None = None) -> Trace:
    """A trace over orders the scheme covers and IDs that pass its door."""
    covered = [o for o in orders or scheme.orders if o > 0]
    some = data.draw(st.lists(st.sampled_from(covered), min_size=1, max_size=3))
    bits = min(24, *(scheme.accepted_ids(o).bit_length() - 1 for o in some))
    return data.draw(traces(orders=some, id_bits=bits))


@pytest.mark.parametrize("scheme", SOUND, ids=by_name)
@settings(max_examples=100)
@given(data=st.data())
def test_a_sound_scheme_is_never_false_exclusive(scheme: Scheme, data: st.DataObject) -> None:
    trace = draw_trace(data, scheme)
    plan = Plan.of(trace)
    assert not np.any((replay(plan, scheme) == E) & (truth(plan, scheme.predicate) == S))


@pytest.mark.parametrize("scheme", EXACT, ids=by_name)
@given(data=st.data())
def test_a_never_wrong_scheme_is_right_or_beyond_its_range(scheme: Scheme, data: st.DataObject) -> None:
    trace = draw_trace(data, scheme)
    plan = Plan.of(trace)
    verdicts = replay(plan, scheme)
    right = verdicts == truth(plan, scheme.predicate)
    if not isinstance(scheme, LinearScheme):
        assert right.all()
        return
    for row in np.flatnonzero(~right).tolist():
        step, folio = trace.questions["step"][row], trace.questions["folio"][row]
        seen = (trace.events["step"] < step) & (trace.events["folio"] == folio)
        mapcount = trace.events["nr"].filter(seen).sum()
        assert verdicts[row] == U
        assert mapcount > scheme.trusted_mapcount(trace.folios["order"][folio])


@pytest.mark.parametrize("scheme", LINEAR, ids=by_name)
@given(data=st.data())
def test_a_linear_scheme_that_says_shared_within_its_range_is_right(scheme: LinearScheme, data: st.DataObject) -> None:
    """Inequality proves SHARED whatever wrapped; only a mapcount beyond P may make it a guess."""
    trace = draw_trace(data, scheme)
    plan = Plan.of(trace)
    for row in np.flatnonzero((replay(plan, scheme) == S) & (truth(plan) == E)).tolist():
        step, folio = trace.questions["step"][row], trace.questions["folio"][row]
        seen = (trace.events["step"] < step) & (trace.events["folio"] == folio)
        assert scheme.beyond is S
        assert trace.events["nr"].filter(seen).sum() > scheme.trusted_mapcount(trace.folios["order"][folio])


@given(data=st.data())
def test_generations_is_never_false_exclusive_where_its_capacity_says_so(data: st.DataObject) -> None:
    scheme = SCHEMES["generations"]
    trace = draw_trace(data, scheme, [o for o in scheme.orders if scheme.capacity(o) >= 24])
    plan = Plan.of(trace)
    assert not np.any((replay(plan, scheme) == E) & (truth(plan) == S))


def answer(order: int, scheme: Scheme, mappings: list[tuple[int, int, int]], asker: int) -> tuple[int, int]:
    """Verdict and truth for one folio after `mappings` of (mm, page, nr)."""
    builder = TraceBuilder()
    folio = builder.folios(order, "file")[0]
    mm, page, nr = zip(*mappings, strict=True)
    builder.events(folio, mm, page, nr)
    builder.questions(folio, asker, step=1)
    trace = builder.build(Meta("test"))
    return int(replay(trace, scheme)[0]), int(truth(trace, scheme.predicate)[0])


ASKER = 0b10101010


def colliding(chunk: int) -> list[tuple[int, int, int]]:
    """70 mappings by MMs whose digits of `chunk` sum to 70 times the asker's modulo 2^64 in base 513."""
    digits = [70 * (ASKER >> i & 1) + d for i, d in enumerate((2, -14, 42, -70, 70, -42, 14, -2))]
    ids = [sum(1 << i for i, count in enumerate(digits) if k < count) for k in range(70)]
    assert ASKER not in ids
    return [(i << 8 * chunk, page, 1) for page, i in enumerate(ids)]


@pytest.mark.parametrize("order", [7, 8, 9])
@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_generations_as_posted_is_false_exclusive_for_70_mappings_of_others(order: int, chunk: int) -> None:
    asker = ASKER << 8 * chunk
    assert answer(order, SCHEMES["generations"], colliding(chunk), asker) == (E, S)
    assert answer(order, SCHEMES["generations-safe"], colliding(chunk), asker) == (S, S)


def test_generations_at_order_6_escapes_because_70_mappings_are_more_than_its_pages() -> None:
    mappings = [(mm, page % 64, 1) for mm, page, _ in colliding(0)]
    assert answer(6, SCHEMES["generations"], mappings, ASKER) == (S, S)
    assert max(row.collides_from or 0 for row in POSTED if row.first <= 6 <= row.last) > 64


@pytest.mark.parametrize("name", ["generations", "generations-safe"])
def test_generations_takes_one_mm_that_maps_more_than_all_pages_for_shared(name: str) -> None:
    twice = [(5, 0, 512), (5, 0, 1)]
    assert answer(9, SCHEMES[name], twice[:1], 5) == (E, E)
    assert answer(9, SCHEMES[name], twice, 5) == (S, E)


@pytest.mark.parametrize("name", ["estimated-sharers", "likely-shared"])
def test_guessing_from_the_first_page_makes_both_errors(name: str) -> None:
    assert answer(9, SCHEMES[name], [(1, 1, 1), (2, 2, 1)], 1) == (E, S)
    assert answer(9, SCHEMES[name], [(1, 0, 1), (1, 0, 1)], 1) == (S, E)


def test_likely_shared_sees_what_estimated_sharers_misses_when_there_are_more_mappings_than_pages() -> None:
    mappings = [(1, 1, 3), (2, 1, 3)]
    assert answer(2, SCHEMES["estimated-sharers"], mappings, 1) == (E, S)
    assert answer(2, SCHEMES["likely-shared"], mappings, 1) == (S, S)


@pytest.mark.parametrize("scheme", [s for s in SCHEMES.values() if s.exact is Exactness.HEURISTIC], ids=by_name)
def test_the_heuristics_are_the_three_with_a_wrong_case_above(scheme: Scheme) -> None:
    assert scheme.name in ("estimated-sharers", "likely-shared", "generations")


def in_turn(mms: list[int], gone: list[int]) -> Trace:
    """All `mms` map a whole THP in turn, those in `gone` leave; then everybody asks."""
    builder = TraceBuilder()
    folio = builder.folios(9, "anon")[0]
    builder.events(folio, mms, 0, 512)
    if gone:
        builder.events(folio, gone, 0, -512)
    builder.questions(folio, mms, step=1)
    return builder.build(Meta("test"))


def test_mm_id_stays_shared_after_third_mm_leaves() -> None:
    assert replay(in_turn([1, 2, 3], [1, 2]), MmId()).tolist() == [S, S, S]
    assert replay(in_turn([1, 2, 3], [1, 3]), MmId()).tolist() == [E, E, E]
    assert replay(in_turn([1, 2, 3], [3, 2]), MmId()).tolist() == [E, E, E]


def test_mm_id_forgets_the_third_mm_when_nobody_maps_the_folio() -> None:
    assert replay(in_turn([1, 2, 3], [1, 2, 3]), MmId()).tolist() == [E, E, E]


@given(trace=traces(orders=(1, 4, 9), max_crowd=1))
def test_mm_id_is_exact_while_at_most_two_mms_map_a_folio_at_a_time(trace: Trace) -> None:
    """MMs may come and go; the asker need not be one of the two."""
    most: dict[int, int] = {}
    live: dict[int, dict[int, int]] = {}
    verdicts, true = replay(trace, MmId()), truth(trace, Predicate.ANY_OWNER)
    events, done = trace.events.rows(), 0
    for row, (step, folio) in enumerate(trace.questions.select("step", "folio").iter_rows()):
        while done < len(events) and events[done][0] < step:
            _, f, mm, _, nr, _ = events[done]
            counts = live.setdefault(f, {})
            counts[mm] = counts.get(mm, 0) + nr
            most[f] = max(most.get(f, 0), sum(n > 0 for n in counts.values()))
            done += 1
        if most.get(folio, 0) <= 2:
            assert verdicts[row] == true[row]


def test_owner_counter_stays_shared_for_a_survivor_that_did_not_map_first() -> None:
    assert replay(in_turn([1, 2], [1]), SCHEMES["owner-counter"]).tolist() == [S, S]
    assert replay(in_turn([1, 2], [2]), SCHEMES["owner-counter"]).tolist() == [E, S]


def test_owner_counter_has_a_new_owner_after_the_last_unmap() -> None:
    builder = TraceBuilder()
    folio = builder.folios(9, "anon")[0]
    builder.events(folio, [1, 2, 1, 2, 2], 0, [1, 1, -1, -1, 1])
    builder.questions(folio, [1, 2], step=1)
    assert replay(builder.build(Meta("test")), SCHEMES["owner-counter"]).tolist() == [S, E]


@given(trace=traces(orders=(1, 4, 9), max_crowd=70))
def test_owner_counter_is_exact_for_whoever_mapped_the_folio_first(trace: Trace) -> None:
    verdicts, true = replay(trace, SCHEMES["owner-counter"]), truth(trace)
    events, done = trace.events.rows(), 0
    first: dict[int, int] = {}
    total: dict[int, int] = {}
    for row, (step, folio, asker) in enumerate(trace.questions.select("step", "folio", "mm").iter_rows()):
        while done < len(events) and events[done][0] < step:
            _, f, mm, _, nr, _ = events[done]
            if total.get(f, 0) == 0:
                first[f] = mm
            total[f] = total.get(f, 0) + nr
            done += 1
        if total.get(folio, 0) == 0 or first[folio] == asker:
            assert verdicts[row] == true[row]
        else:
            assert verdicts[row] == S


@given(mm=rmap_ids(18), page=st.integers(0, 511))
def test_one_mm_alone_that_maps_pages_once_is_exclusive_for_every_scheme(mm: int, page: int) -> None:
    for scheme in SCHEMES.values():
        assert answer(9, scheme, [(mm, p, 1) for p in range(page, 512, 7)], mm) == (E, E)
