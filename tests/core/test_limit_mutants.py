"""The limits' tests notice a limit that is off by one, and a rule that is dropped: faults planted in copies of core/."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mutants import Mutant, read
from planting import COMPILER, Fault, compile_core, import_core, plant
from test_limits import (
    change,
    exclusive_up_to_the_trusted_mapcount,
    folio,
    mm_id_forgets_at_no_mapping,
    saturation_is_for_ever,
)

from rmaplab.core import Folios, Module, Op, available, variants, why_missing
from rmaplab.schemes.moments_flag import MomentsFlag
from rmaplab.trace import Verdict

pytestmark = pytest.mark.skipif(COMPILER is None or not available(), reason=f"no compiler, or: {why_missing()}")

E, S = Verdict.EXCLUSIVE, Verdict.SHARED
FLAG = MomentsFlag()
LARGEST = (1 << FLAG.id_bits) - 1


def flag_is_the_definitions(module: Module | None = None) -> None:
    """MM 0 up to the sum `total`, then MM 1 comes and goes: the flag is what the definition's is. One above the bound no
    MM has a sum (no divisor of it is an ID), two above one has."""
    for total in (FLAG.bound, FLAG.bound + 2, 3 << 31, 1 << 51):
        one = next(x for x in range(LARGEST, 0, -1) if total % x == 0 and total // x < 1 << 31)
        ids = (one, 1 if one > 1 else 2)
        state, core = FLAG.start(9, 1), Folios(variants(module)["moments-flag"], 9, 1, ids, module)
        for mm, nr in (
            (0, total // one - 1),
            (0, 1),
            (1, 1),
            (1, -1),
            (1, 1),
            (0, -1),
            (1, -1),
            (0, -(total // one - 1)),
        ):
            state = FLAG.update(state, ids[mm], 0, nr, False)
            core.apply(Op.MAP if nr > 0 else Op.UNMAP, 0, mm, 0, abs(nr))
            assert core.verdict(0, 0) == FLAG.verdict(state, ids[0])[0]


def flag_sees_pairs_whose_low_words_agree(module: Module | None = None) -> None:
    """n * Q - S^2 is 2^20 * 2^20 * 2^24: 0 modulo 2^64, for two MMs 2^12 apart with 2^20 mappings each."""
    core = folio("moments-flag", module=module, ids=((1 << 12) + 1, 1))
    for mm in (0, 1):
        core.apply(Op.MAP, 0, mm, 0, 1 << 21)
    for mm in (0, 1):
        core.apply(Op.UNMAP, 0, mm, 0, 1 << 20)
    assert core.verdict(0, 0) is S


def mm_id_never_counts_again(module: Module | None = None) -> None:
    core = folio("mm-id", module=module)
    for mm, nr in ((0, (1 << 31) - 1), (0, 1), (1, 1 << 30), (1, 1), (1, -1)):
        change(core, mm, nr)
    assert core.verdict(0, 1) is S


def packed_stays_saturated(module: Module | None = None) -> None:
    core = folio("packed", module=module)
    for nr in ((1 << 23) - 2, 1, -1, -1, 1):
        change(core, 0, nr)
    assert int(core.words(0)[0]) == (1 << 23) - 1


def mm_id_frees_an_emptied_slot(module: Module | None = None) -> None:
    core = folio("mm-id", module=module)
    for mm, nr in ((0, 1), (1, 1), (0, -1), (2, 1), (1, -1)):
        change(core, mm, nr)
    assert core.verdict(0, 2) is E


CHECKS: dict[str, Callable[[Module | None], None]] = {
    check.__name__: check
    for check in (
        flag_is_the_definitions,
        flag_sees_pairs_whose_low_words_agree,
        mm_id_forgets_at_no_mapping,
        mm_id_frees_an_emptied_slot,
        mm_id_never_counts_again,
        packed_stays_saturated,
    )
}
OF_A_SCHEME: dict[str, Callable[[str, Module | None], None]] = {
    check.__name__: check for check in (exclusive_up_to_the_trusted_mapcount, saturation_is_for_ever)
}
MUTANTS = {m.name: m for m in read() if m.by == "limits"}


def judge(mutant: Mutant, module: Module | None) -> None:
    """The mutant's check, of its scheme if it is one for any."""
    if mutant.check in CHECKS:
        CHECKS[mutant.check](module)
    else:
        OF_A_SCHEME[mutant.check](mutant.scheme.split('"')[1], module)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_limit_off_by_one_or_a_rule_dropped_is_found(tmp_path: Path, name: str) -> None:
    mutant = MUTANTS[name]
    judge(mutant, None)
    module = f"_limit{list(MUTANTS).index(name)}"
    copy = plant(Fault(name, mutant.scheme, mutant.file, mutant.old, mutant.new), tmp_path)
    core = import_core(module, compile_core(copy, module, ["-O0"]))
    with pytest.raises(AssertionError):
        judge(mutant, core)
