"""Two sums behind the flag that Linux' readers already read: exact for any number of MMs, in the room of two slots.

S and Q are those of `moments`, kept under the bit spinlock that Linux 6.15 and later take anyway, in the 16 bytes of
its two slots; beside them a flag "maybe shared", which is all that anybody reads. Mapping by x sets it if n*x != S
(while it is clear all mappings belong to one MM y, S is n*y, and n*(x - y) cannot be 0 modulo 2^62); unmapping clears
it iff n*Q == S^2 (n*Q - S^2 is the sum of (id - id')^2 over all pairs of mappings). Sums modulo 2^w of what is mapped
now are the true sums if these fit now, whatever wrapped before: Q does while S * (largest ID) < 2^64, since
Q <= S * (largest ID). Beyond that the flag stays set: an error towards shared, never the other way.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rmaplab.schemes.base import Cost, Exactness, Field, Layout, Op, Predicate, Scheme, State, Verdicts
from rmaplab.schemes.pricing import MAPCOUNT_BITS
from rmaplab.trace import Verdict

ID_BITS: Final = 22
"""What an allocator of IDs gives that stays below Linux' PID_MAX_LIMIT."""
SUM_BITS: Final = 62
"""Lock and flag take the other two bits of S' word."""
MOST_ID_BITS: Final = 31
"""With 31-bit mapcounts and IDs n*id stays below 2^62."""

_DTYPE: Final = np.dtype([("mapcount", np.int64), ("sum", np.uint64), ("squares", np.uint64), ("maybe_shared", np.bool_)])
_SUM: Final = np.uint64((1 << SUM_BITS) - 1)
_HALF: Final = np.uint64(32)
_LOW: Final = np.uint64((1 << 32) - 1)


@dataclass(frozen=True)
class MomentsFlag(Scheme):
    """Total mapcount, sum of IDs, sum of squared IDs, a maybe-shared flag, a bit spinlock around their update."""

    name: ClassVar[str] = "moments-flag"
    title: ClassVar[str] = "sum of IDs and of squared IDs under the lock of Linux' slots, behind its flag"
    source: ClassVar[str] = "this project; slots, lock and flag: <20250303163014.1128035-1-david@redhat.com>"
    predicate: ClassVar[Predicate] = Predicate.ANY_OWNER
    exact: ClassVar[Exactness] = Exactness.NEVER_FALSE_EXCLUSIVE

    id_bits: int = ID_BITS

    @property
    def bound(self) -> int:
        """Largest S for which the flag is exact: Q, at most S * (largest ID), cannot have wrapped."""
        return ((1 << 64) - 1) // ((1 << self.id_bits) - 1)

    def exact_mapcount(self) -> int:
        """Largest mapcount for which the flag is exact whoever maps the folio: 2^20 for 22-bit IDs."""
        return self.bound // ((1 << self.id_bits) - 1)

    def start(self, order: int, count: int) -> State:
        self.check_order(order)
        return State(order, np.zeros(count, _DTYPE))

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        """One round of the rules in docs/schemes.md, for all folios at once."""
        who = np.broadcast_to(np.asarray(mm, np.uint64), len(state))
        diff = np.broadcast_to(np.asarray(nr, np.int64), len(state))
        add = who * diff.view(np.uint64)
        data = state.data.copy()
        stranger = (data["mapcount"].view(np.uint64) * who ^ data["sum"]) & _SUM != 0
        data["mapcount"] += diff
        data["sum"] = (data["sum"] + add) & _SUM
        data["squares"] += add * who
        mapping = diff > 0
        data["maybe_shared"] |= mapping & stranger
        data["maybe_shared"] &= mapping | ~self.alone(data)
        return State(state.order, data)

    def alone(self, data: NDArray[np.void]) -> NDArray[np.bool_]:
        """Do the sums prove that one MM has all mappings? bool, shape of `data` (rows of a State)."""
        n, s, q = data["mapcount"].astype(np.uint64), data["sum"], data["squares"]
        return np.asarray((s <= np.uint64(self.bound)) & (n * q == s * s) & (_high(n, q) == _high(s, s)))

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        return np.where(state.data["maybe_shared"], Verdict.SHARED, Verdict.EXCLUSIVE).astype(np.uint8)

    def capacity(self, order: int) -> int:
        """Largest b with P * (2^b - 1)^2 < 2^64: the flag is exact though every page is mapped by the largest ID."""
        self.check_order(order)
        return max(b for b in range(1, MOST_ID_BITS + 1) if ((1 << b) - 1) ** 2 << order < 1 << 64)

    def accepted_ids(self, order: int) -> int:
        return int(1 << min(self.id_bits, self.capacity(order)))

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        word = (Field("S", SUM_BITS), Field("flag and lock", 2))
        return Layout(order, (Field("mapcount", MAPCOUNT_BITS), *word, Field("Q", 64)))

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """Take the bit spinlock (one RMW), adjust with plain accesses, release with a store."""
        size = self.layout(order).bytes
        return Cost(rmw=0, plain=1, bytes=8) if op is Op.VERDICT else Cost(rmw=1, plain=5, bytes=size)


def _high(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The high words of the 128-bit products a * b: uint64, by halves."""
    low = (a & _LOW) * (b & _LOW)
    one = (a >> _HALF) * (b & _LOW) + (low >> _HALF)
    two = (a & _LOW) * (b >> _HALF) + (one & _LOW)
    return np.asarray((a >> _HALF) * (b >> _HALF) + (one >> _HALF) + (two >> _HALF))
