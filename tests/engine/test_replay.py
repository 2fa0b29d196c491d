"""The engine says what the definitions say: the schemes' own updates, one event at a time, and the oracle."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmaplab.engine import Plan, price, replay, sharers, truth
from rmaplab.schemes import SCHEMES, IdRangeError, LinearScheme, Predicate, Scheme, State, responsible
from rmaplab.schemes.truth import Truth
from rmaplab.trace import Meta, Trace, TraceBuilder, Verdict
from strategies import traces

E, S, U = Verdict.EXCLUSIVE, Verdict.SHARED, Verdict.UNKNOWN

Answer = Callable[[Scheme, State, int], int]


def ask(scheme: Scheme, state: State, mm: int) -> int:
    return int(scheme.verdict(state, mm)[0])


def ask_any_owner(scheme: Scheme, state: State, _: int) -> int:
    assert isinstance(scheme, Truth)
    return int(scheme.verdict_any_owner(state)[0])


def one_by_one(trace: Trace, scheme: Scheme, answer: Answer = ask) -> list[int]:
    """Every question by `Scheme.update` and `Scheme.verdict` alone, one folio and one event at a time."""
    orders = trace.folios["order"].to_list()
    who = [responsible(scheme, order) for order in orders]
    states = [w and w.start(order, 1) for w, order in zip(who, orders, strict=True)]
    events = trace.events.rows()
    answers, done = [], 0
    for step, folio, mm in trace.questions.select("step", "folio", "mm").iter_rows():
        while done < len(events) and events[done][0] < step:
            _, f, m, page, nr, entire = events[done]
            if who[f]:
                states[f] = who[f].update(states[f], m, page, nr, entire)
            done += 1
        answers.append(answer(who[folio], states[folio], mm) if who[folio] else U)
    return answers


def narrow(scheme: Scheme, orders: list[int]) -> int:
    """ID bits that pass the scheme's door on folios of every one of `orders`."""
    return min(w.accepted_ids(o).bit_length() - 1 for o in orders if (w := responsible(scheme, o)))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
@settings(max_examples=40)
@given(data=st.data())
def test_replay_equals_one_update_at_a_time(scheme: Scheme, data: st.DataObject) -> None:
    orders = data.draw(st.lists(st.sampled_from([0, 1, 2, 4, 6, 9, 10, 13, 16, 20]), min_size=1, max_size=3))
    bits = narrow(scheme, [*orders, 0])
    trace = data.draw(traces(orders=orders, id_bits=bits, max_crowd=3))
    assert replay(trace, scheme).tolist() == one_by_one(trace, scheme)


@given(trace=traces(max_crowd=70))
def test_truth_equals_the_oracle_for_both_predicates(trace: Trace) -> None:
    assert truth(trace, Predicate.BY_CALLER).tolist() == one_by_one(trace, Truth())
    assert truth(trace, Predicate.ANY_OWNER).tolist() == one_by_one(trace, Truth(), ask_any_owner)


@given(trace=traces(max_crowd=70))
def test_sharers_counts_mms_and_the_askers_own_mappings(trace: Trace) -> None:
    found = sharers(trace)
    for row, (step, folio, mm) in enumerate(trace.questions.select("step", "folio", "mm").iter_rows()):
        seen = trace.events.filter((pl.col("step") < step) & (pl.col("folio") == folio))
        counts = dict(seen.group_by("mm").agg(pl.col("nr").sum()).filter(pl.col("nr") > 0).iter_rows())
        assert (found.mms[row], found.own[row]) == (len(counts), counts.get(mm, 0))


@settings(max_examples=30)
@given(trace=traces(max_crowd=70, orders=(0, 1, 4, 9)))
@pytest.mark.parametrize("name", ["mm-id", "moments", "likely-shared", "bits"])
def test_the_size_of_blocks_changes_no_answer(name: str, trace: Trace) -> None:
    whole = replay(trace, SCHEMES[name]).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmaplab.engine.plan._BLOCK_EVENTS", 2)
        patch.setattr("rmaplab.engine.plan._BLOCK_FOLIOS", 2)
        assert replay(trace, SCHEMES[name]).tolist() == whole


@given(trace=traces(max_crowd=70))
def test_a_plan_holds_every_row_once_by_order_folio_and_time(trace: Trace) -> None:
    plan = Plan.of(trace)
    assert sorted(plan.rows.tolist()) == list(range(len(trace.events)))
    assert sorted(plan.question_rows.tolist()) == list(range(len(trace.questions)))
    assert sorted(plan.folio.tolist()) == list(range(len(trace.folios)))
    for rank, (begin, end) in enumerate(pairwise(plan.starts.tolist())):
        rows = plan.rows[begin:end]
        assert np.all(rows[1:] > rows[:-1])
        assert np.all(trace.events["folio"].to_numpy()[rows] == plan.folio[rank])
    orders = trace.folios["order"].to_numpy()[plan.folio]
    assert np.all(np.diff(orders.astype(int)) >= 0)


def two_steps(order: int, mms: tuple[int, int] = (1, 2)) -> Trace:
    """MM 1 maps a page in step 0, MM 2 in step 1; MM 1 asks in steps 0, 1 and 2."""
    builder = TraceBuilder()
    folio = builder.folios(order, "anon")
    for mm in mms:
        builder.questions(folio, mms[0])
        builder.events(folio, mm, 0, 1)
        builder.tick()
    builder.questions(folio, mms[0])
    return builder.build(Meta("test"))


@pytest.mark.parametrize("order", [0, 9])
def test_a_question_sees_the_events_of_earlier_steps_only(order: int) -> None:
    assert replay(two_steps(order), SCHEMES["moments"]).tolist() == [E, E, S]
    assert truth(two_steps(order)).tolist() == [E, E, S]


def test_small_folios_are_left_to_their_mapcount_by_every_scheme_but_truth() -> None:
    builder = TraceBuilder()
    folio = builder.folios([0, 0], "anon")
    builder.events(folio, 1, 0, 1)
    builder.events(folio[1], 1, 0, 1)
    builder.tick()
    builder.questions(folio, [2, 1])
    trace = builder.build(Meta("test"))
    for scheme in SCHEMES.values():
        expected = [S, E] if scheme.name == "truth" else [E, S]
        assert replay(trace, scheme).tolist() == expected


def test_an_order_a_scheme_does_not_cover_is_unknown() -> None:
    assert replay(two_steps(21), SCHEMES["one-value"]).tolist() == [U, U, U]
    assert replay(two_steps(1), SCHEMES["generations"]).tolist() == [U, U, U]


def test_a_trace_without_folios_has_no_answers() -> None:
    empty = TraceBuilder().build(Meta("test"))
    for scheme in SCHEMES.values():
        assert len(replay(empty, scheme)) == 0
    assert len(truth(empty)) == 0


@pytest.mark.parametrize("scheme", [s for s in SCHEMES.values() if s.name != "truth"], ids=lambda s: s.name)
def test_an_id_outside_the_door_is_an_error_that_names_the_row(scheme: Scheme) -> None:
    limit = scheme.accepted_ids(9)
    if limit > (1 << 32) - 1:
        assert replay(two_steps(9, (1, (1 << 32) - 1)), scheme).tolist()[:2] == [E, E]
        return
    assert replay(two_steps(9, (1, limit - 1)), scheme)[2] != U
    with pytest.raises(IdRangeError, match=f"events row 1: {scheme.name}: rmap ID {limit} on a folio of order 9"):
        replay(two_steps(9, (1, limit)), scheme)


def test_an_asking_id_outside_the_door_is_an_error_that_names_the_question() -> None:
    builder = TraceBuilder()
    folio = builder.folios(9, "anon")
    builder.questions(folio[0], [1, 1 << 24])
    with pytest.raises(IdRangeError, match="questions row 1: moments: rmap ID 16777216"):
        replay(builder.build(Meta("test")), SCHEMES["moments"])


def test_packed_refuses_a_mapcount_its_23_bits_cannot_hold() -> None:
    builder = TraceBuilder()
    folio = builder.folios([21, 21], "file")
    builder.events(folio[0], range(1, 5), 0, 1 << 21)
    builder.questions(folio, 1, step=1)
    with pytest.raises(IdRangeError, match="events row 3: packed: mapcount 8388608: must be below 8388607"):
        replay(builder.build(Meta("test")), SCHEMES["packed"])


def test_packed_takes_a_large_total_spread_over_folios_and_time() -> None:
    builder = TraceBuilder()
    folio = builder.folios([21, 21], "file")
    builder.events(folio[0], range(1, 4), 0, 1 << 21)
    builder.events(folio[0], range(1, 4), 0, -(1 << 21))
    builder.events(folio[1], range(1, 4), 0, 1 << 21)
    builder.questions(folio, 1, step=1)
    assert replay(builder.build(Meta("test")), SCHEMES["packed"]).tolist() == [E, S]


def test_the_price_counts_rmws_per_event_and_bytes_per_folio() -> None:
    builder = TraceBuilder()
    folio = builder.folios([4, 9, 21], "anon")
    builder.events(folio[0], 1, 0, [16, -16])
    builder.events(folio[1], 1, 0, 1, True)
    builder.events(folio[2], 1, 0, 1)
    trace = builder.build(Meta("test"))
    found = price(trace, SCHEMES["estimated-sharers"])
    assert found.rmw_per_event == (17 + 17 + 2 + 2) / 4
    assert found.by_order == {o: 8 + 4 * 2**o for o in (4, 9, 21)}
    assert found.max_bytes == 8 + 4 * 2**21
    uncovered = price(trace, SCHEMES["one-value"])
    assert set(uncovered.by_order) == {4, 9}
    assert uncovered.mean_bytes == uncovered.max_bytes == 20
    assert uncovered.rmw_per_event == 4


def test_the_price_of_nothing_is_none() -> None:
    found = price(TraceBuilder().build(Meta("test")), SCHEMES["moments"])
    assert (found.max_bytes, found.mean_bytes, found.rmw_per_event) == (None, None, None)


@pytest.mark.parametrize("scheme", [s for s in SCHEMES.values() if isinstance(s, LinearScheme)], ids=lambda s: s.name)
def test_linear_state_depends_on_the_current_mappings_only(scheme: LinearScheme) -> None:
    """Bookkeeping: whatever was mapped and unmapped before, the answer is that of what is mapped now."""
    builder = TraceBuilder()
    folio = builder.folios([9, 9], "anon")
    top = scheme.accepted_ids(9) - 1
    builder.events(folio[0], np.r_[1:100, 1:100], 0, np.r_[np.full(99, 512), np.full(99, -512)])
    builder.events(folio, top, 3, 7)
    builder.questions(folio, [top, top], step=1)
    builder.questions(folio, [top - 1, top - 1], step=1)
    assert replay(builder.build(Meta("test")), scheme).tolist() == [E, E, S, S]
