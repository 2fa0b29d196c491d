"""What a scenario is: a named program against the `Machine` protocol, and its parameters.

For authors of scenarios and for the CLI. A scenario knows no machine: the same function runs on live processes and
on the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rmaplab.machine.protocol import PAGE_SIZE, PMD_ORDER, BadOperation, Machine, Process
from rmaplab.trace import Trace

MAX_PROCESSES: Final = 64
CHOICES: Final = frozenset({"k", "survivor", "seed", "mapping"})
"""Parameters that only some scenarios read; size and order all do."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a user may choose. Sizes in bytes; `survivor` counts the processes of a scenario from 0, -1 is the last."""

    size: int = 16 << 20
    order: int = PMD_ORDER
    k: int = 2
    survivor: int = -1
    seed: int = 0
    mapping: Literal["pte", "pmd"] = "pte"

    def check(self) -> None:
        """Raises BadOperation naming the parameter, its value and the rule."""
        if not 0 <= self.order <= PMD_ORDER:
            raise BadOperation("order", self.order, f"must be in 0 .. {PMD_ORDER}")
        folio = PAGE_SIZE << self.order
        if self.size < folio or self.size % folio:
            raise BadOperation("size", self.size, f"must be a positive multiple of the folio size {folio}")
        if not 1 <= self.k <= MAX_PROCESSES:
            raise BadOperation("k", self.k, f"must be in 1 .. {MAX_PROCESSES}")
        if self.mapping == "pmd" and self.order != PMD_ORDER:
            raise BadOperation("mapping", self.mapping, f"needs order {PMD_ORDER}")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A program, its name, the one line `rmaplab scenarios` shows, and which of `CHOICES` it reads."""

    name: str
    summary: str
    program: Callable[[Machine, Parameters], None]
    reads: frozenset[str] = frozenset()

    def play(self, machine: Machine, parameters: Parameters) -> Trace:
        """Run on a fresh machine; returns its trace, marked with the scenario's name."""
        parameters.check()
        self.program(machine, parameters)
        trace = machine.trace()
        return replace(trace, meta=replace(trace.meta, scenario=self.name))


def populate(process: Process, parameters: Parameters) -> int:
    """Map and fill anonymous memory with folios of the chosen order; returns its address.

    With mapping "pte", THPs are remapped by PTEs: one page's protection is taken away and given back.
    """
    address = process.mmap(parameters.size, order=parameters.order)
    process.write(address, parameters.size, 1)
    if parameters.order == PMD_ORDER and parameters.mapping == "pte":
        for folio in range(address, address + parameters.size, PAGE_SIZE << PMD_ORDER):
            process.mprotect(folio, PAGE_SIZE, writable=False)
            process.mprotect(folio, PAGE_SIZE, writable=True)
    return address


def pick(processes: Sequence[Process], survivor: int) -> Process:
    """The process `survivor` names: an index, negative ones count from the end."""
    if not -len(processes) <= survivor < len(processes):
        raise BadOperation("survivor", survivor, f"must name one of {len(processes)} processes, 0 is the first")
    return processes[survivor]


def leave_one(processes: Sequence[Process], survivor: int) -> Process:
    """Let all processes but the survivor exit, in order; returns the survivor."""
    left = pick(processes, survivor)
    for process in processes:
        if process is not left:
            process.exit()
    return left
