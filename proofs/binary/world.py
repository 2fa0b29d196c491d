"""A folio and an MM whose words are unknown, in memory for machine.py and as integers for definitions.py.

For claims.py. Premises are how the words are built where that can be (a free lock is a bit that is 0).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import z3
from definitions import Definitions, Integer, Value, add, at_most, holds, opposite, unknown
from machine import Binary, State, one, same_byte

FOLIO, MM, PAGES = 0x10_0000_0000, 0x20_0000_0000, 0x30_0000_0000
FIELDS = (
    "refcount", "order", "entire", "pages", "mapcount", "seq", "value", "word", "count", "squares", "packed", "folio",
    "id", "posted", "safe", "mm", "fallback_seq",
)  # fmt: skip
"""What `layout` of functions.c lists."""
MAPCOUNT_MAX = (1 << 31) - 1
SATURATED = z3.BitVecVal(-0x4000_0000, 32)
NUMBERS = {"UNKNOWN": 0, "EXCLUSIVE": 1, "SHARED": 2}
"""The C core's verdicts."""


@dataclass
class Claim:
    """`function`, called on `start`, ends so that all of `wanted(end)` holds, as `definitions` say."""

    function: str
    what: str
    definitions: str
    start: State
    wanted: Callable[[State], dict[str, Any]]
    premises: list[Any] = field(default_factory=list)
    merge: bool = False


def below(bits: int, name: str, size: int) -> z3.BitVecRef:
    """A value of `size` bits below 2^bits."""
    low = z3.BitVec(name, bits)
    return z3.Concat(z3.BitVecVal(0, size - bits), low) if size > bits else low


def signed(bits: z3.BitVecRef) -> Integer:
    """The value of a two's complement number."""
    size = bits.size()

    def modulo(w: int) -> z3.BitVecRef:
        return z3.SignExt(w - size, bits) if w >= size else z3.Extract(w - 1, 0, bits)

    return Integer(modulo, -(1 << (size - 1)), (1 << (size - 1)) - 1)


def both(*tests: Any) -> z3.BoolRef:
    return z3.And(*(z3.BoolVal(t) if isinstance(t, bool) else t for t in tests))


def between(low: int, x: Any, high: int) -> z3.BoolRef:
    return both(at_most(low, x), at_most(x, high))


def code(verdict: Any) -> z3.BitVecRef:
    """The number of a verdict."""
    number = z3.BitVecVal(NUMBERS["UNKNOWN"], 32)
    for name in ("EXCLUSIVE", "SHARED"):
        number = z3.If(holds(verdict, name), z3.BitVecVal(NUMBERS[name], 32), number)
    return number


class World:
    """One folio of `order`, one MM; `id_bits` of its ID are unknown, all words of both, and `nr`, 1 .. 2^31 - 1.

    No order: it is unknown, too, for a function that does not read it.
    `negative`: nr is said as -m, m unknown. The same numbers; where -nr is extended, both sides extend m.
    """

    def __init__(
        self, binary: Binary, definitions: Definitions, order: int | None, id_bits: int = 31, negative: bool = False
    ) -> None:
        self.definitions, self.order = definitions, order
        self.at = binary.table("layout", FIELDS)
        self.start = State(0, binary)
        for base, size, name in ((FOLIO, self.at["folio"], "folio"), (MM, self.at["mm"], "mm")):
            for at in range(0, size, 8):
                self.start.store(base + at, z3.BitVec(f"{name}_{at}", 64))
        id32, nr32 = below(id_bits, "id", 32), below(31, "nr", 32)
        self.id, self.nr = unknown(id32, 1, (1 << id_bits) - 1), unknown(nr32, 1, MAPCOUNT_MAX)
        self.less = opposite(self.nr)
        self.premises: list[Any] = [id32 != 0, nr32 != 0]
        if negative:
            m31 = z3.BitVec("m", 31)
            m32 = z3.Concat(z3.BitVecVal(1, 1), m31)
            nr32, self.less = -m32, replace(signed(m32), low=-MAPCOUNT_MAX, high=-1)
            self.premises[1] = m31 != 0
        self.put("order", z3.BitVec("order", 32) if order is None else z3.BitVecVal(order, 32))
        self.start.store(MM + self.at["id"], id32)
        self.start.store(binary.names["rmap_have_vector_read128"], z3.BitVec("have_vector_read128", 32))
        self.start.argument("rdi", z3.BitVecVal(FOLIO, 64))
        self.start.argument("rsi", z3.BitVecVal(MM, 64))
        self.start.argument("rdx", z3.BitVec("page", 32))
        self.start.argument("rcx", nr32)
        self.start.argument("r8", z3.BitVec("entire", 32))
        self.n = signed(self.word(self.start, "mapcount", 4))
        self.references = signed(self.word(self.start, "refcount", 4))

    def put(self, name: str, value: z3.BitVecRef, offset: int = 0) -> z3.BitVecRef:
        self.start.store(FOLIO + self.at[name] + offset, value)
        return value

    def word(self, s: State, name: str, size: int = 8, offset: int = 0) -> z3.BitVecRef:
        return s.load(FOLIO + self.at[name] + offset, size)

    def few_mappings(self) -> None:
        """The mapcount has not saturated."""
        self.n = unknown(self.put("mapcount", below(31, "mapcount", 32)), 0, MAPCOUNT_MAX)

    def event(self, nr: Any, page: int = 0, entire: bool = False) -> Value:
        return Value("Ev", (self.id, page, nr, entire))

    def room(self, nr: Any) -> z3.BoolRef:
        """Is the mapcount in its range, and is it after `nr` more?"""
        return both(at_most(0, self.n), between(0, add(self.n, nr), MAPCOUNT_MAX))

    def untouched(self, s: State, *written: tuple[str, int]) -> z3.BoolRef:
        """All bytes of folio and MM are as they were, but for so many from the fields `written`."""
        may = {FOLIO + self.at[name] + i for name, size in written for i in range(size)}
        bytes_of = [*range(FOLIO, FOLIO + self.at["folio"]), *range(MM, MM + self.at["mm"])]
        changed = [at for at in bytes_of if at not in may and not same_byte(s.memory[at], self.start.memory[at])]
        return z3.And(*(one(s.memory[at]) == one(self.start.memory[at]) for at in changed))

    def claim(self, function: str, what: str, definitions: str, wanted: Callable[[State], dict[str, Any]]) -> Claim:
        # The machine works on the state it is given, and claims of one world start alike.
        return Claim(function, what, definitions, self.start.copy(0), wanted, list(self.premises))
