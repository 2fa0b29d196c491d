"""How many rmap IDs one word can hold: the best construction found, and upper bounds.

For `rmaplab refute --density` and docs/density.md, which has the proofs. The construction, a *lens*: IDs are integer
points (x_1 .. x_d) of a box, on two sheets q = f(x) and q = H - f(x), where f(x) = sum of x_i * (x_i - 1) / 2 is the
flattest strictly convex quadratic with integer values. The point goes into one word in mixed radix, every radix wide
enough for the sums of P points. Not a scheme: `rmaplab.schemes` has a simpler one of this family, `one-value`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gamma, log2, pi, prod
from typing import Final

from rmaplab.schemes.one_value import OneValue
from rmaplab.verify.round_lens import FOUND

WORD_BITS: Final = 64
_MOST_DIMENSIONS: Final = 12


@dataclass(frozen=True, slots=True)
class Lens:
    """Points of a box with these `sides` on `sheets` (1 or 2) sheets, for up to P = 2^order mappings.

    Sound modulo 2^word_bits if `fits(word_bits)`: theorem in docs/density.md.
    """

    order: int
    sides: tuple[int, ...]
    sheets: int = 2

    @property
    def ids(self) -> int:
        """How many IDs there are: 0 .. ids - 1."""
        return self.sheets * prod(self.sides)

    @property
    def rim(self) -> int:
        """Largest f in the box."""
        return sum(_triangle(-((side - 1) // 2)) if side % 2 else _triangle(side // 2) for side in self.sides)

    @property
    def height(self) -> int:
        """Largest q. With two sheets H = 2 * rim + 1: just more than f and a tangent of f can add up to."""
        return self.rim if self.sheets == 1 else 2 * self.rim + 1

    @property
    def radices(self) -> tuple[int, ...]:
        """Sums of P differences of x_i lie strictly between -radix and radix."""
        return tuple((side - 1 << self.order) + 1 for side in self.sides)

    def fits(self, word_bits: int = WORD_BITS) -> bool:
        """No sum of P differences, nonzero as a point, is a multiple of 2^word_bits."""
        return prod(self.radices) * ((self.height << self.order) + 1) <= 1 << word_bits

    def value(self, number: int) -> int:
        """The word of ID `number`: below 2^word_bits wherever the lens fits."""
        upper, number = number % self.sheets, number // self.sheets
        word, weight, f = 0, 1, 0
        for side, radix in zip(self.sides, self.radices, strict=True):
            number, x = divmod(number, side)
            f += _triangle(x - (side - 1) // 2)
            word += x * weight
            weight *= radix
        return word + (self.height - f if upper else f) * weight


def _triangle(x: int) -> int:
    return x * (x - 1) // 2


def best_lens(order: int, word_bits: int = WORD_BITS) -> Lens:
    """The lens with most IDs that was found: all dimensions up to 12, sides as equal as fits, then side by side."""
    found = [_grown(order, dimension, word_bits) for dimension in range(1, _MOST_DIMENSIONS + 1)]
    return max(found, key=lambda lens: lens.ids)


def _grown(order: int, dimension: int, word_bits: int) -> Lens:
    """The largest cube of this dimension that fits, improved by changing two sides at a time."""
    side = 1
    for step in reversed(range(word_bits)):
        if Lens(order, (side + (1 << step),) * dimension).fits(word_bits):
            side += 1 << step
    best = Lens(order, (side,) * dimension)
    better = True
    while better:
        better = False
        for lens in _neighbours(best):
            if lens.ids > best.ids and lens.fits(word_bits):
                best, better = lens, True
    return best


def _neighbours(lens: Lens) -> Iterator[Lens]:
    for grow in range(len(lens.sides)):
        for shrink in range(len(lens.sides)):
            for more, less in ((1, 0), (1, 1), (2, 1), (3, 2), (1, 2)):
                sides = list(lens.sides)
                sides[grow] += more
                sides[shrink] -= less
                if min(sides) >= 1:
                    yield Lens(lens.order, tuple(sides), lens.sheets)


def most_ids(order: int, word_bits: int = WORD_BITS) -> int:
    """No set whatever of words is sound with more IDs: P * (N - 1) multiples of differences are distinct, not 0."""
    return ((1 << word_bits) - 1 >> order) + 1


def most_ids_without_wrap(order: int, word_bits: int = WORD_BITS) -> int:
    """The same where no sum of P differences wraps: of any P + 1 numbers in a row at most two are words.

    Of three words a < b < c, c - b mappings by a and b - a by c look like c - a by b.
    """
    most = 1 << order
    return 2 * ((1 << word_bits) - 1) // (most * (most + 1)) + 2


def lens_limit_bits(order: int, word_bits: int = WORD_BITS) -> float:
    """ID bits no lens exceeds (asymptotically), whatever its domain and however it is packed into the word.

    P * (the lens' hull) must tile: its volume is at most 2^word_bits. A ball as domain makes the volume least.
    """

    def bits(d: int) -> float:
        ball = pi ** (d / 2) / gamma(d / 2 + 1)
        room = word_bits - (d + 1) * order + log2((d + 2) / (2 * ball))
        return 1 + log2(ball) + d / (d + 2) * room

    return max(bits(d) for d in range(1, _MOST_DIMENSIONS + 1))


def density_rows(orders: Iterable[int]) -> list[dict[str, object]]:
    """Per order: ID bits of `one-value`, of the best box lens and of the round lens, both bounds; box lenses elsewhere.

    ID bits of N IDs are log2(N), rounded down; the round lens is checked on the way (`sound`). Elsewhere: in two values
    of 32 bits, half of the ID in each, and in one of 128.
    """
    rows: list[dict[str, object]] = []
    for order in orders:
        lens, dense = best_lens(order), FOUND.get(order)
        rows.append(
            {
                "order": order,
                "one_value_bits": OneValue(id_bits=WORD_BITS // 2).capacity(order),
                "lens_bits": lens.ids.bit_length() - 1,
                "lens_ids": lens.ids,
                "lens_sides": " x ".join(map(str, lens.sides)) + " x 2",
                "round_bits": dense.ids.bit_length() - 1 if dense and dense.sound() else None,
                "round_ids": dense.ids if dense else None,
                "round_dimension": dense.dimension if dense else None,
                "lens_limit_log2": round(lens_limit_bits(order), 2),
                "no_wrap_bound_log2": round(log2(most_ids_without_wrap(order)), 2),
                "upper_bound_bits": WORD_BITS - order,
                "two_of_32_bits": (best_lens(order, WORD_BITS // 2).ids ** 2).bit_length() - 1,
                "one_of_128_bits": best_lens(order, 2 * WORD_BITS).ids.bit_length() - 1,
            }
        )
    return rows
