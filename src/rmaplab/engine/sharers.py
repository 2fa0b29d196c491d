"""Who really maps the folio when a question is asked, by counting: the vectorised form of the oracle.

For the judge and for tests; `rmaplab.schemes.truth` is the plain definition it is tested against.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmaplab.engine.plan import Plan
from rmaplab.schemes import Predicate, Verdicts
from rmaplab.trace import Trace, Verdict


@dataclass(frozen=True, slots=True)
class Sharers:
    """For each question, in the order of the question table: int64 each."""

    mms: NDArray[np.int64]
    """How many MMs map the folio."""
    own: NDArray[np.int64]
    """How many mappings the asking MM has."""

    def verdicts(self, predicate: Predicate) -> Verdicts:
        """The true answers under `predicate`: uint8 array of `Verdict`."""
        alone = self.mms <= 1
        if predicate is Predicate.BY_CALLER:
            alone &= (self.mms == 0) | (self.own > 0)
        return np.where(alone, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)


def sharers(source: Trace | Plan) -> Sharers:
    """Count the mapping MMs at every question. O(events log events), about 60 B an event with the plan."""
    plan = source if isinstance(source, Plan) else Plan.of(source)
    pair = _pairs(plan)
    by_pair = np.argsort(pair, kind="stable").astype(np.uint32)
    pair = pair[by_pair]
    begins = np.flatnonzero(np.diff(pair, prepend=~pair[:1]))
    known = pair[begins]
    del pair
    lengths = np.diff(begins, append=len(by_pair))
    running = np.zeros(len(by_pair) + 1, np.int64)
    np.cumsum(plan.nr[by_pair], out=running[1:])
    own = _own(plan, known, by_pair, begins, running)

    mapped = (running[1:] > np.repeat(running[begins], lengths)).astype(np.int8)
    del running
    change = np.diff(mapped, prepend=np.int8(0))
    change[begins] = mapped[begins]
    in_time = np.empty(len(by_pair), np.int8)
    in_time[by_pair] = change
    mms = np.zeros(len(by_pair) + 1, np.int64)
    np.cumsum(in_time, out=mms[1:])

    result = Sharers(np.empty_like(own), np.empty_like(own))
    result.mms[plan.question_rows] = mms[plan.question_end] - mms[plan.starts[plan.question_rank]]
    result.own[plan.question_rows] = own
    return result


def truth(source: Trace | Plan, predicate: Predicate = Predicate.BY_CALLER) -> Verdicts:
    """What is true for every question: uint8 array of `Verdict`, in the order of the question table."""
    return sharers(source).verdicts(predicate)


def _pairs(plan: Plan) -> NDArray[np.uint64]:
    """rank << 32 | mm of every event, in the plan's order."""
    pair = np.repeat(np.arange(len(plan.folio), dtype=np.uint64) << np.uint64(32), np.diff(plan.starts))
    pair |= plan.mm
    return pair


def _own(
    plan: Plan,
    known: NDArray[np.uint64],
    by_pair: NDArray[np.uint32],
    begins: NDArray[np.int64],
    running: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Mappings of the asking MM, in the plan's order of questions.

    `known` are the pairs, `by_pair` the events sorted by pair, `begins` where each pair begins. Pairs get consecutive
    numbers, so that (number, position) fits one 64-bit key.
    """
    asked = plan.question_rank.astype(np.uint64) << np.uint64(32) | plan.question_mm
    number = np.searchsorted(known, asked)
    found = np.append(known, ~np.uint64(0))[number] == asked

    lengths = np.diff(begins, append=len(by_pair))
    key = np.repeat(np.arange(len(known), dtype=np.uint64) << np.uint64(32), lengths)
    key |= by_pair
    until = np.searchsorted(key, number.astype(np.uint64) << np.uint64(32) | plan.question_end.astype(np.uint64))
    before = np.append(begins, len(by_pair))[number]
    return np.where(found, running[np.maximum(until, before)] - running[before], 0)
