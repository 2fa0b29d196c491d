"""One program on the live kernel and on the model, compared after every step.

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
from dataclasses import dataclass, field, replace
from typing import Final, Self

from rmaplab.machine.differential.compare import Difference, compare
from rmaplab.machine.differential.program import Program, Result, Run, Step, Unnamed
from rmaplab.machine.differential.reached import Reached
from rmaplab.machine.differential.surroundings import Shortage, others
from rmaplab.machine.differential.traces import Marks, compare_traces
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.model import KernelPolicy, ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.machine.protocol import MachineError, NotAvailable

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


class SetAside(Exception):
    """What the worlds differ in is of the kernel's own doing: names it. The rest of the program cannot be compared."""


class Pair:
    """One world on the live kernel and on the model of `kernel`, done and compared step by step. A context manager."""

    def __init__(self, kernel: str | KernelPolicy) -> None:
        self._live, self._model = LiveMachine(), ModelMachine(kernel)
        self._ours, self._theirs = Run(self._live), Run(self._model)
        self._marks = Marks(), Marks()
        self._reached = Reached()
        self._merges = False
        self._shortage = Shortage.now()

    def do(self, step: Step) -> Difference | None:
        """Do `step` on both; what they then disagree about. Raises Unnamed, SetAside, and `Broken` or `ContentLeak` if
        the model contradicts itself."""
        ours, theirs = self._marks
        self._merges |= step.do == "merge" or step.advice == "mergeable"
        try:
            answers = self._ours.do(step), self._theirs.do(step)
            world = self._live.observation(), self._model.observation()
        except NotAvailable as missing:
            if step.do != "file":
                raise
            raise SetAside("allocation") from missing
        except MachineError as failed:
            if why := self._others():
                raise SetAside(why) from failed
            raise
        ours.swaps |= step.do == "swap"
        check(self._model)
        difference = _answers(*answers) or compare(*world)
        if difference and (chance := self.chance()):
            raise SetAside(chance)
        self._reached.step(step, answers[0], world[0])
        ours.note(*self._live.recorder.rows)
        theirs.note(*self._model.recorder.rows)
        return difference

    def recorded(self) -> tuple[int, Difference] | None:
        """The first of the steps done so far, counted from 0, that the two traces tell differently, and how."""
        ours, theirs = self._marks
        return compare_traces(self._live.trace(), ours, self._model.trace(), theirs)

    def reached(self) -> Counter[str]:
        """What the program reached, at its end."""
        return self._reached.end(self._live.trace())

    def chance(self) -> str:
        """What of the kernel's own doing, or of others', can explain a difference: its name, or "" if nothing does."""
        moved = self._live.recorder.stats.get("background_changes", 0)
        return self._others() or ("background" if moved else "") or self._shortage.since()

    def _others(self) -> str:
        pids = [process.pid for process in self._live.processes()]
        return others(pids, merges=self._merges, swaps=self._marks[0].swaps)

    def close(self) -> None:
        """End both worlds."""
        self._live.close()
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run(program: Program, kernel: str | KernelPolicy) -> Outcome:
    """Run `program` on a fresh live machine and a fresh model of `kernel`. Raises `Broken` or `ContentLeak` if the
    model contradicts itself."""
    outcome, done = Outcome(len(program)), list[int]()
    with Pair(kernel) as pair:
        for number, step in enumerate(program):
            try:
                difference = pair.do(step)
            except Unnamed:
                outcome = replace(outcome, steps=outcome.steps - 1)
                continue
            except SetAside as chance:
                return replace(outcome, set_aside=len(program) - number, why=str(chance))
            if difference is not None:
                return replace(outcome, mismatch=Mismatch(number, difference))
            outcome = replace(outcome, compared=outcome.compared + 1)
            done.append(number)
        told = pair.recorded()
        outcome = replace(outcome, reached=pair.reached())
        if told is None:
            return outcome
        at, difference = told
        outcome = replace(outcome, compared=at)
        if why := pair.chance():
            return replace(outcome, set_aside=outcome.steps - at, why=why)
    return replace(outcome, mismatch=Mismatch(done[at], difference))


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
