"""Many programs: counts, and every mismatch shrunk to a script.

For `jobs`, which spreads a campaign over processes, and the tests.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from rmaplab.machine.differential.counts import SURROUNDINGS, Counts
from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.program import Program
from rmaplab.machine.differential.runner import Mismatch, Outcome, run, settle
from rmaplab.machine.differential.script import script
from rmaplab.machine.differential.shrink import shrink
from rmaplab.machine.live import LiveMachine, probe, sharing
from rmaplab.machine.live.diskfile import make
from rmaplab.machine.model import ContentLeak, policy_of
from rmaplab.machine.model.invariants import Broken
from rmaplab.machine.protocol import PMD_ORDER, PMD_SIZE, MachineError, NotAvailable


@dataclass(slots=True)
class Campaign:
    """Runs programs by seed and adds up; mismatches go to `out`. Raises NotAvailable where there is no live machine."""

    kernel: str
    steps: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    counts: Counts = field(default_factory=Counts)
    _orders: tuple[int, ...] = ()
    _disk: bool = False
    _ksm: bool = False
    _swap: bool = False

    def __post_init__(self) -> None:
        policy_of(self.kernel)
        with LiveMachine():  # nobody is alone now: swap that is on is the system's own
            capabilities = probe()
        self._orders = capabilities.anon_orders
        self._ksm, self._swap = capabilities.has("ksm"), capabilities.has("swap")
        for lacking in (name for name in ("ksm", "swap") if not capabilities.has(name)):
            print(f"without {lacking}: {capabilities[lacking].why_not}", file=self.out)
        try:
            os.close(make(PMD_SIZE, PMD_ORDER))
            self._disk = True
        except NotAvailable as missing:
            print(f"without disk files: {missing}", file=self.out)

    def run(self, seeds: Iterable[int]) -> Iterator[Counts]:
        """Run the programs of `seeds`, yielding the counts after each."""
        for seed in seeds:
            self.add(seed)
            yield self.counts

    def add(self, seed: int) -> None:
        """Run the program of `seed`."""
        able = {"disk": self._disk, "ksm": self._ksm, "swap": self._swap, "sharing": sharing.available()}
        program = Generator(seed, self._orders, self.steps, **able).program()
        counts = self.counts
        counts.programs += 1
        counts.operations.update(step.advice or step.do for step in program)
        try:
            outcome = settle(program, self.kernel)
        except (Broken, ContentLeak) as broken:
            counts.mismatches += 1
            print(f"seed {seed}: the model contradicts itself: {broken}\n{script(program, str(broken))}", file=self.out)
            return
        except NotAvailable as missing:
            # Somebody else began to use KSM or swap, or took the room: their right, and nothing the model could do about.
            counts.done += len(program)
            counts.aside[f"{SURROUNDINGS}: {str(missing).partition(':')[0]}"] += len(program)
            print(f"seed {seed}: set aside: {missing}", file=self.out)
            return
        except MachineError as error:
            counts.done += len(program)
            counts.aside["machine error"] += len(program)
            print(f"seed {seed}: {error}", file=self.out)
            return
        counts.done += outcome.steps
        counts.compared += outcome.compared
        if outcome.why:
            counts.aside[outcome.why] += outcome.set_aside
        if outcome.mismatch:
            self._mismatch(seed, program, outcome, outcome.mismatch)

    def _mismatch(self, seed: int, program: Program, outcome: Outcome, mismatch: Mismatch) -> None:
        self.counts.mismatches += 1
        self.counts.aside["after a mismatch"] += outcome.steps - outcome.compared
        what = mismatch.difference.what

        def still(candidate: Program) -> bool:
            found = run(candidate, self.kernel).mismatch
            return found is not None and found.difference.what == what

        small = shrink(program[: mismatch.step + 1], still)
        found = run(small, self.kernel).mismatch or mismatch
        print(f"seed {seed}: {found.difference}\n{script(small, str(found.difference))}", file=self.out, flush=True)
