"""One program on the live kernel and on the model, compared after every step.

For the differential test. A *mismatch* is a step after which the two worlds differ; what the kernel leaves to chance is
recognised and *set aside* by name, with the rest of the program.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmaplab.machine.differential.compare import Difference, compare
from rmaplab.machine.differential.program import Program, Result, Run, Step, Unnamed
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.model import KernelPolicy, ModelMachine
from rmaplab.machine.model.invariants import check


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Live kernel and model disagree after step `step` of the program."""

    step: int
    difference: Difference


@dataclass(frozen=True, slots=True)
class Outcome:
    """Steps done, compared, and set aside (why: step count); a mismatch ends the program."""

    steps: int
    compared: int
    set_aside: dict[str, int]
    mismatch: Mismatch | None = None


def run(program: Program, kernel: str | KernelPolicy) -> Outcome:
    """Run `program` on a fresh live machine and a fresh model of `kernel`."""
    with LiveMachine() as live, ModelMachine(kernel) as model:
        return _run(program, Run(live), Run(model))


def _run(program: Sequence[Step], live: Run, model: Run) -> Outcome:
    outcome = Outcome(len(program), 0, {})
    for number, step in enumerate(program):
        try:
            ours, theirs = live.do(step), model.do(step)
        except Unnamed:
            continue
        difference = _answers(ours, theirs) or compare(live.machine.observe(), model.machine.observe())
        assert isinstance(model.machine, ModelMachine)
        check(model.machine)
        if difference is not None:
            return replace(outcome, mismatch=Mismatch(number, difference))
        outcome = replace(outcome, compared=outcome.compared + 1)
    return outcome


def _answers(live: Result, model: Result) -> Difference | None:
    if bool(live.refused) != bool(model.refused):
        return Difference("refused", "", str(bool(live.refused)), str(bool(model.refused)))
    if live.value != model.value:
        return Difference("answer", "", str(live.value), str(model.value))
    return None
