"""The C core at the ends of its words: what is answered at every limit, one below and one above, by every variant.

A folio whose mapcount has no room left is nobody's until it is initialised anew: never EXCLUSIVE, never reused, and
no update or verdict waits. docs/schemes.md, "Limits". Large counts are mapped in few batches.
"""

from typing import Any

import pytest

from rmaplab.core import NAMES, Folios, Module, Op, available, load, variants, why_missing
from rmaplab.schemes import LinearScheme
from rmaplab.schemes.packed import Packed
from rmaplab.trace import Verdict

pytestmark = pytest.mark.skipif(not available(), reason=str(why_missing()))

E, S = Verdict.EXCLUSIVE, Verdict.SHARED
BATCH = 1 << 30
GUESSES = ("estimated-sharers", "likely-shared")
"""Mapcounts of single pages: a batch here would need as many pages. They never allow reuse."""
LINEAR = [n for n in NAMES if n.partition("+")[0] in ("generations", "generations-safe", "bits", "moments", "one-value")]
PACKED = [name for name in NAMES if name.startswith("packed")]
COUNTED = [name for name in NAMES if name not in GUESSES]


def most(name: str) -> int:
    """The largest mapcount that a variant's words hold, from docs/schemes.md."""
    return (1 << 23) - 2 if name in PACKED else (1 << 31) - 1


def change(core: Folios, mm: int, nr: int) -> None:
    """`nr` mappings and their references more, or, negative, less."""
    for start in range(0, abs(nr), BATCH):
        some = min(BATCH, abs(nr) - start)
        if nr > 0:
            core.references(0, some)
            core.apply(Op.MAP, 0, mm, 0, some)
        else:
            core.apply(Op.UNMAP, 0, mm, 0, some)
            core.references(0, -some)


def folio(name: str, order: int = 9, module: Module | None = None, ids: tuple[int, ...] = (5, 6, 7)) -> Folios:
    return Folios(variants(module)[name], order, 1, ids, module)


def nobody_is_told_exclusive(core: Folios) -> None:
    for mm in range(len(core.ids)):
        assert core.verdict(0, mm) is not E
        assert not core.cow_reuse(0, mm)
        if core.variant.name != "total-mapcount":
            assert core.verdict(0, mm) is S


def saturation_is_for_ever(name: str, module: Module | None = None) -> None:
    core = folio(name, module=module)
    change(core, 0, most(name))
    change(core, 0, 1)
    nobody_is_told_exclusive(core)
    for mm, nr in ((1, 1), (0, 2), (1, -1), (0, -2), (0, 1 << 23), (0, -(1 << 23)), (0, -most(name)), (2, 1), (2, -1)):
        change(core, mm, nr)
        nobody_is_told_exclusive(core)
    core.apply(Op.REMAP, 0, 0)
    nobody_is_told_exclusive(core)
    core.reset()
    change(core, 1, 1)
    assert core.verdict(0, 1) is E, "initialised anew"


def the_last_mapping_with_room_is_counted(name: str, module: Module | None = None) -> None:
    for beyond in (-1, 0):
        core = folio(name, module=module)
        change(core, 1, 1)
        change(core, 0, most(name) - 1 + beyond)
        nobody_is_told_exclusive(core)
        change(core, 0, -(most(name) - 1 + beyond))
        assert core.verdict(0, 1) is E, "one mapping is left"
        assert core.cow_reuse(0, 1)


def exclusive_up_to_the_trusted_mapcount(name: str, module: Module | None = None) -> None:
    scheme = variants(module)[name].scheme
    assert isinstance(scheme, LinearScheme)
    for order in (2, 9, 15, 16, 17, 18, 20, 21):
        if order not in scheme.orders:
            continue
        limit = min(scheme.trusted_mapcount(order), most(name))
        for beyond in (-1, 0, 1):
            core = folio(name, order, module, (scheme.accepted_ids(order) - 1, 1))
            change(core, 0, limit + beyond)
            answer = E if beyond <= 0 else S if limit == most(name) else scheme.beyond
            assert core.verdict(0, 0) is answer, (order, beyond)
            assert core.cow_reuse(0, 0) == (answer is E)
            assert core.verdict(0, 1) is S


def mm_id_forgets_at_no_mapping(module: Module | None = None) -> None:
    core = folio("mm-id", module=module)
    for mm in (0, 1, 2):
        change(core, mm, 1)
    for mm in (0, 1, 2):
        assert core.verdict(0, mm) is S
        change(core, mm, -1)
    for mm in (0, 1, 2):
        assert core.verdict(0, mm) is E, "nobody maps it"
    change(core, 2, 1)
    assert core.cow_reuse(0, 2)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", COUNTED)
def test_a_mapcount_without_room_is_shared_for_ever(name: str, bits: Any) -> None:
    saturation_is_for_ever(name, load(bits))


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", [name for name in COUNTED if name != "total-mapcount"])
def test_up_to_the_last_mapping_with_room_nothing_is_forgotten(name: str, bits: Any) -> None:
    the_last_mapping_with_room_is_counted(name, load(bits))


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", [*LINEAR, *PACKED])
def test_equal_sums_prove_exclusiveness_up_to_the_trusted_mapcount_and_no_further(name: str, bits: Any) -> None:
    exclusive_up_to_the_trusted_mapcount(name, load(bits))


@pytest.mark.parametrize("name", PACKED)
def test_counts_never_reach_the_frozen_bit(name: str) -> None:
    core = folio(name)
    scheme = core.variant.scheme
    assert isinstance(scheme, Packed)
    for nr in (most(name), 1, 1, BATCH, BATCH, -BATCH, -1):
        change(core, 0, nr)
        assert not int(core.words(0)[0]) >> 23 & 1
    assert int(core.words(0)[0]) == scheme.saturated


def test_bits_at_two_to_the_32_and_two_to_the_29() -> None:
    core = folio("bits")
    change(core, 0, 1 << 29)
    assert core.cow_reuse(0, 0)
    for _ in range(4):
        change(core, 1, 1 << 30)
    nobody_is_told_exclusive(core)


def test_mm_id_clears_its_flag_where_nobody_maps() -> None:
    mm_id_forgets_at_no_mapping()
