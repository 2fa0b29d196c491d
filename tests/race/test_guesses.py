"""Reads from the future: guesses that are spared, since no store can overtake the read, would have found nothing."""

import shutil
from collections.abc import Callable, Generator, Sequence

import pytest

from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.programs import load
from rmaplab.verify.race.threads import Operation, Outcome, Registers, explore

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

GUESSING = [column for column, (model, _) in MAPPINGS.items() if MODELS[model].future]
PLACES = 2
READS = ("read", "rmw", "cas")


def running(operations: Sequence[Operation]) -> Callable[[], Generator[Operation, int | None, Registers]]:
    def thread() -> Generator[Operation, int | None, Registers]:
        seen = []
        for operation in operations:
            got = yield operation
            if operation.kind in READS:
                seen.append(got)
        return {f"r{i}": value or 0 for i, value in enumerate(seen)}

    return thread


def outcomes(column: str, program: Sequence[Sequence[Operation]], *, spare: bool) -> set[tuple[object, ...]] | None:
    """All ends; None if there are too many to see them all in a second."""
    seen = set()

    def note(outcome: Outcome) -> bool:
        seen.add((tuple(tuple(r.items()) for r in outcome.registers), outcome.memory))
        return False

    model, rows = MAPPINGS[column]
    found = explore(MODELS[model], rows, (0,) * PLACES, [running(t) for t in program], note, 1.0, spare=spare)
    return None if found.timed_out or found.error else seen


@pytest.mark.parametrize("column", GUESSING)
def test_load_buffering_is_seen_only_by_a_guess(column: str) -> None:
    """So that the comparison compares something."""
    one, other = ((Operation("read", "read", a), Operation("write", "write", 1 - a, 1)) for a in (0, 1))
    both = ((("r0", 1),), (("r0", 1),)), (1, 1)
    assert both in (outcomes(column, (one, other), spare=True) or ())
    fenced = (one[0], Operation("fence", "fence_full"), one[1])
    guarded = (other[0], Operation("fence", "fence_full"), other[1])
    assert both not in (outcomes(column, (fenced, guarded), spare=False) or (both,))


@pytest.mark.parametrize("column", GUESSING)
def test_programs_over_the_headers_have_the_executions_they_have_with_every_guess_made(column: str) -> None:
    programs = load()
    some = [p for p in programs.all() if p.name in ("writer-reader", "map-pinned-ask", "take-cow")]
    assert len(some) > 10
    for program in some:
        every, few = (programs.explore(program, column, 60.0, spare=spare) for spare in (False, True))
        assert few.steps <= every.steps
        if not every.timed_out:
            assert (few.executions, few.broken) == (every.executions, every.broken), program
