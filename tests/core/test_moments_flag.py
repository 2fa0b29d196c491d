"""moments-flag at its limits, definition and C: exact up to the bound, towards shared beyond, never the other way."""

import pytest

from rmaplab.core import Folios, Op, available, variants, why_missing
from rmaplab.schemes import SCHEMES, State
from rmaplab.schemes.moments_flag import MomentsFlag
from rmaplab.trace import Verdict

pytestmark = pytest.mark.skipif(not available(), reason=str(why_missing()))

E, S = Verdict.EXCLUSIVE, Verdict.SHARED
SCHEME = MomentsFlag()
LARGEST, OTHER = (1 << SCHEME.id_bits) - 1, 1
MOST = (1 << 31) - 1
"""The largest mapcount of all."""


class Both:
    """One folio of order 9, in the definition and in C; they must agree."""

    def __init__(self, *ids: int) -> None:
        self.ids = ids
        self.state: State = SCHEME.start(9, 1)
        self.core = Folios(variants()["moments-flag"], 9, 1, ids)

    def change(self, mm: int, nr: int) -> None:
        self.state = SCHEME.update(self.state, self.ids[mm], 0, nr, False)
        self.core.apply(Op.MAP if nr > 0 else Op.UNMAP, 0, mm, 0, abs(nr))
        self.core.references(0, nr)

    def answer(self) -> Verdict:
        verdict = self.core.verdict(0, 0)
        assert verdict == SCHEME.verdict(self.state, self.ids[0])[0]
        assert self.core.cow_reuse(0, 0) == (verdict is E)
        return verdict


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_the_flag_is_exact_up_to_two_to_the_20_mappings_by_the_largest_id(beyond: int) -> None:
    assert SCHEME.exact_mapcount() == 1 << 20
    folio = Both(LARGEST, OTHER)
    folio.change(0, SCHEME.exact_mapcount() + beyond)
    assert folio.answer() is E
    folio.change(1, 1)
    assert folio.answer() is S
    folio.change(1, -1)
    assert folio.answer() is (E if beyond <= 0 else S)
    folio.change(0, -1)
    assert folio.answer() is E, "within the bound again, whatever was before"


@pytest.mark.parametrize("alone", [1, 1 << 20, (1 << 20) + 1, 1 << 21, 1 << 23, 1 << 30, MOST - 1])
@pytest.mark.parametrize("ids", [(LARGEST, OTHER), (OTHER, LARGEST), (1 << 21, 1 << 20)])
def test_a_second_mm_is_seen_however_often_the_first_maps(alone: int, ids: tuple[int, int]) -> None:
    folio = Both(*ids)
    folio.change(0, alone)
    assert folio.answer() is E
    folio.change(1, 1)
    assert folio.answer() is S
    folio.change(0, -alone)
    assert folio.answer() is E, "one mapping is left"


def test_a_mapcount_beyond_31_bits_stays_shared_for_ever() -> None:
    core = Folios(variants()["moments-flag"], 9, 1, [LARGEST, OTHER])
    for nr in (MOST, 1, MOST, MOST, 1 << 29):
        core.apply(Op.MAP, 0, 0, 0, nr)
        core.references(0, nr)
    assert core.verdict(0, 0) is S
    assert not core.cow_reuse(0, 0)
    for nr in (MOST, 1, MOST, MOST, 1 << 29):
        core.apply(Op.UNMAP, 0, 0, 0, nr)
        core.references(0, -nr)
        assert core.verdict(0, 1) is S


def test_it_is_registered() -> None:
    assert SCHEMES["moments-flag"] == SCHEME
