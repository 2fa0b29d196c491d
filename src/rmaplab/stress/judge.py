"""Which answers of a history were impossible at every moment between call and return?

For `rmaplab stress` and the tests. A linearizability-style check, one answer at a time: between two of its own
operations a worker's mappings are known; during one they are what they were before or what they are after. So at
every tick each MM *surely* has some number of mappings, and *possibly* another, and

- EXCLUSIVE is impossible if at every tick of the call somebody else surely mapped the folio (for a scheme that
  answers for any owner: if two MMs surely did);
- SHARED is impossible, for a scheme that is never wrong, if at no tick anybody else possibly mapped it;
- reuse after a COW fault is impossible if at every tick somebody else surely mapped the folio or surely held a reference
  that is no mapping.

What this cannot see: two answers that are possible each but not together. Time: O(records log records), memory
16 B per record and MM.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes import Exactness, Predicate
from rmaplab.stress.races import COW, DUP, MAP, PIN, REMAP, UNMAP, UNPIN, VERDICT, History
from rmaplab.trace import Verdict

_GAINS: Final = (MAP, DUP, REMAP, PIN)
_LOSES: Final = (UNMAP, UNPIN)


@dataclass(frozen=True)
class Finding:
    """An impossible answer, or a wrong counter, in one line."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Bounds:
    """Step functions of one folio: after the event at `ticks[i]`, row i + 1 holds; row 0 before the first.

    `surely` and `possibly` have a column per MM and one last column for references that are no mappings.
    """

    ticks: NDArray[np.uint64]
    surely: NDArray[np.int64]
    possibly: NDArray[np.int64]


def impossible_answers(history: History) -> list[Finding]:
    """Every impossible answer of `history`; empty if all were possible, or if the scheme promises nothing."""
    scheme = history.race.variant.scheme
    if scheme is None or not checked_answers(history):
        return []
    findings: list[Finding] = []
    for folio in range(history.race.folios):
        of_folio = history.records[history.records["folio"] == folio]
        bounds = _bounds(of_folio, history.race.mms)
        for found in _check(of_folio, bounds, scheme.predicate, scheme.exact):
            findings.append(_describe(history, found))
    return findings


def checked_answers(history: History) -> int:
    """How many answers the scheme promises anything about: reuse and EXCLUSIVE, or (never wrong) also SHARED.

    0 for the guesses. `generations` is a guess for large IDs only and is held to its word here.
    """
    scheme, records = history.race.variant.scheme, history.records
    if scheme is None or (scheme.exact is Exactness.HEURISTIC and scheme.predicate is Predicate.ANY_OWNER):
        return 0
    asked, answer = records["op"] == VERDICT, records["answer"]
    checked = (records["op"] == COW) & (answer == 1) | asked & (answer == Verdict.EXCLUSIVE)
    if scheme.exact is Exactness.NEVER_WRONG:
        checked |= asked & (answer == Verdict.SHARED)
    return int(checked.sum())


def _bounds(records: NDArray[Any], mms: int) -> _Bounds:
    """Sure and possible mappings per MM over time: what appears is sure from its return, possible from its call."""
    gains, loses = np.isin(records["op"], _GAINS), np.isin(records["op"], _LOSES)
    updates = records[gains | loses]
    gain = np.isin(updates["op"], _GAINS)
    foreign = np.isin(updates["op"], (PIN, UNPIN))
    column = np.where(foreign, mms, updates["mm"]).astype(np.int64)
    amount = np.where(gain, updates["nr"], -updates["nr"].astype(np.int64))
    ticks = np.concatenate([updates["call"], updates["ret"]])
    order = np.argsort(ticks, kind="stable")
    sure_at = np.concatenate([np.where(gain, 0, amount), np.where(gain, amount, 0)])[order]
    possible_at = np.concatenate([np.where(gain, amount, 0), np.where(gain, 0, amount)])[order]
    columns = np.concatenate([column, column])[order]
    rows = np.arange(1, len(ticks) + 1)
    tables = []
    for change in (sure_at, possible_at):
        table = np.zeros((len(ticks) + 1, mms + 1), np.int64)
        table[rows, columns] = change
        tables.append(np.cumsum(table, axis=0))
    return _Bounds(ticks[order], tables[0], tables[1])


def _check(records: NDArray[Any], bounds: _Bounds, predicate: Predicate, exact: Exactness) -> Iterator[Any]:
    """The records whose answer was impossible."""
    mappings, references = bounds.surely[:, :-1], bounds.surely[:, -1]
    sure, possible = mappings.sum(axis=1), bounds.possibly[:, :-1].sum(axis=1)
    sharers = (mappings > 0).sum(axis=1)
    asked = records[np.isin(records["op"], (VERDICT, COW))]
    for mm in np.unique(asked["mm"]):
        mine = asked[asked["mm"] == mm]
        by_caller = predicate is Predicate.BY_CALLER
        others = sure - mappings[:, mm] if by_caller else np.maximum(sharers - 1, 0)
        cow = mine[(mine["op"] == COW) & (mine["answer"] == 1)]
        yield from cow[_extreme(bounds, others + references, cow, np.minimum) > 0]
        verdicts = mine[mine["op"] == VERDICT]
        exclusive = verdicts[verdicts["answer"] == Verdict.EXCLUSIVE]
        yield from exclusive[_extreme(bounds, others, exclusive, np.minimum) > 0]
        if exact is Exactness.NEVER_WRONG:
            shared = verdicts[verdicts["answer"] == Verdict.SHARED]
            yield from shared[_extreme(bounds, possible - bounds.possibly[:, mm], shared, np.maximum) == 0]


def _extreme(bounds: _Bounds, values: NDArray[np.int64], asked: NDArray[Any], pick: np.ufunc) -> NDArray[np.int64]:
    """Least (or largest) of `values` from call to return of every record of `asked`: int64, (records,)."""
    if not len(asked):
        return np.zeros(0, np.int64)
    first = np.searchsorted(bounds.ticks, asked["call"])
    last = np.searchsorted(bounds.ticks, asked["ret"])
    # reduceat needs an index behind the last row, and takes pairs (from, to) as every other segment.
    padded = np.append(values, values[-1])
    pairs = np.stack([first, last + 1], axis=1).ravel()
    reduced: NDArray[np.int64] = pick.reduceat(padded, pairs)[::2]
    return reduced


def _describe(history: History, record: Any) -> Finding:
    ids = history.folios.ids
    what = "reuse after COW" if record["op"] == COW else Verdict(int(record["answer"])).name
    return Finding(
        f"{history.race.variant.name}: folio {record['folio']}: worker {record['worker']} was told {what} for rmap ID "
        f"{ids[record['mm']]} between ticks {record['call']} and {record['ret']}, impossible at each of them"
    )
