"""A second engine: one outcome of a program is one question to z3, whether a model allows it.

For tests, which hold it against the enumerator. The two share the recorder (c/record.c), the axioms (models.py) and
their reader (cat.py), and nothing else. An *outcome* is what every thread read and every word's last value; it fixes the
events. Reads-from and coherence are unknowns, relations are matrices of formulas, and an axiom of acyclicity asks for
numbers of the events that grow along it. There is no reduction of orders, no growing of executions and no guessing: a
load that returns a store of the future is a solution like any other.

Not here: 16-byte accesses, data races, threads that wait for ever, and Power, whose recursion needs the relations known.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import z3

from rmaplab.verify.race.cat import BASE, WHAT, Step
from rmaplab.verify.race.engine import Row, compiled, library
from rmaplab.verify.race.export import Outcome
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.programs import ROWS, Program, Programs

DECIDES: Final = ("sc", "tso", "c11", "lkmm", "armv8", "armv8-llsc", "riscv")
Formula = Any
"""A formula of z3, or True or False where it is known."""
Relation = list[dict[int, Formula]]
"""For each event those it is related to, and under which condition; what is False is left out."""


@dataclass
class _Event:
    """`depends`: events by kind of dependency. `thread` of the first stores is None."""

    thread: int | None
    kind: str
    word: int | None
    value: int
    tags: frozenset[str]
    depends: Mapping[str, frozenset[int]] = field(default_factory=dict)
    rmw: int | None = None


def allows(programs: Programs, program: Program, model: str, outcome: Outcome) -> bool:
    """Does `model` (one of DECIDES) allow an execution with this outcome?

    ValueError for another model, a 16-byte access, or reads after which a thread is not at its end.
    """
    if model not in DECIDES:
        raise ValueError(f"{model}: not decided here, must be one of {', '.join(DECIDES)}")
    name, rows = MAPPINGS[model]
    events = _recorded(programs, program, outcome, rows)
    question = _Question(events)
    if not question.ask_memory(outcome[1]):
        return False
    code, bits = compiled(MODELS[name])
    question.ask_axioms(code.steps[: code.allowing], {bit: tag for tag, bit in bits.items()})
    return bool(question.solver.check() == z3.sat)


def _recorded(programs: Programs, program: Program, outcome: Outcome, rows: Mapping[str, Row]) -> list[_Event]:
    """The first stores, then every thread's events in its order."""
    raw = programs.lib.race_program(program.number)
    words = [word for word in raw.word if word.address]
    events = [_Event(None, "W", place, int(word.initial), frozenset({"W", "IW"})) for place, word in enumerate(words)]
    programs.lib.race_select(program.number)
    programs.lib.race_wants_dependencies(1)
    for thread, values in enumerate(outcome[0]):
        _Thread(programs, thread, values, rows, events).run()
    return events


class _Thread:
    """Appends the events of a thread that reads `values` to `events`."""

    def __init__(
        self, programs: Programs, number: int, values: Sequence[int], rows: Mapping[str, Row], events: list[_Event]
    ) -> None:
        self.lib, self.number, self.values, self.rows, self.events = programs.lib, number, values, rows, events
        self.ffi, self.engine = library()
        self.reads: list[int] = []
        self.always: set[int] = set()

    def run(self) -> None:
        given, op, done = self.ffi.new("uint64_t[]", [*self.values, 0]), self.ffi.new("struct op *"), 0
        while True:
            if self.lib.race_next(self.number, given, len(self.reads), done, op):
                raise ValueError(f"thread {self.number}: cannot be recorded with these reads")
            if op.kind in (self.engine.OP_DONE, self.engine.OP_SPIN):
                break
            if op.wide:
                raise ValueError(f"thread {self.number}: a 16-byte access")
            self.operation(op)
            done += 1
        if op.kind == self.engine.OP_SPIN or len(self.reads) != len(self.values):
            raise ValueError(f"thread {self.number}: not at its end with these reads")

    def operation(self, op: Any) -> None:
        row, engine = self.rows[ROWS[op.row]], self.engine
        reads, stores = op.kind in (engine.OP_READ, engine.OP_RMW, engine.OP_CAS), op.kind != engine.OP_READ
        value, failed, read = int(op.value[0]), False, None
        if reads:
            old = self.values[len(self.reads)] & op.mask
            failed = op.kind == engine.OP_CAS and old != op.expect[0]
            stores = stores and not failed
        if not (failed and row.quiet):
            self.fences(row.before, op)
        if op.kind == engine.OP_FENCE:
            return
        if reads:
            read = self.add("R", op, row.failed if failed else row.read, op.loc, old)
            self.reads.append(read)
        if stores:
            if op.kind == engine.OP_RMW:
                results = {engine.FN_ADD: old + value, engine.FN_OR: old | value, engine.FN_AND: old & value}
                value = results[op.function]
            more = frozenset({read}) if op.kind == engine.OP_RMW and read is not None else frozenset()
            self.add("W", op, row.write, op.loc, value & op.mask, more, read)
        if row.branch and read is not None:
            self.always.add(read)
        self.fences(row.fail if failed else row.after, op)

    def fences(self, tags: Sequence[str], op: Any) -> None:
        for tag in tags:
            self.add("F", op, (tag,), None, 0)

    def add(
        self,
        kind: str,
        op: Any,
        tags: Sequence[str],
        word: int | None,
        value: int,
        more: frozenset[int] = frozenset(),
        rmw: int | None = None,
    ) -> int:
        depends = {
            "addr": self.seen(op.addr) if kind != "F" else frozenset(),
            "data": (self.seen(op.data) if kind == "W" else frozenset()) | more,
            "ctrl": self.seen(op.ctrl) | self.always,
        }
        self.events.append(_Event(self.number, kind, word, value, frozenset({kind, *tags}), depends, rmw))
        return len(self.events) - 1

    def seen(self, mask: int) -> frozenset[int]:
        return frozenset(event for place, event in enumerate(self.reads) if mask >> place & 1)


class _Question:
    """Unknown reads-from and coherence over known events, and what is asked of them."""

    def __init__(self, events: Sequence[_Event]) -> None:
        self.events = events
        self.n = len(events)
        self.solver = z3.Solver()
        self.slots: dict[int, Relation] = {}
        self.names = 0

    def unknown(self) -> Formula:
        self.names += 1
        return z3.Bool(f"b{self.names}")

    def ask_memory(self, final: Sequence[int]) -> bool:
        """A store for each read, an order of each word's stores that ends with `final`; False if there is none at all."""
        events, rf, co = self.events, self._empty(), self._empty()
        stores = [[i for i, e in enumerate(events) if e.kind == "W" and e.word == word] for word in range(len(final))]
        for read, event in enumerate(events):
            if event.kind == "R" and event.word is not None:
                sources = [w for w in stores[event.word] if events[w].value == event.value]
                known = [True] if len(sources) == 1 else [self.unknown() for _ in sources]
                if not sources:
                    return False
                for source, formula in zip(sources, known, strict=True):
                    rf[source][read] = formula
                if len(sources) > 1:
                    self.solver.add(z3.PbEq([(formula, 1) for formula in known], 1))
        for mine, last in zip(stores, final, strict=True):
            self._order(mine, last, co)
        for write, event in enumerate(events):
            if event.kind == "W" and event.rmw is not None:
                self._atomic(event.rmw, write, rf, co, stores[event.word or 0])
        for name, relation in self._known().items():
            self.slots[BASE.index(name)] = relation
        self.slots[BASE.index("rf")], self.slots[BASE.index("co")] = rf, co
        return True

    def _order(self, stores: Sequence[int], last: int, co: Relation) -> None:
        first, *others = stores
        for other in others:
            co[first][other] = True
        for a, b in combinations(others, 2):
            co[a][b] = self.unknown()
            co[b][a] = z3.Not(co[a][b])
        for a in others:
            for b in others:
                for c in others:
                    if len({a, b, c}) == 3:
                        self.solver.add(z3.Implies(z3.And(co[a][b], co[b][c]), co[a][c]))
        for store in stores:
            if self.events[store].value != last:
                self.require(_not(_and(co[other].get(store, False) for other in stores if other != store)))

    def _atomic(self, read: int, write: int, rf: Relation, co: Relation, stores: Sequence[int]) -> None:
        """Nothing comes between what a read-modify-write reads and what it stores."""
        for source in stores:
            reads = rf[source].get(read, False)
            if reads is not False:
                between = _or(
                    _and((co[source].get(x, False), co[x].get(write, False))) for x in stores if x not in (source, write)
                )
                self.require(_or((_not(reads), _and((co[source].get(write, False), _not(between))))))

    def require(self, formula: Formula) -> None:
        self.solver.add(z3.BoolVal(formula) if isinstance(formula, bool) else formula)

    def _empty(self) -> Relation:
        return [{} for _ in range(self.n)]

    def _known(self) -> dict[str, Relation]:
        """The relations that the events alone decide."""
        names = ("none", "id", "po", "addr", "data", "ctrl", "rmw", "loc", "ext", "int", "twin", "all")
        out = {name: self._empty() for name in names}
        for i, a in enumerate(self.events):
            out["id"][i][i] = out["twin"][i][i] = True
            for j, b in enumerate(self.events):
                same = a.thread is not None and a.thread == b.thread
                out["all"][i][j] = True
                out["int" if same or i == j else "ext"][i][j] = True
                if same and i < j:
                    out["po"][i][j] = True
                if a.word is not None and a.word == b.word:
                    out["loc"][i][j] = True
            for kind, sources in a.depends.items():
                for source in sources:
                    out[kind][source][i] = True
            if a.rmw is not None:
                out["rmw"][a.rmw][i] = True
        return out

    def ask_axioms(self, steps: Sequence[Step], tags: Mapping[int, str]) -> None:
        """Go through a compiled model, and ask for its axioms."""
        place = 0
        while place < len(steps):
            what, to, a, b = steps[place]
            place = self._step(WHAT[what], to, a, b, tags, place + 1)

    def _step(self, what: str, to: int, a: int, b: int, tags: Mapping[int, str], onward: int) -> int:
        slots = self.slots
        if what == "tags":
            slots[to] = [{i: True} if tags[a] in e.tags else {} for i, e in enumerate(self.events)]
        elif what == "empty":
            slots[to] = self._empty()
        elif what == "until":
            same = slots[a] == slots[b] if _is_known(slots[a]) and _is_known(slots[b]) else None
            if same is None:
                raise ValueError("a recursion over relations that are not known")
            slots[b] = slots[a]
            return onward if same else to
        elif what == "acyclic":
            self._acyclic(slots[a])
        elif what == "irreflexive":
            for i, row in enumerate(slots[a]):
                self.require(_not(row.get(i, False)))
        elif what == "none":
            for row in slots[a]:
                for formula in row.values():
                    self.require(_not(formula))
        else:
            slots[to] = _OPERATORS[what](slots[a], slots.get(b, []))
        return onward

    def _acyclic(self, relation: Relation) -> None:
        self.names += 1
        number = [z3.Int(f"n{self.names}-{i}") for i in range(self.n)]
        for i, j, formula in _cells(relation):
            self.require(_or((_not(formula), number[i] < number[j])))


def _cells(relation: Relation) -> Iterator[tuple[int, int, Formula]]:
    for i, row in enumerate(relation):
        for j, formula in row.items():
            yield i, j, formula


def _is_known(relation: Relation) -> bool:
    return all(formula is True for _, _, formula in _cells(relation))


def _and(formulas: Any) -> Formula:
    rest = [f for f in formulas if f is not True]
    if any(f is False for f in rest):
        return False
    return z3.And(rest) if len(rest) > 1 else rest[0] if rest else True


def _or(formulas: Any) -> Formula:
    rest = [f for f in formulas if f is not False]
    if any(f is True for f in rest):
        return True
    return z3.Or(rest) if len(rest) > 1 else rest[0] if rest else False


def _not(formula: Formula) -> Formula:
    return not formula if isinstance(formula, bool) else z3.Not(formula)


def _put(row: dict[int, Formula], j: int, formula: Formula) -> None:
    whole = _or((row.get(j, False), formula))
    if whole is not False:
        row[j] = whole


def _either(a: Relation, b: Relation) -> Relation:
    out = [dict(row) for row in a]
    for i, j, formula in _cells(b):
        _put(out[i], j, formula)
    return out


def _filtered(a: Relation, other: Any) -> Relation:
    """`a` where `other` (of two events, a formula) holds besides."""
    out: Relation = [{} for _ in a]
    for i, j, formula in _cells(a):
        _put(out[i], j, _and((formula, other(i, j))))
    return out


def _after(a: Relation, b: Relation) -> Relation:
    """The sequence a ; b."""
    found: list[dict[int, list[Formula]]] = [{} for _ in a]
    for i, k, first in _cells(a):
        for j, second in b[k].items():
            found[i].setdefault(j, []).append(_and((first, second)))
    return [{j: whole for j, parts in row.items() if (whole := _or(parts)) is not False} for row in found]


def _closed(a: Relation) -> Relation:
    """The transitive closure, after Warshall."""
    out = [dict(row) for row in a]
    for k in range(len(out)):
        onward = dict(out[k])
        for row in out:
            if k in row:
                through = row[k]
                for j, formula in onward.items():
                    if row.get(j) is not True:
                        _put(row, j, _and((through, formula)))
    return out


def _turned(a: Relation) -> Relation:
    out: Relation = [{} for _ in a]
    for i, j, formula in _cells(a):
        out[j][i] = formula
    return out


def _domain(a: Relation) -> Relation:
    return [{i: _or(row.values())} if row else {} for i, row in enumerate(a)]


def _reflexive(a: Relation) -> Relation:
    return [{**row, i: True} for i, row in enumerate(a)]


_OPERATORS: Final[Mapping[str, Callable[[Relation, Relation], Relation]]] = {
    "or": _either,
    "and": lambda a, b: _filtered(a, lambda i, j: b[i].get(j, False)),
    "minus": lambda a, b: _filtered(a, lambda i, j: _not(b[i].get(j, False))),
    "seq": _after,
    "inverse": lambda a, _: _turned(a),
    "plus": lambda a, _: _closed(a),
    "star": lambda a, _: _reflexive(_closed(a)),
    "opt": lambda a, _: _reflexive(a),
    "domain": lambda a, _: _domain(a),
    "range": lambda a, _: _domain(_turned(a)),
    "copy": lambda a, _: [dict(row) for row in a],
}
