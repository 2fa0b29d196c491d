"""Threads written in Python: generators of operations, run by the engine.

For litmus.py and shapes.py. A thread yields an `Operation` and is sent what it read (None if it reads nothing); it is
run anew for every sequence of values, so it must do the same again for the same values. What it returns are its
registers.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rmaplab.verify.race.engine import Found, Problem, Row, library
from rmaplab.verify.race.models import MemoryModel

KINDS: Final = ("done", "spin", "fence", "read", "write", "rmw", "cas")
FUNCTIONS: Final = ("add", "or", "and", "put")
READS: Final = frozenset({"read", "rmw", "cas"})
MAX_OPERATIONS: Final = 96
_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True)
class Operation:
    """One access or fence. `addr`, `data`, `ctrl`: the thread's reads it depends on, by number from 0."""

    kind: str
    row: str
    location: int = 0
    value: int = 0
    expect: int = 0
    function: str = "add"
    addr: frozenset[int] = frozenset()
    data: frozenset[int] = frozenset()
    ctrl: frozenset[int] = frozenset()


Registers = Mapping[str, int]
Thread = Callable[[], Generator[Operation, int | None, Registers]]


@dataclass(frozen=True)
class Outcome:
    """The end of one execution: registers per thread, and the last store of every location."""

    registers: tuple[Registers, ...]
    memory: tuple[int, ...]


def explore(
    model: MemoryModel,
    rows: Mapping[str, Row],
    initial: Sequence[int],
    threads: Sequence[Thread],
    bad: Callable[[Outcome], bool],
    seconds: float = 60.0,
    *,
    spare: bool = True,
) -> Found:
    """Enumerate; promise 0 is broken by an execution whose outcome is `bad`, promise 1 by one that is not, promise 2 by
    one with a data race. `spare` as in `Problem`.
    """
    ffi, _ = library()
    numbers = {name: i for i, name in enumerate(rows)}
    failures: list[Exception] = []

    def next_(thread: int, values: Any, reads: int, ops: int, out: Any) -> int:
        try:
            operation = _replay(threads[thread], [values[i] for i in range(reads)], ops)
            if ops > MAX_OPERATIONS:
                return 7
            _fill(out, operation, numbers)
        except (ValueError, KeyError, IndexError) as error:
            failures.append(error)
            return 99
        return 0

    def judge(graph: Any, final: Any, stuck: int) -> int:
        if stuck:
            return 0
        try:
            states = [graph.thread[t] for t in range(len(threads))]
            registers = tuple(
                finish(thread, [s.value[i] for i in range(s.reads)]) for thread, s in zip(threads, states, strict=True)
            )
            return 1 if bad(Outcome(registers, tuple(final[i] for i in range(len(initial))))) else 2
        except (ValueError, KeyError) as error:
            failures.append(error)
            return 0

    callbacks = (
        ffi.callback("int(int, const uint64_t *, int, int, struct op *)", next_),
        ffi.callback("unsigned(const struct graph *, const uint64_t *, unsigned)", judge),
    )
    found = Problem(
        model,
        len(threads),
        initial,
        list(rows.values()),
        *callbacks,
        promises=3,
        plain=True,
        flagged=2,
        spare=spare,
        seconds=seconds,
    ).run()
    if failures:
        raise failures[0]
    return found


def _replay(thread: Thread, values: Sequence[int], ops: int) -> Operation | None:
    """The operation behind `ops` others; None at the end."""
    running = thread()
    rest = iter(values)
    try:
        operation = next(running)
        for _ in range(ops):
            operation = running.send(next(rest) if operation.kind in READS else None)
    except StopIteration:
        return None
    return operation


def finish(thread: Thread, values: Sequence[int]) -> Registers:
    """The registers of a thread whose reads returned `values`."""
    running = thread()
    rest = iter(values)
    try:
        operation = next(running)
        while True:
            operation = running.send(next(rest) if operation.kind in READS else None)
    except StopIteration as end:
        registers: Registers = end.value
        return registers


def _mask(reads: frozenset[int]) -> int:
    return sum(1 << i for i in reads)


def _fill(out: Any, operation: Operation | None, rows: Mapping[str, int]) -> None:
    out.kind = KINDS.index(operation.kind if operation else "done")
    if operation is None or operation.kind == "spin":
        return
    out.row, out.loc = rows[operation.row], operation.location
    out.function = FUNCTIONS.index(operation.function)
    out.value[0], out.expect[0], out.mask = operation.value & _WORD, operation.expect & _WORD, _WORD
    out.addr, out.data, out.ctrl = _mask(operation.addr), _mask(operation.data), _mask(operation.ctrl)
