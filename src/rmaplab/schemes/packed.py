"""Mapcount, S and Q in one 128-bit word: one compare-exchange updates, one 16-byte load answers.

    lo = mapcount (bits 0-22) | frozen (bit 23) | S modulo 2^40 (bits 24-63)        hi = Q modulo 2^64

No seqcount, wait-free readers. A COW decision sets the frozen bit while it reads the refcount; updates wait for it,
verdicts do not look at it, and between updates, all that is seen here, it is clear. S sits at the top of `lo`, so what
overflows it is lost and disturbs nobody; a mapcount that leaves 0 .. 2^23 - 2 saturates. EXCLUSIVE iff S and Q
agree with n times the caller's: with n*D < 2^40 the first equality holds over the integers, then the second says that
the sum of (id - x)^2 is 0 modulo 2^64, as in `moments`. Theorems `packed_sound`, `packed_frozen` (proofs/).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Cost, Exactness, Field, Layout, LinearScheme, Op, Predicate, State
from rmaplab.schemes.moments import largest_difference

MAPCOUNT_BITS: Final = 23
SUM_AT: Final = MAPCOUNT_BITS + 1
"""Where S begins in its word; it has all bits from there on."""
SUM_BITS: Final = 64 - SUM_AT
_SHIFT: Final = np.uint64(SUM_AT)
_MAPCOUNT: Final = np.uint64((1 << MAPCOUNT_BITS) - 1)


def trusted(bits: int) -> int:
    """Largest mapcount for which equal S and Q prove exclusiveness, for `bits`-bit IDs."""
    d = largest_difference(bits)
    return min(((1 << 64) - 1) // d**2, ((1 << SUM_BITS) - 1) // d, (1 << MAPCOUNT_BITS) - 1)


@dataclass(frozen=True)
class Packed(LinearScheme):
    """The state of `moments` in 16 bytes."""

    name: ClassVar[str] = "packed"
    title: ClassVar[str] = "mapcount and both sums in one 128-bit word"
    source: ClassVar[str] = "this project"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.NEVER_WRONG
    mapcount_limit: ClassVar[int] = (1 << MAPCOUNT_BITS) - 1
    saturated: ClassVar[int] = (1 << MAPCOUNT_BITS) - 1
    """2^23 - 1 mappings with S = 0: an odd number times an ID below 2^40 is not 0 modulo 2^40, so nobody's."""

    def words(self, order: int) -> int:
        return 2

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return np.uint64(1) + (mm << _SHIFT) if word == 0 else mm * mm

    def mapcount(self, state: State) -> NDArray[np.uint64]:
        return np.asarray(state.data[:, 0] & _MAPCOUNT)

    def matches(self, state: State, mm: NDArray[np.uint64]) -> NDArray[np.bool_]:
        n, lo, q = self.mapcount(state), state.data[:, 0], state.data[:, 1]
        return np.asarray((lo == n + (n * mm << _SHIFT)) & (q == n * mm * mm))

    def trusted_mapcount(self, order: int) -> int:
        return trusted(min(self.id_bits, self.capacity(order)))

    def capacity(self, order: int) -> int:
        """Largest b whose trusted mapcount is at least P."""
        self.check_order(order)
        return max(b for b in range(1, 33) if trusted(b) >= 1 << order)

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        fields = (Field("mapcount", MAPCOUNT_BITS), Field("frozen", 1), Field("S", SUM_BITS), Field("Q", 64))
        return Layout(order, fields, 2)

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """One 16-byte compare-exchange (more only when it loses a race) or one 16-byte load."""
        return Cost(rmw=0, plain=1, bytes=16) if op is Op.VERDICT else Cost(rmw=1, plain=1, bytes=16)
