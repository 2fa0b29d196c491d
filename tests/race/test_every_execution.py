"""The enumerator misses no execution and invents none: random programs against every candidate asked of the model."""

import os
import random
import shutil
from collections.abc import Callable, Generator, Sequence

import pytest
from brute_force import READS, STORES, Outcome, Thread, every_outcome, executions_to_ask

from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.threads import Operation, Registers, explore
from rmaplab.verify.race.threads import Outcome as End

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

PLACES = 2
PROGRAMS = int(os.environ.get("RMAPLAB_RACE_PROGRAMS", "120"))
MOST = 20_000
WORDS = {
    "read": ("read", "read_acquire"),
    "write": ("write", "write", "write_release"),
    "rmw": ("add", "add_release", "add_return", "add_return_acquire", "add_return_release", "full_add_return"),
    "cas": ("cmpxchg", "cmpxchg_acquire", "cmpxchg_release", "full_cmpxchg"),
    "fence": ("fence_release", "fence_acquire", "fence_full", "after_atomic", "before_atomic", "rmb", "wmb"),
}


def random_thread(dice: random.Random, first: int) -> Thread:
    """A read of place `first`, up to three operations, a store to the other: load buffering, if nothing is in its way."""
    kinds = [dice.choice(READS), *(dice.choice((*READS, "write", "fence")) for _ in range(dice.randrange(4)))]
    kinds.append(dice.choice(STORES))
    made: list[Operation] = []
    ctrl: frozenset[int] = frozenset()

    def on(chance: float) -> frozenset[int]:
        before = sum(one.kind in READS for one in made)
        return frozenset({dice.randrange(before)}) if before and dice.random() < chance else frozenset()

    for i, kind in enumerate(kinds):
        place = first if i == 0 else 1 - first if i == len(kinds) - 1 else dice.randrange(PLACES)
        word = dice.choice(WORDS[kind])
        ctrl |= on(0.12)
        value, expect, addr, data = dice.choice((1, 1, 2)), dice.randrange(2), on(0.12), on(0.2)
        if kind == "fence":
            made.append(Operation(kind, word, ctrl=ctrl))
        else:
            made.append(
                Operation(
                    kind, word, place, value, expect, addr=addr, data=frozenset() if kind == "read" else data, ctrl=ctrl
                )
            )
    return tuple(made)


def running(operations: Thread) -> Callable[[], Generator[Operation, int | None, Registers]]:
    def thread() -> Generator[Operation, int | None, Registers]:
        got = []
        for one in operations:
            value = yield one
            if one.kind in READS:
                got.append(value or 0)
        return {f"r{i}": value for i, value in enumerate(got)}

    return thread


def enumerated(column: str, program: Sequence[Thread]) -> set[Outcome]:
    seen: set[Outcome] = set()

    def note(end: End) -> bool:
        seen.add((tuple(tuple(r.values()) for r in end.registers), end.memory))
        return False

    model, rows = MAPPINGS[column]
    found = explore(MODELS[model], rows, (0,) * PLACES, [running(t) for t in program], note, 60.0)
    assert not found.error
    assert not found.timed_out
    return seen


@pytest.mark.parametrize("column", MAPPINGS)
def test_random_programs_have_exactly_the_ends_that_the_model_allows(column: str) -> None:
    asked = 0
    for seed in range(PROGRAMS):
        dice = random.Random(seed)
        program = [random_thread(dice, first) for first in range(PLACES)]
        if executions_to_ask(program, PLACES) <= MOST:
            asked += 1
            assert enumerated(column, program) == every_outcome(column, program, PLACES), program
    assert asked > PROGRAMS // 2


ON_0 = frozenset({0})
ONLY_IF_GUESSED: dict[str, tuple[Thread, Thread]] = {
    "a full compare-exchange, then one that acquires": (
        (Operation("cas", "full_cmpxchg", 0, 1), Operation("cas", "cmpxchg_acquire", 1, 1)),
        (
            Operation("read", "read_acquire", 1),
            Operation("rmw", "full_add_return", 1, 1),
            Operation("fence", "rmb"),
            Operation("write", "write_release", 1, 1, addr=ON_0, data=ON_0),
            Operation("write", "write_release", 0, 2, addr=ON_0),
        ),
    ),
    "a fence behind the first": (
        (
            Operation("cas", "cmpxchg_acquire", 0, 2),
            Operation("fence", "after_atomic"),
            Operation("cas", "cmpxchg", 1, 1),
        ),
        (
            Operation("rmw", "add_release", 1, 1),
            Operation("fence", "before_atomic"),
            Operation("rmw", "add", 0, 2),
            Operation("fence", "wmb"),
            Operation("write", "write", 0, 1),
        ),
    ),
    "a full one whose fences go if it fails": (
        (
            Operation("rmw", "add_return", 0, 1),
            Operation("fence", "fence_full", ctrl=ON_0),
            Operation("rmw", "add_release", 0, 2, ctrl=ON_0),
            Operation("write", "write_release", 1, 2, ctrl=ON_0),
        ),
        (Operation("cas", "full_cmpxchg", 1, 1), Operation("cas", "cmpxchg_acquire", 0, 2, 1)),
    ),
}
"""In some execution a compare-exchange stores, and overtakes an earlier read, only since that read guessed."""


@pytest.mark.parametrize("name", ONLY_IF_GUESSED)
@pytest.mark.parametrize("column", MAPPINGS)
def test_store_that_overtakes_a_read_only_where_the_read_guesses_is_seen(column: str, name: str) -> None:
    program = ONLY_IF_GUESSED[name]
    assert enumerated(column, program) == every_outcome(column, program, PLACES)
