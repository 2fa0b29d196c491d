"""One complete answer: snapshot, kernel's view, disagreements, price, and how far all that can be trusted.

For `rmaplab inspect`, its `--watch` and the benchmark: the order of the steps stands here, the steps elsewhere. A look is
data and its exactness; `view` is probed once and serves any number of looks.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from rmaplab.inspect.advice import advice
from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.disagree import Disagreement, disagreements, large_folios
from rmaplab.inspect.erosion import Worker, erosion
from rmaplab.inspect.exactness import Exactness, columns
from rmaplab.inspect.family import Common, common
from rmaplab.inspect.fork_price import ForkPrice, what_if_fork
from rmaplab.inspect.kernel import rollup
from rmaplab.inspect.no_page_mapcount import Statistics, by_cgroup, no_page_mapcount, statistics_rows
from rmaplab.inspect.price import Price, what_if_write
from rmaplab.inspect.probes import KernelView, Source
from rmaplab.inspect.recheck import Moved, recheck
from rmaplab.inspect.sequence import SequencePrice, what_if_sequence
from rmaplab.inspect.snapshot import Choose, Progress, Snapshot, take
from rmaplab.inspect.sums import Scope
from rmaplab.inspect.tally import apart

FORMAT: Final = "rmaplab-inspect-1"
_TRIES: Final = 3
_PATIENCE: Final = 1.0
"""Seconds of scanning after which no other look is taken for the sake of exactness."""


@dataclass(frozen=True, slots=True)
class Family:
    """The targets as one family: what they have in common, and how much each worker still has of its inheritance."""

    common: Common
    workers: list[Worker]


@dataclass(frozen=True, slots=True)
class Look:
    """A snapshot, what is shown of it, and what was found. `prices` by leader PID; `apart`: bytes of the targets that
    are in none of the sums, by kind; `forks` by leader PID: what the next fork costs; `sequence`: what writes of
    the family in turn cost; `family` if it was asked for."""

    scope: Scope
    sources: list[Source]
    disagreements: list[Disagreement]
    moved: Moved
    apart: dict[str, int] = field(default_factory=dict)
    prices: dict[int, Price] = field(default_factory=dict)
    family: Family | None = None
    statistics: Statistics | None = None
    forks: dict[int, ForkPrice] = field(default_factory=dict)
    sequence: SequencePrice | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self.scope.snapshot

    @property
    def exactness(self) -> Exactness:
        """Of the look as a whole; `exactness.of(column)` of the numbers of a column."""
        return self.snapshot.exactness

    @property
    def finding(self) -> bool:
        """Whether the kernel takes something for exclusive that is not, and it did not just move."""
        return any(d.finding for d in self.disagreements) and not self.moved.changed

    @property
    def needless(self) -> int | None:
        """Bytes that a write copies although one MM maps them: for want of a third slot. None where no flag was read."""
        large = self.scope.large
        return None if large is None or not large.asked else int(large.needless.sum()) * self.snapshot.page_size

    def advice(self) -> list[str]:
        """A line for each known pattern that the family shows."""
        return [] if self.family is None else list(advice(self.snapshot, self.family.workers, self.needless))

    def without_page_mapcounts(self) -> dict[str, Any]:
        """`statistics` by process, by cgroup, and of all together; beside the truth stands what smaps says now."""
        if self.statistics is None:
            return {}
        rows = statistics_rows(self.snapshot, self.statistics)
        for row in rows:
            now = rollup(self.snapshot.mms[self.snapshot.mm_of_pid[row["pid"]]].leader.tid) or {}
            row |= {"uss_now": now.get("uss"), "pss_now": now.get("pss")}
        return {"processes": rows, "cgroups": by_cgroup(rows), "all": self.statistics.together}

    def head(self) -> dict[str, Any]:
        """What precedes the rows in the JSON."""
        snapshot, exactness = self.snapshot, self.exactness
        return {
            "format": FORMAT,
            "exactness": exactness.label,
            "why": exactness.why,
            "columns": {name: exactness.of(name).label for name in columns()},
            "reasons": [
                {"why": r.text, "folios": r.folios, "pages": r.pages, "first": list(r.rows)} for r in exactness.reasons
            ],
            "page_size": snapshot.page_size,
            "scan_seconds": round(snapshot.seconds, 6),
            "second_pass": {
                "extents": self.moved.extents,
                "checked": self.moved.checked,
                "changed": self.moved.changed,
                "processes_gone": self.moved.gone,
            },
            "sources": [{"name": s.name, "exactness": s.exactness, "why": s.why} for s in self.sources],
            "left_out": snapshot.notes.lines(),
            "apart": self.apart,
            "disagreements": [
                {"what": d.what, "count": d.count, "bytes": d.bytes, "finding": d.finding} for d in self.disagreements
            ],
            **({} if self.family is None else {"family": self.family.common.as_json(), "advice": self.advice()}),
            **({} if self.statistics is None else {"what_if_no_page_mapcount": self.without_page_mapcounts()}),
            **({} if not self.forks else {"what_if_fork": {str(pid): one.as_json() for pid, one in self.forks.items()}}),
            **({} if self.sequence is None else {"what_if_write_in_sequence": self.sequence.as_json()}),
            "what_if_write": {str(pid): price.as_json() for pid, price in self.prices.items()},
        }


def look(
    choose: Choose,
    view: KernelView,
    *,
    write: bool = False,
    fork: float | None = None,
    addresses: bool = False,
    family: bool = False,
    statistics: bool = False,
    mapping: str | None = None,
    smaps: bool = True,
    progress: Progress | None = None,
) -> Look:
    """Take a snapshot and answer everything about the MMs that `choose` picks. `mapping`: a regular expression; only
    mappings with such a name count in rows that are sums of mappings. `smaps`: rows have the kernel's own sums. `fork`:
    price a fork, by the writes of so many seconds, one process after the other.

    Raises RmaplabError, NotAvailable.
    """
    snapshot = _take(choose, view, progress)
    sources = list(view.sources)
    try:
        large = large_folios(snapshot, view)
    except BpfError as error:
        sources.append(Source("folio counters (BPF)", "unknown", str(error)))
        view.close()
        view.reader = None
        large = large_folios(snapshot, view)
    prices, targets = {}, snapshot.targets.tolist()
    if write:
        prices = {snapshot.mms[mm].leader.pid: what_if_write(snapshot, mm, view) for mm in targets}
    wanted = None if mapping is None else np.array([bool(re.search(mapping, n)) for n in snapshot.vmas.name], np.bool_)
    return Look(
        Scope(snapshot, large, addresses, wanted, smaps),
        sources,
        disagreements(snapshot, large, view),
        recheck(snapshot),
        apart(snapshot),
        prices,
        Family(common(snapshot), erosion(snapshot, view)) if family else None,
        no_page_mapcount(snapshot, large) if statistics else None,
        {snapshot.mms[mm].leader.pid: what_if_fork(snapshot, mm, fork) for mm in targets} if fork else {},
        what_if_sequence(snapshot, large, view) if write and family else None,
    )


def _take(choose: Choose, view: KernelView, progress: Progress | None) -> Snapshot:
    """A snapshot that adds up, if one of a few does; else the last.

    Processes that start, end or fault while they are read leave folios that do not add up; another look sees them
    settled. Folios that do not add up twice in the same way will not by looking on.
    """
    best = snapshot = take(view, choose, progress)
    spent = snapshot.seconds
    for _ in range(_TRIES - 1):
        if snapshot.account.agrees or len(snapshot.account.unknown) or spent > _PATIENCE:
            break
        before = _doubtful(snapshot)
        snapshot = take(view, choose, progress)
        spent += snapshot.seconds
        best = min(best, snapshot, key=lambda s: len(s.account.doubtful))
        if before <= _doubtful(snapshot):
            break
    return best


def _doubtful(snapshot: Snapshot) -> set[int]:
    """PFNs of the folios that do not add up."""
    return set(snapshot.sharing.folios.head[snapshot.account.doubtful].tolist())
