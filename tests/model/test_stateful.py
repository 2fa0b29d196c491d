"""Hypothesis walks through the model: in whatever order, nothing contradicts itself and nothing leaks."""

from contextlib import suppress

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.protocol import BadOperation

PAGE, PAGES = 4096, 1100
ADVICE = ("dontneed", "cold", "free", "pageout", "collapse", "mergeable", "unmergeable")
WHO = st.integers(0, 5)
FIRST = st.integers(0, PAGES - 1) | st.sampled_from((0, 512, 1024))
SIZE = st.integers(1, PAGES) | st.sampled_from((1, 512))
KERNELS = st.sampled_from(("linux-6.6", "linux-6.12", "linux-6.18", "precise:moments", "precise:one-value"))


class Walk(RuleBasedStateMachine):
    """One mapping, inherited by forks, against a plain copy of what every process must read."""

    @initialize(kernel=KERNELS, order=st.sampled_from((0, 2, 4, 9)), swap=st.booleans())
    def start(self, kernel: str, order: int, swap: bool) -> None:
        order = min(order, 5) if "one-value" in kernel else order
        self.machine = ModelMachine(kernel)
        if swap:
            self.machine.swap(1 << 28)
        first = self.machine.spawn()
        self.address = first.mmap(PAGES * PAGE, order=order)
        self.memory: dict[ModelProcess, np.ndarray] = {first: np.zeros(PAGES, np.uint8)}
        self.freed = {first: np.zeros(PAGES, np.bool_)}

    def expect(self, process: ModelProcess, first: int, got: np.ndarray) -> None:
        """What was freed lazily may have become zero by a pageout."""
        here = slice(first, first + len(got))
        self.memory[process][here][self.freed[process][here] & (got == 0)] = 0
        assert (got == self.memory[process][here]).all()

    def wrote(self, process: ModelProcess, first: int, size: int, value: int) -> None:
        self.memory[process][first : first + size] = value
        self.freed[process][first : first + size] = False

    def pick(self, who: int) -> ModelProcess:
        return list(self.memory)[who % len(self.memory)]

    @rule(who=WHO, first=FIRST, size=SIZE, value=st.integers(1, 255))
    def write(self, who: int, first: int, size: int, value: int) -> None:
        process, size = self.pick(who), min(size, PAGES - first)
        with suppress(BadOperation):
            process.write(self.address + first * PAGE, size * PAGE, value)
            self.wrote(process, first, size, value)

    @rule(who=WHO, first=FIRST, size=SIZE)
    def read(self, who: int, first: int, size: int) -> None:
        process, size = self.pick(who), min(size, PAGES - first)
        with suppress(BadOperation):
            self.expect(process, first, process.read(self.address + first * PAGE, size * PAGE))

    @rule(who=WHO)
    @precondition(lambda self: len(self.memory) < 6)
    def fork(self, who: int) -> None:
        process = self.pick(who)
        child = process.fork()
        self.memory[child], self.freed[child] = self.memory[process].copy(), self.freed[process].copy()

    @rule(who=WHO)
    @precondition(lambda self: len(self.memory) > 1)
    def exit(self, who: int) -> None:
        process = self.pick(who)
        process.exit()
        del self.memory[process]

    @rule(who=WHO, first=FIRST, size=SIZE, advice=st.sampled_from(ADVICE))
    def advise(self, who: int, first: int, size: int, advice: str) -> None:
        process, size = self.pick(who), min(size, PAGES - first)
        with suppress(BadOperation):
            process.madvise(self.address + first * PAGE, size * PAGE, advice)  # type: ignore[arg-type]
            if advice == "dontneed":
                self.wrote(process, first, size, 0)
            elif advice == "free":
                self.freed[process][first : first + size] = True

    @rule(who=WHO, first=FIRST, size=SIZE, writable=st.booleans())
    def protect(self, who: int, first: int, size: int, writable: bool) -> None:
        with suppress(BadOperation):
            self.pick(who).mprotect(self.address + first * PAGE, min(size, PAGES - first) * PAGE, writable=writable)

    @rule(who=WHO, first=FIRST, longterm=st.booleans())
    def pin(self, who: int, first: int, longterm: bool) -> None:
        with suppress(BadOperation):
            self.pick(who).pin(self.address + first * PAGE, PAGE, longterm=longterm)

    @rule(who=WHO, first=FIRST, size=SIZE, value=st.integers(1, 255))
    def poke(self, who: int, first: int, size: int, value: int) -> None:
        process, size = self.pick(who), min(size, PAGES - first)
        process.poke(self.address + first * PAGE, size * PAGE, value)
        self.wrote(process, first, size, value)

    @rule(who=WHO, first=FIRST, size=SIZE)
    def peek(self, who: int, first: int, size: int) -> None:
        process, size = self.pick(who), min(size, PAGES - first)
        self.expect(process, first, process.peek(self.address + first * PAGE, size * PAGE))

    @rule(who=WHO, first=FIRST, size=SIZE, shared=st.booleans())
    def migrate(self, who: int, first: int, size: int, shared: bool) -> None:
        process, size = self.pick(who), min(size, PAGES - first)
        process.migrate(self.address + first * PAGE, size * PAGE, shared=shared)

    @rule(who=WHO)
    @precondition(lambda self: len(self.memory) < 6)
    def clone_vm(self, who: int) -> None:
        process = self.pick(who)
        child = process.clone_vm()
        self.memory[child], self.freed[child] = self.memory[process], self.freed[process]

    @rule()
    def merge(self) -> None:
        self.machine.merge()

    @invariant()
    def consistent(self) -> None:
        check(self.machine)


Walk.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
test_any_walk_keeps_contents_and_counters = Walk.TestCase
