"""How dense one value gets: the construction is searched exhaustively where it can be, the bounds where they can fail."""

from dataclasses import replace
from itertools import combinations

import pytest

from rmaplab.verify.density import Lens, best_lens, density_rows, most_ids, most_ids_without_wrap
from rmaplab.verify.refute.problem import Budget
from rmaplab.verify.refute.table import Collision, from_subids, smallest_collision
from rmaplab.verify.round_lens import FOUND, RoundLens, find

PATIENCE = Budget.seconds(1e6)
SMALL = [
    (lens, word_bits)
    for order in (1, 2, 3)
    for word_bits in range(6, 17)
    for lens in [best_lens(order, word_bits)]
    if 3 <= lens.ids <= 40
]


def _search(lens: Lens, word_bits: int, ids: range | None = None) -> Collision | None:
    ids = ids or range(1, lens.ids + 1)
    table = from_subids(ids, lambda mm: (lens.value(mm - 1),), word_bits)
    return smallest_collision(table, 1 << lens.order, PATIENCE)


@pytest.mark.parametrize(("lens", "word_bits"), SMALL)
def test_no_multiset_of_up_to_p_mappings_collides_in_a_lens_that_fits(lens, word_bits):
    assert lens.fits(word_bits)
    assert _search(lens, word_bits) is None


def test_paraboloids_of_one_sheet_are_sound_too():
    lens = Lens(2, (5, 4), sheets=1)
    assert lens.fits(12)
    assert _search(lens, 12) is None


def test_a_word_too_small_for_the_lens_lets_it_collide():
    lens = best_lens(3, 12)
    assert not lens.fits(10)
    assert _search(lens, 10) is not None


def test_two_sheets_too_close_collide():
    class Flat(Lens):
        @property
        def height(self) -> int:
            return 2 * self.rim - 2

    flat = Flat(3, (6,), 2)
    assert _search(Lens(3, (6,), 2), 40) is None
    assert _search(flat, 40) is not None


def test_every_id_has_its_own_value_below_the_words_end():
    for lens, word_bits in SMALL:
        values = {lens.value(k) for k in range(lens.ids)}
        assert len(values) == lens.ids
        assert max(values) < 1 << word_bits


def test_one_value_of_64_bits_holds_26_bits_at_order_6_and_20_at_order_9():
    rows = {row["order"]: row for row in density_rows([6, 7, 8, 9])}
    assert {order: row["lens_bits"] for order, row in rows.items()} == {6: 25, 7: 23, 8: 21, 9: 20}
    assert {order: row["round_bits"] for order, row in rows.items()} == {6: 26, 7: 23, 8: 22, 9: 20}


@pytest.mark.parametrize("order", FOUND)
def test_round_lenses_are_sound_and_wider_or_shifted_ones_are_not_found_so(order):
    lens = FOUND[order]
    assert lens.sound()
    assert not replace(lens, rim=lens.rim + lens.rim // 8 + 1).sound()
    assert not replace(lens, multipliers=(*lens.multipliers[:-1], lens.multipliers[-1] + 2)).sound()
    assert best_lens(order).ids < lens.ids < most_ids(order)


@pytest.mark.parametrize(("order", "dimension", "word_bits"), [(1, 2, 12), (2, 2, 14), (2, 1, 12), (2, 3, 15)])
def test_no_multiset_collides_in_a_round_lens_that_its_check_calls_sound(order, dimension, word_bits):
    lens = find(order, dimension, word_bits, tries=500)
    assert lens.sound()
    assert _search_points(lens) is None
    points = list(lens.points())
    assert len(points) == lens.ids
    narrower = replace(lens, word_bits=word_bits - 3)
    assert not narrower.sound()
    assert _search_points(narrower) is not None


def _search_points(lens: RoundLens) -> Collision | None:
    points = list(lens.points())
    table = from_subids(range(1, len(points) + 1), lambda mm: (lens.value(*points[mm - 1]),), lens.word_bits)
    return smallest_collision(table, 1 << lens.order, PATIENCE)


@pytest.mark.parametrize("order", range(2, 14))
def test_the_best_lens_fits_and_one_more_point_a_side_does_not(order):
    lens = best_lens(order)
    assert lens.fits()
    assert not replace(lens, sides=tuple(side + 1 for side in lens.sides)).fits()
    assert lens.ids <= most_ids(order)


@pytest.mark.parametrize(("order", "word_bits"), [(1, 3), (2, 3), (2, 4), (3, 4)])
def test_no_set_of_words_beats_the_upper_bound(order, word_bits):
    size = most_ids(order, word_bits) + 1
    for words in combinations(range(1, 1 << word_bits), size - 1):
        chosen = (0, *words)
        table = from_subids(range(1, size + 1), lambda mm, c=chosen: (c[mm - 1],), word_bits)
        assert smallest_collision(table, 1 << order, PATIENCE) is not None


@pytest.mark.parametrize(("order", "word_bits"), [(1, 4), (1, 5), (2, 5), (3, 6)])
def test_no_words_whose_sums_do_not_wrap_beat_their_upper_bound(order: int, word_bits: int) -> None:
    """All sets with one word too many, between 0 and the largest word of which P do not wrap."""
    size, largest = most_ids_without_wrap(order, word_bits) + 1, (1 << word_bits) - 1 >> order
    sets = list(combinations(range(1, largest + 1), size - 1))
    assert sets
    for words in sets:
        chosen = (0, *words)
        table = from_subids(range(1, size + 1), lambda mm, c=chosen: (c[mm - 1],), word_bits)
        assert smallest_collision(table, 1 << order, PATIENCE) is not None


@pytest.mark.parametrize("order", [2, 3])
def test_box_lenses_do_not_wrap_and_keep_within_the_bound_for_what_does_not(order: int) -> None:
    lens = best_lens(order, 16)
    words = [lens.value(k) for k in range(lens.ids)]
    assert (max(words) - min(words)) << order < 1 << 16
    assert lens.ids <= most_ids_without_wrap(order, 16) < most_ids(order, 16)


def test_two_values_of_half_a_word_answer_together_what_each_answers_for_its_half() -> None:
    """Every two mappings, every caller, in two words of 5 bits."""
    half = best_lens(1, 5)
    assert 4 <= half.ids <= 12
    words = [(half.value(low), half.value(high)) for low in range(half.ids) for high in range(half.ids)]
    for caller in words:
        for one in words:
            for two in words:
                equal = all((p + q - 2 * c) % 32 == 0 for p, q, c in zip(one, two, caller, strict=True))
                assert equal == (one == two == caller)
    row = next(iter(density_rows([6])))
    assert row["two_of_32_bits"] < row["lens_bits"] < row["one_of_128_bits"]  # type: ignore[operator]
