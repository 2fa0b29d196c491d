"""What each compiled function must leave behind, said by Definitions.v itself.

For `python proofs/binary`. First a world of unknown words, then the claims on it: an update leaves what the
definition's step makes of the words, or a mapcount that says saturated; a verdict is the definition's; a COW decision
is "EXCLUSIVE, and as many references as mappings"; nothing else is written. `claims` lists them all.
"""

from collections.abc import Callable, Iterator
from typing import Any

import z3
from claims_flags import mm_id, moments_flag, owner_counter, packed
from definitions import Definitions, Past, equal, items, listed, unknown
from machine import Binary, State
from world import MAPCOUNT_MAX, MM, NUMBERS, SATURATED, Claim, World, between, both, code

WRITERS = {"shared": 16, "exclusive": 17, "exclusive_add": 32}
"""Ways to enter a write section, and how many low bits of the sequence count they use."""


class Sums(World):
    """A folio of a linear scheme: a mapcount and `addends`' values under a sequence count."""

    def __init__(
        self,
        binary: Binary,
        d: Definitions,
        order: int,
        scheme: str,
        how: str = "shared",
        inside: int = 0,
        negative: bool = False,
        reads_order: bool = True,
    ) -> None:
        super().__init__(binary, d, order if reads_order else None, id_bits(d, scheme, order), negative)
        self.what = f"order {order}" if reads_order else "every order"
        self.scheme, self.how, self.bits = scheme, how, WRITERS[how]
        addends, self.verdict_of = linear(d, scheme, order)
        self.addends = items(addends)[1:]
        row = {"generations": 16, "generations_safe": 22}.get(scheme)
        for k, addend in enumerate(self.addends):
            self.put("value", z3.BitVec(f"value_{k}", 64), 8 * k)
            if row:
                at = self.at["posted" if scheme == "generations" else "safe"]
                self.start.store(MM + at + 64 * order + 8 * k, addend(self.id).modulo(64))
        self.put("seq", z3.Concat(z3.BitVec("sequence", 64 - self.bits), z3.BitVecVal(inside, self.bits)))

    def values(self, s: State) -> list[z3.BitVecRef]:
        return [self.word(s, "value", 8, 8 * k) for k in range(len(self.addends))]

    def after(self, nr: Any, before: list[Any]) -> list[Any]:
        """The words that the definition's step makes of `before`, the mapcount first."""
        addends = [lambda _: 1, *self.addends]
        steps = zip(addends, before, strict=True)
        return [self.definitions.run_word(1 << 64, a, Past(w, self.event(nr))) for a, w in steps]

    def update(self, operation: str, nr: Any) -> Claim:
        old = [self.n, *(unknown(v) for v in self.values(self.start))]
        n, *values = self.after(nr, old)
        room, step = self.room(nr), z3.BitVecVal(1 << self.bits, 64)

        def wanted(s: State) -> dict[str, Any]:
            new = zip(self.values(s), values, strict=True)
            return {
                "mapcount": self.word(s, "mapcount", 4) == z3.If(room, n.modulo(32), SATURATED),
                **{f"value {k}": got == want.modulo(64) for k, (got, want) in enumerate(new)},
                "sequence": self.word(s, "seq") == self.word(self.start, "seq") + step,
                "rest": self.untouched(s, ("mapcount", 4), ("seq", 8), ("value", 8 * len(values))),
            }

        return self.claim(f"{self.scheme}_{self.how}_{operation}", self.what, "run_word", wanted)

    def first(self) -> Claim:
        n, *values = self.after(self.nr, [0] * (1 + len(self.addends)))

        def wanted(s: State) -> dict[str, Any]:
            new = zip(self.values(s), values, strict=True)
            return {
                "mapcount": self.word(s, "mapcount", 4) == n.modulo(32),
                **{f"value {k}": got == want.modulo(64) for k, (got, want) in enumerate(new)},
                "rest": self.untouched(s, ("mapcount", 4), ("value", 8 * len(values))),
            }

        return self.claim(f"{self.scheme}_{self.how}_set_first", self.what, "run_word", wanted)

    def answers(self) -> Iterator[Claim]:
        """The verdict, and the COW decision."""
        # Below 0 it has saturated, and nobody is told EXCLUSIVE.
        n = unknown(self.word(self.start, "mapcount", 4))
        said = self.verdict_of(listed([n, *(unknown(v) for v in self.values(self.start))]), self.id)
        fine = between(0, self.n, MAPCOUNT_MAX)
        answer = z3.If(fine, code(said), z3.BitVecVal(NUMBERS["SHARED"], 32))
        reuse = both(answer == NUMBERS["EXCLUSIVE"], equal(self.references, self.n))
        name, what, by = f"{self.scheme}_{self.how}", self.what, f"{self.scheme} verdict"
        yield self.claim(f"{name}_verdict", what, by, lambda s: {"answer": s.result == answer, "rest": self.untouched(s)})
        yield self.claim(
            f"{name}_cow_reuse", what, by, lambda s: {"answer": (s.result != 0) == reuse, "rest": self.untouched(s)}
        )


def id_bits(d: Definitions, scheme: str, order: int) -> int:
    """How wide the IDs are that the scheme is for, at an order."""
    return {"moments": 31, "one_value": d.one_value_bits(64, order)}.get(scheme, 24)


def linear(d: Definitions, scheme: str, order: int) -> tuple[Any, Any]:
    """Addends and verdict of a linear scheme, by Definitions.v."""
    match scheme:
        case "generations":
            shape, base = d.posted(order).arguments
            values, bits = shape.arguments
            return d.generations_addends(base, bits, values), d.posted_verdict(order)
        case "generations_safe":
            return d.safe_addends(64, order, 24), d.safe_verdict(64, order, 24)
        case "bits":
            return d.bits_addends(24), d.bits_verdict(1 << 64, 24)
        case "moments":
            return d.moments_addends, d.moments_verdict(64, d.moments_bits(64, order))
        case _:
            t = d.one_value_bits(64, order)
            shape = (t - t // 2, t // 2)
            return d.one_value_addends(order, *shape), d.one_value_verdict(64, order, *shape)


def sums(binary: Binary, d: Definitions, scheme: str, how: str, orders: tuple[int, ...]) -> Iterator[Claim]:
    """A linear scheme, with one way to enter a write section, alone and beside another writer."""
    reads_order = scheme != "moments"
    for order in orders if reads_order else orders[:1]:
        for inside in (0, 1):
            world = Sums(binary, d, order, scheme, how, inside, reads_order=reads_order)
            yield world.update("map", world.nr)
            world = Sums(binary, d, order, scheme, how, inside, negative=True, reads_order=reads_order)
            yield world.update("unmap", world.less)
        yield Sums(binary, d, order, scheme, how, reads_order=reads_order).first()
    for order in orders:
        for inside in (0, 1):
            yield Sums(binary, d, order, scheme, how, inside).update("remap", (1 << order) - 1)
        yield from Sums(binary, d, order, scheme, how).answers()


LINEAR_ORDERS = {
    "generations": tuple(range(2, 16)),
    "generations_safe": tuple(range(1, 22)),
    "moments": tuple(range(1, 22)),
    "one_value": tuple(range(1, 21)),
}
"""The orders each linear scheme is for. Not here: bits, whose updates have 2^24 ways through."""


def claims(binary: Binary, d: Definitions, quick: bool, wanted: Callable[[str], bool]) -> Iterator[Claim]:
    """The claims on schemes and ways to write whose prefix is `wanted`; `quick`: at order 9 only."""
    orders = (9,) if quick else tuple(range(1, 22))
    for name, make in (("moments_flag", moments_flag), ("mm_id", mm_id), ("owner", owner_counter)):
        if wanted(name):
            yield from make(binary, d, orders)
    for name in ("packed_fallback", "packed"):
        if wanted(name):
            yield from packed(binary, d, name, orders)
    for scheme, its_orders in LINEAR_ORDERS.items():
        for how in WRITERS:
            if wanted(f"{scheme}_{how}"):
                yield from sums(binary, d, scheme, how, (9,) if quick else its_orders)
