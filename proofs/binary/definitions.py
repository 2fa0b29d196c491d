"""Definitions.v as formulas: Rocq's own export of its definitions, evaluated on integers that may be unknown.

For the checks of proofs/binary. Nobody transcribes: `Extraction Library Definitions` writes every function as JSON, and
this evaluates it. Known integers are Python's. An unknown one is an `Integer`, which knows its bounds and gives itself
modulo 2^w for any w: so sums and products never overflow here, and a comparison picks a width in which both sides fit.
Not: all of Rocq. A primitive that no definition here needs raises `UnknownPrimitiveError`.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import z3

EXPORT = """From Rmaplab Require Definitions. From Coq Require Extraction.
Extraction Language JSON. Extraction Library Definitions.
"""


class UnknownPrimitiveError(Exception):
    """A function of Rocq's library that is not evaluated here, or one on unknowns that it cannot have."""


@dataclass(frozen=True)
class Integer:
    """An integer between `low` and `high`; `modulo(w)` is it modulo 2^w, as w bits."""

    modulo: Callable[[int], z3.BitVecRef]
    low: int
    high: int


def constant(n: int) -> Integer:
    return Integer(lambda w: z3.BitVecVal(n, w), n, n)


def unknown(bits: z3.BitVecRef, low: int = 0, high: int | None = None) -> Integer:
    """The unsigned value of `bits`, if that is known to be between `low` and `high`."""

    def modulo(w: int) -> z3.BitVecRef:
        return z3.ZeroExt(w - bits.size(), bits) if w >= bits.size() else z3.Extract(w - 1, 0, bits)

    return Integer(modulo, low, (1 << bits.size()) - 1 if high is None else high)


def negated(x: Integer) -> Integer:
    return Integer(lambda w: -x.modulo(w), -x.high, -x.low)


def words(bits: int) -> int:
    """`bits` rounded up to whole words of 64."""
    return max(64, -(-bits // 64) * 64)


@dataclass(frozen=True)
class Value:
    """A constructor and its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Either:
    """`yes` where `test` holds, else `no`."""

    test: z3.BoolRef
    yes: Any
    no: Any


@dataclass(frozen=True)
class Past:
    """A list of events of which only the last, `event`, is known, and what a fold over those before it came to."""

    before: Any
    event: Any


@dataclass(frozen=True)
class Function:
    """A function of `arity` arguments, of which it has `given`."""

    arity: int
    body: Callable[..., Any]
    given: tuple[Any, ...] = ()

    def __call__(self, *more: Any) -> Any:
        arguments = (*self.given, *more)
        if len(arguments) < self.arity:
            return Function(self.arity, self.body, arguments)
        result = self.body(*arguments[: self.arity])
        return result(*arguments[self.arity :]) if len(arguments) > self.arity else result


def lift(x: int | Integer) -> Integer:
    return constant(x) if isinstance(x, int) else x


def add(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    a, b = lift(a), lift(b)
    return Integer(lambda w: a.modulo(w) + b.modulo(w), a.low + b.low, a.high + b.high)


def multiply(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    a, b = lift(a), lift(b)
    ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Integer(lambda w: a.modulo(w) * b.modulo(w), min(ends), max(ends))


def opposite(a: Any) -> Any:
    return -a if isinstance(a, int) else negated(a)


def remainder(a: Any, b: Any) -> Any:
    """a mod b, b a power of two where a is unknown."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b if b else a
    k = exponent(b)
    if a.low >= 0 and a.high < b:
        return a

    def modulo(w: int) -> z3.BitVecRef:
        low = z3.Extract(k - 1, 0, a.modulo(words(k)))
        return z3.ZeroExt(w - k, low) if w >= k else z3.Extract(w - 1, 0, low)

    return Integer(modulo, 0, b - 1) if k else 0


def divide(a: Any, b: Any) -> Any:
    """a / b, rounded down; b a power of two where a is unknown."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b else 0
    k = exponent(b)
    return Integer(lambda w: z3.Extract(w + k - 1, k, a.modulo(words(w + k))), a.low >> k, a.high >> k)


def exponent(b: Any) -> int:
    if not isinstance(b, int) or b <= 0 or b & (b - 1):
        raise UnknownPrimitiveError(f"an unknown divided by {b}")
    return b.bit_length() - 1


def equal(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    a, b = lift(a), lift(b)
    if a.high < b.low or b.high < a.low:
        return False
    width = words((max(a.high, b.high) - min(a.low, b.low)).bit_length())
    # The lowest word by itself: it is what a processor multiplies.
    parts = [a.modulo(64) == b.modulo(64)]
    if width > 64:
        parts.append(z3.Extract(width - 1, 64, a.modulo(width)) == z3.Extract(width - 1, 64, b.modulo(width)))
    return z3.And(*parts)


def at_most(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a <= b
    a, b = lift(a), lift(b)
    if a.high <= b.low:
        return True
    if a.low > b.high:
        return False
    if a.low >= 0 and b.low >= 0:
        width = words(max(a.high, b.high).bit_length())
        return z3.ULE(a.modulo(width), b.modulo(width))
    width = words(max(x.bit_length() for x in (a.low, a.high, b.low, b.high)) + 1)
    return a.modulo(width) <= b.modulo(width)


def less(a: Any, b: Any) -> Any:
    return negate(at_most(b, a))


def negate(a: Any) -> Any:
    return not a if isinstance(a, bool) else z3.Not(a)


def choose(test: Any, yes: Any, no: Any) -> Any:
    """One value of two, as deep in them as it can be decided."""
    if isinstance(test, bool):
        return yes if test else no
    if isinstance(yes, (bool, z3.BoolRef)):
        return z3.If(test, yes, no)
    if isinstance(yes, (int, Integer)):
        a, b = lift(yes), lift(no)
        return Integer(lambda w: z3.If(test, a.modulo(w), b.modulo(w)), min(a.low, b.low), max(a.high, b.high))
    if isinstance(yes, Value) and isinstance(no, Value) and yes.name == no.name:
        pairs = zip(yes.arguments, no.arguments, strict=True)
        return Value(yes.name, tuple(choose(test, a, b) for a, b in pairs))
    return Either(test, yes, no)


def holds(v: Any, name: str) -> z3.BoolRef:
    """Is a value built by constructor `name`?"""
    if isinstance(v, Either):
        return z3.If(v.test, holds(v.yes, name), holds(v.no, name))
    return z3.BoolVal(v.name == name)


def listed(items: list[Any]) -> Value:
    """A list of Rocq's."""
    out = Value("Coq_nil")
    for item in items[::-1]:
        out = Value("Coq_cons", (item, out))
    return out


def items(v: Value) -> list[Any]:
    out = []
    while v.name == "Coq_cons":
        out.append(v.arguments[0])
        v = v.arguments[1]
    return out


def _bit(a: Any, k: int) -> Any:
    return bool(a >> k & 1) if isinstance(a, int) else z3.Extract(k, k, a.modulo(words(k + 1))) == 1


def _fold_left(f: Any, over: Any, first: Any) -> Any:
    if isinstance(over, Past):
        return f(over.before, over.event)
    for item in items(over):
        first = f(first, item)
    return first


def _fold_right(f: Any, last: Any, over: Any) -> Any:
    for item in items(over)[::-1]:
        last = f(item, last)
    return last


PRIMITIVES: dict[str, Any] = {
    "BinInt.Z.add": Function(2, add),
    "BinInt.Z.sub": Function(2, lambda a, b: add(a, opposite(b))),
    "BinInt.Z.mul": Function(2, multiply),
    "BinInt.Z.opp": Function(1, opposite),
    "BinInt.Z.pow": Function(2, lambda a, b: a**b if b >= 0 else 0),
    "BinInt.Z.div": Function(2, divide),
    "BinInt.Z.div2": Function(1, lambda a: divide(a, 2)),
    "BinInt.Z.modulo": Function(2, remainder),
    "BinInt.Z.shiftr": Function(2, lambda a, k: divide(a, 1 << k)),
    "BinInt.Z.odd": Function(1, lambda a: _bit(a, 0)),
    "BinInt.Z.testbit": Function(2, _bit),
    "BinInt.Z.b2z": Function(1, lambda a: choose(a, 1, 0)),
    "BinInt.Z.eqb": Function(2, equal),
    "BinInt.Z.leb": Function(2, at_most),
    "BinInt.Z.ltb": Function(2, less),
    "BinInt.Z.max": Function(2, lambda a, b: choose(at_most(a, b), b, a)),
    "BinInt.Z.min": Function(2, lambda a, b: choose(at_most(a, b), a, b)),
    "BinInt.Z.sgn": Function(1, lambda a: choose(equal(a, 0), 0, choose(less(0, a), 1, -1))),
    "BinInt.Z.of_nat": Function(1, lambda n: n),
    "BinInt.Z.to_nat": Function(1, lambda n: max(n, 0)),
    "Nat.mul": Function(2, lambda a, b: a * b),
    "Datatypes.negb": Function(1, negate),
    "List.map": Function(2, lambda f, over: listed([f(x) for x in items(over)])),
    "List.seq": Function(2, lambda first, n: listed(list(range(first, first + n)))),
    "List.fold_left": Function(3, _fold_left),
    "List.fold_right": Function(3, _fold_right),
}


class Definitions:
    """The functions of Definitions.v, as attributes."""

    def __init__(self, theories: Path, scratch: Path) -> None:
        """Exports them; the theories must be compiled. Raises CalledProcessError."""
        (scratch / "Export.v").write_text(EXPORT)
        command = ["coqc", "-q", "-w", "none", "-Q", str(theories.absolute()), "Rmaplab", "Export.v"]
        subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True)
        exported = json.loads((scratch / "Definitions.json").read_text())
        self._bodies = {}
        for declared in exported["declarations"]:
            for one in declared.get("fixlist", [declared]):
                if "name" in one and ("value" in one or "body" in one):
                    self._bodies[one["name"]] = one.get("value") or one["body"]
        self._known: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._bodies:
            raise AttributeError(f"Definitions.v defines no {name}")
        if name not in self._known:
            self._known[name] = self._evaluate(self._bodies[name], {})
        return self._known[name]

    def _global(self, name: str) -> Any:
        if "." not in name:
            return getattr(self, name)
        if name not in PRIMITIVES:
            raise UnknownPrimitiveError(name)
        return PRIMITIVES[name]

    def _evaluate(self, e: dict[str, Any], env: dict[str, Any]) -> Any:
        match e["what"]:
            case "expr:rel":
                return env[e["name"]]
            case "expr:global":
                return self._global(e["name"])
            case "expr:lambda":
                names, body = e["argnames"], e["body"]
                if not names:
                    return self._evaluate(body, env)
                return Function(
                    len(names), lambda *given: self._evaluate(body, env | dict(zip(names, given, strict=True)))
                )
            case "expr:let":
                return self._evaluate(e["body"], env | {e["name"]: self._evaluate(e["nameval"], env)})
            case "expr:apply":
                return self._evaluate(e["func"], env)(*(self._evaluate(a, env) for a in e["args"]))
            case "expr:constructor":
                return self._constructor(e["name"].rpartition(".")[2], [self._evaluate(a, env) for a in e["args"]])
            case "expr:case":
                return self._case(self._evaluate(e["expr"], env), e["cases"], env)
        raise UnknownPrimitiveError(e["what"])

    def _constructor(self, name: str, arguments: list[Any]) -> Any:
        match name:
            case "Coq_true" | "Coq_false":
                return name == "Coq_true"
            case "Z0" | "O":
                return 0
            case "S":
                return arguments[0] + 1
            case "Coq_xH":
                return 1
            case "Coq_xO" | "Coq_xI":
                return 2 * arguments[0] + (name == "Coq_xI")
            case "Zpos" | "Zneg":
                return arguments[0] if name == "Zpos" else -arguments[0]
        return Value(name, tuple(arguments))

    def _case(self, v: Any, cases: list[dict[str, Any]], env: dict[str, Any]) -> Any:
        if isinstance(v, Either):
            return choose(v.test, self._case(v.yes, cases, env), self._case(v.no, cases, env))
        if isinstance(v, z3.BoolRef):
            return choose(v, self._case(True, cases, env), self._case(False, cases, env))
        if isinstance(v, bool):
            name, arguments = f"Coq_{str(v).lower()}", ()
        elif isinstance(v, int):
            name, arguments = ("S", (v - 1,)) if v else ("O", ())
        else:
            name, arguments = v.name, v.arguments
        for case in cases:
            pattern = case["pat"]
            if pattern["what"] == "pat:wild":
                return self._evaluate(case["body"], env)
            if pattern["what"] == "pat:constructor" and pattern["name"].rpartition(".")[2] == name:
                return self._evaluate(case["body"], env | dict(zip(pattern["argnames"], arguments, strict=True)))
        raise UnknownPrimitiveError(f"case {name}")
