"""Capacity, door and arithmetic of every scheme, against the formulas of docs/schemes.md in Python's own integers."""

from collections.abc import Iterator
from itertools import combinations_with_replacement
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.schemes import SCHEMES, IdRangeError, LinearScheme, Op, Scheme, State, responsible, select
from rmaplab.schemes.bits import Bits
from rmaplab.schemes.generations import POSTED, GenerationsSafe
from rmaplab.schemes.moments import Moments, owner
from rmaplab.schemes.one_value import OneValue, split
from rmaplab.schemes.packed import Packed, trusted
from rmaplab.trace import MAX_ORDER, Verdict
from strategies import rmap_ids

WORD = 1 << 64
ALL = list(SCHEMES.values())
LINEAR = [s for s in ALL if isinstance(s, LinearScheme)]
PAIRS = [(s, o) for s in ALL for o in s.orders]
LINEAR_PAIRS = [(s, o) for s, o in PAIRS if isinstance(s, LinearScheme)]
TABLE = {2: (1, 24, 5), 5: (2, 12, 33), 9: (3, 8, 513), 10: (4, 6, 1025), 12: (5, 5, 4097), 15: (6, 4, 32769)}


def name(value: object) -> str:
    return value.name if isinstance(value, Scheme) else str(value)


def digits(chunk: int, bits: int, base: int) -> int:
    return sum((chunk >> i & 1) * base**i for i in range(bits))


def definition(scheme: LinearScheme, order: int, mm: int) -> list[int]:
    """What one mapping adds, word by word, read off docs/schemes.md for 24-bit IDs. Not reduced modulo 2^64."""
    if scheme.name in ("generations", "generations-safe"):
        if scheme.name == "generations":
            values, bits, base = TABLE[min(last for last in TABLE if order <= last)]
        else:
            base = (1 << order) + 1
            longest = max(n for n in range(1, 65) if base**n <= WORD)
            values = -(-24 // longest)
            bits = -(-24 // values)
        return [1, *(digits(mm >> k * bits & (1 << bits) - 1, bits, base) for k in range(values))]
    if scheme.name == "bits":
        return [1, *(mm >> k & 1 for k in range(24))]
    if scheme.name == "moments":
        return [1, mm, mm * mm]
    if scheme.name == "packed":
        return [1 + (mm << 24), mm * mm]
    a, c = split(order)
    x, y = mm % (1 << a), mm >> a
    return [1, x + (y << order + a) + (x * x + y * y << 2 * order + a + c)]


def state_of(scheme: LinearScheme, order: int, ids: np.ndarray) -> State:
    """State of folios that map, one mapping each, the MMs of a row of `ids`."""
    state = scheme.start(order, len(ids))
    for column in ids.T:
        state = scheme.update(state, column, 0, 1, False)
    return state


@pytest.mark.parametrize(("scheme", "order"), LINEAR_PAIRS, ids=name)
def test_addends_are_those_of_the_definition(scheme: LinearScheme, order: int) -> None:
    top = scheme.accepted_ids(order) - 1
    ids = sorted({1, 2, 3, top // 3, 2 * (top // 3), top - 1, top, *(1 << i for i in range(top.bit_length()))})
    words = [scheme.addend(order, w, np.array(ids, np.uint64)).tolist() for w in range(scheme.words(order))]
    assert list(zip(*words, strict=True)) == [tuple(v % WORD for v in definition(scheme, order, i)) for i in ids]


@pytest.mark.parametrize("scheme", LINEAR, ids=name)
@given(data=st.data())
def test_state_arithmetic_is_modulo_two_to_the_64(scheme: LinearScheme, data: st.DataObject) -> None:
    order = data.draw(st.sampled_from(list(scheme.orders)))
    ids = rmap_ids(scheme.accepted_ids(order).bit_length() - 1)
    events = data.draw(st.lists(st.tuples(ids, st.integers(1, 1 << 21)), min_size=1, max_size=7))
    state, expected = scheme.start(order, 1), [0] * scheme.words(order)
    for mm, nr in events:
        state = scheme.update(state, mm, 0, nr, False)
        expected = [(e + nr * a) % WORD for e, a in zip(expected, definition(scheme, order, mm), strict=True)]
    assert state.data[0].tolist() == expected
    for mm, nr in events:
        state = scheme.update(state, mm, 0, -nr, False)
    assert not state.data.any()


@pytest.mark.parametrize("scheme", [s for s in ALL if s.name != "truth"], ids=name)
@given(data=st.data())
def test_many_folios_at_once_are_the_same_as_each_alone(scheme: Scheme, data: st.DataObject) -> None:
    order = data.draw(st.sampled_from(list(scheme.orders)))
    rows = data.draw(st.integers(1, 6))
    event = st.tuples(st.integers(1, 4), st.integers(0, 1), st.integers(1, 3), st.booleans())
    rounds = data.draw(st.lists(st.lists(event, min_size=rows, max_size=rows), min_size=1, max_size=8))
    undone = rounds[::-1] if data.draw(st.booleans()) else []
    together, alone = scheme.start(order, rows), [scheme.start(order, 1) for _ in range(rows)]
    for sign, events in [(1, r) for r in rounds] + [(-1, r) for r in undone]:
        mm, page, nr, entire = (np.array(c) for c in zip(*events, strict=True))
        before = together.data.copy()
        after = scheme.update(together, mm, page, sign * nr, entire)
        assert np.array_equal(together.data, before)
        together = after
        alone = [scheme.update(s, m, p, sign * n, e) for s, (m, p, n, e) in zip(alone, events, strict=True)]
        assert np.array_equal(together.data, np.concatenate([s.data for s in alone]))
        asked = scheme.verdict(together, mm)
        assert asked.dtype == np.uint8
        assert asked.tolist() == [int(scheme.verdict(s, m)[0]) for s, m in zip(alone, mm, strict=True)]


def small_worlds(scheme: LinearScheme, order: int) -> Iterator[tuple[int, ...]]:
    """A few IDs at both ends of the range: exhaustive search stays small."""
    top = scheme.accepted_ids(order) - 1
    yield (1, 2, 3, 4, 5, 6, 7, 8)
    yield (top, top - 1, top - 2, top - 3, top // 2, top // 2 + 1, 1, 2)


@pytest.mark.parametrize("scheme", LINEAR, ids=name)
def test_no_four_mappings_with_others_look_like_the_callers_alone(scheme: LinearScheme) -> None:
    for ids in small_worlds(scheme, 2):
        for mappings in range(1, 5):
            groups = np.array(list(combinations_with_replacement(ids, mappings)))
            state = state_of(scheme, 2, groups)
            for caller in ids:
                alone = (groups == caller).all(axis=1)
                expected = np.where(alone, Verdict.EXCLUSIVE, Verdict.SHARED)
                assert np.array_equal(scheme.verdict(state, np.full(len(groups), caller)), expected)


def differences(total: int, largest: int) -> list[int]:
    """Positive numbers up to `largest` whose squares sum to `total`, greedily: few, the large ones first."""
    found = []
    while total:
        found.append(min(isqrt(total), largest))
        total -= found[-1] ** 2
    return found


def far(bits: int) -> int:
    return (1 << bits) - 2


@pytest.mark.parametrize("order", range(1, MAX_ORDER + 1))
def test_capacity_of_moments_is_the_largest_that_cannot_reach_two_to_the_64(order: int) -> None:
    bits = Moments().capacity(order)
    assert far(bits) ** 2 << order < WORD
    assert far(bits + 1) ** 2 << order >= WORD or bits == 32


@pytest.mark.parametrize("order", range(4, MAX_ORDER + 1))
def test_moments_with_one_bit_more_than_its_capacity_can_be_fooled(order: int) -> None:
    """At most P mappings of others whose squared distances from the caller, ID 1, sum to 2^64. Below order 4 there is no
    room for this greedy way of finding them."""
    scheme = Moments(id_bits=32)
    ids = 1 + np.array([differences(WORD, far(scheme.capacity(order) + 1))], np.uint64)
    assert ids.size <= 1 << order
    state = state_of_many(scheme, order, ids[0])
    assert ids.min() > 1
    assert scheme.matches(state, np.array([1], np.uint64)).all()


def state_of_many(scheme: LinearScheme, order: int, ids: np.ndarray) -> State:
    """State of one folio that all of `ids` map once; the IDs may lie beyond the scheme's door."""
    words = [scheme.addend(order, w, ids).sum(dtype=np.uint64) for w in range(scheme.words(order))]
    return State(order, np.array([words], np.uint64))


@pytest.mark.parametrize("scheme", [Moments(), Packed()], ids=name)
def test_a_mapcount_beyond_the_trusted_one_is_unknown_where_the_words_collide(scheme: LinearScheme) -> None:
    """Four times as many mappings as are trusted: all three sums agree with the caller's modulo their width."""
    asker, distance = 1 << 22, 1 << 23
    count = WORD // distance**2
    assert count > scheme.trusted_mapcount(9)
    state = scheme.update(scheme.start(9, 1), asker + distance, 0, count, False)
    assert scheme.verdict(state, asker).tolist() == [Verdict.UNKNOWN]
    assert scheme.verdict(state, asker + distance).tolist() == [Verdict.UNKNOWN]
    assert scheme.verdict(state, asker + 1).tolist() == [Verdict.SHARED]


@pytest.mark.parametrize("bits", range(2, 33))
def test_trusted_mapcounts_are_the_largest_for_which_no_sum_can_wrap(bits: int) -> None:
    n = Moments(id_bits=bits).trusted_mapcount(1)
    d = far(min(bits, Moments().capacity(1)))
    assert n * d * d < WORD <= (n + 1) * d * d
    n, d = trusted(bits), far(bits)
    bounds = ((d * d, WORD), (d, 1 << 40), (1, 1 << 23))
    assert all(n * step < end for step, end in bounds)
    assert any((n + 1) * step >= end for step, end in bounds)


@pytest.mark.parametrize("order", range(1, MAX_ORDER + 1))
def test_capacity_of_packed_is_the_largest_whose_trusted_mapcount_is_p(order: int) -> None:
    bits = Packed().capacity(order)
    assert trusted(bits) >= 1 << order
    assert bits == 32 or trusted(bits + 1) < 1 << order


@pytest.mark.parametrize("order", OneValue.orders)
def test_split_of_one_value_is_the_best_that_fits(order: int) -> None:
    def fits(a: int, c: int) -> bool:
        room = 64 - 2 * order - a - c
        return room > 0 and ((2**a - 1) ** 2 + (2**c - 1) ** 2) * 2**order < 2**room

    fitting = [(a + c, c - a, a, c) for a in range(33) for c in range(a + 1) if 0 < a + c <= 24 and fits(a, c)]
    assert split(order) == max(fitting)[2:]
    assert OneValue().capacity(order) == sum(split(order))


def test_one_value_does_not_cover_order_21_because_not_one_bit_fits() -> None:
    assert split(21) == (0, 0)
    with pytest.raises(ValueError, match=r"one-value: order 21: must be in 1 \.\. 20"):
        OneValue().capacity(21)


@pytest.mark.parametrize("order", range(1, MAX_ORDER + 1))
def test_generations_safe_uses_the_fewest_values_that_keep_the_bound(order: int) -> None:
    scheme = GenerationsSafe()
    base, values, bits = scheme.base(order), scheme.values(order), scheme.chunk_bits(order)
    assert base == 2**order + 1
    assert base**bits <= WORD
    assert values * bits >= 24
    assert values == 1 or base ** -(-24 // (values - 1)) > WORD


@pytest.mark.parametrize("row", POSTED, ids=lambda r: f"{r.first}-{r.last}")
def test_the_posted_table_keeps_its_bound_in_every_row_but_that_of_orders_6_to_9(row: object) -> None:
    assert (row.values, row.bits, row.base) == TABLE[row.last]
    assert (row.base**row.bits <= WORD) == (row.collides_from is None) == (row.first != 6)
    scheme = SCHEMES["generations"]
    for order in range(row.first, row.last + 1):
        broken = row.collides_from is not None and 1 << order >= row.collides_from
        assert scheme.capacity(order) == (7 if broken else row.values * row.bits)
        assert scheme.accepted_ids(order) == 1 << 24
        assert not broken or row.base**7 <= WORD < row.base**8


@pytest.mark.parametrize(("scheme", "order"), PAIRS, ids=name)
def test_the_door_takes_ids_from_1_to_its_limit_and_names_what_it_refuses(scheme: Scheme, order: int) -> None:
    limit = scheme.accepted_ids(order)
    scheme.check_ids(order, [1, limit - 1])
    scheme.check_ids(order, [])
    for bad in (0, limit):
        with pytest.raises(IdRangeError, match=f"{scheme.name}: rmap ID {bad} on a folio of order {order}: must be in"):
            scheme.check_ids(order, [1, bad])
    assert limit <= 1 << scheme.capacity(order) or scheme.name == "generations"


@pytest.mark.parametrize("scheme", ALL, ids=name)
def test_orders_outside_the_schemes_range_are_refused(scheme: Scheme) -> None:
    for order in (scheme.orders.start - 1, scheme.orders.stop):
        for call in (scheme.layout, scheme.capacity, lambda o: scheme.start(o, 1)):
            with pytest.raises(ValueError, match=f"{scheme.name}: order {order}: must be in"):
                call(order)


def test_small_folios_are_answered_for_by_truth_or_the_mapcount_and_uncovered_orders_by_nobody() -> None:
    for scheme in ALL:
        small = responsible(scheme, 0)
        assert small is scheme if scheme.name == "truth" else small is not None and small.name == "small"
    assert responsible(SCHEMES["generations"], 1) is None
    assert responsible(SCHEMES["one-value"], 21) is None


@pytest.mark.parametrize(("scheme", "order"), PAIRS, ids=name)
def test_layout_and_cost_are_consistent(scheme: Scheme, order: int) -> None:
    layout = scheme.layout(order)
    assert layout.bytes * 8 - 7 <= layout.bits <= layout.bytes * 8
    assert scheme.cost(order, Op.VERDICT).rmw == 0
    assert scheme.cost(order, Op.MAP).rmw == scheme.cost(order, Op.UNMAP).rmw >= 1
    if isinstance(scheme, LinearScheme):
        assert layout.values == scheme.words(order) - (scheme.name != "packed")


def test_bits_needs_one_word_per_id_bit() -> None:
    assert [Bits(id_bits=b).capacity(9) for b in (1, 22, 32)] == [1, 22, 32]
    assert Bits(id_bits=32).words(9) == 33


@pytest.mark.parametrize("scheme", [s for s in SCHEMES.values() if isinstance(s, LinearScheme)], ids=lambda s: s.name)
def test_a_mapcount_without_room_saturates_and_is_shared_for_ever(scheme: LinearScheme) -> None:
    order = scheme.orders[-1]
    state = scheme.update(scheme.start(order, 1), 1, 0, scheme.mapcount_limit - 1, False)
    assert scheme.mapcount(state).tolist() == [scheme.mapcount_limit - 1]
    for nr in (1, 1, -(scheme.mapcount_limit - 1), -2, 1):
        state = scheme.update(state, 1, 0, nr, False)
        assert int(state.data[0, 0]) == scheme.saturated
        assert scheme.verdict(state, 1).tolist() == [Verdict.SHARED]


@given(st.lists(rmap_ids(24), min_size=1, max_size=8))
def test_moments_name_the_owner_iff_there_is_one(ids: list[int]) -> None:
    state = state_of(Moments(), 9, np.array([ids, [ids[0]] * len(ids)]))
    assert owner(state).tolist() == [ids[0] if len(set(ids)) == 1 else 0, ids[0]]


def test_selecting_schemes_keeps_their_order_and_names_the_one_that_does_not_exist() -> None:
    assert [s.name for s in select(["packed", "truth"])] == ["truth", "packed"]
    assert len(select()) == len(SCHEMES)
    with pytest.raises(ValueError, match=r"scheme 'mm_id': .*must be one of truth"):
        select(["packed", "mm_id"])
