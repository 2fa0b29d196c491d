"""Arithmetic of sub-IDs in generations: binary digits of a chunk of the rmap ID, read in base P+1.

For the schemes built on them, the refuter and whoever wants the numbers. Source of the construction:
<20231124132626.235350-1-david@redhat.com>; what it needs to be sound: proofs/, `generations_sound`.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TABLE_BITS: Final = 12


def max_digits(base: int, word_bits: int = 64) -> int:
    """Largest N with base^N <= 2^word_bits: that many binary digits in `base` never collide modulo 2^word_bits."""
    digits = 0
    while base ** (digits + 1) <= 1 << word_bits:
        digits += 1
    return digits


def subids(chunk: NDArray[np.uint64], base: int, bits: int) -> NDArray[np.uint64]:
    """sum over i < bits of bit_i(chunk) * base^i modulo 2^64: uint64, shape of `chunk` (values < 2^bits).

    O(len) with one table look-up per 12 bits of chunk.
    """
    total = np.zeros(chunk.shape, np.uint64)
    for low in range(0, bits, _TABLE_BITS):
        width = min(_TABLE_BITS, bits - low)
        digits = (chunk >> np.uint64(low)) & np.uint64((1 << width) - 1)
        total += _table(base, low, width)[digits]
    return total


@cache
def _table(base: int, low: int, width: int) -> NDArray[np.uint64]:
    """Sub-IDs of all chunks of `width` digits that stand at digit `low`: uint64, shape (2^width,)."""
    table = np.zeros(1, np.uint64)
    for digit in range(low, low + width):
        weight = np.uint64(pow(base, digit, 1 << 64))
        table = np.concatenate([table, table + weight])
    return table
