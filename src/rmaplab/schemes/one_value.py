"""A single rmap value: the MM's point on a paraboloid, packed into one word.

The ID's two halves are coordinates (x, y); the value adds (x, y, x^2 + y^2) in mixed radix, every radix wide enough for P
summands, so the three sums never disturb each other. On a strictly convex surface the mean of n points is a point of the
surface only if all n are that point: theorem `one_value_sound` (proofs/). The price: IDs shrink as the order grows.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Exactness, Field, Layout, Predicate
from rmaplab.schemes.pricing import MAPCOUNT_BITS, SeqcountPriced


def split(order: int, id_bits: int = 24) -> tuple[int, int]:
    """Bits (a, c) of the coordinates x and y for folios of `order`: most in total, then most equal, a >= c.

    The condition: P * ((2^a - 1)^2 + (2^c - 1)^2) < 2^(64 - 2*order - a - c). (0, 0) if not even one bit fits.
    """
    best = (0, 0)
    for total in range(1, id_bits + 1):
        for c in range(total // 2, -1, -1):
            a = total - c
            room = 64 - 2 * order - total
            if room > 0 and (((1 << a) - 1) ** 2 + ((1 << c) - 1) ** 2) << order < 1 << room:
                best = (a, c)
                break
    return best


@dataclass(frozen=True)
class OneValue(SeqcountPriced):
    """Mapcount and one 64-bit value: 24-bit IDs up to order 5, 22 at order 6, 18 at order 9."""

    name: ClassVar[str] = "one-value"
    title: ClassVar[str] = "one value: points of a paraboloid"
    source: ClassVar[str] = "this project; strictly convex sets, cf. Ruzsa, Acta Arith. 65.3, 1993"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.NEVER_WRONG
    orders: ClassVar[range] = range(1, 21)

    def words(self, order: int) -> int:
        return 2

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        if word == 0:
            return np.ones(mm.shape, np.uint64)
        a, c = split(order, self.id_bits)
        x = mm & np.uint64((1 << a) - 1)
        y = mm >> np.uint64(a)
        norm = x * x + y * y
        return np.asarray(x | y << np.uint64(order + a) | norm << np.uint64(2 * order + a + c))

    def trusted_mapcount(self, order: int) -> int:
        return 1 << order

    def capacity(self, order: int) -> int:
        self.check_order(order)
        return sum(split(order, self.id_bits))

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        return Layout(order, (Field("mapcount", MAPCOUNT_BITS), Field("seqcount", 64), Field("value", 64)), 1)
