"""Sub-IDs in generations: the rmap-ID series as posted in November 2023, and the same idea made safe.

Both keep a total mapcount and K rmap values under an atomic seqcount. EXCLUSIVE iff mapcount <= P and every
value is mapcount times the caller's sub-ID. Theorem `generations_sound` (proofs/): with N binary digits in base
P+1 this is right modulo M if M >= (P+1)^N.

The posted table does not keep that bound for orders 6 to 9: 513^8 > 2^64, and orders 7 to 9 are wrong. Smallest
case: the MM with chunk 0b10101010 asks, 70 mappings belong to others, and the counts of their binary digits differ
from 70 times the caller's by (2, -14, 42, -70, 70, -42, 14, -2). In base 513 = 2^9 + 1 that is 2 * (1 - 513)^7 =
-2^64: the value looks like the caller's alone. Order 6 escapes, its P = 64 is below 70. Hence `generations` is
labelled a heuristic and `generations-safe` exists. The refuter finds these numbers by itself.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Exactness, Field, Layout, LinearScheme, Predicate
from rmaplab.schemes.pricing import MAPCOUNT_BITS, SeqcountPriced
from rmaplab.schemes.subid import max_digits, subids
from rmaplab.trace import Verdict


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the posted table: orders first .. last use `values` rmap values of `bits` ID bits each."""

    first: int
    last: int
    values: int
    bits: int
    collides_from: int | None = None
    """Fewest mappings for which two multisets of MMs agree modulo 2^64; None if P of them never do. Found by
    enumerating all short vectors of the lattice of collisions, and checked so by the refuter's tests."""

    @property
    def base(self) -> int:
        return int(1 << self.last) + 1


POSTED: Final = (
    Row(2, 2, 1, 24),
    Row(3, 5, 2, 12),
    Row(6, 9, 3, 8, collides_from=70),
    Row(10, 10, 4, 6),
    Row(11, 12, 5, 5),
    Row(13, 15, 6, 4),
)
"""K values and ID bits by order, as posted in <20231124132626.235350-1-david@redhat.com>."""


@dataclass(frozen=True)
class _Generations(SeqcountPriced, LinearScheme):
    """What both have in common: chunks of the ID, each a number in base `base(order)`."""

    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    beyond: ClassVar[Verdict] = Verdict.SHARED

    def values(self, order: int) -> int:
        """K, the number of rmap values."""
        raise NotImplementedError

    def chunk_bits(self, order: int) -> int:
        """ID bits per value."""
        raise NotImplementedError

    def base(self, order: int) -> int:
        """The base in which a chunk's binary digits are read."""
        raise NotImplementedError

    def words(self, order: int) -> int:
        return 1 + self.values(order)

    def trusted_mapcount(self, order: int) -> int:
        return 1 << order

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        if word == 0:
            return np.ones(mm.shape, np.uint64)
        bits = self.chunk_bits(order)
        chunk = (mm >> np.uint64((word - 1) * bits)) & np.uint64((1 << bits) - 1)
        return subids(chunk, self.base(order), bits)

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        values = self.values(order)
        fields = (Field("mapcount", MAPCOUNT_BITS), Field("seqcount", 64), Field("value", 64, values))
        return Layout(order, fields, values)


@dataclass(frozen=True)
class Generations(_Generations):
    """The series as posted, for orders 2 to 15 and 24-bit IDs. Not sound for orders 7 to 9."""

    name: ClassVar[str] = "generations"
    title: ClassVar[str] = "rmap IDs as posted: sub-IDs in generations, 1 to 6 values"
    source: ClassVar[str] = "<20231124132626.235350-1-david@redhat.com>"
    exact: ClassVar[Exactness] = Exactness.HEURISTIC
    orders: ClassVar[range] = range(POSTED[0].first, POSTED[-1].last + 1)

    def row(self, order: int) -> Row:
        """The table row that covers `order`."""
        self.check_order(order)
        return next(r for r in POSTED if r.first <= order <= r.last)

    def values(self, order: int) -> int:
        return self.row(order).values

    def chunk_bits(self, order: int) -> int:
        return self.row(order).bits

    def base(self, order: int) -> int:
        return self.row(order).base

    def capacity(self, order: int) -> int:
        """24 where P mappings never collide; else the digits that fit 64 bits (7): one more reaches a collision."""
        row = self.row(order)
        sound = row.collides_from is None or 1 << order < row.collides_from
        return row.values * row.bits if sound else max_digits(row.base)

    def accepted_ids(self, order: int) -> int:
        """All the series accepts: 24 bits, whether it keeps its claim for them or not."""
        row = self.row(order)
        return int(1 << min(self.id_bits, row.values * row.bits))


@dataclass(frozen=True)
class GenerationsSafe(_Generations):
    """Sub-IDs in generations with K chosen per order so that (P+1)^digits <= 2^64 always holds."""

    name: ClassVar[str] = "generations-safe"
    title: ClassVar[str] = "rmap IDs with as many values as the proof asks for"
    source: ClassVar[str] = "<20231124132626.235350-1-david@redhat.com>, bound from theorem generations_sound"
    exact: ClassVar[Exactness] = Exactness.NEVER_FALSE_EXCLUSIVE

    def values(self, order: int) -> int:
        self.check_order(order)
        return -(-self.id_bits // max_digits(self.base(order)))

    def chunk_bits(self, order: int) -> int:
        return -(-self.id_bits // self.values(order))

    def base(self, order: int) -> int:
        return int(1 << order) + 1

    def capacity(self, order: int) -> int:
        return self.values(order) * self.chunk_bits(order)
