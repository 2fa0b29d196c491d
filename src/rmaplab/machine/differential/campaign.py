"""Many programs: counts, progress, and every mismatch shrunk to a script.

For `python -m rmaplab.machine.differential` and the tests.
"""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TextIO

from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.program import Program
from rmaplab.machine.differential.runner import Mismatch, Outcome, run, settle
from rmaplab.machine.differential.script import script
from rmaplab.machine.differential.shrink import shrink
from rmaplab.machine.live import probe
from rmaplab.machine.model import ContentLeak, policy_of
from rmaplab.machine.model.invariants import Broken

ALLOWED_ASIDE: Final = 0.05
"""Share of the steps that may be set aside before the whole run counts as failed."""

_EVERY: Final = 10.0
"""Seconds between two lines of progress."""


@dataclass(slots=True)
class Campaign:
    """Runs programs by seed and adds up. Raises NotAvailable where there is no live machine."""

    kernel: str
    steps: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    programs: int = 0
    done: int = 0
    compared: int = 0
    mismatches: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    _orders: tuple[int, ...] = ()
    _said: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        policy_of(self.kernel)
        capabilities = probe()
        capabilities.require()
        self._orders = capabilities.anon_orders

    def run(self, seed: int, programs: int) -> None:
        """Run the programs of `programs` seeds from `seed` on; an interrupt ends it early, with what was done."""
        try:
            for number in range(seed, seed + programs):
                self.add(number)
                self._progress(programs)
        except KeyboardInterrupt:
            print(f"interrupted after {self.programs} programs", file=self.out)

    def add(self, seed: int) -> None:
        """Run the program of `seed`."""
        program = Generator(seed, self._orders, self.steps).program()
        self.programs += 1
        self.operations.update(step.advice or step.do for step in program)
        try:
            outcome = settle(program, self.kernel)
        except (Broken, ContentLeak) as broken:
            self.mismatches += 1
            print(f"seed {seed}: the model contradicts itself: {broken}\n{script(program, str(broken))}", file=self.out)
            return
        self.done += outcome.steps
        self.compared += outcome.compared
        if outcome.why:
            self.aside[outcome.why] += outcome.set_aside
        if outcome.mismatch:
            self._mismatch(seed, program, outcome, outcome.mismatch)

    def _mismatch(self, seed: int, program: Program, outcome: Outcome, mismatch: Mismatch) -> None:
        self.mismatches += 1
        self.aside["after a mismatch"] += outcome.steps - outcome.compared
        what = mismatch.difference.what

        def still(candidate: Program) -> bool:
            found = run(candidate, self.kernel).mismatch
            return found is not None and found.difference.what == what

        small = shrink(program[: mismatch.step + 1], still)
        found = run(small, self.kernel).mismatch or mismatch
        print(f"seed {seed}: {found.difference}\n{script(small, str(found.difference))}", file=self.out, flush=True)

    def _progress(self, programs: int) -> None:
        """A line on stderr now and then."""
        if time.monotonic() - self._said > _EVERY:
            self._said = time.monotonic()
            print(f"{self.programs} of {programs} programs, {self.mismatches} mismatches", file=self.out, flush=True)

    @property
    def set_aside(self) -> int:
        return self.aside.total()

    @property
    def exit_code(self) -> int:
        """1 if anything disagreed or too much was set aside."""
        return int(self.mismatches > 0 or self.set_aside > ALLOWED_ASIDE * self.done)

    def numbers(self) -> dict[str, object]:
        """Everything `report` says, for machines."""
        return {
            "kernel": self.kernel,
            "programs": self.programs,
            "steps": self.done,
            "compared": self.compared,
            "set_aside": dict(self.aside),
            "mismatches": self.mismatches,
            "operations": dict(self.operations),
        }

    def report(self) -> str:
        """What was done, how often; set aside, why; and the sum as the last line."""
        lines = [f"{name}: {count}" for name, count in sorted(self.operations.items())]
        lines += [f"set aside, {why}: {count} steps" for why, count in sorted(self.aside.items())]
        total = f"programs {self.programs}, steps {self.done}, compared {self.compared}"
        return "\n".join([*lines, f"{total}, set aside {self.set_aside}, mismatches {self.mismatches}"])
