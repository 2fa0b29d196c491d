"""A word that tells whether every page of a folio is mapped equally often: a sum of per-page weights.

Not one of `SCHEMES`: it answers another question, "may pages of this folio be mapped by nobody?", for kernels without
per-page map counts. Every mapping of page i adds w_i to U, modulo 2^word_bits. With n mapped pages (a PMD mapping counts
all P) and W = w_0 + .. + w_(P-1), equally often mapped pages give P * U == n * W. Theorems `uniform_passes` and, on its
error, `uniform_errs` and `uniform_rarely_passes` (proofs/); docs/partly.md.

The weights are random. Counts that are not all equal and know nothing of the weights pass with probability at most
P * C / 2^word_bits, C the largest difference of two pages' counts.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Cost, Field, Layout
from rmaplab.trace import MAX_ORDER

_SEED: Final = 20260412


@dataclass(frozen=True, slots=True)
class Uniform:
    """The weights of all orders: a folio of order o uses the first 2^o."""

    word_bits: int = 64
    """1 .. 64. Shorter words show the error; a kernel has 64."""
    seed: int = _SEED

    def prefix(self, order: int) -> NDArray[np.uint64]:
        """Sums of the first 0 .. P weights, modulo 2^word_bits: shape (P + 1,), read-only.

        A range of pages adds the difference of two of them.
        """
        return _prefix(self.word_bits, self.seed, order)

    def passes(self, order: int, word: int, mapped_pages: int) -> bool:
        """May every page be mapped equally often? `word` is U, `mapped_pages` is n; false proves that they are not."""
        total = int(self.prefix(order)[-1])
        return ((word << order) - mapped_pages * total) % (1 << self.word_bits) == 0

    def layout(self, order: int) -> Layout:
        """What it adds to a folio beside the total of mapped pages: one word."""
        return Layout(order, (Field("weights", self.word_bits),))

    def cost(self) -> Cost:
        """What it adds to a map or unmap of any number of pages, under the lock that the mapcount has anyway.

        The word is loaded and stored; two loads of the table of sums.
        """
        return Cost(rmw=0, plain=4, bytes=24)


@lru_cache(maxsize=32)
def _prefix(word_bits: int, seed: int, order: int) -> NDArray[np.uint64]:
    if not 0 <= order <= MAX_ORDER:
        raise ValueError(f"order {order}: must be in 0 .. {MAX_ORDER}")
    weights = np.random.Generator(np.random.PCG64(seed)).integers(0, 1 << 64, 1 << order, np.uint64)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weights, dtype=np.uint64)])
    sums &= np.uint64((1 << word_bits) - 1)
    sums.flags.writeable = False
    return sums
