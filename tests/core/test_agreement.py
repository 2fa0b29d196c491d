"""The C core computes what `rmaplab.schemes` defines: every state word, every verdict, on both sequence counts."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmaplab.core import NAMES, Folios, Op, available, load, variants, why_missing
from rmaplab.schemes import Scheme, State
from rmaplab.schemes.packed import Packed
from rmaplab.trace import Verdict

pytestmark = pytest.mark.skipif(not available(), reason=str(why_missing()))

DEFINED = [name for name in NAMES if name != "total-mapcount"]
LARGEST_ORDER = 17
"""Above, `packed` would soon reach its mapcount's limit, and 2^18 page mapcounts say nothing new."""


@dataclass(frozen=True)
class Run:
    """Pages mapped together, by MM index."""

    mm: int
    page: int
    nr: int
    entire: bool


class Defined:
    """One folio under the Python definition."""

    def __init__(self, scheme: Scheme, order: int, ids: list[int]) -> None:
        self.scheme, self.ids, self.state = scheme, ids, scheme.start(order, 1)

    def add(self, run: Run, sign: int) -> None:
        self.state: State = self.scheme.update(self.state, self.ids[run.mm], [run.page], [sign * run.nr], [run.entire])

    def words(self) -> list[int]:
        row: Any = self.state.data[0]
        return [int(word) for field in (row if row.dtype.names is None else row.tolist()) for word in np.ravel(field)]

    def verdict(self, mm: int) -> Verdict:
        return Verdict(int(self.scheme.verdict(self.state, self.ids[mm])[0]))


def id_strategy(scheme: Scheme, order: int) -> st.SearchStrategy[int]:
    last = scheme.accepted_ids(order) - 1
    ends = [i for i in (1, 2, 3, last // 2, last // 2 + 1, last - 1, last) if 1 <= i <= last]
    return st.sampled_from(ends) | st.integers(1, last)


@st.composite
def programs(draw: st.DrawFn, scheme: Scheme) -> tuple[int, list[int], list[tuple[str, Run]]]:
    """An order, four MMs and a valid program: nothing is unmapped or remapped that is not mapped."""
    order = draw(st.integers(scheme.orders.start or 1, min(scheme.orders.stop - 1, LARGEST_ORDER)))
    ids = draw(st.lists(id_strategy(scheme, order), min_size=4, max_size=4))
    mapped: list[Run] = []
    program: list[tuple[str, Run]] = []
    for _ in range(draw(st.integers(1, 24))):
        what = draw(st.sampled_from(["map", "map", "unmap", "remap"]))
        whole = [run for run in mapped if run.entire]
        if what == "unmap" and mapped:
            run = draw(st.sampled_from(mapped))
            mapped.remove(run)
        elif what == "remap" and whole:
            run = draw(st.sampled_from(whole))
            mapped.remove(run)
            mapped.append(Run(run.mm, 0, 1 << order, False))
        else:
            what = "map"
            entire = draw(st.booleans())
            page = 0 if entire else draw(st.integers(0, (1 << order) - 1))
            nr = 1 if entire else draw(st.integers(1, (1 << order) - page))
            run = Run(draw(st.integers(0, 3)), page, nr, entire)
            mapped.append(run)
        program.append((what, run))
    return order, ids, program


def play(defined: Defined, core: Folios, what: str, run: Run, order: int) -> None:
    if what == "remap":
        defined.add(Run(run.mm, 0, 1 << order, False), 1)
        defined.add(run, -1)
        core.references(0, (1 << order) - 1)
        core.apply(Op.REMAP, 0, run.mm)
    elif what == "unmap":
        defined.add(run, -1)
        core.apply(Op.UNMAP, 0, run.mm, run.page, run.nr, run.entire)
        core.references(0, -run.nr)
    else:
        defined.add(run, 1)
        core.dup(0, run.mm, run.page, run.nr, run.entire)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", DEFINED)
def test_core_agrees_with_the_definition_word_by_word(name: str, bits: Any) -> None:
    variant = variants()[name]
    scheme = variant.scheme
    assert scheme is not None

    @settings(max_examples=40, deadline=None)
    @given(programs(scheme))
    def holds(drawn: tuple[int, list[int], list[tuple[str, Run]]]) -> None:
        order, ids, program = drawn
        defined, core = Defined(scheme, order, ids), Folios(variant, order, 1, ids, load(bits))
        for what, run in program:
            play(defined, core, what, run, order)
            assert core.words(0).tolist() == [word % 2**64 for word in defined.words()]
            assert [core.verdict(0, mm) for mm in range(4)] == [defined.verdict(mm) for mm in range(4)]

    holds()


@pytest.mark.parametrize("name", [n for n in DEFINED if n.startswith("packed")])
def test_packed_agrees_up_to_the_last_mapcount_it_takes_and_beyond(name: str) -> None:
    variant, ids = variants()[name], [1, 7]
    assert isinstance(variant.scheme, Packed)
    last = variant.scheme.mapcount_limit - 1
    defined, core = Defined(variant.scheme, 21, ids), Folios(variant, 21, 1, ids)
    for run in (Run(0, 0, last - 1, False), Run(1, 0, 1, False), Run(0, 0, 1, False)):
        play(defined, core, "map", run, 21)
        assert core.words(0).tolist() == defined.words()
        assert [core.verdict(0, mm) for mm in (0, 1)] == [defined.verdict(mm) for mm in (0, 1)]
        assert [core.cow_reuse(0, mm) for mm in (0, 1)] == [False, False]


@pytest.mark.parametrize("name", [n for n in DEFINED if n not in ("estimated-sharers", "likely-shared")])
def test_cow_reuse_needs_an_exclusive_verdict_and_no_foreign_reference(name: str) -> None:
    variant = variants()[name]
    scheme = variant.scheme
    assert scheme is not None

    @settings(max_examples=25, deadline=None)
    @given(programs(scheme), st.integers(0, 1))
    def holds(drawn: tuple[int, list[int], list[tuple[str, Run]]], pins: int) -> None:
        order, ids, program = drawn
        defined, core = Defined(scheme, order, ids), Folios(variant, order, 1, ids)
        core.references(0, pins)
        for what, run in program:
            play(defined, core, what, run, order)
            exclusive = core.verdict(0, run.mm) is Verdict.EXCLUSIVE
            before = core.words(0).tolist()
            assert core.cow_reuse(0, run.mm) == (exclusive and not pins)
            assert core.words(0).tolist() == before

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_first_mapping_without_atomics_leaves_the_state_of_a_map(name: str) -> None:
    variant = variants()[name]
    order = 9
    last = 255 if variant.scheme is None else variant.scheme.accepted_ids(order) - 1
    for page, nr, entire in ((0, 512, False), (3, 7, False), (0, 1, True)):
        first, mapped = (Folios(variant, order, 1, [last]) for _ in range(2))
        first.apply(Op.SET_FIRST, 0, 0, page, nr, entire)
        mapped.apply(Op.MAP, 0, 0, page, nr, entire)
        assert first.words(0).tolist() == mapped.words(0).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_small_folios_are_answered_by_their_mapcount(name: str) -> None:
    folios = Folios(variants()[name], 0, 1, [1, 2])
    assert folios.verdict(0, 0) is Verdict.EXCLUSIVE
    folios.apply(Op.MAP, 0, 0)
    assert folios.verdict(0, 1) is Verdict.EXCLUSIVE
    folios.apply(Op.MAP, 0, 1)
    assert folios.verdict(0, 0) is Verdict.SHARED
    assert folios.words(0).tolist() == [2]


@pytest.mark.parametrize("bits", [64, 32])
def test_small_folio_is_reused_iff_its_only_reference_is_its_only_mapping(bits: Any) -> None:
    folios = Folios(variants()["packed"], 0, 600, [1], load(bits))
    lib = folios.core.lib
    for index in range(600):
        folio = folios.folio(index)
        lib.rmap_references(folio, 1)
        lib.rmap_small_add(folio, 1)
        assert lib.rmap_small_cow_reuse(folio)
        lib.rmap_references(folio, 1)
        assert not lib.rmap_small_cow_reuse(folio), "a pinned folio"
        lib.rmap_small_add(folio, 1)
        assert not lib.rmap_small_cow_reuse(folio), "two mappings, two references"
        lib.rmap_small_add(folio, -1)
        lib.rmap_references(folio, -1)
        assert lib.rmap_small_cow_reuse(folio)


@pytest.mark.parametrize(
    ("bits", "writer", "step"),
    [
        (64, "", 1 << 16),
        (64, "+exclusive", 1 << 17),
        (64, "+exclusive-add", 1 << 32),
        (32, "", 1 << 7),
        (32, "+exclusive", 1 << 8),
        (32, "+exclusive-add", 1 << 8),
    ],
)
def test_every_write_section_is_one_step_of_the_sequence_and_leaves_no_writer(bits: Any, writer: str, step: int) -> None:
    folios = Folios(variants()[f"moments{writer}"], 9, 1, [7], load(bits))
    for _ in range(100):
        folios.apply(Op.MAP, 0, 0)
        folios.apply(Op.UNMAP, 0, 0)
    assert folios.core.lib.rmap_sequence(folios.folio(0)) == 200 * step


def test_sequence_wraps_without_a_trace() -> None:
    """32-bit layout, 25 bits of sequence: 2^25 sections later the word is the same."""
    core = load(32)
    folios = Folios(variants()["one-value"], 2, 1, [7], core)
    folios.apply(Op.MAP, 0, 0)
    before = core.lib.rmap_sequence(folios.folio(0))
    spec = core.ffi.new("struct rmap_timed *", {"scheme": folios.variant.number, "threads": 1, "nr": 1})
    spec.count, spec.cpus = 1 << 25, [min(os.sched_getaffinity(0))] * 2
    core.lib.rmap_time(spec, folios.folio(0), folios.folio(0), folios.mm(0), folios.mm(0), core.ffi.new("double[4]"))
    warm_up = (1 << 25) // 8 + 2
    assert core.lib.rmap_sequence(folios.folio(0)) == before + warm_up * (1 << 7)
    assert folios.verdict(0, 0) is Verdict.EXCLUSIVE
