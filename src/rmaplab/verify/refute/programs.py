"""COW: the smallest program in which one process reads what another wrote, for a scheme that decides about reuse.

For the command line. First a breadth-first search over programs of few processes on one folio (proofs/theories/System.v
in small: views of pages, a scheme's state; a COW fault keeps the page iff the scheme says EXCLUSIVE, as every reference
is a mapping here), then the program on the model and on the running kernel.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rmaplab.errors import RmaplabError
from rmaplab.machine.choose import open_machine
from rmaplab.machine.model import ContentLeak, ModelMachine, kernels
from rmaplab.machine.protocol import PAGE_SIZE, Machine, Process
from rmaplab.schemes import Scheme, State
from rmaplab.trace import Verdict
from rmaplab.verify.refute.problem import Budget

MOST_PROCESSES: Final = 3
_SERIES: Final = "series-2023"
_NONE, _READ, _WRITE = 0, 1, 2
"""What a process has of a page: nothing, a read-only entry, a writable one."""


@dataclass(frozen=True, slots=True)
class Step:
    """`what` is fork, unmap (MADV_DONTNEED), write or exit, by MM `mm`; `page` where it names one."""

    what: str
    mm: int
    page: int | None = None

    def __str__(self) -> str:
        return f"MM {self.mm} {self.what}" + ("" if self.page is None else f" page {self.page}")


@dataclass(frozen=True, slots=True)
class Program:
    """MM 1 touches all pages of a folio, then these steps; after the last one, a write, MM `reader` reads it."""

    order: int
    steps: tuple[Step, ...]
    reader: int

    def row(self) -> dict[str, object]:
        return {"order": self.order, "steps": [str(s) for s in self.steps], "reader": self.reader}


@dataclass(frozen=True, slots=True)
class Leaks:
    """The smallest leaking program, or None: then none of up to `steps` steps, of `states` states, leaks."""

    program: Program | None
    steps: int
    states: int


@dataclass(slots=True)
class _World:
    """`entries[m]`: what MM m + 1 has of each page, or None if it has exited; `folio`: the scheme's state."""

    entries: tuple[tuple[int, ...] | None, ...]
    folio: State
    came: "tuple[_World, Step] | None" = None

    @property
    def key(self) -> tuple[object, bytes]:
        return self.entries, self.folio.data.tobytes()


def smallest_leak(scheme: Scheme, order: int, most: int, budget: Budget) -> Leaks:
    """Breadth-first, up to `most` steps; raises OutOfBudget, and OrderRangeError where the scheme has no such order."""
    pages = 1 << order
    first = _World(((_WRITE,) * pages,), _update(scheme, scheme.start(order, 1), 1, 0, pages))
    seen, layer = {first.key}, [first]
    for depth in range(1, most + 1):
        found = []
        for world in layer:
            budget.check(f"none of up to {depth - 1} steps leaks, {len(seen)} states")
            for step, after, reader in _moves(scheme, world):
                after.came = world, step
                if reader is not None:
                    return Leaks(Program(order, _steps(after), reader), depth, len(seen))
                if after.key not in seen:
                    seen.add(after.key)
                    found.append(after)
        layer = found
    return Leaks(None, most, len(seen))


def _moves(scheme: Scheme, world: _World) -> Iterator[tuple[Step, _World, int | None]]:
    """What may happen next; with the MM that reads another's write, if one does."""
    for m, mine in enumerate(world.entries):
        if mine is None:
            continue
        if len(world.entries) < MOST_PROCESSES:
            yield Step("fork", m + 1), _fork(scheme, world, m, mine), None
        if len([e for e in world.entries if e is not None]) > 1:
            yield Step("exit", m + 1), _exit(scheme, world, m, mine), None
        for page, entry in enumerate(mine):
            if entry != _NONE:
                yield Step("unmap", m + 1, page), _unmap(scheme, world, m, mine, page), None
                yield Step("write", m + 1, page), *_write(scheme, world, m, mine, page)


def _fork(scheme: Scheme, world: _World, m: int, mine: tuple[int, ...]) -> _World:
    shared = tuple(min(e, _READ) for e in mine)
    folio, child = world.folio, len(world.entries) + 1
    for page, length in _runs(mine):
        folio = _update(scheme, folio, child, page, length)
    return _World((*_with(world.entries, m, shared), shared), folio)


def _exit(scheme: Scheme, world: _World, m: int, mine: tuple[int, ...]) -> _World:
    folio = world.folio
    for page, length in _runs(mine):
        folio = _update(scheme, folio, m + 1, page, -length)
    return _World(_with(world.entries, m, None), folio)


def _unmap(scheme: Scheme, world: _World, m: int, mine: tuple[int, ...], page: int) -> _World:
    entries = _with(world.entries, m, (*mine[:page], _NONE, *mine[page + 1 :]))
    return _World(entries, _update(scheme, world.folio, m + 1, page, -1))


def _write(scheme: Scheme, world: _World, m: int, mine: tuple[int, ...], page: int) -> tuple[_World, int | None]:
    """Reuse, or copy: then the page is a small folio of the writer's, and of no interest here."""
    if mine[page] != _WRITE and scheme.verdict(world.folio, m + 1)[0] != Verdict.EXCLUSIVE:
        return _unmap(scheme, world, m, mine, page), None
    kept = _World(_with(world.entries, m, (*mine[:page], _WRITE, *mine[page + 1 :])), world.folio)
    others = (k + 1 for k, e in enumerate(world.entries) if k != m and e is not None and e[page] != _NONE)
    return kept, next(others, None)


def _with(
    entries: tuple[tuple[int, ...] | None, ...], m: int, new: tuple[int, ...] | None
) -> tuple[tuple[int, ...] | None, ...]:
    return (*entries[:m], new, *entries[m + 1 :])


def _runs(entries: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(first page, pages) of each run of mapped pages: one rmap update each, as fork and exit do."""
    mapped = np.flatnonzero(np.diff(np.concatenate([[0], np.array(entries) != _NONE, [0]])))
    for first, end in mapped.reshape(-1, 2).tolist():
        yield first, end - first


def _update(scheme: Scheme, folio: State, mm: int, page: int, nr: int) -> State:
    return scheme.update(folio, np.array([mm]), np.array([page]), np.array([nr]), np.array([False]))


def _steps(world: _World) -> tuple[Step, ...]:
    steps = []
    while world.came is not None:
        world, step = world.came
        steps.append(step)
    return tuple(reversed(steps))


def on_the_model(program: Program, scheme: Scheme) -> str:
    """What the model says of the program where `scheme` decides, in words."""
    with ModelMachine(replace(kernels[_SERIES], scheme=scheme)) as machine:
        try:
            reused, read = _run(program, machine)
        except ContentLeak as leak:
            return f"on the model: the page is reused: {leak}"
    return f"on the model: {reused} pages reused, MM {program.reader} reads {read}"


def on_this_kernel(program: Program) -> str:
    """What the running kernel, with its own rules, does in the program, in words."""
    try:
        with open_machine("live", "") as machine:
            reused, read = _run(program, machine)
    except RmaplabError as error:
        return f"on this kernel: not run: {error}"
    return f"on this kernel, with its own rules: {reused} pages reused, MM {program.reader} reads {read}"


def _run(program: Program, machine: Machine) -> tuple[int, str]:
    """The pages the last write reused, and whether the reader sees what it wrote."""
    old, new = 1, 2
    first = machine.spawn()
    address = first.mmap(PAGE_SIZE << program.order, order=program.order)
    first.write(address, PAGE_SIZE << program.order, old)
    processes: dict[int, Process] = {1: first}
    reused = 0
    for step in program.steps:
        process, at = processes[step.mm], address + PAGE_SIZE * (step.page or 0)
        if step.what == "fork":
            processes[len(processes) + 1] = process.fork()
        elif step.what == "exit":
            process.exit()
        elif step.what == "unmap":
            process.madvise(at, PAGE_SIZE, "dontneed")
        else:
            reused = process.write(at, PAGE_SIZE, new).reused
    page = program.steps[-1].page or 0
    seen = int(processes[program.reader].read(address + PAGE_SIZE * page, PAGE_SIZE)[0])
    return reused, "what was written to its memory" if seen == new else "its own"
