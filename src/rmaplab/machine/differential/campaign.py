"""Programs by seed: the counts of each, and every mismatch shrunk to a script.

For `jobs`, which spreads a campaign over processes, and the tests.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from rmaplab.machine.differential.counts import Counts
from rmaplab.machine.differential.generate import Generator
from rmaplab.machine.differential.plan import OPTIONAL, Plan
from rmaplab.machine.differential.program import Program
from rmaplab.machine.differential.runner import Mismatch, Outcome, run, settle
from rmaplab.machine.differential.script import script
from rmaplab.machine.differential.selftest import Unprintable, program_in_c
from rmaplab.machine.differential.shrink import shrink
from rmaplab.machine.differential.surroundings import SURROUNDINGS
from rmaplab.machine.live import LiveMachine, probe
from rmaplab.machine.live.host.diskfile import make
from rmaplab.machine.live.host.knobs import KHUGEPAGED
from rmaplab.machine.live.workers import sharing
from rmaplab.machine.model import ContentLeak
from rmaplab.machine.model.invariants import Broken
from rmaplab.machine.protocol import PMD_ORDER, PMD_SIZE, MachineError, NotAvailable


@dataclass(slots=True)
class Campaign:
    """Runs programs by seed, each a sum of its own; mismatches go to `out`. Raises NotAvailable where there is no live
    machine."""

    plan: Plan
    out: TextIO = field(default_factory=lambda: sys.stderr)
    _orders: tuple[int, ...] = ()
    _able: dict[str, bool] = field(default_factory=dict)
    _disk_order: int = PMD_ORDER

    def __post_init__(self) -> None:
        with LiveMachine():  # nobody is alone now: swap that is on is the system's own
            capabilities = probe()
        self._orders = capabilities.anon_orders
        here = {name: "" if capabilities.has(name) else capabilities[name].why_not for name in ("ksm", "swap")}
        here["sharing"] = "" if sharing.available() else "the routine for it was not built"
        here["khugepaged"] = "" if "khugepaged" in self.plan.without else _khugepaged()
        here["disk"], self._disk_order = _disk_files()
        if not here["disk"] and not self._disk_order:
            print("disk files: in small folios only, this file system has no larger ones here", file=self.out)
        for name in OPTIONAL:
            why_not = "as was asked for" if name in self.plan.without else here[name]
            self._able[name] = not why_not
            if why_not:
                print(f"without {name}: {why_not}", file=self.out)

    def run(self, seeds: Iterable[int]) -> Iterator[tuple[int, Counts]]:
        """Run the programs of `seeds`; each with its counts."""
        for seed in seeds:
            yield seed, self.one(seed)

    def program(self, seed: int) -> Program:
        """The program of `seed`, here."""
        return Generator(seed, self._orders, self.plan.steps, disk_order=self._disk_order, **self._able).program()

    def one(self, seed: int) -> Counts:
        """Run the program of `seed`."""
        return self.hold(f"seed {seed}", self.program(seed))

    def hold(self, what: str, program: Program) -> Counts:
        """Run `program`, which messages call `what`."""
        counts, outcome = counted(what, program, lambda: settle(program, self.plan.kernel), self.out)
        if outcome and outcome.mismatch:
            self._mismatch(what, program, outcome.mismatch)
        return counts

    def _mismatch(self, name: str, program: Program, mismatch: Mismatch) -> None:
        what = mismatch.difference.what

        def still(candidate: Program) -> bool:
            found = run(candidate, self.plan.kernel).mismatch
            return found is not None and found.difference.what == what

        small = shrink(program[: mismatch.step + 1], still)
        found = run(small, self.plan.kernel).mismatch or mismatch
        why = str(found.difference)
        print(f"{name}: {why}\n{script(small, why)}\n{self._in_c(small, why)}", file=self.out, flush=True)

    def _in_c(self, program: Program, why: str) -> str:
        try:
            return program_in_c(program, self.plan.kernel, why)
        except Unprintable as unprintable:
            return f"no C program: {unprintable}"


def counted(what: str, program: Program, settled: Callable[[], Outcome], out: TextIO) -> tuple[Counts, Outcome | None]:
    """What `program`, which messages call `what`, came to, and its outcome, None if the model contradicts itself."""
    counts = Counts(1, operations=Counter(step.advice or step.do for step in program))
    try:
        outcome = settled()
    except (Broken, ContentLeak) as broken:
        counts.mismatches += 1
        print(f"{what}: the model contradicts itself: {broken}\n{script(program, str(broken))}", file=out)
        return counts, None
    except NotAvailable as missing:
        # Somebody else began to use KSM or swap, or took the room: their right, and nothing the model could do about.
        outcome = _none_of(program, f"{SURROUNDINGS}: {str(missing).partition(':')[0]}")
        print(f"{what}: set aside: {missing}", file=out)
    except MachineError as error:
        outcome = _none_of(program, "machine error")
        print(f"{what}: {error}", file=out)
    counts.done, counts.compared = outcome.steps, outcome.compared
    counts.reached = outcome.reached
    if outcome.why:
        counts.aside[outcome.why] += outcome.set_aside
    if outcome.mismatch:
        counts.mismatches = 1
        counts.aside["after a mismatch"] += outcome.steps - outcome.compared
    return counts, outcome


def _none_of(program: Program, why: str) -> Outcome:
    """Nothing of `program` could be compared."""
    return Outcome(len(program), set_aside=len(program), why=why)


def _khugepaged() -> str:
    """The reason why programs cannot have khugepaged visit them, "" if it collapses what anybody would collapse."""
    if not KHUGEPAGED.exists():
        return f"{KHUGEPAGED} is not there"
    try:
        with LiveMachine() as machine:
            process = machine.spawn()
            address = process.mmap(PMD_SIZE)
            process.write(address, PMD_SIZE)
            process.madvise(address, PMD_SIZE, "hugepage")
            machine.khugepaged()
            collapsed = bool(machine.observation().pmd_mapped.all())
    except (NotAvailable, MachineError) as error:
        return str(error)
    return "" if collapsed else "khugepaged left 2 MiB alone that one process uses, all of it there"


def _disk_files() -> tuple[str, int]:
    """The reason why this system has no place for files of a disk file system, "" if it has; and the largest order of the
    folios that cache them: a PMD's, or 0."""
    why_not = ""
    for order in (PMD_ORDER, 0):
        try:
            os.close(make(PMD_SIZE, order))
        except NotAvailable as missing:
            why_not = str(missing)
        else:
            return "", order
    return why_not, 0
