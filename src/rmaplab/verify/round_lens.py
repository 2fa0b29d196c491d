"""Denser still: the lens over a ball, its copies nested like stacked fruit instead of boxed.

For docs/density.md, which has the proof, and `rmaplab refute --density`. A point (x, q) becomes the word x . a + q * c
modulo 2^W with multipliers (a, c). Sums whose words agree differ by a vector of the lattice {(u, h) : u . a + h * c = 0
mod 2^W}; the construction is sound if no sum of P differences is in it, which is a finite check (`sound`). The
multipliers in `FOUND` came out of a random search for lattices near the best packing (`find`); nothing depends on how
they were found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import gcd, isqrt
from types import MappingProxyType
from typing import Final

import numpy as np
from flint import fmpq, fmpq_mat, fmpz_mat

Row = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RoundLens:
    """All integer points x with f(x) = sum of x_i * (x_i - 1) / 2 <= `rim`, on the sheets q = f(x) and
    q = 2 * rim + 1 - f(x); for up to P = 2^order mappings, modulo 2^word_bits."""

    order: int
    multipliers: Row
    rim: int
    word_bits: int = 64

    @property
    def dimension(self) -> int:
        return len(self.multipliers) - 1

    @property
    def ids(self) -> int:
        """How many points there are."""
        return 2 * _ball(self.dimension, self.rim)

    def points(self) -> Iterator[tuple[Row, int]]:
        """All (x, q); for small lenses."""
        reach = range(-isqrt(2 * self.rim) - 1, isqrt(2 * self.rim) + 3)
        for x in product(reach, repeat=self.dimension):
            f = sum(v * (v - 1) // 2 for v in x)
            if f <= self.rim:
                yield x, f
                yield x, 2 * self.rim + 1 - f

    def value(self, x: Row, q: int) -> int:
        """The word of one point."""
        return sum(a * b for a, b in zip(self.multipliers, (*x, q), strict=True)) % (1 << self.word_bits)

    def sound(self) -> bool:
        """Exhaustive: no nonzero lattice vector (u, h) has 4P|h| + |u|^2 <= P^2 (4H + d), H = 2 * rim + 1."""
        pages, most = 1 << self.order, (1 << 2 * self.order) * (4 * (2 * self.rim + 1) + self.dimension)
        basis = _kernel(self.multipliers, self.word_bits)
        box = [isqrt(most)] * self.dimension + [most // (4 * pages)]
        basis = _reduced(basis, [max(box) // b for b in box])
        inverse = fmpq_mat(fmpz_mat(basis)).inv()
        reach = []
        for i in range(len(basis)):
            bound = sum((abs(inverse[j, i]) * b for j, b in enumerate(box)), fmpq(0))
            reach.append(range(-(int(bound.p) // int(bound.q)), int(bound.p) // int(bound.q) + 1))
        return all(
            _length(vector, pages) > most
            for coefficients in product(*reach)
            if any(coefficients)
            for vector in [_combine(coefficients, basis)]
        )


_FOUND: Final = (
    (
        2,
        8634,
        (-1410700703813729, 702864510769114, 1072195947927137, 468747302296683, -227583106426315, -626967198364427),
    ),
    (3, 24502, (-54630977756473, 61647480608236, 77164911556738, -81857483940806, 86713423203265)),
    (4, 7728, (30085087394505, -59483003157357, -48926584928583, 37307980639616, 140437890156857)),
    (5, 64077, (4057533120396, 544974680738, -11800454732127, -8765061915673)),
    (6, 21061, (-6949295291450, -1644436660147, -3671991941026, -13315421833294)),
    (7, 6898, (14121698587089, 10069751051687, -10684962989981, -20534896701254)),
    (8, 344136, (-421137695209, -986379988741, -156012149291)),
    (9, 121247, (-293124514026, 119824152232, -223970823349)),
    (10, 42961, (-332817777622, 408702466895, -312576516870)),
    (11, 15238, (-92422775725, 218711701154, -442934227926)),
    (12, 5350, (24026916913, -80112081358, -627265396964)),
    (13, 1897, (-213388467337, 77133747428, -887746266632)),
)

FOUND: Final[Mapping[int, RoundLens]] = MappingProxyType(
    {order: RoundLens(order, multipliers, rim) for order, rim, multipliers in _FOUND}
)
"""The best found for 64-bit words, by order; multipliers modulo 2^64, negative ones written as such."""


def _length(vector: Row, pages: int) -> int:
    return 4 * pages * abs(vector[-1]) + sum(v * v for v in vector[:-1])


def _combine(coefficients: Row, basis: list[Row]) -> Row:
    return tuple(sum(c * row[k] for c, row in zip(coefficients, basis, strict=True)) for k in range(len(basis)))


def _kernel(multipliers: Row, word_bits: int) -> list[Row]:
    """A basis of the vectors v with v . multipliers = 0 modulo 2^word_bits; one multiplier must be odd."""
    modulus, size = 1 << word_bits, len(multipliers)
    pivot = next(i for i, a in enumerate(multipliers) if a % 2)
    inverse = pow(multipliers[pivot], -1, modulus)
    rows: list[Row] = []
    for i, a in enumerate(multipliers):
        row = [int(i == j) for j in range(size)]
        row[pivot] = modulus if i == pivot else -a * inverse % modulus
        rows.append(tuple(row))
    return rows


def _reduced(basis: list[Row], scale: list[int]) -> list[Row]:
    """LLL with coordinates stretched by `scale`, so that they count alike."""
    size = len(basis)
    stretched = fmpz_mat([[v * s for v, s in zip(row, scale, strict=True)] for row in basis]).lll()
    return [tuple(int(stretched[i, j]) // scale[j] for j in range(size)) for i in range(size)]


@cache
def _ball(dimension: int, rim: int) -> int:
    """Integer points with f(x) <= rim."""
    if rim < 0:
        return 0
    if dimension == 1:
        return 2 * ((1 + isqrt(1 + 8 * rim)) // 2)
    total, x = 0, 1
    while x * (x - 1) // 2 <= rim:
        total += 2 * _ball(dimension - 1, rim - x * (x - 1) // 2)
        x += 1
    return total


def _checkerboard(dimension: int) -> list[Row]:
    """A basis of the integer points with even coordinate sum (in 3 dimensions: stacked oranges)."""
    first = (1, 1, *[0] * (dimension - 2))
    return [first] + [tuple((j == i) - (j == i + 1) for j in range(dimension)) for i in range(dimension - 1)]


_PACKINGS: Final[Mapping[int, tuple[tuple[float, ...], ...]]] = MappingProxyType(
    {
        1: ((2.0,),),
        2: ((2.0, 0.0), (1.0, 3.0**0.5)),
        **{d: tuple(tuple(2.0**0.5 * v for v in row) for row in _checkerboard(d)) for d in (3, 4, 5)},
    }
)
"""Densest lattice packings of unit balls: the layer in which the lenses lie; the next layer lies over its holes."""

_HOLES: Final = MappingProxyType({1: 0.75, 2: 2 / 3, 3: 0.5, 4: 0.5, 5: 0.375})
"""Height of the next layer over the deepest holes, the lens being 1 high."""


def find(order: int, dimension: int, word_bits: int, tries: int, seed: int = 1) -> RoundLens:
    """The best of `tries` lattices of determinant 2^word_bits whose first vectors are near a turned, dented layer.

    The last vector is determined up to the layer by the determinant, so where it puts the next layer is chance.
    """
    rng = np.random.default_rng(seed)
    packing = np.array(_PACKINGS[dimension])
    pages = 1 << order
    longest: int = 0
    multipliers: Row = ()
    cell = abs(np.linalg.det(packing)) * _HOLES[dimension]
    radius = (2.0**word_bits / pages ** (dimension + 1) / cell) ** (1 / (dimension + 2))
    coefficients = np.array([c for c in product(range(-2, 3), repeat=dimension + 1) if c > (0,) * (dimension + 1)])
    for _ in range(tries):
        turn = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
        dent = 1 + rng.uniform(0.002, 0.03) * rng.uniform(-1, 1, (dimension, dimension))
        layer = np.rint(packing @ turn * dent * radius * pages).astype(np.int64)
        tilt = np.rint((2 + 0.01 * pages * radius**2) * rng.uniform(-1, 1, dimension)).astype(np.int64)
        rows = [tuple(int(v) for v in (*row, t)) for row, t in zip(layer, tilt, strict=True)]
        last = _last_row(rows, 1 << word_bits)
        if last is None:
            continue
        vectors = coefficients @ np.array([*rows, last], np.float64)
        lengths = 4 * pages * np.abs(vectors[:, -1]) + np.sum(vectors[:, :-1] ** 2, axis=1)
        shortest = int(lengths.min() * (1 - 1e-9))
        if shortest > longest:
            longest, multipliers = shortest, _cross(rows)
    height = ((longest - 1) // pages**2 - dimension) // 4
    return RoundLens(order, multipliers, (height - 1) // 2, word_bits)


def _cross(rows: list[Row]) -> Row:
    """The integer vector orthogonal to all rows: cofactors."""
    size = len(rows) + 1
    minors = [fmpz_mat([[v for k, v in enumerate(row) if k != column] for row in rows]).det() for column in range(size)]
    return tuple(int(m) * (-1) ** column for column, m in enumerate(minors))


def _last_row(rows: list[Row], determinant: int) -> Row | None:
    """The vector that completes `rows` to this determinant and lies over their cell; None if there is none."""
    normal = _cross(rows)
    if gcd(*normal) != 1 or normal[0] == 0 or normal[-1] == 0:
        return None
    divisor = abs(normal[0])
    row = [1 if normal[0] > 0 else -1]
    for value in normal[1:]:
        divisor, s, t = _bezout(divisor, value)
        row = [r * s for r in row] + [t]
    row = [r * determinant for r in row]
    flat = fmpz_mat([list(r[:-1]) for r in rows])
    steps = fmpq_mat(fmpz_mat([row[:-1]])) * fmpq_mat(flat).inv()
    for i, r in enumerate(rows):
        times = int(steps[0, i].floor())
        row = [v - times * w for v, w in zip(row, r, strict=True)]
    return tuple(row)


def _bezout(a: int, b: int) -> tuple[int, int, int]:
    """g, s, t with s*a + t*b = g = gcd(a, b) > 0, for a > 0."""
    s0, s1, t0, t1, b0 = 1, 0, 0, 1, b
    while b0:
        q = a // b0
        a, b0 = b0, a - q * b0
        s0, s1, t0, t1 = s1, s0 - q * s1, t1, t0 - q * t1
    return (a, s0, t0) if a > 0 else (-a, -s0, -t0)
