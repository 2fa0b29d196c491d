"""What the enumerator leaves out it leaves out soundly, and data races are found where they are."""

import math
import shutil
from pathlib import Path

import pytest

from rmaplab.sources import CORE
from rmaplab.verify.race.engine import Problem
from rmaplab.verify.race.programs import Program, Programs, load

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

STAGES = ("shared", "cmpxchg", "add-return")


def named(programs: Programs, name: str, stage: str) -> Program:
    return next(p for p in programs.all() if (p.name, p.stage) == (name, stage))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("name", "writers"), [("two-writers", 2), ("two-writers-reader", 2), ("three-writers", 3)])
@pytest.mark.parametrize("model", ["sc", "tso", "c11"])
def test_one_order_of_writers_that_do_the_same_stands_for_all_of_them(
    name: str, writers: int, stage: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever enters first could be anybody: so many times as many executions, and the same promises kept."""
    programs = load()
    program = named(programs, name, stage)
    one = programs.explore(program, model, 60.0)
    run = Problem.run

    def with_every_order(problem: Problem) -> object:
        problem.alike = ()
        return run(problem)

    monkeypatch.setattr(Problem, "run", with_every_order)
    every = programs.explore(program, model, 60.0)
    assert not every.timed_out
    assert every.executions == math.factorial(writers) * one.executions
    assert every.broken == one.broken == (0,) * len(one.broken)


@pytest.mark.parametrize("model", ["sc", "c11", "armv8"])
def test_one_order_of_writers_is_enough_to_see_a_lost_update(model: str, tmp_path: Path) -> None:
    core = Path(shutil.copytree(CORE, tmp_path / "core"))
    header = core / "atomic_seqcount.h"
    text = header.read_text()
    line = "while (unlikely(word & rmap_seq_exclusive_mask(how)))"
    assert text.count(line) == 1
    header.write_text(text.replace(line, "while (0)"))
    programs = load(core=core)
    for name in ("two-writers", "three-writers"):
        found = {v.promise: v.verdict for v in programs.run(named(programs, name, "cmpxchg"), model)}
        assert found["lost"] == "broken", name


RACES = {
    "the bit lock is given back without release": (
        "bit_lock.h",
        "rmap_write_release(word, new);",
        "rmap_write(word, new);",
    ),
    "the bit lock is taken without acquire": (
        "bit_lock.h",
        "rmap_fetch_or_acquire(word, RMAP_LOCK_BIT)",
        "rmap_fetch_or(word, RMAP_LOCK_BIT)",
    ),
    "nobody waits for the bit lock": ("bit_lock.h", "RMAP_LOCK_BIT)) & RMAP_LOCK_BIT))", "RMAP_LOCK_BIT)) & 0))"),
}


@pytest.mark.parametrize(("name", "stage"), [(name, "moments-flag") for name in RACES] + [(list(RACES)[-1], "mm-id")])
@pytest.mark.parametrize("model", ["c11", "lkmm"])
def test_plain_accesses_without_a_lock_that_orders_them_are_a_data_race(
    name: str, model: str, stage: str, tmp_path: Path
) -> None:
    """Two MMs of `mm-id` have a slot each: there the order alone is not enough to make them meet."""
    file, old, new = RACES[name]
    core = Path(shutil.copytree(CORE, tmp_path / "core"))
    text = (core / file).read_text()
    assert text.count(old) == 1
    (core / file).write_text(text.replace(old, new))
    programs = load(core=core)
    found = {v.promise: v for v in programs.run(named(programs, "map-map", stage), model)}
    assert found["raced"].verdict == "broken"
    assert found["raced"].witness is not None


@pytest.mark.parametrize("stage", ["mm-id", "moments-flag"])
def test_data_races_are_spoken_of_where_the_model_knows_such(stage: str) -> None:
    programs = load()
    for model, knows in (("c11", True), ("lkmm", True), ("sc", False), ("armv8", False)):
        found = {v.promise: v.verdict for v in programs.run(named(programs, "map-map", stage), model)}
        assert found.get("raced") == ("kept" if knows else None), model
