"""The order in which a trace is replayed: all events of a folio side by side, in time order.

For the engine and whoever replays one trace several times. Built once per trace: one sort of 64-bit keys.

Folios are renumbered by *rank*: by order, within an order those with most events first. So the folios of an order
are consecutive, and "all folios that have a k-th event" is always a prefix of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.trace import Trace

_BLOCK_EVENTS: Final = 1 << 15
_BLOCK_FOLIOS: Final = 1 << 14
"""A block's working set (about 100 B an event) shall stay in the second-level cache."""

_LOW: Final = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive ranks of one order, with all their events and all questions about them."""

    order: int
    folios: slice
    events: slice
    questions: slice


@dataclass(frozen=True, slots=True)
class Plan:
    """Events sorted by (rank, time), questions too. 12 bytes an event, 24 a question, 12 a folio beside the trace.

    Positions are indices into the sorted events. The trace must be valid (`rmaplab.trace.validate`).
    """

    trace: Trace
    folio: NDArray[np.uint32]
    """Folio id of each rank."""
    starts: NDArray[np.int64]
    """Position of each rank's first event; one more element than ranks, the last is the number of events."""
    rows: NDArray[np.uint32]
    """Row in the event table."""
    mm: NDArray[np.uint32]
    nr: NDArray[np.int32]
    question_rows: NDArray[np.int64]
    """Row in the question table."""
    question_rank: NDArray[np.int64]
    question_end: NDArray[np.int64]
    """Position after the last event of the folio that the question sees (events of earlier steps)."""
    question_mm: NDArray[np.uint32]
    orders: tuple[tuple[int, slice], ...]
    """The orders that occur, each with its ranks."""

    @classmethod
    def of(cls, trace: Trace) -> "Plan":
        """Sort once: O(events log events), 28 B an event at its peak."""
        folio = trace.events["folio"].to_numpy()
        order = trace.folios["order"].to_numpy()
        counts = np.bincount(folio, minlength=len(order)).astype(np.int64)
        by_rank = np.lexsort((-counts, order))
        rank = np.empty(len(order), np.uint32)
        rank[by_rank] = np.arange(len(order), dtype=np.uint32)

        keys = _keys(rank, folio)
        keys.sort()
        rows = keys.astype(np.uint32)
        question_rows, wanted = _questions(trace, rank)
        return cls(
            trace=trace,
            folio=by_rank.astype(np.uint32),
            starts=np.concatenate([[0], np.cumsum(counts[by_rank])]).astype(np.int64),
            rows=rows,
            mm=trace.events["mm"].to_numpy()[rows],
            nr=trace.events["nr"].to_numpy()[rows],
            question_rows=question_rows,
            question_rank=(wanted >> _LOW).astype(np.int64),
            question_end=np.searchsorted(keys, wanted).astype(np.int64),
            question_mm=trace.questions["mm"].to_numpy()[question_rows],
            orders=_orders(order[by_rank]),
        )

    def blocks(self, order: int, ranks: slice) -> Iterator[Block]:
        """The ranks of one order in blocks of bounded size that hold questions; a folio is never cut."""
        starts = self.starts[ranks.start : ranks.stop]
        by_events = np.searchsorted(starts, np.arange(starts[0], starts[-1] + 1, _BLOCK_EVENTS)) + ranks.start
        by_folios = np.arange(ranks.start, ranks.stop, _BLOCK_FOLIOS)
        cuts = np.unique(np.concatenate([by_events, by_folios, [ranks.stop]]))
        asked = np.searchsorted(self.question_rank, cuts)
        positions = self.starts[cuts]
        for i in np.flatnonzero(np.diff(asked)):
            yield Block(
                order,
                slice(int(cuts[i]), int(cuts[i + 1])),
                slice(int(positions[i]), int(positions[i + 1])),
                slice(int(asked[i]), int(asked[i + 1])),
            )

    def positions(self, ranks: slice) -> slice:
        """Positions of all events of these ranks."""
        return slice(int(self.starts[ranks.start]), int(self.starts[ranks.stop]))


def _keys(rank: NDArray[np.uint32], folio: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """rank << 32 | row of every event, uint64."""
    keys = np.empty(len(folio), np.uint64)
    keys[:] = rank[folio]
    keys <<= _LOW
    keys |= np.arange(len(folio), dtype=np.uint32)
    return keys


def _questions(trace: Trace, rank: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Question rows sorted by (rank, time), and rank << 32 | number of earlier events of each, sorted."""
    questions = trace.questions
    seen = np.searchsorted(trace.events["step"].to_numpy(), questions["step"].to_numpy()).astype(np.uint64)
    wanted = rank[questions["folio"].to_numpy()].astype(np.uint64) << _LOW | seen
    rows = np.argsort(wanted, kind="stable")
    return rows, wanted[rows]


def _orders(order: NDArray[np.uint8]) -> tuple[tuple[int, slice], ...]:
    values, first = np.unique(order, return_index=True)
    bounds = [*first.tolist(), len(order)]
    return tuple((int(o), slice(*bounds[i : i + 2])) for i, o in enumerate(values))
