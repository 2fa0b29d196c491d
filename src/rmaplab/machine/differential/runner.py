"""One program on the live kernel and on the model: compared is what was seen after every step.

For the differential test. A *mismatch* is a step after which the two worlds differ, or one that their traces tell
differently. What the kernel leaves to chance is recognised and *set aside* by name, with the rest of the program:

- `background`: the kernel moved or collapsed pages behind the program's back (the live recorder saw changes no
  operation explains);
- `allocation`: somewhere the kernel found no contiguous memory for a large folio while the program ran (`Shortage`);
- `not reproducible`: the program agrees when it is run again (`settle`);
- `machine error`: the live machine failed (`Campaign`);
- `surroundings: KSM` (`swap`, ...): somebody else on the system uses what the program needs for itself;
- `surroundings: memory`: the system was short of memory, and reclaimed or compacted meanwhile.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final, Self

from rmaplab.machine.differential.compare import Difference, compare
from rmaplab.machine.differential.lived import Life, Live, Seen, SetAside, live
from rmaplab.machine.differential.program import Program, Result, Run, Step
from rmaplab.machine.differential.reached import Reached
from rmaplab.machine.differential.traces import Marks, compare_traces
from rmaplab.machine.model import KernelPolicy, ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.trace import Trace

_AGAIN: Final = 2
"""How often a mismatch is run again before it counts."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Live kernel and model disagree after step `step` of the program."""

    step: int
    difference: Difference


@dataclass(frozen=True, slots=True)
class Outcome:
    """Steps of the program, those compared, those set aside and why; a mismatch ends the program. A step that names
    what a refused one would have made is no step. `reached`: see `Reached`."""

    steps: int
    compared: int = 0
    set_aside: int = 0
    why: str = ""
    mismatch: Mismatch | None = None
    reached: Counter[str] = field(default_factory=Counter)


class Model:
    """A model of `kernel` and the program on it, compared step by step with what was seen: `run`. To be closed."""

    def __init__(self, kernel: str | KernelPolicy) -> None:
        self._machine = ModelMachine(kernel)
        self.run = Run(self._machine)
        self._marks = Marks(), Marks()
        self._reached = Reached()

    def do(self, step: Step, seen: Seen) -> Difference | None:
        """Do `step`; what it then shows otherwise than `seen`. Raises Unnamed, and `Broken` or `ContentLeak` if the model
        contradicts itself."""
        answer = self.run.do(step)
        check(self._machine)
        difference = _answers(seen.answer, answer) or compare(seen.world, self._machine.observation())
        self._reached.step(step, seen.answer, seen.world)
        ours, theirs = self._marks
        ours.note(seen.events, seen.questions)
        theirs.note(*self._machine.recorder.rows)
        return difference

    def recorded(self, trace: Trace, *, swaps: bool) -> tuple[int, Difference] | None:
        """The first of the steps done so far, counted from 0, that `trace`, the live one, tells otherwise, and how."""
        ours, theirs = self._marks
        return compare_traces(trace, replace(ours, swaps=swaps), self._machine.trace(), theirs)

    def reached(self, trace: Trace) -> Counter[str]:
        """What the program reached, at its end."""
        return self._reached.end(trace)

    def close(self) -> None:
        """End it."""
        self._machine.close()


class Pair:
    """One world on the live kernel and on the model of `kernel`, done and compared step by step. A context manager."""

    def __init__(self, kernel: str | KernelPolicy) -> None:
        self._live, self._model = Live(), Model(kernel)
        self._ours, self._theirs = self._live.run, self._model.run  # whose answers who drives a Pair may listen to

    def do(self, step: Step) -> Difference | None:
        """Do `step` on both; what they then disagree about. Raises Unnamed, SetAside, and `Broken` or `ContentLeak` if
        the model contradicts itself."""
        difference = self._model.do(step, self._live.do(step))
        if difference and (chance := self._live.chance()):
            raise SetAside(chance)
        return difference

    def recorded(self) -> tuple[int, Difference] | None:
        """The first of the steps done so far, counted from 0, that the two traces tell differently, and how."""
        return self._model.recorded(self._live.trace(), swaps=self._live.swaps)

    def close(self) -> None:
        """End both worlds."""
        self._live.close()
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run(program: Program, kernel: str | KernelPolicy) -> Outcome:
    """Run `program` on a fresh live machine, then on a fresh model of `kernel`. Raises `Broken` or `ContentLeak` if the
    model contradicts itself."""
    return hold(program, live(program), kernel)


def hold(program: Program, life: Life, kernel: str | KernelPolicy) -> Outcome:
    """The model of `kernel` against what `program` was seen to do. Raises as `run`."""
    outcome, done = Outcome(len(program)), list[int]()
    with closing(Model(kernel)) as model:
        for number, (step, seen) in enumerate(zip(program, life.seen, strict=False)):
            if seen is None:
                outcome = replace(outcome, steps=outcome.steps - 1)
                continue
            if difference := model.do(step, seen):
                return _ended(outcome, len(program) - number, life.chance, Mismatch(number, difference))
            outcome = replace(outcome, compared=outcome.compared + 1)
            done.append(number)
        if len(life.seen) < len(program):
            return replace(outcome, set_aside=len(program) - len(life.seen), why=life.chance)
        outcome = replace(outcome, reached=model.reached(life.trace))
        told = model.recorded(life.trace, swaps=life.swaps)
    if told is None:
        return outcome
    at, difference = told
    left = outcome.steps - at
    return _ended(replace(outcome, compared=at), left, life.chance, Mismatch(done[at], difference))


def _ended(outcome: Outcome, left: int, chance: str, mismatch: Mismatch) -> Outcome:
    """The program ended with a mismatch, or if there is something else to explain it with that."""
    return replace(outcome, set_aside=left, why=chance) if chance else replace(outcome, mismatch=mismatch)


def settle(program: Program, kernel: str | KernelPolicy) -> Outcome:
    """As `run`, but a mismatch counts only if it shows every time the program is run."""
    outcome = run(program, kernel)
    if outcome.mismatch is None:
        return outcome
    for _ in range(_AGAIN):
        if run(program, kernel).mismatch is None:
            left = outcome.steps - outcome.compared
            return replace(outcome, mismatch=None, set_aside=left, why="not reproducible")
    return outcome


def _answers(live: Result, model: Result) -> Difference | None:
    if bool(live.refused) != bool(model.refused):
        return Difference("refused", "", str(bool(live.refused)), str(bool(model.refused)))
    if live.value != model.value:
        return Difference("answer", "", str(live.value), str(model.value))
    return None
