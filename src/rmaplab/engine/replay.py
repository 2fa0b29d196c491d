"""Verdicts of a scheme for all questions of a trace.

Linear schemes need no history: their state at a question is a difference of two prefix sums modulo 2^64. The others
are replayed in rounds, the k-th event of every folio at once; a folio with very many events costs as many rounds.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rmaplab.engine.plan import Block, Plan
from rmaplab.engine.sharers import truth
from rmaplab.schemes import IdRangeError, LinearScheme, Scheme, State, Verdicts, responsible
from rmaplab.schemes.truth import Truth
from rmaplab.trace import Trace, Verdict


def replay(source: Trace | Plan, scheme: Scheme) -> Verdicts:
    """What `scheme` answers to every question: uint8 array of `Verdict`, in the order of the question table.

    A question sees the events of earlier steps. Small folios are left to their mapcount; an order the scheme does
    not cover is UNKNOWN. Raises IdRangeError, naming the row, for an ID or a mapcount outside the scheme's door.
    """
    plan = source if isinstance(source, Plan) else Plan.of(source)
    if isinstance(scheme, Truth):
        return truth(plan, scheme.predicate)
    answers = np.full(len(plan.question_rows), Verdict.UNKNOWN, np.uint8)
    for order, ranks in plan.orders:
        who = responsible(scheme, order)
        if who is None:
            continue
        _check_ids(plan, who, order, ranks)
        if isinstance(who, LinearScheme):
            _check_mapcount(plan, who, ranks)
            answer = partial(_by_sums, plan, who)
        else:
            answer = partial(_by_rounds, plan, who, _Events.of(plan, ranks))
        for block in plan.blocks(order, ranks):
            answers[plan.question_rows[block.questions]] = answer(block)
    return answers


def _by_sums(plan: Plan, scheme: LinearScheme, block: Block) -> Verdicts:
    """O(events * words)."""
    ids = plan.mm[block.events].astype(np.uint64)
    times = plan.nr[block.events].astype(np.int64).view(np.uint64)
    rank = plan.question_rank[block.questions]
    begin = plan.starts[rank] - block.events.start
    end = plan.question_end[block.questions] - block.events.start

    words = scheme.words(block.order)
    data = np.empty((len(rank), words), np.uint64)
    sums = np.zeros(len(ids) + 1, np.uint64)
    for word in range(words):
        np.multiply(scheme.addend(block.order, word, ids), times, out=sums[1:])
        np.cumsum(sums[1:], out=sums[1:])
        data[:, word] = sums[end] - sums[begin]
    return scheme.verdict(State(block.order, data), plan.question_mm[block.questions])


@dataclass(frozen=True, slots=True)
class _Events:
    """The event columns of some ranks in the plan's order, for `Scheme.update`: 5 B an event beside the plan."""

    first: int
    mm: NDArray[np.uint32]
    page: NDArray[np.uint32]
    nr: NDArray[np.int32]
    entire: NDArray[np.bool_]

    @classmethod
    def of(cls, plan: Plan, ranks: slice) -> "_Events":
        some = plan.positions(ranks)
        page, entire = (plan.trace.events[name].to_numpy()[plan.rows[some]] for name in ("page", "entire"))
        return cls(some.start, plan.mm[some], page, plan.nr[some], entire)


def _by_rounds(plan: Plan, scheme: Scheme, events: _Events, block: Block) -> Verdicts:
    """Round k feeds the k-th event of every folio that has one, after the questions that see k events."""
    starts = plan.starts[block.folios]
    counts = np.diff(plan.starts[block.folios.start : block.folios.stop + 1])
    active = np.searchsorted(-counts, -np.arange(int(counts[0])))

    rank = plan.question_rank[block.questions]
    seen = plan.question_end[block.questions] - plan.starts[rank]
    asked = np.argsort(seen, kind="stable")
    due = np.searchsorted(seen[asked], np.arange(int(counts[0]) + 2))
    mm = plan.question_mm[block.questions]

    state = scheme.start(block.order, len(starts))
    answers = np.empty(len(rank), np.uint8)
    for k in range(int(counts[0]) + 1):
        now = asked[due[k] : due[k + 1]]
        if len(now):
            answers[now] = scheme.verdict(state[rank[now] - block.folios.start], mm[now])
        if k < len(active):
            some = slice(0, int(active[k]))
            at = starts[some] + (k - events.first)
            columns = (events.mm[at], events.page[at], events.nr[at], events.entire[at])
            state.data[some] = scheme.update(state[some], *columns).data
    return answers


def _check_ids(plan: Plan, scheme: Scheme, order: int, ranks: slice) -> None:
    """The door for every MM that maps or asks about folios of `order`."""
    events = plan.positions(ranks)
    asked = slice(*np.searchsorted(plan.question_rank, [ranks.start, ranks.stop]).tolist())
    for table, mm, rows in (
        ("events", plan.mm[events], plan.rows[events]),
        ("questions", plan.question_mm[asked], plan.question_rows[asked]),
    ):
        outside = (mm < 1) | (mm >= scheme.accepted_ids(order))
        if not outside.any():
            continue
        row = rows[outside].min()
        try:
            scheme.check_ids(order, mm[rows == row])
        except IdRangeError as error:
            raise IdRangeError(f"{table} row {row}: {error}") from None


def _check_mapcount(plan: Plan, scheme: LinearScheme, ranks: slice) -> None:
    """The same for the mapcount: sums do not saturate."""
    limit = scheme.mapcount_limit
    events = plan.positions(ranks)
    nr = plan.nr[events]
    if int(np.maximum(nr, 0).sum(dtype=np.int64)) < limit:
        return
    running = np.concatenate([[0], np.cumsum(nr, dtype=np.int64)])
    starts = plan.starts[ranks] - events.start
    counts = np.diff(plan.starts[ranks.start : ranks.stop + 1])
    mapcount = running[1:] - np.repeat(running[starts], counts)
    over = np.flatnonzero(mapcount >= limit)
    if len(over):
        at = over[np.argmin(plan.rows[events][over])]
        row = int(plan.rows[events.start + at])
        raise IdRangeError(f"events row {row}: {scheme.name}: mapcount {mapcount[at]}: must be below {limit}")
