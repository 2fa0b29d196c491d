"""Two sums answer it: S of the mapping MMs' IDs, Q of their squares.

For the caller x and mapcount n, Q - 2*x*S + n*x^2 = sum over mappings of (id - x)^2. A sum of squares is 0 iff every
id is x: theorem `moments_sound` (proofs/). Modulo 2^64 that holds while the sum cannot reach 2^64, i.e. while
n * D^2 < 2^64, D = 2^b - 2 the largest difference of two b-bit IDs; no limit on n otherwise, no dependence on the order,
no table. Beyond it a nonzero sum still proves SHARED, and zero is UNKNOWN.

The two sums even name the owner: one MM maps the folio iff n*Q == S^2 (Cauchy-Schwarz, theorem `owner_sound`), and
then it is S / n. Literature: 1-sparse recovery (Ganguly, TCS 378(3), 2007; Cormode and Firmani, 2013); why adds and
removes must pair strictly: Eppstein and Goodrich, arXiv:0704.3313.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Exactness, Field, Layout, Predicate, State
from rmaplab.schemes.pricing import MAPCOUNT_BITS, SeqcountPriced


def largest_difference(bits: int) -> int:
    """D, the largest difference of two rmap IDs 1 .. 2^bits - 1."""
    return max((1 << bits) - 2, 1)


@dataclass(frozen=True)
class Moments(SeqcountPriced):
    """Mapcount, sum of IDs, sum of squared IDs."""

    name: ClassVar[str] = "moments"
    title: ClassVar[str] = "sum of IDs and sum of squared IDs"
    source: ClassVar[str] = "this project; 1-sparse recovery, Ganguly, TCS 378(3), 2007"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.NEVER_WRONG

    def words(self, order: int) -> int:
        return 3

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return mm ** np.uint64(word)

    def matches(self, state: State, mm: NDArray[np.uint64]) -> NDArray[np.bool_]:
        n, s, q = state.data[:, 0], state.data[:, 1], state.data[:, 2]
        spread: NDArray[np.uint64] = q - np.uint64(2) * mm * s + n * mm * mm
        return np.asarray(spread == 0)

    def trusted_mapcount(self, order: int) -> int:
        bits = min(self.id_bits, self.capacity(order))
        return ((1 << 64) - 1) // largest_difference(bits) ** 2

    def capacity(self, order: int) -> int:
        """Largest b with P * D^2 < 2^64: room for every page mapped once."""
        self.check_order(order)
        return max(b for b in range(1, 33) if (largest_difference(b) ** 2 << order) < 1 << 64)

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        return Layout(order, (Field("mapcount", MAPCOUNT_BITS), Field("seqcount", 64), Field("value", 64, 2)), 2)


def owner(state: State) -> NDArray[np.uint64]:
    """Who maps each folio alone, without knowing whom to ask about: the owner's rmap ID, 0 if there is none.

    Exact integers (arbitrary precision): O(folios) Python. `state` is one of `Moments`, within its `trusted_mapcount`
    and with Q < 2^64.
    """
    rows = (tuple(int(v) for v in row) for row in state.data)
    return np.array([s // n if n and n * q == s * s else 0 for n, s, q in rows], np.uint64)
