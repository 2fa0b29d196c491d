"""Fewest MMs: given how many of n mappings have each binary digit set, the least number of distinct MMs.

For the digit schemes. m MMs with r_1 + ... + r_m = n pages do it iff every digit's count is a sum of some of the r_j;
z3 decides that for m = 1, 2, ... Not a search for relations: `counts` come from `relations`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import z3

from rmaplab.verify.refute.problem import Budget

_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Split:
    """Pages of each MM by its digits (an integer, bit i = digit i); `proved`: no fewer MMs do."""

    pages: dict[int, int]
    proved: bool


def any_split(counts: Sequence[int], n: int) -> Split:
    """Some split, at once: digit after digit is given to the mappings in turn. None is left without a digit where
    the counts sum to `n` or more."""
    digits, turn = [0] * n, 0
    for i, wanted in enumerate(counts):
        for k in range(turn, turn + wanted):
            digits[k % n] |= 1 << i
        turn += wanted
    return Split(dict(Counter(digits)), proved=False)


def fewest_mms(counts: Sequence[int], n: int, *, zero_allowed: bool, most: int, budget: Budget) -> Split | None:
    """A split of `n` mappings over fewest MMs in which digit i is set in `counts[i]` of them.

    None if that takes more than `most` MMs, or time is up. `zero_allowed`: may an MM have no digit set? (Not if the
    digits are its whole ID.)
    """
    classes = {min(c, n - c) for c in counts} - {0}
    proved = True
    for mms in range(max(1, len(classes).bit_length() + bool(classes)), min(most, n) + 1):
        if not budget.left:
            return None
        answer = _split(counts, n, mms, zero_allowed, min(_SECONDS, budget.left))
        if isinstance(answer, dict):
            return Split(answer, proved)
        proved = proved and answer == z3.unsat
    return None


def _split(
    counts: Sequence[int], n: int, mms: int, zero_allowed: bool, seconds: float
) -> dict[int, int] | z3.CheckSatResult:
    """z3's answer, in a context of its own, so that the same question has the same answer."""
    own = z3.Context()
    solver = z3.Solver(ctx=own)
    solver.set("timeout", max(1, int(seconds * 1000)))
    solver.set("ctrl_c", False)  # else z3 takes an interrupt for itself, and answers "unknown"
    pages = [z3.Int(f"r{j}", own) for j in range(mms)]
    digit = [[z3.Bool(f"s{i}_{j}", own) for j in range(mms)] for i in range(len(counts))]
    solver.add(pages[-1] >= 1, z3.Sum(pages) == n)
    solver.add([a >= b for a, b in pairwise(pages)])
    for row, wanted in zip(digit, counts, strict=True):
        solver.add(z3.Sum([z3.If(s, r, z3.IntVal(0, own)) for s, r in zip(row, pages, strict=True)]) == wanted)
    if not zero_allowed:
        solver.add([z3.Or([row[j] for row in digit]) for j in range(mms)])
    result = solver.check()
    if result != z3.sat:
        return result
    model = solver.model()
    split: dict[int, int] = {}
    for j, r in enumerate(pages):
        mm = sum(1 << i for i, row in enumerate(digit) if z3.is_true(model.eval(row[j], model_completion=True)))
        split[mm] = split.get(mm, 0) + model.eval(r).as_long()
    return split
