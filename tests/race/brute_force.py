"""Every execution of straight-line threads without a search: all reads-from and coherence orders, asked of the model.

For tests. It shares with the enumerator what rows and axioms mean, and nothing of how executions are grown, which reads
guess and what is given up early.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import factorial
from typing import Any

from rmaplab.verify.race.engine import BASE_TAGS, Problem, Row, compiled, library
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.threads import Operation

READS = ("read", "rmw", "cas")
STORES = ("write", "rmw", "cas")
WORD = (1 << 64) - 1
R, W, F, FIRST = (1 << BASE_TAGS[name] for name in ("R", "W", "F", "IW"))

Thread = Sequence[Operation]
Outcome = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
"""What each thread's reads returned, and the last value of every place."""


def executions_to_ask(program: Sequence[Thread], places: int) -> int:
    """How many candidates there are at most."""
    operations = [o for thread in program for o in thread]
    count = 1
    for place in range(places):
        stores = sum(o.kind in STORES and o.location == place for o in operations)
        reads = sum(o.kind in READS and o.location == place for o in operations)
        count *= factorial(stores) * (stores + 1) ** reads
    return count


@dataclass
class Graph:
    """The events of a program of which it is known which compare-exchanges succeed, as the engine's `struct graph`."""

    rows: Mapping[str, Row]
    bits: Mapping[str, int]
    raw: Any
    stores: list[list[int]]
    reads: list[tuple[int, int, Operation, bool]] = field(default_factory=list)
    made_by: dict[int, tuple[int | None, Operation]] = field(default_factory=dict)

    def add(self, thread: int, kind: int, location: int, tags: int) -> int:
        n = self.raw.n
        event = self.raw.event[n]
        event.thread, event.kind, event.loc, event.tags = thread, kind, location, tags | kind
        event.rf = event.rmw = event.twin = -1
        self.raw.n = n + 1
        return int(n)

    def mask(self, tags: Sequence[str]) -> int:
        return sum(1 << self.bits[tag] for tag in tags)

    def add_thread(self, number: int, thread: Thread, succeeds: Iterator[bool]) -> None:
        seen: list[int] = []
        before = 0
        for op in thread:
            row = self.rows[op.row]
            failed = op.kind == "cas" and not next(succeeds)
            first = self.raw.n
            for tag in row.before:
                self.add(number, F, -1, 0 if failed and row.quiet else self.mask((tag,)))
            if op.kind in READS:
                self._read(number, op, row, failed)
                seen.append(self.reads[-1][0])
            elif op.kind == "write":
                self._write(number, op, row, None)
            for tag in row.fail if failed else row.after:
                self.add(number, F, -1, self.mask((tag,)))
            for event in range(first, self.raw.n):
                self._depend(self.raw.event[event], op, seen, before, event)
            if row.branch and op.kind in READS:
                before |= 1 << seen[-1]
                for event in range(seen[-1] + 1, self.raw.n):
                    if self.raw.event[event].kind == F:
                        self.raw.event[event].ctrl |= 1 << seen[-1]

    def _read(self, number: int, op: Operation, row: Row, failed: bool) -> None:
        read = self.add(number, R, op.location, self.mask(row.failed if failed else row.read))
        self.reads.append((read, number, op, not failed))
        if op.kind != "read" and not failed:
            self._write(number, op, row, read)

    def _write(self, number: int, op: Operation, row: Row, read: int | None) -> None:
        write = self.add(number, W, op.location, self.mask(row.write))
        self.stores[op.location].append(write)
        self.made_by[write] = (read, op)
        if read is not None:
            self.raw.event[write].rmw, self.raw.event[read].rmw = read, write

    def _depend(self, event: Any, op: Operation, seen: Sequence[int], before: int, number: int) -> None:
        def on(reads: frozenset[int]) -> int:
            return sum(1 << seen[i] for i in reads)

        event.addr = 0 if event.kind == F else on(op.addr)
        event.data = on(op.data) if event.kind == W else 0
        event.ctrl = on(op.ctrl) | before
        if event.kind == W and op.kind == "rmw":
            event.data |= 1 << event.rmw

    def values(self, source: Sequence[int]) -> tuple[int, ...] | None:
        """What the reads return that read from `source`; None if a value would come out of thin air or a compare-exchange
        would do other than was said.
        """
        from_ = {read: store for (read, *_), store in zip(self.reads, source, strict=True)}
        known: dict[int, int] = {}

        def stored(store: int, depth: int) -> int | None:
            if store not in self.made_by:
                return 0
            if depth > len(self.made_by):
                return None
            read, op = self.made_by[store]
            if read is None or op.kind == "cas":
                return op.value
            old = stored(from_[read], depth + 1)
            return None if old is None else (old + op.value) & WORD

        for (read, number, op, succeeds), store in zip(self.reads, source, strict=True):
            if store > read and self.raw.event[store].thread == number:
                return None
            value = stored(store, 0)
            if value is None or (op.kind == "cas" and (value == op.expect) != succeeds):
                return None
            known[read] = value
        return tuple(known[read] for read, *_ in self.reads)

    def last(self, order: Sequence[int], values: Sequence[int]) -> int:
        """The last value of a place."""
        read, op = self.made_by.get(order[-1], (None, None)) if order else (None, None)
        if op is None:
            return 0
        if read is None or op.kind == "cas":
            return op.value
        return (values[[r for r, *_ in self.reads].index(read)] + op.value) & WORD


def every_outcome(column: str, program: Sequence[Thread], places: int) -> set[Outcome]:
    """All ends that the model of `column` allows; all places are 0 at first."""
    ffi, lib = library()
    name, rows = MAPPINGS[column]
    model = MODELS[name]
    problem = ffi.new("struct problem *")
    asked = Problem(model, len(program), (0,) * places, list(rows.values()), ffi.NULL, ffi.NULL, plain=True)
    asked._fill(ffi, problem)
    exchanges = sum(o.kind == "cas" for thread in program for o in thread)
    found: set[Outcome] = set()
    for succeed in itertools.product((False, True), repeat=exchanges):
        graph = Graph(rows, compiled(model, True)[1], ffi.new("struct graph *"), [[] for _ in range(places)])
        for place in range(places):
            graph.stores[place].append(graph.add(-1, W, place, FIRST))
        flags = iter(succeed)
        for number, thread in enumerate(program):
            graph.add_thread(number, thread, flags)
        for outcome in _outcomes(graph, len(program)):
            if outcome not in found and lib.race_consistent(problem, graph.raw):
                found.add(outcome)
    return found


def _outcomes(graph: Graph, threads: int) -> Iterator[Outcome]:
    """The outcome of every candidate, while `graph.raw` is that candidate."""
    for place, stores in enumerate(graph.stores):
        graph.raw.stores[place] = len(stores)
    for source in itertools.product(*(graph.stores[op.location] for _, _, op, _ in graph.reads)):
        values = graph.values(source)
        if values is None:
            continue
        for (read, *_), store in zip(graph.reads, source, strict=True):
            graph.raw.event[read].rf = store
        registers = tuple(
            tuple(v for (_, number, *_), v in zip(graph.reads, values, strict=True) if number == thread)
            for thread in range(threads)
        )
        for orders in itertools.product(*(itertools.permutations(stores[1:]) for stores in graph.stores)):
            for place, order in enumerate(orders):
                for i, store in enumerate((graph.stores[place][0], *order)):
                    graph.raw.order[place][i] = store
            yield registers, tuple(graph.last(order, values) for order in orders)
