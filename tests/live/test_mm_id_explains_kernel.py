"""The scheme `mm-id`, the folio's mapcount and its other references explain every COW answer of the running kernel."""

from typing import Literal

import numpy as np
import polars as pl
import pytest
from cow_rule import asked, expected, movable
from programs import play

from rmaplab.machine.live import LiveMachine
from rmaplab.scenarios import SCENARIOS, Parameters
from rmaplab.trace.validate import validate

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

SEEDS_A_TEST = 25


@pytest.mark.parametrize("first", range(0, 200, SEEDS_A_TEST))
def test_mm_id_with_mapcount_and_references_explains_every_reuse_and_copy(thp: LiveMachine, first: int) -> None:
    ends = []
    for seed in range(first, first + SEEDS_A_TEST):
        play(thp, seed)
        ends.append(thp.recorder.builder.step)
    trace = thp.trace()
    validate(trace)
    questions = asked(trace)
    wrong = questions.filter((questions["outcome"] == "reused").to_numpy() != expected(questions))
    seeds = sorted({first + int(np.searchsorted(ends, step, side="right")) for step in wrong["step"]})
    assert wrong.is_empty(), f"seeds {seeds}:\n{wrong}"
    assert {"reused", "copied"} <= set(questions["outcome"]), "the programs asked too little"
    moves = asked(trace, "migrate").filter(pl.col("kernel").is_not_null())
    wrong = moves.filter((moves["kernel"] == "exclusive").to_numpy() != movable(moves))
    assert wrong.is_empty(), wrong
    assert {"exclusive", "shared"} <= set(moves["kernel"]), "the programs moved too little"


@pytest.mark.parametrize(("order", "mapping"), [(0, "pte"), (4, "pte"), (9, "pte"), (9, "pmd")])
@pytest.mark.parametrize("name", SCENARIOS)
def test_mm_id_explains_every_scenario(thp: LiveMachine, name: str, order: int, mapping: Literal["pte", "pmd"]) -> None:
    size = 4 << 20 if order == 9 else 256 << 10
    trace = SCENARIOS[name].play(thp, Parameters(size=size, order=order, mapping=mapping))
    questions = asked(trace)
    if name == "swap":  # the swap cache may hold a reference, which the kernel does not show
        questions = questions.filter(pl.col("extra_refs").is_not_null())
    wrong = questions.filter((questions["outcome"] == "reused").to_numpy() != expected(questions))
    assert wrong.is_empty(), wrong
