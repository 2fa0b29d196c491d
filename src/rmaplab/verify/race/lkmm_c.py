"""Linux' primitives in litmus tests: what a call is under Linux' model, and threads that run a parsed body.

For litmus.py. Values carry the reads they were computed from, so dependencies are those of the text, as in the
kernel's own tool.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rmaplab.verify.race.c_syntax import Expression, Statement
from rmaplab.verify.race.engine import Row
from rmaplab.verify.race.threads import Operation, Registers

ADDRESS: Final = 0x10000
LOOPS: Final = 3

_ORDERS: Final = {
    "": Row(("Once",), ("Once",), ("Mb",), ("Mb",), ("Once",), quiet=True),
    "_relaxed": Row(("Once",), ("Once",), failed=("Once",)),
    "_acquire": Row(("Acquire",), ("Once",), failed=("Once",)),
    "_release": Row(("Once",), ("Release",), failed=("Once",)),
}
_FENCES: Final = {
    "smp_mb": "Mb",
    "smp_rmb": "Rmb",
    "smp_wmb": "Wmb",
    "smp_mb__before_atomic": "Before-atomic",
    "smp_mb__after_atomic": "After-atomic",
    "smp_mb__after_spinlock": "After-spinlock",
    "smp_mb__after_unlock_lock": "After-unlock-lock",
    "rcu_read_lock": "Rcu-lock",
    "rcu_read_unlock": "Rcu-unlock",
    "synchronize_rcu": "Sync-rcu",
    "synchronize_rcu_expedited": "Sync-rcu",
}
ROWS: Final[Mapping[str, Row]] = {
    "plain": Row(),
    "once": Row(("Once",), ("Once",)),
    "acquire": Row(("Acquire",), early=False),
    "release": Row((), ("Release",)),
    "noreturn": Row(("Noreturn",), ("Once",)),
    "lock": Row(("LKR", "Acquire"), ("LKW",), early=False),
    "unlock": Row((), ("UL", "Release")),
    "is_locked": Row(("RU", "Once")),
    **{f"rmw{order}": row for order, row in _ORDERS.items()},
    **{name: Row(before=(tag,)) for name, tag in _FENCES.items()},
}
#: The primitives that C11 has, as C11's: relaxed, acquire and release accesses, and its three fences.
C11_ROWS: Final[Mapping[str, Row]] = {
    "plain": Row(("NA",), ("NA",)),
    "once": Row(("RLX",), ("RLX",)),
    "acquire": Row(("ACQ",)),
    "release": Row((), ("REL",)),
    "smp_mb": Row(before=("SC",)),
    "smp_rmb": Row(before=("ACQ",)),
    "smp_wmb": Row(before=("REL",)),
}
_READERS: Final = {
    "READ_ONCE": "once",
    "smp_load_acquire": "acquire",
    "rcu_dereference": "once",
    "atomic_read": "once",
    "atomic_read_acquire": "acquire",
    "spin_is_locked": "is_locked",
}
_WRITERS: Final = {
    "WRITE_ONCE": "once",
    "smp_store_release": "release",
    "rcu_assign_pointer": "release",
    "atomic_set": "once",
    "atomic_set_release": "release",
    "smp_store_mb": "once",
}
_ATOMIC: Final = re.compile(
    r"(?:atomic(?:64|_long)?_)?(?:(fetch_)?(add|sub|inc|dec)(_return|_and_test|_negative)?|(xchg|cmpxchg))"
    r"(_relaxed|_acquire|_release)?"
)


@dataclass(frozen=True)
class Value:
    """A number and the thread's reads it came from."""

    number: int
    reads: frozenset[int] = frozenset()


Running = Generator[Operation, int | None, Value]


def _signed(n: int) -> int:
    n &= (1 << 64) - 1
    return n - (1 << 64) if n >> 63 else n


@dataclass
class _Thread:
    locations: Mapping[str, int]
    registers: dict[str, Value] = field(default_factory=dict)
    control: frozenset[int] = frozenset()
    reads: int = 0
    nested: int = 0

    def run(self, body: Sequence[Statement]) -> Generator[Operation, int | None, None]:
        for statement in body:
            yield from self.statement(statement)

    def statement(self, statement: Statement) -> Generator[Operation, int | None, None]:
        what = statement[0]
        if what == "do":
            yield from self.value(statement[1])
        elif what == "set":
            yield from self.assign(statement[1], statement[2])
        elif what == "if":
            condition = yield from self.value(statement[1])
            outside = self.control
            self.control |= condition.reads
            yield from self.run(statement[2] if condition.number else statement[3])
            self.control = outside
        else:
            yield from self.loop(statement[1], statement[2])

    def loop(self, condition: Expression, body: Sequence[Statement]) -> Generator[Operation, int | None, None]:
        for _ in range(LOOPS):
            go_on = yield from self.value(condition)
            self.control |= go_on.reads
            if not go_on.number:
                return
            yield from self.run(body)
        yield Operation("spin", "")

    def assign(self, target: Expression, expression: Expression) -> Generator[Operation, int | None, None]:
        if target[0] == "name" and target[1] not in self.locations:
            self.registers[target[1]] = yield from self.value(expression)
            return
        value = yield from self.value(expression)
        place = yield from self.place(target[1] if target[0] == "deref" else target)
        yield self.operation("write", "plain", place, value)

    def value(self, e: Expression) -> Running:
        what = e[0]
        if what == "number":
            return Value(e[1])
        if what == "name":
            if e[1] in self.locations:
                return Value(ADDRESS + self.locations[e[1]])
            if e[1] not in self.registers:
                raise ValueError(f"{e[1]}: read before it is set")
            return self.registers[e[1]]
        if what == "deref":
            place = yield from self.place(e[1])
            return (yield from self.read("read", "plain", place))
        if what == "unary":
            inner = yield from self.value(e[2])
            number = {"!": not inner.number, "~": ~inner.number, "-": -inner.number}[e[1]]
            return Value(int(number), inner.reads)
        if what == "binary":
            return (yield from self.binary(e))
        return (yield from self.call(e[1], e[2]))

    def binary(self, e: Expression) -> Running:
        left = yield from self.value(e[2])
        right = yield from self.value(e[3])
        return Value(_COMPUTE[e[1]](_signed(left.number), _signed(right.number)), left.reads | right.reads)

    def place(self, e: Expression) -> Running:
        """The address that an expression denotes; *p and p are the same to a primitive that takes a pointer."""
        return (yield from self.value(e[1] if e[0] == "deref" else e))

    def operation(
        self, kind: str, row: str, place: Value, value: Value = Value(0), expect: int = 0, function: str = "put"
    ) -> Operation:
        location = place.number - ADDRESS
        if location not in self.locations.values():
            raise ValueError(f"{place.number}: used as an address, is none")
        return Operation(kind, row, location, value.number, expect, function, place.reads, value.reads, self.control)

    def read(
        self, kind: str, row: str, place: Value, value: Value = Value(0), expect: int = 0, function: str = "put"
    ) -> Running:
        number = yield self.operation(kind, row, place, value, expect, function)
        self.reads += 1
        assert number is not None
        return Value(number, frozenset({self.reads - 1}))

    def call(self, name: str, arguments: Sequence[Expression]) -> Running:
        if name in _FENCES:
            return (yield from self.fence(name))
        if name in _READERS:
            place = yield from self.place(arguments[0])
            return (yield from self.read("read", _READERS[name], place))
        if name in _WRITERS:
            place = yield from self.place(arguments[0])
            value = yield from self.value(arguments[1])
            yield self.operation("write", _WRITERS[name], place, value)
            if name == "smp_store_mb":
                yield Operation("fence", "smp_mb")
            return value
        if name in ("spin_lock", "spin_unlock"):
            return (yield from self.lock(name, arguments))
        return (yield from self.atomic(name, arguments))

    def fence(self, name: str) -> Running:
        """Nested read-side sections are one section: only the outermost is an event."""
        if name == "rcu_read_unlock":
            self.nested -= 1
        if not (name.startswith("rcu_read") and self.nested):
            yield Operation("fence", name, ctrl=self.control)
        if name == "rcu_read_lock":
            self.nested += 1
        return Value(0)

    def lock(self, name: str, arguments: Sequence[Expression]) -> Running:
        place = yield from self.place(arguments[0])
        if name == "spin_unlock":
            yield self.operation("write", "unlock", place)
            return Value(0)
        was = yield from self.read("rmw", "lock", place, Value(1))
        if was.number:
            yield Operation("spin", "")
        return Value(0)

    def atomic(self, name: str, arguments: Sequence[Expression]) -> Running:
        match = _ATOMIC.fullmatch(name)
        if not match:
            raise ValueError(f"{name}(): no primitive that is known here")
        fetch, what, tail, exchange, order = match.groups(default="")
        if exchange:
            return (yield from self.exchange(exchange, order, arguments))
        one = what in ("inc", "dec")
        amount = Value(1) if one else (yield from self.value(arguments[0]))
        place = yield from self.place(arguments[0 if one else 1])
        if what in ("sub", "dec"):
            amount = Value(-amount.number, amount.reads)
        row = f"rmw{order}" if fetch or tail else "noreturn"
        old = yield from self.read("rmw", row, place, amount, function="add")
        new = Value(_signed((old.number + amount.number) & (1 << 64) - 1), old.reads | amount.reads)
        if tail == "_and_test":
            return Value(int(new.number == 0), new.reads)
        if tail == "_negative":
            return Value(int(new.number < 0), new.reads)
        return old if fetch else new

    def exchange(self, what: str, order: str, arguments: Sequence[Expression]) -> Running:
        place = yield from self.place(arguments[0])
        if what == "xchg":
            value = yield from self.value(arguments[1])
            return (yield from self.read("rmw", f"rmw{order}", place, value))
        expected = yield from self.value(arguments[1])
        value = yield from self.value(arguments[2])
        return (yield from self.read("cas", f"rmw{order}", place, value, expected.number & (1 << 64) - 1))


_COMPUTE: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: int(a / b),
    "%": lambda a, b: a % b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "&&": lambda a, b: int(bool(a and b)),
    "||": lambda a, b: int(bool(a or b)),
}


def run(body: Sequence[Statement], locations: Mapping[str, int]) -> Generator[Operation, int | None, Registers]:
    """One thread of a litmus test: a generator for threads.explore()."""
    thread = _Thread(locations)
    yield from thread.run(body)
    return {name: value.number for name, value in thread.registers.items()}
