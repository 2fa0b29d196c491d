"""`rmaplab race`: the unchanged headers keep their promises under every model; what was posted is seen where it breaks.

Headers with one line changed: tests/core/test_mutants.py.
"""

import shutil

import pytest

from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.programs import load
from rmaplab.verify.race.result import choose

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

SCHEMES = ("turn-ask", "drop-cow", "take-cow", "map-map", "drop-sanity")
COMMON = ("writer-reader", "wrap-reader", "two-writers", "two-writers-reader", "unmap-pin-ask", "map-pinned-ask")


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("model", MAPPINGS)
def test_unchanged_headers_keep_every_promise(model: str, bits: int) -> None:
    programs = load(bits)
    for program in programs.all():
        if program.ours and program.name in (*COMMON, *SCHEMES):
            for verdict in programs.run(program, model):
                assert verdict.verdict == "kept", (program.name, program.stage, verdict.promise, verdict.reason)
                assert verdict.executions > 0
                assert verdict.bound
                assert "bounded" in verdict.bound


@pytest.mark.parametrize("model", ["sc", "tso", "c11"])
def test_three_writers_and_a_reader_keep_every_promise(model: str) -> None:
    programs = load()
    four = [p for p in programs.all() if p.name == "three-writers-reader"]
    assert len(four) == 3
    for program in four:
        assert {v.verdict for v in programs.run(program, model)} == {"kept"}
    assert not set(four) & set(choose(programs, ()))


def test_sanity_check_fires_where_linux_had_it_and_not_under_the_lock() -> None:
    found = {p.stage: load().run(p, "sc") for p in load().all() if p.name == "drop-sanity"}
    fired = {stage: {v.promise: v.verdict for v in verdicts}["warned"] for stage, verdicts in found.items()}
    assert fired == {"mm-id": "kept", "mm-id, before the lock": "broken", "mm-id, reversed": "broken"}


@pytest.mark.parametrize("stage", ["posted cmpxchg", "posted add-return"])
@pytest.mark.parametrize(
    ("model", "verdict"), [("c11", "broken"), ("lkmm", "kept"), ("armv8", "kept"), ("power", "kept")]
)
def test_posted_stages_lose_an_update_in_c11_alone(stage: str, model: str, verdict: str) -> None:
    """A store behind the branch of the relaxed wait is ordered by Linux' model and by machines, not by C11."""
    programs = load()
    (two,) = (p for p in programs.all() if (p.name, p.stage) == ("two-writers", stage))
    found = {v.promise: v for v in programs.run(two, model)}
    assert found["lost"].verdict == verdict
    assert not found["lost"].ours


def test_unprotected_reader_sees_a_false_exclusive_and_that_is_no_finding() -> None:
    programs = load()
    (program,) = (p for p in programs.all() if p.name == "turn-unprotected")
    (verdict,) = programs.run(program, "sc")
    assert verdict.verdict == "broken"
    assert not verdict.ours
