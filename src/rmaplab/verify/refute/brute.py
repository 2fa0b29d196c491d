"""Every caller, every multiset: the refuter's answer by definition, for very small parameters.

For tests that hold the other methods against it, and for a reader who wants the problem in ten lines.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

from rmaplab.verify.refute.problem import Witness

Matches = Callable[[Sequence[int], int], bool]
"""Do the words for mappings by these MMs look as if all were the second argument's?"""


def smallest_witness(ids: Sequence[int], matches: Matches, most: int) -> Witness | None:
    """The witness of at most `most` mappings with fewest mappings, then fewest MMs; O(|ids|^most)."""
    for n in range(1, most + 1):
        found = [
            Witness(asked, dict(Counter(chosen)))
            for asked in ids
            for chosen in combinations_with_replacement(ids, n)
            if set(chosen) != {asked} and matches(chosen, asked)
        ]
        if found:
            return min(found, key=lambda w: w.size)
    return None


def matches_modulo(subids: Callable[[int], Sequence[int]], word_bits: int) -> Matches:
    """The check of a scheme with these sub-IDs: every value equals n times the caller's, modulo 2^word_bits."""

    def matches(chosen: Sequence[int], asked: int) -> bool:
        sums = [sum(column) for column in zip(*(subids(mm) for mm in chosen), strict=True)]
        wanted = [len(chosen) * v for v in subids(asked)]
        return all((s - w) % (1 << word_bits) == 0 for s, w in zip(sums, wanted, strict=True))

    return matches
