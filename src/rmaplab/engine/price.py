"""What a scheme's state costs on a trace: bytes a folio, atomic read-modify-writes an event. Counted, not timed."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from rmaplab.schemes import Op, Scheme, responsible
from rmaplab.trace import Trace


@dataclass(frozen=True, slots=True)
class Price:
    """Over the folios and events the scheme (or the small-folio rule) answers for; None where there are none."""

    by_order: Mapping[int, int]
    """State bytes per folio, by order."""
    max_bytes: int | None
    mean_bytes: float | None
    rmw_per_event: float | None


def price(trace: Trace, scheme: Scheme) -> Price:
    """Price `scheme` on `trace`. An entire event touches no single page: it is priced as one page."""
    orders = dict(trace.folios.group_by("order").len().sort("order").iter_rows())
    answering = {order: who for order in orders if (who := responsible(scheme, order)) is not None}
    by_order = {order: who.layout(order).bytes for order, who in answering.items()}
    folios = sum(orders[order] for order in by_order)
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
        by_order=by_order,
        max_bytes=max(by_order.values(), default=None),
        mean_bytes=sum(by_order[o] * orders[o] for o in by_order) / folios if folios else None,
        rmw_per_event=rmw / events if events else None,
    )
