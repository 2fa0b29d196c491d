"""The enumerator from Python: operations and models in, executions and verdicts out.

For litmus.py, and for programs.py, whose threads are C. A *row* says which events an operation is under a model; rows
are given by name and numbered here. Threads answer `next`, which is asked once for every sequence of values its reads
can return.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rmaplab.verify.race import build
from rmaplab.verify.race.cat import Compiled, compile_model
from rmaplab.verify.race.models import MemoryModel

BASE_TAGS: Final = {"R": 0, "W": 1, "F": 2, "IW": 3}
ERRORS: Final = {
    1: "more than 64 events",
    2: "more than 40 stores to a location",
    3: "more than 38 reads in a thread",
    5: "more than 96 values of a location",
    6: "a thread touches a word that is not declared",
    7: "more than 96 operations in a thread",
}


@dataclass(frozen=True)
class Row:
    """Events of one kind of operation: tags of its read and write, fences before and behind.

    `failed`, `fail`: of a compare-exchange that finds another value. `branch`: all that follows depends on the read
    by a branch (as in the load of a lwsync/isync coding). `quiet`: if it fails, nothing of `before` was there.
    `early`: the read may be overtaken, so it may read from the future if the model lets it.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    branch: bool = False
    quiet: bool = False
    early: bool = True


@dataclass(frozen=True)
class Event:
    """One event of a witness; indices are places in `Execution.events`."""

    thread: int
    kind: str
    location: int
    value: int
    tags: tuple[str, ...]
    reads_from: int | None = None
    rmw: int | None = None
    twin: int | None = None


@dataclass(frozen=True)
class Execution:
    """A complete execution: its events, and per location the stores in coherence order."""

    events: tuple[Event, ...]
    coherence: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Found:
    """What the enumeration found. `broken[p]`: executions that break promise p; `witness[p]`: the smallest of them."""

    executions: int
    stuck: int
    steps: int
    broken: tuple[int, ...]
    witness: tuple[Execution | None, ...]
    error: str | None
    timed_out: bool


@functools.cache
def library() -> tuple[Any, Any]:
    """FFI and engine, compiled on first use."""
    return build.engine()


@functools.cache
def compiled(model: MemoryModel, plain: bool = False) -> tuple[Compiled, Mapping[str, int]]:
    """The model's steps, with or without what it says of plain accesses, and the bits of its tags."""
    bits = {**BASE_TAGS, **{tag: i for i, tag in enumerate(model.tags, len(BASE_TAGS))}}
    return compile_model(model.text + (model.plain if plain else ""), bits), bits


@dataclass
class Problem:
    """What to enumerate. `next` and `judge` are cffi function pointers (`struct problem` in c/engine.h).

    `plain`: there are plain accesses. `flagged`: the promise that a flagged execution (a data race) breaks. `alike`: for
    each thread what it does, where those of one value do the same and only one order of theirs is to be looked at.
    `spare`: reads guess only where a store may overtake them; without, wherever one comes later (for tests; slow).
    """

    model: MemoryModel
    threads: int
    initial: Sequence[int]
    rows: Sequence[Row]
    next: Any
    judge: Any
    forever: Any = None
    future: bool = True
    spare: bool = True
    promises: int = 1
    plain: bool = False
    flagged: int | None = None
    alike: Sequence[object] = ()
    first_only: bool = False
    seconds: float = 60.0
    keep: list[Any] = field(default_factory=list)

    def run(self) -> Found:
        """Enumerate."""
        ffi, lib = library()
        problem = ffi.new("struct problem *")
        self._fill(ffi, problem)
        result = ffi.new("struct result *")
        lib.race_explore(problem, result)
        return self._found(result)

    def _fill(self, ffi: Any, problem: Any) -> None:
        steps, bits = compiled(self.model, self.plain)
        problem.threads, problem.locations = self.threads, len(self.initial)
        problem.initial = list(self.initial)
        problem.steps, problem.axioms = len(steps.steps), steps.allowing
        for i, step in enumerate(steps.steps):
            problem.code[i] = step
        problem.full, problem.release = _mask(self.model.full, bits), _mask(self.model.release, bits)
        problem.marked = _mask(self.model.marked, bits)
        problem.full_after_rmw = _mask(self.model.full_after_rmw, bits)
        problem.full_before_rmw = _mask(self.model.full_before_rmw, bits)
        problem.acquire = _mask(self.model.acquire, bits)
        problem.full_rmw = _mask(self.model.full_rmw, bits)
        problem.no_future, problem.spare_none = not self.future, not self.spare
        problem.promises, problem.first_only = self.promises, self.first_only
        problem.flagged = 0 if self.flagged is None else 1 << self.flagged
        for thread, what in enumerate(self.alike):
            others = (i for i, other in enumerate(self.alike) if other == what and i != thread)
            problem.alike[thread] = sum(1 << i for i in others)
        problem.seconds = self.seconds
        for i, row in enumerate(self.rows):
            _fill_row(problem.row[i], row, bits, self.model.future)
        problem.next, problem.judge = self.next, self.judge
        if self.forever is not None:
            problem.forever = self.forever

    def _found(self, result: Any) -> Found:
        _, bits = compiled(self.model)
        broken = tuple(result.broken[p] for p in range(self.promises))
        return Found(
            result.executions,
            result.stuck,
            result.steps,
            broken,
            tuple(execution(result.witness[p], len(self.initial), bits) if n else None for p, n in enumerate(broken)),
            ERRORS.get(result.error, f"error {result.error}") if result.error else None,
            bool(result.timed_out),
        )


def _mask(tags: Sequence[str], bits: Mapping[str, int]) -> int:
    return sum(1 << bits[tag] for tag in tags)


def _fill_row(out: Any, row: Row, bits: Mapping[str, int], future: bool) -> None:
    out.read, out.write = _mask(row.read, bits), _mask(row.write, bits)
    out.failed = _mask(row.failed, bits)
    for name, tags in (("pre", row.before), ("post", row.after), ("fail", row.fail)):
        for i, tag in enumerate(tags):
            getattr(out, name)[i] = 1 << bits[tag]
    out.ctrl, out.quiet, out.future = row.branch, row.quiet, future and row.early


def execution(graph: Any, locations: int, bits: Mapping[str, int]) -> Execution:
    """A `struct graph` as data."""
    events = tuple(_event(graph.event[i], bits) for i in range(graph.n))
    return Execution(events, tuple(tuple(graph.order[k][i] for i in range(graph.stores[k])) for k in range(locations)))


def _event(e: Any, bits: Mapping[str, int]) -> Event:
    tags = tuple(name for name, bit in bits.items() if name not in BASE_TAGS and e.tags >> bit & 1)
    kind = {1: "R", 2: "W", 4: "F"}[e.kind]

    def index(i: int) -> int | None:
        return None if i < 0 else i

    return Event(e.thread, kind, e.loc, e.value, tags, index(e.rf), index(e.rmw), index(e.twin))


Next = Callable[[int, Any, int, int, Any], int]
