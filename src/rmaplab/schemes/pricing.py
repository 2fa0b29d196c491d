"""What the schemes' state costs to touch: shared figures for `Scheme.cost`.

For scheme modules. The figures count instructions of the C core's operations (core/), they are no timings.
"""

from dataclasses import dataclass
from typing import Final

from rmaplab.schemes.base import Cost, LinearScheme, Op

MAPCOUNT_BITS: Final = 32
"""Linux keeps mapcounts in an atomic_t."""

SEQCOUNT_RMW: Final = 2
"""An atomic seqcount writer enters with one RMW and leaves with another."""


@dataclass(frozen=True)
class SeqcountPriced(LinearScheme):
    """A linear scheme whose words are adjusted one by one inside an atomic seqcount.

    Map and unmap: enter, one RMW a word, leave, for one page as for a whole batch. Verdict: the seqcount before
    and after, and every word, all plain loads.
    """

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        words = self.words(order)
        size = self.layout(order).bytes
        if op is Op.VERDICT:
            return Cost(rmw=0, plain=2 + words, bytes=size)
        return Cost(rmw=SEQCOUNT_RMW + words, plain=0, bytes=size)
