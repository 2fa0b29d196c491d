"""Does every unmap find its map? Exact per folio, MM and page, without expanding ranges to pages.

For `validate`. Within a (folio, MM) pair the ends of all its ranges cut the folio into *pieces* that every event covers
wholly or not at all; the running count of each piece must never be negative. PMD mappings are a piece of their own,
beyond the last page of the largest folio.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.trace.vocabulary import MAX_ORDER

_ENTIRE: Final = 1 << MAX_ORDER
_POSITION_BITS: Final = np.uint64(MAX_ORDER + 1)
_LOW: Final = np.uint64(32)
_BATCH: Final = 1 << 18
"""Events, and then pieces, looked at together: unless one pair alone has more."""


def first_negative(events: pl.DataFrame) -> int | None:
    """First row that unmaps what its MM has not mapped; None if there is none. Ranges must be valid.

    O(pieces log pieces); 20 B an event and about 100 B a piece of one batch.
    """
    pair = events["folio"].to_numpy().astype(np.uint64) << _LOW | events["mm"].to_numpy()
    rows = np.argsort(pair, kind="stable").astype(np.uint32)
    starts = _changes(pair[rows])
    page, nr, entire = (events[name].to_numpy() for name in ("page", "nr", "entire"))
    bad = []
    for some in _batches(starts, starts):
        of = rows[some]
        bad.append(of[_negative(pair[of], page[of], nr[of], entire[of])])
    return min((int(b.min()) for b in bad if len(b)), default=None)


def _negative(
    pair: NDArray[np.uint64], page: NDArray[np.uint32], nr: NDArray[np.int32], entire: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Events, of whole pairs sorted by (pair, time), after which a count is negative."""
    starts = _changes(pair)
    number = np.repeat(np.arange(len(starts) - 1, dtype=np.uint64) << _POSITION_BITS, np.diff(starts))
    begin = np.where(entire, _ENTIRE, page)
    end = begin + np.where(entire, 1, np.abs(nr.astype(np.int64)))
    first, last = number + begin.astype(np.uint64), number + end.astype(np.uint64)
    cuts = np.concatenate([first, last])
    cuts.sort()
    cuts = cuts[_changes(cuts)[:-1]]
    piece = np.searchsorted(cuts, first)
    pieces = np.searchsorted(cuts, last) - piece
    change = np.where(entire, nr, np.sign(nr)).astype(np.int64)

    total = np.concatenate([[0], np.cumsum(pieces)])
    bad = [
        some.start + _goes_negative(piece[some], pieces[some], change[some]) for some in _batches(starts, total[starts])
    ]
    return np.concatenate([*bad, np.zeros(0, np.int64)])


def _goes_negative(piece: NDArray[np.int64], pieces: NDArray[np.int64], change: NDArray[np.int64]) -> NDArray[np.int64]:
    """Events after which a piece's count is negative. Event i covers `pieces[i]` pieces from `piece[i]` on."""
    event = np.repeat(np.arange(len(piece)), pieces)
    inside = np.arange(len(event)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    key = (piece[event] + inside).astype(np.uint64) << _LOW | event.astype(np.uint64)
    key.sort()
    event = (key & np.uint64(0xFFFFFFFF)).astype(np.int64)
    starts = _changes(key >> _LOW)
    running = np.concatenate([[0], np.cumsum(change[event])])
    count = running[1:] - np.repeat(running[starts[:-1]], np.diff(starts))
    bad: NDArray[np.int64] = event[count < 0]
    return bad


def _changes(values: NDArray[Any]) -> NDArray[np.int64]:
    """Where a run of equal values starts, and at last the end."""
    new = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([[0] if len(values) else [], new, [len(values)]]).astype(np.int64)


def _batches(borders: NDArray[np.int64], cost: NDArray[np.int64]) -> Iterator[slice]:
    """Cut at some of the `borders`, so that a slice costs about _BATCH; `cost` is cumulative, given at the borders."""
    chosen = np.searchsorted(cost, np.arange(0, int(cost[-1]) + 1, _BATCH))
    cuts = np.unique(np.append(borders[chosen], borders[-1]))
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        yield slice(begin, end)
