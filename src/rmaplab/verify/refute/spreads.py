"""Schemes that add squares: `moments`, `packed`, `one-value` on configurations their theorems do not cover.

For `decide`. Write d for a mapping's distance to the caller. All three accept a wrong multiset only if some sum of
squares of distances is a nonzero multiple of a power of two; a sum of n bounded squares is too small for that until n
reaches `least_mappings`. From there on witnesses are built. Derivations: docs/refuter.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from rmaplab.schemes.packed import SUM_AT
from rmaplab.verify.refute.problem import Budget, Config, OutOfBudget, Witness
from rmaplab.verify.refute.squares import as_squares, with_sum
from rmaplab.verify.refute.words import halves, one_value

_MORE_MAPPINGS = 3
_CALLERS = 256


def least_mappings(config: Config) -> int:
    """Proved: no collision has fewer mappings. Exact for `moments` where a witness of this size is found."""
    w, gap = config.word_bits, max(1, (1 << config.id_bits) - 2)
    if config.scheme == "moments":
        return _least_squares(w, gap)
    if config.scheme == "packed":
        return min(_ceil(4 << w, gap**2), _ceil(1 << w - SUM_AT, gap))
    a, c = halves(config.id_bits)
    if w < config.order + a + c:
        return 1
    room = w - 2 * config.order - a - c
    return max(2, _ceil(4 << max(room, 0), ((1 << a) - 1) ** 2 + ((1 << c) - 1) ** 2))


def _least_squares(w: int, gap: int) -> int:
    """Fewest positive squares of 1 .. `gap` that can sum to a multiple of 2^w.

    Up to four squares: with their common power 4^k taken out, one is odd, and a sum of one to three squares, one of
    them odd, is no multiple of 4, of four no multiple of 8. So k, and with it every distance, is large.
    """
    for n, unit in ((1, w + 1 >> 1), (2, w >> 1), (4, w - 1 >> 1)):
        if gap >= 1 << unit:
            return n
    return max(5, _ceil(1 << w, gap**2))


def build_witness(config: Config, budget: Budget) -> Witness | None:
    """A witness of at most P mappings, the smallest the constructions give; None if they give none.

    Raises OutOfBudget if time was up before one was built.
    """
    builders = {"moments": _moments, "packed": _packed, "one-value": _one_value}
    found: list[Witness] = []
    try:
        found.extend(w for w in builders[config.scheme](config, budget) if w.mapcount <= config.pages)
    except OutOfBudget:
        if not found:
            raise
    return min(found, key=lambda w: w.size, default=None)


def _ceil(p: int, q: int) -> int:
    return -(-p // q)


def _at(asked: int, distances: Iterable[int]) -> Witness:
    pages = Counter(asked + d for d in distances)
    return Witness(asked, dict(sorted(pages.items())))


def _moments(config: Config, budget: Budget) -> Iterator[Witness]:
    """n squares of distances from MM 1 that sum to 2^W."""
    largest = (1 << config.id_bits) - 2
    least = least_mappings(config)
    for n, unit in ((1, config.word_bits + 1 >> 1), (2, config.word_bits >> 1), (4, config.word_bits - 1 >> 1)):
        if n == least:
            yield _at(1, [1 << unit] * n)
            return
    for n in range(least, min(config.pages, least + _MORE_MAPPINGS) + 1):
        budget.check(f"constructing one of {n} mappings")
        distances = as_squares(1 << config.word_bits, n, largest)
        if distances:
            yield _at(1, distances)
            return


def _packed(config: Config, budget: Budget) -> Iterator[Witness]:
    """Either the sums of IDs agree and squares make 2^W, or the sum of IDs is one turn of its field ahead."""
    half = (1 << config.id_bits - 1) - 1
    pairs = _ceil(1 << config.word_bits - 1, half**2) if half else config.pages
    for n in range(pairs, min(config.pages // 2, pairs + _MORE_MAPPINGS) + 1):
        budget.check(f"constructing one of {n} pairs of mappings")
        distances = as_squares(1 << config.word_bits - 1, n, half)
        if distances:
            yield _at(half + 1, [s * d for d in distances for s in (1, -1)])
            break
    least = _ceil(1 << config.word_bits - SUM_AT, max(1, 2 * half))
    for n in range(least, min(config.pages, least + _MORE_MAPPINGS) + 1):
        found = _one_turn_ahead(config, n, budget)
        if found is not None:
            yield found
            return


def _one_turn_ahead(config: Config, n: int, budget: Budget) -> Witness | None:
    """`n` mappings whose IDs exceed n times the caller's by one turn of S in all, while Q agrees.

    With distances top - e, e >= 0 small: their sum is the turn and the sum of their squares m * 2^W - 2 * x * turn.
    """
    turn = 1 << config.word_bits - SUM_AT
    modulus = 1 << config.word_bits
    for asked in range(1, min(_CALLERS, 1 << config.id_bits)):
        budget.check(f"constructing one of {n} mappings")
        top = (1 << config.id_bits) - 1 - asked
        total = n * top - turn
        if total < 0:
            return None
        squares = (-2 * asked * turn - n * top**2 + 2 * top * total) % modulus
        defects = with_sum(total, squares, n, top + asked - 1)
        if defects is not None and top not in defects:
            return _at(asked, [top - e for e in defects] + [top] * (n - len(defects)))
    return None


def _one_value(config: Config, budget: Budget) -> Iterator[Witness]:
    """Pairs of opposite distances around the middle: both coordinates sum to 0, the norms to 2^room."""
    a, c = halves(config.id_bits)
    room = config.word_bits - 2 * config.order - a - c
    for k in range(config.id_bits):
        if _one_for_one(config, 1 << k):
            yield Witness(1, {1 + (1 << k): 1})
            return
    if a < 2:
        return
    if room <= 1:
        yield Witness(2, {1: 1, 3: 1})
        return
    half_x, half_y = (1 << a - 1) - 1, max(0, (1 << c >> 1) - 1)
    wanted, full = 1 << room - 1, half_x**2 + half_y**2
    least = _ceil(wanted, full)
    for pairs in range(least, min(config.pages // 2, least + _MORE_MAPPINGS) + 1):
        budget.check(f"constructing one of {pairs} pairs of mappings")
        found = _pairs(wanted, pairs, half_x, half_y)
        if found is not None:
            asked = half_x + 1 + (half_y + 1 << a)
            yield _at(asked, [s * (dx + (dy << a)) for dx, dy in found for s in (1, -1)])
            return


def _one_for_one(config: Config, step: int) -> bool:
    """Do MM 1 and MM 1 + `step` have the same value?"""
    difference = one_value(config, 1 + step) - one_value(config, 1)
    return 1 + step < 1 << config.id_bits and difference % (1 << config.word_bits) == 0


def _pairs(wanted: int, pairs: int, half_x: int, half_y: int) -> list[tuple[int, int]] | None:
    """`pairs` vectors (dx, dy), none 0, |dx| <= half_x, |dy| <= half_y, whose squared lengths sum to `wanted`."""
    small = half_y or half_x
    for loose in range(min(pairs, 6) + 1):
        rest = wanted - (pairs - loose) * (half_x**2 + half_y**2)
        for terms in range(loose, (2 if half_y else 1) * loose + 1):
            squares = as_squares(rest, terms, small)
            if squares is not None:
                firsts, seconds = squares[:loose], squares[loose:]
                padded = seconds + (0,) * (loose - len(seconds))
                return [(half_x, half_y)] * (pairs - loose) + list(zip(firsts, padded, strict=True))
    return None
