"""Short relations: integer vectors d, |d_i| <= bound, with sum of d_i * weight_i = 0 modulo 2^W.

For the digit schemes (`digits`). A relation is a point of the lattice {d : weights . d = 0 mod 2^W}; the basis is
LLL-reduced (python-flint), then all points of the box are enumerated (Fincke-Pohst), with two prunings for a vector v
of the box and its projection p onto the last Gram-Schmidt directions: |p|^2 <= N * bound^2, and
|p|^2 = <p, v> <= bound * |p|_1 (Hoelder). Floating point only prunes, with slack; what is returned is checked in
integers. Not for general lattices: the first weight must be odd.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from flint import fmpq, fmpz_mat
from numpy.typing import NDArray

from rmaplab.verify.refute.problem import Budget

Vector = tuple[int, ...]
Price = Callable[[Vector], int | None]
"""Mappings a relation needs to become a witness (None: it cannot); at least its largest |digit|."""

_SLACK = 1e-7
_BATCH = 4096
_CHILDREN = 1 << 20
_TIES = 512


@dataclass(slots=True)
class Enumeration:
    """All cheapest relations found, and the work that proves there is none cheaper."""

    cheapest: int | None = None
    vectors: list[Vector] = field(default_factory=list)
    complete: bool = True
    """False if further relations of the same price were left out."""
    nodes: int = 0


def reduced_basis(weights: Sequence[int], word_bits: int) -> list[Vector]:
    """An LLL-reduced basis of the relations; `weights[0]` odd."""
    modulus = 1 << word_bits
    inverse = pow(weights[0], -1, modulus)
    size = len(weights)
    rows = [[modulus] + [0] * (size - 1)]
    for i in range(1, size):
        first = -weights[i] * inverse % modulus
        rows.append([first] + [int(j == i) for j in range(1, size)])
    reduced = fmpz_mat(rows).lll()
    return [tuple(int(reduced[i, j]) for j in range(size)) for i in range(size)]


def cheapest_relations(weights: Sequence[int], word_bits: int, most: int, price: Price, budget: Budget) -> Enumeration:
    """The relations of least price <= `most` (all of them, up to a cap), or none: then no relation is that cheap.

    Prices are searched in doubling ranges, so that OutOfBudget can say up to where there is none.
    """
    search = _Search(reduced_basis(weights, word_bits), price, budget)
    for exponent in count():
        bound = min(1 << exponent, most)
        search.run(bound)
        if search.found.cheapest is not None or bound == most:
            break
        search.proved = bound
    return search.found


class _Search:
    """Depth-first enumeration in batches; `bound` shrinks as cheaper relations turn up."""

    def __init__(self, basis: list[Vector], price: Price, budget: Budget) -> None:
        self.basis = np.array(basis, np.float64)
        self.star, self.norms = _gram_schmidt(basis)
        self.size = len(basis)
        self.price = price
        self.budget = budget
        self.found = Enumeration()
        self.proved = 0

    def run(self, bound: int) -> None:
        self.bound = bound
        start = np.zeros((1, self.size))
        stack = [(self.size, start, start, np.zeros(1, np.bool_))]
        while stack:
            level, vectors, projected, signed = stack.pop()
            if level == 0:
                self._collect(vectors)
                continue
            batch = max(1, min(_BATCH, len(vectors), _CHILDREN // self._widest(level - 1)))
            if len(vectors) > batch:
                stack.append((level, vectors[batch:], projected[batch:], signed[batch:]))
                vectors, projected, signed = vectors[:batch], projected[:batch], signed[:batch]
            self.budget.check(f"no collision of up to {self.proved} mappings; {self.found.nodes} lattice nodes seen")
            grown = self._grow(level - 1, vectors, projected, signed)
            self.found.nodes += len(grown[0])
            if len(grown[0]):
                stack.append((level - 1, *grown))

    def _widest(self, level: int) -> int:
        """Most coefficients that basis row `level` can have below one partial vector."""
        return 2 + int(2 * (self.size * self.bound**2 / self.norms[level]) ** 0.5)

    def _grow(
        self, level: int, vectors: NDArray[np.float64], projected: NDArray[np.float64], signed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Children of partial vectors: one more coefficient, for basis row `level`. `signed`: not all zero so far;
        until then only coefficients >= 0 are taken, as d and -d are one relation."""
        star, norm = self.star[level], self.norms[level]
        radius = self.size * self.bound**2 * (1 + _SLACK) + _SLACK
        left = np.maximum(radius - np.sum(projected**2, axis=1), 0.0)
        centre = vectors @ star / norm
        reach = np.sqrt(left / norm)
        low = np.where(signed, np.ceil(-centre - reach - _SLACK), 0.0)
        counts = np.maximum(np.floor(-centre + reach + _SLACK) - low + 1, 0).astype(np.int64)
        parent = np.repeat(np.arange(len(vectors)), counts)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
        coefficient = low[parent] + offset
        new = projected[parent] + np.outer(centre[parent] + coefficient, star)
        square = np.sum(new**2, axis=1)
        holder = self.bound * np.sum(np.abs(new), axis=1)
        keep = (square <= radius) & (square <= holder * (1 + _SLACK) + _SLACK)
        parent, coefficient = parent[keep], coefficient[keep]
        grown = vectors[parent] + np.outer(coefficient, self.basis[level])
        return grown, new[keep], signed[parent] | (coefficient != 0)

    def _collect(self, vectors: NDArray[np.float64]) -> None:
        inside = (np.abs(vectors).max(axis=1) <= self.bound) & np.any(vectors, axis=1)
        for row in vectors[inside].astype(np.int64).tolist():
            price = self.price(tuple(row))
            if price is None or price > self.bound:
                continue
            if price != self.found.cheapest:
                self.found.cheapest, self.found.vectors, self.found.complete = price, [], True
            self.found.vectors.append(tuple(row))
            self.bound = price
            if price == 1 or len(self.found.vectors) == _TIES:
                self.found.complete = False
                self.bound = price - 1


def _gram_schmidt(basis: list[Vector]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthogonalised rows and their squared lengths, computed in rationals, rounded once."""
    star: list[list[fmpq]] = []
    norms: list[fmpq] = []
    for row in basis:
        current = [fmpq(v) for v in row]
        for other, norm in zip(star, norms, strict=True):
            along = sum((fmpq(r) * s for r, s in zip(row, other, strict=True)), fmpq(0)) / norm
            current = [c - along * s for c, s in zip(current, other, strict=True)]
        star.append(current)
        norms.append(sum((c * c for c in current), fmpq(0)))
    as_float = np.array([[int(c.p) / int(c.q) for c in row] for row in star])
    return as_float, np.array([int(n.p) / int(n.q) for n in norms])
