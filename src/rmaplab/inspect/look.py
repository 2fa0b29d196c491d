"""One complete answer: snapshot, kernel's view, disagreements, price, and how far all that can be trusted.

For `rmaplab inspect`, its `--watch` and the benchmark: the order of the steps stands here, the steps elsewhere.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.completeness import unaccounted
from rmaplab.inspect.disagree import Disagreement, disagreements, large_folios
from rmaplab.inspect.price import Price, what_if_write
from rmaplab.inspect.probes import KernelView, Source
from rmaplab.inspect.recheck import Moved, recheck
from rmaplab.inspect.snapshot import Choose, Exactness, Progress, Snapshot, take
from rmaplab.inspect.views import Scope

FORMAT: Final = "rmaplab-inspect-1"


@dataclass(frozen=True, slots=True)
class Look:
    """A snapshot, what is shown of it, and what was found. `prices` by leader PID."""

    scope: Scope
    sources: list[Source]
    disagreements: list[Disagreement]
    moved: Moved
    exactness: Exactness
    why: str
    prices: dict[int, Price] = field(default_factory=dict)

    @property
    def snapshot(self) -> Snapshot:
        return self.scope.snapshot

    @property
    def finding(self) -> bool:
        """Whether the kernel takes something for exclusive that is not, and it did not just move."""
        return any(d.finding for d in self.disagreements) and not self.moved.changed

    def head(self) -> dict[str, Any]:
        """What precedes the rows in the JSON."""
        snapshot = self.snapshot
        return {
            "format": FORMAT,
            "exactness": self.exactness,
            "why": self.why,
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
            "disagreements": [
                {"what": d.what, "count": d.count, "bytes": d.bytes, "finding": d.finding} for d in self.disagreements
            ],
            "what_if_write": {str(pid): _price(price) for pid, price in self.prices.items()},
        }


def _price(price: Price) -> dict[str, Any]:
    return {name: getattr(price, name) for name in Price.__slots__}


def look(
    choose: Choose,
    view: KernelView,
    *,
    write: bool = False,
    addresses: bool = False,
    progress: Progress | None = None,
) -> Look:
    """Take a snapshot and answer everything about the MMs that `choose` picks.

    Raises RmaplabError, NotAvailable.
    """
    snapshot = take(choose, progress)
    sources = list(view.sources)
    try:
        large = large_folios(snapshot, view)
    except BpfError as error:
        sources.append(Source("folio counters (BPF)", "unknown", str(error)))
        view.close()
        view.reader = None
        large = large_folios(snapshot, view)
    prices = {}
    if write:
        prices = {snapshot.mms[mm].leader.pid: what_if_write(snapshot, mm, view) for mm in snapshot.targets.tolist()}
    exactness, why = _trust(snapshot, view)
    return Look(
        Scope(snapshot, large, addresses),
        sources,
        disagreements(snapshot, large),
        recheck(snapshot),
        exactness,
        why,
        prices,
    )


def _trust(snapshot: Snapshot, view: KernelView) -> tuple[Exactness, str]:
    if snapshot.notes.exact:
        return "exact", "all page tables were read"
    if view.sources[0].exactness != "exact":
        return "estimate", "some page tables could not be read, and the kernel's counts cannot stand in for them"
    more = unaccounted(snapshot)
    if more:
        return "estimate", f"pages mapped also by processes that could not be read, or came later: {more}"
    return "exact", "not all page tables could be read, but the kernel counts no more mappings than were found"
