"""Every scenario runs unchanged on the model and on the running kernel, and no scheme breaks its claim on it."""

import dataclasses
from functools import cache

import polars as pl
import pytest

from rmaplab.engine import truth
from rmaplab.errors import NotAvailable
from rmaplab.judge import Judgement, judge
from rmaplab.machine.choose import open_machine
from rmaplab.machine.protocol import BadOperation
from rmaplab.scenarios import SCENARIOS, Parameters, find
from rmaplab.schemes import SCHEMES, Exactness, select
from rmaplab.trace import Trace, validate

SIZE = 4 << 20
SHAPES = {
    "small": Parameters(size=1 << 20, order=0),
    "mthp": Parameters(size=1 << 20, order=4),
    "thp-by-ptes": Parameters(size=SIZE, order=9),
    "thp-by-pmd": Parameters(size=SIZE, order=9, mapping="pmd"),
}

live = [pytest.mark.live, pytest.mark.xdist_group("live")]
on_both = pytest.mark.parametrize("on", ["model", pytest.param("live", marks=live)])


@cache
def played(name: str, parameters: Parameters, on: str, kernel: str = "linux-6.18") -> Trace:
    """The trace of a scenario, or a skip with the reason."""
    try:
        with open_machine("live" if on == "live" else "model", kernel) as machine:
            return find(name).play(machine, parameters)
    except NotAvailable as missing:
        pytest.skip(str(missing))


def breaches(judgement: Judgement) -> list[str]:
    """Schemes whose claim about large folios does not hold here."""
    found = []
    for name, one in judgement.schemes.items():
        large = [tally for (order, _), tally in one.by.items() if order > 0]
        false_exclusive = sum(tally.false_exclusive for tally in large)
        false_shared = sum(tally.false_shared for tally in large)
        claim = SCHEMES[name].exact
        if (claim is not Exactness.HEURISTIC and false_exclusive) or (claim is Exactness.NEVER_WRONG and false_shared):
            found.append(f"{name} ({claim}): {false_exclusive} false exclusive, {false_shared} false shared")
    return found


@on_both
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_scheme_breaks_its_claim(name: str, shape: str, on: str) -> None:
    trace = played(name, SHAPES[shape], on)
    validate(trace)
    assert trace.meta.scenario == name
    assert trace.questions.height > 0
    assert breaches(judge(trace, select())) == []


@on_both
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_recorder_and_engine_agree_on_the_truth(name: str, shape: str, on: str) -> None:
    trace = played(name, SHAPES[shape], on)
    recorded = trace.questions["truth"].to_physical()
    known = recorded.is_not_null().to_numpy()
    assert known.any() or (name, on) == ("mremap-twice", "model")
    assert (recorded.to_numpy()[known] == truth(trace)[known]).all()


@pytest.mark.parametrize("survivor", [0, 1, 2])
@pytest.mark.parametrize("name", ["prefork", "chain"])
def test_a_precise_kernel_copies_nothing_for_nothing_whoever_survives(name: str, survivor: int) -> None:
    parameters = dataclasses.replace(SHAPES["thp-by-ptes"], survivor=survivor)
    trace = played(name, parameters, "model", "precise:moments")
    judgement = judge(trace, select(["truth"]))
    assert judgement.avoidable_copies.pages == 0
    assert trace.questions.filter(pl.col("outcome") == "copied").height == 0


def test_a_random_scenario_is_the_same_for_the_same_seed() -> None:
    first, again, other = (
        played("snapshot", dataclasses.replace(SHAPES["mthp"], seed=seed), "model").events for seed in (7, 7, 8)
    )
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("prefork", {"survivor": 3}, "survivor"),
        ("prefork", {"survivor": -4}, "survivor"),
        ("chain", {"k": 65}, "k"),
        ("pin", {"order": 10}, "order"),
        ("pin", {"size": 4096}, "size"),
        ("pin", {"order": 4, "mapping": "pmd"}, "mapping"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(name: str, changes: dict[str, int], named: str) -> None:
    parameters = dataclasses.replace(Parameters(size=SIZE), **changes)
    with open_machine("model", "linux-6.18") as machine, pytest.raises(BadOperation, match=named):
        find(name).play(machine, parameters)
