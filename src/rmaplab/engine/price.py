"""What a scheme's state costs on a trace: bytes a folio, atomic read-modify-writes an event. Counted, not timed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import polars as pl

from rmaplab.schemes import Op, Scheme, responsible
from rmaplab.trace import Trace


@dataclass(frozen=True, slots=True)
class Price:
    """Over the folios and events the scheme (or the small-folio rule) answers for. `Price()` is the price of nothing;
    those of a trace's parts add up to the trace's."""

    by_order: Mapping[int, int] = field(default_factory=dict)
    """State bytes per folio, by order."""
    folios: Mapping[int, int] = field(default_factory=dict)
    """How many folios of each of these orders there are."""
    events: int = 0
    rmw: int = 0
    """Atomic read-modify-writes of all events together."""

    def merge(self, other: Self) -> "Price":
        """The price of both, of one scheme."""
        folios = Counter(self.folios) + Counter(other.folios)
        by_order = {**self.by_order, **other.by_order}
        return Price(
            {order: by_order[order] for order in sorted(by_order)},
            {order: folios[order] for order in sorted(folios)},
            self.events + other.events,
            self.rmw + other.rmw,
        )

    @property
    def max_bytes(self) -> int | None:
        """The dearest folio's state; None where there is no folio."""
        return max(self.by_order.values(), default=None)

    @property
    def mean_bytes(self) -> float | None:
        """A folio's state, over all folios."""
        count = sum(self.folios.values())
        return sum(self.by_order[o] * n for o, n in self.folios.items()) / count if count else None

    @property
    def rmw_per_event(self) -> float | None:
        return self.rmw / self.events if self.events else None


def price(trace: Trace, scheme: Scheme) -> Price:
    """Price `scheme` on `trace`. An entire event touches no single page: it is priced as one page."""
    orders = dict(trace.folios.group_by("order").len().sort("order").iter_rows())
    answering = {order: who for order in orders if (who := responsible(scheme, order)) is not None}
    kinds = (
        trace.events.lazy()
        .select(
            order=trace.folios["order"].gather(trace.events["folio"]),
            maps=pl.col("nr") > 0,
            pages=pl.when("entire").then(1).otherwise(pl.col("nr").abs()),
        )
        .group_by("order", "maps", "pages")
        .len()
        .collect()
    )
    events = rmw = 0
    for order, maps, pages, count in kinds.iter_rows():
        if order in answering:
            cost = answering[order].cost(order, Op.MAP if maps else Op.UNMAP, pages)
            events += count
            rmw += count * cost.rmw
    return Price(
        by_order={order: who.layout(order).bytes for order, who in answering.items()},
        folios={order: orders[order] for order in answering},
        events=events,
        rmw=rmw,
    )
