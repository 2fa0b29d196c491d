"""The limits' tests notice a limit that is off by one, and a rule that is dropped: faults planted in copies of core/."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mutants import COMPILER, Fault, compile_core, import_core, plant
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


LINE = {
    "packed": 'X("packed", packed, packed)',
    "moments": 'X("moments", moments_shared, moments)',
    "mm-id": 'X("mm-id", mm_id, mm_id)',
    "moments-flag": 'X("moments-flag", moments_flag, moments_flag)',
}
"""Lines of core/lib/list.h."""


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old` becomes `new`; then `check` fails for `scheme`, and without it does not."""

    scheme: str
    file: str
    old: str
    new: str
    check: Callable[[Module | None], None]


def on(check: Callable[[str, Module | None], None], scheme: str) -> Callable[[Module | None], None]:
    return lambda module: check(scheme, module)


MUTANTS = {
    "packed trusts one mapping more": Mutant(
        "packed", "packed.h", "return 65536;", "return 65537;", on(exclusive_up_to_the_trusted_mapcount, "packed")
    ),
    "packed counts one mapping more": Mutant(
        "packed",
        "packed.h",
        "n + (u64)(s64)nr < RMAP_PACKED_MAPCOUNT)",
        "n + (u64)(s64)nr <= RMAP_PACKED_MAPCOUNT)",
        on(saturation_is_for_ever, "packed"),
    ),
    "packed counts on where it is saturated": Mutant(
        "packed", "packed.h", "likely(n < RMAP_PACKED_MAPCOUNT && n +", "likely(n +", packed_stays_saturated
    ),
    "a saturated mapcount counts again": Mutant(
        "mm-id", "mapcount.h", "unlikely((before | after) < 0) ?", "unlikely(after < 0) ?", mm_id_never_counts_again
    ),
    "moments trusts one mapping more": Mutant(
        "moments",
        "moments.h",
        "likely(order <= 16) ? ~0ull / (d24 * d24) :",
        "likely(order <= 16) ? ~0ull / (d24 * d24) + 1 :",
        on(exclusive_up_to_the_trusted_mapcount, "moments"),
    ),
    "moments trusts one mapping more of a large order": Mutant(
        "moments",
        "moments.h",
        ": ~0ull / (d * d);",
        ": ~0ull / (d * d) + 1;",
        on(exclusive_up_to_the_trusted_mapcount, "moments"),
    ),
    "mm-id keeps its flag where nobody maps": Mutant(
        "mm-id", "mm_id.h", "if (!total)\n\t\treturn word & ~RMAP_MM_ID_SHARED;", "", mm_id_forgets_at_no_mapping
    ),
    "mm-id keeps an emptied slot": Mutant(
        "mm-id", "mm_id.h", "if (left <= 0)", "if (left < 0)", mm_id_frees_an_emptied_slot
    ),
    "mm-id clears its flag where it is saturated": Mutant(
        "mm-id",
        "mm_id.h",
        "total < 0))\n\t\treturn word | RMAP_MM_ID_SHARED;\n\tif (likely(slot >= 0)) {\n\t\trmap_plain_write",
        "0))\n\t\treturn word | RMAP_MM_ID_SHARED;\n\tif (likely(slot >= 0)) {\n\t\trmap_plain_write",
        on(saturation_is_for_ever, "mm-id"),
    ),
    "moments-flag clears just beyond its bound": Mutant(
        "moments-flag",
        "moments_flag.h",
        "s <= RMAP_MOMENTS_FLAG_BOUND",
        "s <= RMAP_MOMENTS_FLAG_BOUND + 2",
        flag_is_the_definitions,
    ),
    "moments-flag stops one below its bound": Mutant(
        "moments-flag",
        "moments_flag.h",
        "s <= RMAP_MOMENTS_FLAG_BOUND",
        "s < RMAP_MOMENTS_FLAG_BOUND",
        flag_is_the_definitions,
    ),
    "moments-flag compares low words only": Mutant(
        "moments-flag",
        "moments_flag.h",
        " && (u64)(product >> 64) == (u64)(square >> 64);",
        ";",
        flag_sees_pairs_whose_low_words_agree,
    ),
    "moments-flag first looks at more of the sum than lies as it is": Mutant(
        "moments-flag",
        "moments_flag.h",
        "(u32)n * (u32)q == (u32)word * (u32)word",
        "n * q == word * word",
        flag_is_the_definitions,
    ),
    "moments-flag hands no carry over its lock": Mutant(
        "moments-flag", "moments_flag.h", "(word + RMAP_LOCK_BIT + ", "(word + ", flag_is_the_definitions
    ),
    "moments-flag asks for the sum after the addition": Mutant(
        "moments-flag",
        "moments_flag.h",
        "rmap_moments_flag_spread(n * id) != word",
        "rmap_moments_flag_spread(n * id) != new",
        flag_is_the_definitions,
    ),
    "moments-flag takes a saturated folio for exclusive": Mutant(
        "moments-flag",
        "moments_flag.h",
        "if (rmap_rarely(after < 0))",
        "if (rmap_rarely(after < -1 && 0))",
        on(saturation_is_for_ever, "moments-flag"),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_limit_off_by_one_or_a_rule_dropped_is_found(tmp_path: Path, name: str) -> None:
    mutant = MUTANTS[name]
    mutant.check(None)
    module = f"_limit{list(MUTANTS).index(name)}"
    copy = plant(Fault(name, LINE[mutant.scheme], mutant.file, mutant.old, mutant.new), tmp_path)
    core = import_core(module, compile_core(copy, module, ["-O0"]))
    with pytest.raises(AssertionError):
        mutant.check(core)
