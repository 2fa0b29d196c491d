"""Hypothesis walks through the running kernel and the model side by side: after every step both show the same world.

The seeded generator of `make differential` is faster and tells longer stories; this one shrinks by itself and looks
where a story would not go.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import get_args

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kernel import lacking
from rmaplab.errors import NotAvailable
from rmaplab.machine.differential.program import Step, Unnamed
from rmaplab.machine.differential.runner import Pair, SetAside
from rmaplab.machine.live import probe
from rmaplab.machine.live.host.diskfile import directory
from rmaplab.machine.live.workers import sharing
from rmaplab.machine.protocol import Advice

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("differential"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]


def disk_files() -> bool:
    try:
        return bool(directory())
    except NotAvailable:
        return False


MOST_PAGES, MOST_PROCESSES = 1100, 5
INDEX = st.integers(0, 7)
FIRST = st.sampled_from((0, 512)) | st.integers(0, MOST_PAGES - 1)
SIZE = st.sampled_from((MOST_PAGES, 512, 16, 1)) | st.integers(1, MOST_PAGES)
ORDERS = st.sampled_from((9, 0, *probe().anon_orders))
VALUE = st.integers(1, 255)
SWAP_PAGES = 1 << 18
"""As the seeded generator has: a walk fills no half of it."""
SWAP = st.sampled_from((False, False, False, True))
"""A walk with a swap device must be alone on the system: a quarter of them have one."""
KIND = st.sampled_from(("shmem", "file") if disk_files() else ("shmem",))
ADVICE = st.sampled_from(sorted(set(get_args(Advice)) - {"mergeable", "unmergeable"}))
WALKS = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@dataclass(slots=True)
class Area:
    number: int
    pages: int
    file: bool


@dataclass(slots=True)
class Process:
    number: int
    areas: list[Area] = field(default_factory=list)
    pins: list[int] = field(default_factory=list)


def mapped(walk: "Walk") -> bool:
    return all(process.areas for process in walk.alive)


class Walk(RuleBasedStateMachine):
    """Every rule is one step on both machines. Processes, areas and pins are picked by index among those there are."""

    kernel = "linux-6.18"

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(self.kernel)
        self.alive: list[Process] = []
        self.made = 0
        self.aside = self.swaps = False

    def teardown(self) -> None:
        self.pair.close()

    def do(self, step: Step) -> None:
        """A step that names what a refused one would have made is no step."""
        if self.aside:
            return
        try:
            difference = self.pair.do(step)
        except Unnamed:
            return
        except SetAside:
            self.aside = True
        else:
            assert difference is None, f"{step}: {difference}"

    def number(self) -> int:
        self.made += 1
        return self.made

    def process(self, who: int) -> Process:
        return self.alive[who % len(self.alive)]

    def on(self, step: Step, who: int, where: int, first: int, size: int) -> tuple[Process, Area, Step]:
        """`step` completed with a process and pages of one of its areas."""
        process = self.process(who)
        area = process.areas[where % len(process.areas)]
        first %= area.pages
        pages = min(size, area.pages - first)
        return process, area, replace(step, process=process.number, area=area.number, page=first, pages=pages)

    @initialize(order=ORDERS, folios=st.integers(1, 2), more=st.sampled_from((0, 1, 5)), value=VALUE, swap=SWAP)
    def begin(self, order: int, folios: int, more: int, value: int, swap: bool) -> None:
        self.alive.append(Process(self.number()))
        if swap:
            # Where the system has no place for a device the walk goes without.
            with suppress(NotAvailable):
                self.do(Step("swap", pages=SWAP_PAGES))
                self.swaps = True
        self.do(Step("spawn", makes=1))
        self.mmap(0, order, (folios << order) + more, False, value)

    @rule(who=INDEX, order=ORDERS, pages=SIZE, shared=st.booleans(), value=VALUE)
    def mmap(self, who: int, order: int, pages: int, shared: bool, value: int) -> None:
        process, area = self.process(who), Area(self.number(), pages, shared)
        process.areas.append(area)
        self.do(Step("mmap", process.number, pages=pages, makes=area.number, order=order, shared=shared))
        self.do(Step("write", process.number, area.number, 0, pages, value=value))

    @rule(who=INDEX, order=ORDERS, pages=SIZE, shared=st.booleans(), page=st.sampled_from((0, 512, 3)), kind=KIND)
    def mmap_file(self, who: int, order: int, pages: int, shared: bool, page: int, kind: str) -> None:
        file, process, area = self.number(), self.process(who), Area(self.number(), pages, file=True)
        process.areas.append(area)
        self.do(Step("file", pages=page + pages, makes=file, order=order, kind=kind))
        step = Step("mmap", process.number, page=page, pages=pages, makes=area.number)
        self.do(replace(step, order=order, shared=shared, file=file))

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, value=VALUE)
    def write(self, who: int, where: int, first: int, size: int, value: int) -> None:
        self.do(self.on(Step("write", value=value), who, where, first, size)[2])

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE)
    def read(self, who: int, where: int, first: int, size: int) -> None:
        self.do(self.on(Step("read"), who, where, first, size)[2])

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, writable=st.booleans())
    def mprotect(self, who: int, where: int, first: int, size: int, writable: bool) -> None:
        self.do(self.on(Step("mprotect", writable=writable), who, where, first, size)[2])

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, advice=ADVICE)
    def madvise(self, who: int, where: int, first: int, size: int, advice: str) -> None:
        self.do(self.on(Step("madvise", advice=advice), who, where, first, size)[2])

    @precondition(lambda self: self.swaps and mapped(self))
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, value=VALUE)
    def write_and_page_out(self, who: int, where: int, first: int, size: int, value: int) -> None:
        """What goes to swap: pages that were written to."""
        step = self.on(Step("write", value=value), who, where, first, size)[2]
        self.do(step)
        self.do(replace(step, do="madvise", advice="pageout", value=0))

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE)
    def munmap(self, who: int, where: int, first: int, size: int) -> None:
        process, area, step = self.on(Step("munmap"), who, where, first, size)
        self.do(step)
        if step.pages == area.pages:
            process.areas.remove(area)

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, keep=st.booleans())
    def mremap(self, who: int, where: int, first: int, size: int, keep: bool) -> None:
        process, area, step = self.on(Step("mremap", move=not keep, dontunmap=keep), who, where, first, size)
        moved = Area(self.number(), step.pages, area.file)
        self.do(replace(step, makes=moved.number, new_pages=step.pages))
        process.areas.append(moved)
        if not keep and step.pages == area.pages:
            process.areas.remove(area)

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, longterm=st.booleans())
    def pin(self, who: int, where: int, first: int, longterm: bool) -> None:
        process, area, step = self.on(Step("pin", makes=self.number()), who, where, first, 16)
        process.pins.append(step.makes)
        self.do(replace(step, longterm=longterm and not area.file))

    @rule(who=INDEX)
    def unpin(self, who: int) -> None:
        process = self.process(who)
        if process.pins:
            self.do(Step("unpin", process.number, pin=process.pins.pop()))

    @precondition(lambda self: len(self.alive) < MOST_PROCESSES)
    @rule(who=INDEX)
    def fork(self, who: int) -> None:
        parent = self.process(who)
        child = Process(self.number(), [replace(area) for area in parent.areas])
        self.alive.append(child)
        self.do(Step("fork", parent.number, makes=child.number))

    @precondition(lambda self: mapped(self) and len(self.alive) < MOST_PROCESSES)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, value=VALUE, whole=st.booleans())
    def fork_and_go_on(self, who: int, where: int, first: int, size: int, value: int, whole: bool) -> None:
        """What fork is mostly for: the child leaves soon, the parent finds its memory write-protected."""
        process, _, step = self.on(Step("write", value=value), who, where, first, size)
        child = self.number()
        self.do(Step("fork", process.number, makes=child))
        if not whole:
            self.do(replace(step, process=child, page=0, pages=1))
        self.do(Step("exit", child))
        self.do(step)

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, value=VALUE, writes=st.booleans())
    def from_outside(self, who: int, where: int, first: int, size: int, value: int, writes: bool) -> None:
        step = Step("poke", value=value) if writes else Step("peek")
        self.do(self.on(step, who, where, first, size)[2])

    @precondition(mapped)
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, shared=st.booleans())
    def migrate(self, who: int, where: int, first: int, size: int, shared: bool) -> None:
        self.do(self.on(Step("migrate", shared=shared), who, where, first, size)[2])

    @precondition(lambda self: sharing.available() and len(self.alive) < MOST_PROCESSES)
    @rule(who=INDEX)
    def clone_vm(self, who: int) -> None:
        parent = self.process(who)
        child = Process(self.number(), parent.areas)
        self.alive.append(child)
        self.do(Step("clone_vm", parent.number, makes=child.number))

    @precondition(lambda self: sharing.available() and mapped(self))
    @rule(who=INDEX, where=INDEX, first=FIRST, size=SIZE, value=VALUE)
    def vfork_and_go_on(self, who: int, where: int, first: int, size: int, value: int) -> None:
        process, _, step = self.on(Step("write", value=value), who, where, first, size)
        child = self.number()
        self.do(Step("vfork", process.number, makes=child))
        self.do(replace(step, process=child))
        self.do(Step("exit", child))
        self.do(step)

    @precondition(lambda self: len(self.alive) > 1)
    @rule(who=INDEX)
    def exit(self, who: int) -> None:
        process = self.process(who)
        self.alive.remove(process)
        self.do(Step("exit", process.number))


class WalkOnAnotherKernel(Walk):
    """The model of a kernel that does not run here."""

    kernel = "linux-6.12"


def test_any_walk_shows_the_same_world_on_kernel_and_model() -> None:
    run_state_machine_as_test(Walk, settings=WALKS)


def test_walks_find_out_that_the_model_is_of_another_kernel() -> None:
    one_is_enough = settings(WALKS, max_examples=200, phases=(Phase.generate,))
    with pytest.raises(AssertionError, match="live"):
        run_state_machine_as_test(WalkOnAnotherKernel, settings=one_is_enough)
