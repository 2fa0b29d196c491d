"""The claims on the schemes that keep a flag, or everything in two words: moments-flag, mm-id, packed, owner-counter.

For claims.py.
"""

from collections.abc import Iterator
from typing import Any

import z3
from definitions import Definitions, Past, Value, add, equal, items, listed, multiply, remainder, unknown
from machine import Binary, State
from world import MAPCOUNT_MAX, SATURATED, Claim, World, below, between, both, code


def bits(s: z3.BitVecRef, high: int, low: int) -> z3.BitVecRef:
    return z3.Extract(high, low, s)


class Flagged(World):
    """A folio under a bit lock, which is free; bit 63 of its word is the flag."""

    name, step = "", ""

    def __init__(self, binary: Binary, d: Definitions, order: int | None, id_bits: int = 31) -> None:
        super().__init__(binary, d, order, id_bits)
        self.flag, self.high, self.low = z3.BitVec("shared", 1), z3.BitVec("high", 31), z3.BitVec("low", 31)
        self.put("word", z3.Concat(self.flag, self.high, z3.BitVecVal(0, 1), self.low))

    def before(self) -> Any:
        raise NotImplementedError

    def verdict_and_reuse(self, verdict: Any, by: str) -> Iterator[Claim]:
        answer = code(verdict)
        reuse = both(answer == 1, equal(self.references, self.n))
        for function, wanted in (
            ("verdict", lambda s: s.result == answer),
            ("cow_reuse", lambda s: (s.result != 0) == reuse),
        ):
            check = lambda s, wanted=wanted: {"answer": wanted(s), "rest": self.untouched(s)}  # noqa: E731
            yield self.claim(f"{self.name}_{function}", "all states", by, check)


class Sum(Flagged):
    """moments-flag. `after`: the mapcount that is left, in a function that multiplies with that."""

    name = "moments_flag"

    def state(self) -> Value:
        s, q = unknown(z3.Concat(self.high, self.low)), unknown(self.word(self.start, "squares"))
        return Value("MomentsFlag", (self.n, s, q, self.flag == 1))

    def updated(self, function: str, nr: Any, what: str, fits: bool, open_flag: bool = False) -> Claim:
        """What the definition's step says; where the mapcount has no room, that the flag is set, or stays.

        `open_flag`: nothing about the flag.
        """
        d = self.definitions
        bound = d.moments_flag_bound(64, 22)
        n, total, squares, shared = d.moments_flag_step(62, 64, bound, self.state(), self.event(nr)).arguments
        keeps = self.flag == 1 if function == "unmap" else z3.BoolVal(True)
        room = z3.BoolVal(True) if fits else z3.Not(self.room(nr))

        def wanted(s: State) -> dict[str, Any]:
            word = self.word(s, "word")
            return {
                "mapcount": self.word(s, "mapcount", 4) == (n.modulo(32) if fits else SATURATED),
                "sum": z3.Concat(bits(word, 62, 32), bits(word, 30, 0)) == total.modulo(62),
                "squares": self.word(s, "squares") == squares.modulo(64),
                **({} if open_flag else {"flag": (bits(word, 63, 63) == 1) == (shared if fits else keeps)}),
                "lock": bits(word, 31, 31) == 0,
                "rest": self.untouched(s, ("mapcount", 4), ("word", 8), ("squares", 8)),
            }

        claim = self.claim(f"{self.name}_{function}", what, "moments_flag_step", wanted)
        # The pairing: nobody unmaps what it has not mapped, so S stays in its 62 bits; a carry would meet the flag.
        s = unknown(z3.Concat(self.high, self.low))
        claim.premises += [self.room(nr) if fits else room, between(0, add(s, multiply(nr, self.id)), (1 << 62) - 1)]
        return claim


def moments_flag(binary: Binary, d: Definitions, orders: tuple[int, ...]) -> Iterator[Claim]:
    for function in ("map", "unmap"):
        w = Sum(binary, d, None)
        nr = w.nr if function == "map" else w.less
        yield w.updated(function, nr, "beyond the mapcount", fits=False)
        w = Sum(binary, d, None)
        if function == "map":
            w.few_mappings()
            yield w.updated(function, w.nr, "all that fits", fits=True)
        else:
            # A set flag is cleared or not by moments_flag_perhaps and _alone, below: z3 carries S to no product.
            yield w.updated(function, w.less, "all that fits", fits=True, open_flag=True)
            w = Sum(binary, d, None)
            w.put("word", z3.Concat(z3.BitVecVal(0, 1), w.high, z3.BitVecVal(0, 1), w.low))
            w.flag = z3.BitVecVal(0, 1)
            yield w.updated(function, w.less, "flag not set", fits=True)
            w = Sum(binary, d, None)
            n, sum_of, squares = (z3.BitVec(name, 64) for name in ("n", "s", "q"))
            for register, value in (("rdi", n), ("rsi", sum_of), ("rdx", squares)):
                w.start.argument(register, value)
            alone = both(d.moments_flag_alone(d.moments_flag_bound(64, 22), *map(unknown, (n, sum_of, squares))))
            yield w.claim(
                "moments_flag_alone",
                "all 2^192 inputs",
                "moments_flag_alone",
                lambda s, alone=alone: {"answer": (s.result != 0) == alone},
            )
            w = Sum(binary, d, None)
            # All 64 bits, in the parts that the sum has: products of parts are the same products on both sides.
            top, lock = z3.BitVecs("top lock", 1)
            high, low = z3.BitVec("high", 31), z3.BitVec("low", 31)
            word = z3.Concat(top, high, lock, low)
            for register, value in (("rdi", word), ("rsi", n), ("rdx", squares)):
                w.start.argument(register, value)
            # What the definition compares, of the sum that the word holds: all of it, so its low bits too.
            sum_of = z3.Concat(high, low)
            products = equal(multiply(unknown(n), unknown(squares)), multiply(unknown(sum_of), unknown(sum_of)))
            yield w.claim(
                "moments_flag_perhaps",
                "true where moments_flag_alone is, all 2^192 inputs",
                "moments_flag_alone",
                lambda s, products=products: {"answer": z3.Implies(products, s.result != 0)},
            )
    for order in orders:
        w = Sum(binary, d, order)
        w.few_mappings()
        w.premises.pop()
        yield w.updated("remap", (1 << order) - 1, f"order {order}", fits=True)
    w = Sum(binary, d, None)
    empty = Value("MomentsFlag", (0, 0, 0, False))
    _, total, squares, _ = d.moments_flag_step(62, 64, 0, empty, w.event(w.nr)).arguments
    yield w.claim(
        "moments_flag_set_first",
        "all",
        "moments_flag_step",
        lambda s: {
            "mapcount": w.word(s, "mapcount", 4) == w.nr.modulo(32),
            "sum": z3.Concat(bits(w.word(s, "word"), 62, 32), bits(w.word(s, "word"), 30, 0)) == total.modulo(62),
            "flag and lock": z3.And(bits(w.word(s, "word"), 63, 63) == 0, bits(w.word(s, "word"), 31, 31) == 0),
            "squares": w.word(s, "squares") == squares.modulo(64),
            "rest": w.untouched(s, ("mapcount", 4), ("word", 8), ("squares", 8)),
        },
    )
    w = Sum(binary, d, None)
    yield from w.verdict_and_reuse(d.moments_flag_verdict(w.state()), "moments_flag_verdict")


class Slots(Flagged):
    """mm-id. A slot's count is of 31 bits; that of a free slot is 0 in a definition, and nobody's in C."""

    name = "mm_id"

    def __init__(self, binary: Binary, d: Definitions, order: int | None) -> None:
        super().__init__(binary, d, order)
        self.few_mappings()
        self.counts = [self.put("count", below(31, f"count_{k}", 32), 4 * k) for k in (0, 1)]

    def state(self) -> Value:
        ids = [self.low, self.high]
        slots = [Value("Slot", (unknown(i), unknown(c))) for i, c in zip(ids, self.counts, strict=True)]
        return Value("MmId", (self.n, *slots, self.flag == 1))

    def updated(self, function: str, steps: tuple[Any, ...], what: str, room: z3.BoolRef) -> Claim:
        after = self.state()
        for e in steps:
            after = self.definitions.mm_id_step(after, e)
        n, *slots, shared = after.arguments

        def wanted(s: State) -> dict[str, Any]:
            word = self.word(s, "word")
            out = {
                "mapcount": self.word(s, "mapcount", 4) == n.modulo(32),
                "flag": (bits(word, 63, 63) == 1) == shared,
                "lock": bits(word, 31, 31) == 0,
                "rest": self.untouched(s, ("mapcount", 4), ("word", 8), ("count", 8)),
            }
            for k, slot in enumerate(slots):
                owner, held = (x.modulo(64) for x in slot.arguments)
                out[f"owner {k}"] = bits(word, 30 + 32 * k, 32 * k) == bits(owner, 30, 0)
                out[f"count {k}"] = z3.Or(owner == 0, self.word(s, "count", 4, 4 * k) == bits(held, 31, 0))
            return out

        claim = self.claim(f"{self.name}_{function}", what, "mm_id_step", wanted)
        # No MM has two slots, and no slot counts more than there is room for.
        claim.premises.append(z3.Or(self.low != self.high, self.low == 0))
        claim.premises += [room, *(between(0, add(unknown(c), self.nr), MAPCOUNT_MAX) for c in self.counts)]
        return claim

    def saturated(self, function: str, room: z3.BoolRef) -> Claim:
        def wanted(s: State) -> dict[str, Any]:
            flagged = self.word(self.start, "word") | (1 << 63)
            return {
                "mapcount": self.word(s, "mapcount", 4) == SATURATED,
                "word": self.word(s, "word") == flagged,
                "rest": self.untouched(s, ("mapcount", 4), ("word", 8)),
            }

        claim = self.claim(f"{self.name}_{function}", "beyond the mapcount", "bounded (Interleaved.v)", wanted)
        claim.premises.append(z3.Not(room))
        return claim


def mm_id(binary: Binary, d: Definitions, orders: tuple[int, ...]) -> Iterator[Claim]:
    for function in ("map", "unmap"):
        w = Slots(binary, d, None)
        nr = w.nr if function == "map" else w.less
        yield w.updated(function, (w.event(nr),), "all that fits", w.room(nr))
        yield w.saturated(function, w.room(nr))
    w = Slots(binary, d, None)
    yield from w.verdict_and_reuse(d.mm_id_verdict(w.state()), "mm_id_verdict")
    for order in orders:
        w = Slots(binary, d, order)
        w.nr = 1 << order
        yield w.updated("remap", (w.event(1 << order), w.event(-1)), f"order {order}", w.room(1 << order))


class Packed(World):
    """packed, and packed-fallback: two words."""

    def __init__(self, binary: Binary, d: Definitions, order: int | None, name: str, negative: bool = False) -> None:
        super().__init__(binary, d, order, negative=negative)
        self.name = name
        self.hi = z3.BitVec("squares", 64)
        self.put("packed", self.hi, 8)
        self.freeze(z3.BitVecVal(0, 1))
        if name == "packed_fallback":
            self.put("packed", z3.Concat(z3.BitVec("sequence", 48), z3.BitVecVal(0, 16)), 16)

    def freeze(self, frozen: z3.BitVecRef) -> None:
        self.lo = z3.Concat(z3.BitVec("sum", 40), frozen, z3.BitVec("count", 23))
        self.put("packed", self.lo)

    def updated(self, function: str, nr: Any, what: str, before: tuple[Any, Any] | None = None) -> Claim:
        d, last = self.definitions, (1 << 23) - 1
        old = before or (unknown(self.lo), unknown(self.hi))
        lo, hi = (
            d.run_word(1 << 64, a, Past(w, self.event(nr))) for a, w in zip(items(d.packed_addends(24)), old, strict=True)
        )
        n = remainder(old[0], 1 << 23)
        room = both(z3.Not(both(equal(n, last))), between(0, add(n, nr), last - 1))

        def wanted(s: State) -> dict[str, Any]:
            return {
                "mapcount and sum": self.word(s, "packed") == z3.If(room, lo.modulo(64), z3.BitVecVal(last, 64)),
                "squares": self.word(s, "packed", 8, 8) == hi.modulo(64),
                "rest": self.untouched(s, ("packed", 24 if self.name == "packed_fallback" and not before else 16)),
            }

        return self.claim(f"{self.name}_{function}", what, "run_word packed_addends", wanted)

    def answers(self, what: str) -> Iterator[Claim]:
        d = self.definitions
        n = unknown(z3.Extract(22, 0, self.lo))
        said = d.packed_verdict(
            64, 24, d.packed_bits(64, 24, self.order), listed([unknown(self.lo), unknown(self.hi)]), self.id
        )
        answer = code(said)
        reuse = both(answer == 1, equal(self.references, n))
        yield self.claim(
            f"{self.name}_cow_reuse",
            what,
            "packed_verdict",
            lambda s: {"answer": (s.result != 0) == reuse, "rest": self.untouched(s)},
        )


def packed(binary: Binary, d: Definitions, name: str, orders: tuple[int, ...]) -> Iterator[Claim]:
    w = Packed(binary, d, None, name)
    yield w.updated("map", w.nr, "all")
    w = Packed(binary, d, None, name, negative=True)
    yield w.updated("unmap", w.less, "all")
    w = Packed(binary, d, None, name)
    yield w.updated("set_first", w.nr, "all", (0, 0))
    for order in orders:
        w = Packed(binary, d, order, name)
        yield w.updated("remap", (1 << order) - 1, f"order {order}")
        w = Packed(binary, d, order, name)
        yield from w.answers(f"order {order}")
        # A decision that holds the word is nothing to a verdict.
        w = Packed(binary, d, order, name)
        w.freeze(z3.BitVec("frozen", 1))
        said = code(d.packed_verdict(64, 24, d.packed_bits(64, 24, order), listed([unknown(w.lo), unknown(w.hi)]), w.id))
        yield w.claim(
            f"{name}_verdict",
            f"order {order}",
            "packed_verdict",
            lambda s, w=w, said=said: {"answer": s.result == said, "rest": w.untouched(s)},
        )


class Owned(World):
    """owner-counter. Premise: no owner iff nobody maps, and then nobody else does either, as every step leaves it."""

    def __init__(self, binary: Binary, d: Definitions, order: int | None) -> None:
        super().__init__(binary, d, order)
        self.few_mappings()
        self.owner, self.rest = below(31, "owner", 32), z3.BitVec("others", 31)
        self.put("word", z3.Concat(self.owner, z3.BitVecVal(0, 1), self.rest))
        nobody = both(equal(self.n, 0))
        self.premises += [nobody == (self.owner == 0), z3.Implies(nobody, self.rest == 0)]

    def state(self) -> Value:
        return Value("OwnerCounter", (self.n, unknown(self.owner), unknown(self.rest)))

    def updated(self, function: str, nr: Any, what: str) -> Claim:
        n, first, others = self.definitions.owner_counter_step(self.state(), self.event(nr)).arguments

        def wanted(s: State) -> dict[str, Any]:
            word = self.word(s, "word")
            return {
                "mapcount": self.word(s, "mapcount", 4) == n.modulo(32),
                "owner": bits(word, 63, 32) == first.modulo(32),
                "others": bits(word, 31, 0) == others.modulo(32),
                "rest": self.untouched(s, ("mapcount", 4), ("word", 8)),
            }

        claim = self.claim(f"owner_{function}", what, "owner_counter_step", wanted)
        claim.premises += [self.room(nr), between(0, others, MAPCOUNT_MAX)]
        return claim


def owner_counter(binary: Binary, d: Definitions, orders: tuple[int, ...]) -> Iterator[Claim]:
    w = Owned(binary, d, None)
    yield w.updated("map", w.nr, "all that fits")
    w = Owned(binary, d, None)
    yield w.updated("unmap", w.less, "all that fits")
    for order in orders:
        w = Owned(binary, d, order)
        yield w.updated("remap", (1 << order) - 1, f"order {order}")
    w = Owned(binary, d, None)
    answer = code(d.owner_counter_verdict(w.state(), w.id))
    reuse = both(answer == 1, equal(w.references, w.n))
    for function, wanted in (
        ("verdict", lambda s: s.result == answer),
        ("cow_reuse", lambda s: (s.result != 0) == reuse),
    ):
        check = lambda s, wanted=wanted: {"answer": wanted(s), "rest": w.untouched(s)}  # noqa: E731
        yield w.claim(f"owner_{function}", "all states", "owner_counter_verdict", check)
