"""The refuter's methods against each other, and against the definition: every caller and multiset, by brute force."""

import numpy as np
import pytest

from rmaplab.schemes import SCHEMES, LinearScheme
from rmaplab.verify.refute import brute, table
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.decide import table as table_of
from rmaplab.verify.refute.digits import Chunks, enumerate_relations, smallest_witness
from rmaplab.verify.refute.problem import Budget, Config, Decision, OutOfBudget, Witness
from rmaplab.verify.refute.spreads import build_witness, least_mappings
from rmaplab.verify.refute.words import check, configure, equations

PATIENCE = Budget.seconds(1e6)
DIGIT_GRID = [
    (word_bits, base, digits, values, id_bits)
    for word_bits in (2, 3, 5, 7, 9)
    for base in (3, 5, 6, 9)
    for digits, values, id_bits in ((1, 1, 1), (2, 1, 2), (3, 1, 3), (3, 1, 2), (2, 2, 3), (1, 3, 3), (4, 1, 4))
]


def _brute(chunks: Chunks, most: int) -> Witness | None:
    ids = range(1, 1 << chunks.id_bits)
    return brute.smallest_witness(ids, brute.matches_modulo(chunks.subids, chunks.word_bits), most)


def _size(witness: Witness | None) -> tuple[int, int] | None:
    return witness and witness.size


@pytest.mark.parametrize(("word_bits", "base", "digits", "values", "id_bits"), DIGIT_GRID)
def test_lattice_search_and_brute_force_find_equally_small_witnesses(word_bits, base, digits, values, id_bits):
    chunks = Chunks(tuple(base**i for i in range(digits)), values, id_bits, word_bits)
    ids = range(1, 1 << id_bits)
    for most in (2, 4) if id_bits == 4 else (2, 4, 6):
        expected = _brute(chunks, most)
        relations = enumerate_relations(chunks, most, PATIENCE)
        by_lattice, proved = smallest_witness(chunks, relations, PATIENCE) if relations.cheapest else (None, True)
        by_search = table.smallest_collision(table.from_subids(ids, chunks.subids, word_bits), most, PATIENCE)
        assert proved
        assert _size(by_lattice) == _size(expected)
        assert _size(by_search and by_search.witness) == _size(expected)
        assert by_search is None or (by_search.fewest_mappings and by_search.fewest_mms)


@pytest.mark.parametrize("scheme", ["moments", "one-value", "packed"])
@pytest.mark.parametrize("id_bits", [2, 3, 4])
def test_square_schemes_are_decided_as_brute_force_decides_them(scheme, id_bits):
    for order in (1, 2) if id_bits == 4 else (1, 2, 3):
        for word_bits in (25, 26, 27, 29) if scheme == "packed" else range(3, 13):
            config = configure(scheme, order, None, id_bits, word_bits)
            expected = brute.smallest_witness(range(1, 1 << id_bits), _matches(config), config.pages)
            found = decide(config)
            assert found.decision is (Decision.REFUTED if expected else Decision.SOUND), config
            assert _size(found.witness) == _size(expected), config
            if expected:
                assert least_mappings(config) <= expected.mapcount
            built = build_witness(config, PATIENCE)
            assert built is None or (check(config, built) and expected and built.mapcount >= expected.mapcount)


def _matches(config: Config) -> brute.Matches:
    """The scheme's check straight from docs/schemes.md."""
    if config.scheme != "moments":
        return lambda chosen, x: all(
            (sum(e.addend(mm) for mm in chosen) - len(chosen) * e.addend(x)) % (1 << e.bits) == 0
            for e in equations(config)
        )
    modulus = 1 << config.word_bits
    return lambda chosen, x: (sum(mm * mm for mm in chosen) - 2 * x * sum(chosen) + len(chosen) * x * x) % modulus == 0


@pytest.mark.parametrize(("scheme", "order"), [("moments", 2), ("one-value", 2), ("packed", 3)])
def test_exhaustive_search_and_the_theorem_agree_where_both_apply(scheme, order):
    config = configure(scheme, order, None, 3, 40)
    assert "theorem" in decide(config).reason
    assert table.smallest_collision(table_of(config), config.pages, PATIENCE) is None


@pytest.mark.parametrize("name", ["generations", "generations-safe", "bits", "one-value"])
def test_equations_are_the_addends_of_the_scheme(name):
    scheme = SCHEMES[name]
    assert isinstance(scheme, LinearScheme)
    rng = np.random.default_rng(4)
    for order in range(2, 16):
        config = configure(name, order, None, None, 64)
        ids = rng.integers(1, scheme.accepted_ids(order), 50, dtype=np.uint64)
        for word, equation in enumerate(equations(config), start=1):
            expected = [equation.addend(int(x)) % (1 << 64) for x in ids]
            assert scheme.addend(order, word, ids).tolist() == expected


def test_a_search_out_of_time_is_undecided_and_says_how_far_it_came():
    found = decide(Config("generations", 6, 1, 24, 64), seconds=0.0)
    assert found.decision is Decision.UNDECIDED
    assert "no collision of up to 0 mappings" in found.reason


def test_a_table_search_out_of_time_never_says_sound():
    config = Config("moments", 9, 2, 10, 24)
    with pytest.raises(OutOfBudget, match="no collision of up to"):
        table.smallest_collision(table_of(config), config.pages, Budget.seconds(0.0))
