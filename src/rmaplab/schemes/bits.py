"""One rmap value per bit of the ID: no number theory, many values.

Value k counts the mappings whose MM has bit k set. It equals mapcount * bit_k(x) for every k iff every mapping's ID
agrees with x in every bit (theorem `bits_sound`, proofs/): a count of 0 or of all is reached in one way only.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Exactness, Field, Layout, Predicate
from rmaplab.schemes.pricing import MAPCOUNT_BITS, SeqcountPriced


@dataclass(frozen=True)
class Bits(SeqcountPriced):
    """As many 64-bit values as the ID has bits; right for every mapcount a word can hold."""

    name: ClassVar[str] = "bits"
    title: ClassVar[str] = "one value per bit of the rmap ID"
    source: ClassVar[str] = "<20231124132626.235350-1-david@redhat.com>, plain variant"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.NEVER_WRONG

    def words(self, order: int) -> int:
        return 1 + self.id_bits

    def trusted_mapcount(self, order: int) -> int:
        return (1 << 64) - 1

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        if word == 0:
            return np.ones(mm.shape, np.uint64)
        return (mm >> np.uint64(word - 1)) & np.uint64(1)

    def capacity(self, order: int) -> int:
        self.check_order(order)
        return self.id_bits

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        fields = (Field("mapcount", MAPCOUNT_BITS), Field("seqcount", 64), Field("value", 64, self.id_bits))
        return Layout(order, fields, self.id_bits)
