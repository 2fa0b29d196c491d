"""Digit schemes: IDs cut into chunks, a chunk's binary digits read with fixed weights (generations, bits).

For `decide`. Compare n mappings with the caller x in one chunk: d_i = (mappings with digit i set) - n * (digit i of x).
The values agree iff sum of d_i * weight_i = 0 modulo 2^W; |d_i| <= n, and every such vector d arises: x has
digit i set iff d_i < 0. So the fewest mappings are the least largest |d_i| over the nonzero relations, and chunks are
independent. One care: 0 is no rmap ID, which matters only where the chunk is the whole ID (`mappings_needed`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rmaplab.verify.refute.fewest import Split, any_split, fewest_mms
from rmaplab.verify.refute.problem import Budget, Witness
from rmaplab.verify.refute.relations import Enumeration, Price, Vector, cheapest_relations


@dataclass(frozen=True, slots=True)
class Chunks:
    """How an ID of `id_bits` bits is read: chunk k is its bits k*bits .. (k+1)*bits - 1, digit i weighs weights[i]."""

    weights: tuple[int, ...]
    values: int
    id_bits: int
    word_bits: int

    @property
    def widest(self) -> int:
        """Digits of the lowest chunk, which is never shorter than another."""
        return min(len(self.weights), self.id_bits)

    @property
    def whole_id(self) -> bool:
        return self.id_bits <= len(self.weights)

    def subid(self, k: int, mm: int) -> int:
        """What one mapping by `mm` adds to value `k`, an integer not yet reduced."""
        chunk = mm >> k * len(self.weights)
        return sum(w for i, w in enumerate(self.weights) if chunk >> i & 1)

    def subids(self, mm: int) -> tuple[int, ...]:
        """`subid` of every value."""
        return tuple(self.subid(k, mm) for k in range(self.values))


def mappings_needed(d: Vector) -> int | None:
    """Fewest mappings that realise the relation `d` where the chunk is the whole ID; None if none do.

    x has exactly the digits with d_i < 0 (any digit with d_i = 0 can be given to everybody, and settles it). With no
    free digit, x needs a negative one, and the n mappings need n set digits among them.
    """
    largest = max(map(abs, d))
    if 0 in d:
        return largest
    negative = sum(v < 0 for v in d)
    if negative == 0:
        return None
    if negative == 1:
        return largest if sum(d) >= 0 else None
    return max(largest, -(sum(d) // (negative - 1)))


def _price(chunks: Chunks) -> Price:
    if not chunks.whole_id:
        return lambda d: max(map(abs, d))

    def either_sign(d: Vector) -> int | None:
        prices = [p for p in (mappings_needed(d), mappings_needed(tuple(-v for v in d))) if p is not None]
        return min(prices, default=None)

    return either_sign


def enumerate_relations(chunks: Chunks, most: int, budget: Budget) -> Enumeration:
    """The relations that need fewest mappings, `most` at most; none: the configuration is sound for n <= `most`."""
    return cheapest_relations(chunks.weights[: chunks.widest], chunks.word_bits, most, _price(chunks), budget)


def smallest_witness(chunks: Chunks, found: Enumeration, budget: Budget) -> tuple[Witness, bool]:
    """The witness of fewest mappings and, of these, fewest MMs; and whether the latter is proved.

    z3 splits the relations one by one, those with fewest different counts first, until time is up.
    """
    n = found.cheapest
    assert n is not None
    best: tuple[Witness, Split] | None = None
    proved = found.complete
    candidates = [d for v in found.vectors for d in (v, tuple(-x for x in v)) if _fits(chunks, d, n)]
    for d in sorted(candidates, key=lambda d: (_fewest_possible(d, n), _digits_of(d))):
        most = n if best is None else len(best[1].pages) - 1
        if most < _fewest_possible(d, n):
            break
        counts = [n + v if v < 0 else v for v in d]
        free = [i for i, v in enumerate(d) if v == 0]
        split = fewest_mms(counts, n, zero_allowed=bool(free) or not chunks.whole_id, most=most, budget=budget)
        if not budget.left:
            proved = False
            split = split or (any_split(counts, n) if best is None else None)
        if split is not None:
            best = _witness(d, free, split), split
    assert best is not None
    proved = (proved and best[1].proved) or len(best[1].pages) == 1
    return best[0], proved


def _fits(chunks: Chunks, d: Vector, n: int) -> bool:
    if not chunks.whole_id:
        return True
    needed = mappings_needed(d)
    return needed is not None and needed <= n


def _fewest_possible(d: Vector, n: int) -> int:
    """m MMs have at most 2^(m-1) - 1 different nonzero counts, up to complement."""
    classes = {min(abs(v), n - abs(v)) for v in d} - {0}
    return len(classes).bit_length() + 1 if classes else 1


def _digits_of(d: Vector) -> int:
    """The caller's digits: those with d_i < 0."""
    return sum(1 << i for i, v in enumerate(d) if v < 0)


def _witness(d: Vector, free: Sequence[int], split: Split) -> Witness:
    """IDs from digits. Where one would be 0, all get one more bit, which the relation leaves free."""
    asked = _digits_of(d)
    common = 0
    if asked == 0 or 0 in split.pages:
        common = 1 << (free[0] if free else len(d))
    return Witness(asked | common, {mm | common: pages for mm, pages in sorted(split.pages.items())})
