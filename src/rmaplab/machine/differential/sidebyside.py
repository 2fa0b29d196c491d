"""One program on the model of several kernels, step by step: what each answers, and where their worlds part.

For `rmaplab.compare`. The first kernel is the one the others are compared with.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from rmaplab.machine.differential.compare import compare
from rmaplab.machine.differential.program import Program, Result, Run, Step, Unnamed
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.observation import Observation


@dataclass(frozen=True, slots=True)
class Said:
    """What one kernel did at one step: its answer, and the first thing in which its world differs from that of the first
    kernel, "" if nothing does."""

    answer: Result
    differs: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One step, and what every kernel, in their order, said."""

    step: Step
    said: tuple[Said, ...]


def side_by_side(program: Program, kernels: Sequence[str]) -> list[Stage]:
    """Run `program` on the model of each of `kernels`. Steps that name what nobody made are left out; where only some
    kernels lack it, those refuse the step. Raises BadOperation for a kernel nobody knows."""
    stages = list[Stage]()
    with ExitStack() as stack:
        machines = [stack.enter_context(ModelMachine(kernel)) for kernel in kernels]
        runs = [Run(machine) for machine in machines]
        for step in program:
            done = [_done(run, step) for run in runs]
            if not any(done):
                continue
            answers = [answer or Result(refused=step.do) for answer in done]
            worlds = [machine.observation() for machine in machines]
            differs = [_difference(kernels[0], worlds[0], *other) for other in zip(kernels, worlds, strict=True)]
            stages.append(Stage(step, tuple(map(Said, answers, differs))))
    return stages


def _done(run: Run, step: Step) -> Result | None:
    try:
        return run.do(step)
    except Unnamed:
        return None


def _difference(first: str, world: Observation, kernel: str, other: Observation) -> str:
    found = compare(world, other)
    return f"{found.what}{found.where}: {first} {found.live}, {kernel} {found.model}" if found else ""
