"""A second engine (z3, relational) agrees with the enumerator, outcome by outcome, on what both decide."""

import shutil

import pytest

from rmaplab.verify.race.export import RELAXED, outcomes
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.programs import Program, Programs, load

pytest.importorskip("z3")

from rmaplab.verify.race.relational import DECIDES, allows

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

ASKED = [
    ("writer-reader", "shared"),
    ("writer-reader", "cmpxchg"),
    ("writer-reader", "add-return"),
    ("two-writers", "shared"),
]


def named(programs: Programs, name: str, stage: str) -> Program:
    return next(p for p in programs.all() if (p.name, p.stage) == (name, stage))


@pytest.mark.parametrize("model", DECIDES)
@pytest.mark.parametrize(("name", "stage"), ASKED)
def test_both_engines_allow_the_same_outcomes(name: str, stage: str, model: str) -> None:
    """Asked are all outcomes of the program with everything relaxed, of which most are forbidden."""
    programs = load()
    program = named(programs, name, stage)
    column, rows = MAPPINGS[model]
    can, all_of_them = outcomes(programs, program, column, rows, 300.0)
    might, all_possible = outcomes(programs, program, "lkmm", RELAXED, 300.0)
    assert all_of_them
    assert all_possible
    assert can <= might
    for outcome in sorted(might):
        assert allows(programs, program, model, outcome) == (outcome in can), outcome


def test_engines_would_differ_if_one_took_another_model() -> None:
    """Readers that see half an update are what tells the relaxed mapping from the real one."""
    programs = load()
    program = named(programs, "writer-reader", "shared")
    might, _ = outcomes(programs, program, "lkmm", RELAXED, 300.0)
    verdicts = {allows(programs, program, "lkmm", outcome) for outcome in might}
    assert verdicts == {True, False}


def test_what_is_not_decided_is_refused() -> None:
    programs = load()
    program = named(programs, "writer-reader", "shared")
    with pytest.raises(ValueError, match="power: not decided here"):
        allows(programs, program, "power", ((), ()))
    with pytest.raises(ValueError, match="thread 0: not at its end"):
        allows(programs, program, "sc", (((0,) * 20, ()), (0, 0, 0)))
    packed = named(programs, "drop-cow", "packed")
    found, _ = outcomes(programs, packed, *MAPPINGS["sc"], 300.0)
    with pytest.raises(ValueError, match="a 16-byte access"):
        allows(programs, packed, "sc", min(found))
