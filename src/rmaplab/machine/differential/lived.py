"""One program on the live kernel, and all that is needed to hold a model against it later, elsewhere.

For the runner, and for guests of the lab, where a program is lived and the model is asked outside. The machine is closed
by then: whoever waits for the system waits for no model.
"""

import base64
import pickle
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from rmaplab.machine.differential.program import Program, Result, Run, Step, Unnamed
from rmaplab.machine.differential.surroundings import Shortage, others
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.observation import Observation
from rmaplab.machine.protocol import MachineError, NotAvailable
from rmaplab.trace import Trace


class SetAside(Exception):
    """What the worlds differ in is of the kernel's own doing: names it. The rest of the program cannot be compared."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step came to: its answer, the world after it, and how many rows of events and questions were recorded."""

    answer: Result
    world: Observation
    events: int
    questions: int


@dataclass(frozen=True, slots=True)
class Life:
    """A program as the kernel ran it: what was `seen` after each step, None where the step named what nobody made; the
    trace; whether there was a swap device. `chance`: what of the kernel's own doing, or of others', can explain a
    difference, "" if nothing does; it ended the program if fewer steps were seen than it has."""

    seen: Sequence[Seen | None]
    trace: Trace
    swaps: bool
    chance: str


class Live:
    """A live machine and the program on it, step by step: `run`. To be closed."""

    def __init__(self) -> None:
        self._machine = LiveMachine()
        self.run = Run(self._machine)
        self._shortage = Shortage.now()
        self._merges = False
        self.swaps = False

    def do(self, step: Step) -> Seen:
        """Do `step`. Raises Unnamed, SetAside."""
        self._merges |= step.do == "merge" or step.advice == "mergeable"
        try:
            answer = self.run.do(step)
            world = self._machine.observation()
        except NotAvailable as missing:
            if step.do != "file":
                raise
            raise SetAside("allocation") from missing
        except MachineError as failed:
            if why := self._others():
                raise SetAside(why) from failed
            raise
        self.swaps |= step.do == "swap"
        return Seen(answer, world, *self._machine.recorder.rows)

    def chance(self) -> str:
        """What of the kernel's own doing, or of others', can explain a difference so far: its name, or ""."""
        moved = self._machine.recorder.stats.get("background_changes", 0)
        return self._others() or ("background" if moved else "") or self._shortage.since()

    def _others(self) -> str:
        pids = [process.pid for process in self._machine.processes()]
        return others(pids, merges=self._merges, swaps=self.swaps)

    def trace(self) -> Trace:
        """What was recorded so far."""
        return self._machine.trace()

    def close(self) -> None:
        """End it."""
        self._machine.close()


def live(program: Program) -> Life:
    """Run `program` on a fresh live machine. Raises NotAvailable, MachineError."""
    seen = list[Seen | None]()
    with closing(Live()) as machine:
        why = ""
        for step in program:
            try:
                seen.append(machine.do(step))
            except Unnamed:
                seen.append(None)
            except SetAside as chance:
                why = str(chance)
                break
        return Life(seen, machine.trace(), machine.swaps, why or machine.chance())


@dataclass(frozen=True, slots=True)
class Lived:
    """The program of `seed`, and its life, or why it had none."""

    seed: int
    program: Program
    life: Life | NotAvailable | MachineError


def packed(lived: Lived) -> bytes:
    """One line of text."""
    return base64.b64encode(zlib.compress(pickle.dumps(lived), 1)) + b"\n"


def unpacked(lines: bytes) -> Iterator[Lived]:
    """What a guest of ours packed: the lines that came whole."""
    for line in lines.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield pickle.loads(zlib.decompress(base64.b64decode(line)))
