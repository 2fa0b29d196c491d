"""How dense one value gets: the construction is searched exhaustively where it can be, the bounds where they can fail."""

from dataclasses import replace
from itertools import combinations

import pytest

from rmaplab.verify.density import Lens, best_lens, density_rows, most_ids
from rmaplab.verify.refute.problem import Budget
from rmaplab.verify.refute.table import Collision, from_subids, smallest_collision

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


def test_one_value_of_64_bits_holds_25_bits_at_order_6_and_20_at_order_9():
    bits = {row["order"]: row["lens_bits"] for row in density_rows([6, 7, 9])}
    assert bits == {6: 25, 7: 23, 9: 20}


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
