"""`make hunt`: find programs that reach what none before did, and keep them, as short as they can be.

For a corpus that campaigns hold against kernels and mutants have to survive. What a program reaches is looked up on the
model alone: branches of its code, folios and page-table states, operations that changed something and pairs of them,
questions and answers. New programs are made of those kept (`Changer`), most of such as reached what few did, and now and
then by the generator.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

import rmaplab.machine.model
from rmaplab.machine.differential import corpus
from rmaplab.machine.differential.change import Changer
from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.program import Program, Run, Unnamed
from rmaplab.machine.differential.reached import Reached
from rmaplab.machine.differential.shrink import shrink
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.invariants import check

Features = frozenset[Hashable]
ORDERS: Final = (2, 3, 4, 5, 6, 7, 8, 9)
_MODEL: Final = str(Path(rmaplab.machine.model.__path__[0]))
_RANDOM: Final = 0.15
"""Share of the candidates that come from the generator."""
_RARE: Final = 40
"""So many of the rarest features are where candidates start from."""
_SHORTENING: Final = 16
"""Runs that shortening one program may take."""
_MANY: Final = 12
"""Who reaches more than so many new things is not shortened: most are new only because the hunt has just begun."""


class Branches(AbstractContextManager["Branches"]):
    """Which line of the model follows which while this lasts: the branches taken. Slow: every line is looked at."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, int, int]] = set()

    def __enter__(self) -> "Branches":
        sys.settrace(self._called)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not name.startswith(_MODEL):
            return None
        before = frame.f_lineno

        def line(inner: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            nonlocal before
            if event == "line":
                self.taken.add((name, before, inner.f_lineno))
                before = inner.f_lineno
            return line

        return line


def reached_by(program: Program, kernel: str) -> Features:
    """What the program reaches on the model of `kernel`. Raises Broken or ContentLeak if the model contradicts itself."""
    reached, branches = Reached(), Branches()
    with ModelMachine(kernel) as machine:
        run = Run(machine)
        for step in program:
            try:
                with branches:
                    answer = run.do(step)
            except Unnamed:
                continue
            check(machine)
            reached.step(step, answer, machine.observation())
        counts = reached.end(machine.trace())
    return frozenset(counts) | branches.taken


@dataclass(slots=True)
class Hunt:
    """The programs kept, what each reaches, and how many programs tried reached a thing."""

    kernel: str
    lots: random.Random
    kept: dict[Program, Features] = field(default_factory=dict)
    seen: Counter[Hashable] = field(default_factory=Counter)
    tried: int = 0

    def consider(self, program: Program) -> Program | None:
        """Try the program; keep it, shortened, if it reaches something new. Returns what is kept."""
        found = self._reach(program)
        new = found - self.seen.keys()
        self.seen.update(found)
        if not new:
            return None
        if len(new) <= _MANY:
            program = shrink(program, lambda shorter: bool(shorter) and new <= self._reach(shorter), _SHORTENING)
        self.kept[program] = self._reach(program)
        return program

    def _reach(self, program: Program) -> Features:
        self.tried += 1
        return reached_by(program, self.kernel)

    def candidate(self) -> Program:
        """A program to try next."""
        if not self.kept or self.lots.random() < _RANDOM:
            return Generator(self.lots.randrange(1 << 32), ORDERS, self.lots.randint(8, 30)).program()
        rare = self.lots.choice([feature for feature, _ in self.seen.most_common()[: -_RARE - 1 : -1]])
        able = [program for program, found in self.kept.items() if rare in found] or list(self.kept)
        return Changer(self.lots).change(self.lots.choice(able), list(self.kept))

    def needed(self) -> list[Program]:
        """Of the programs kept those without which something would not be reached: the shortest first, greedily."""
        left: set[Hashable] = {feature for found in self.kept.values() for feature in found}
        chosen = list[Program]()
        while left:
            best = max(self.kept, key=lambda program: (len(self.kept[program] & left), -len(program)))
            chosen.append(best)
            left -= self.kept[best]
        return chosen


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make hunt", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="file of programs; grows")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="for the lots (default 1)")
    parser.add_argument("--kernel", default="linux-6.18", help="the model's kernel (default linux-6.18)")
    asked = parser.parse_args(arguments)
    hunt = Hunt(asked.kernel, random.Random(asked.seed))
    for program in corpus.read(asked.corpus) if asked.corpus.exists() else ():
        found = reached_by(program, asked.kernel)
        hunt.kept[program] = found
        hunt.seen.update(found)
    before, end = len(hunt.seen), time.monotonic() + asked.seconds
    try:
        while time.monotonic() < end:
            if (kept := hunt.consider(hunt.candidate())) is not None:
                told = f"{len(hunt.seen)} things reached, {len(hunt.kept)} programs, the last of {len(kept)} steps"
                print(told, file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    programs = hunt.needed()
    corpus.write(asked.corpus, programs)
    print(f"programs {len(programs)}, reached {len(hunt.seen)} ({len(hunt.seen) - before} new), tried {hunt.tried}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
