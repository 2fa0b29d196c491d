"""The schemes as tables: what they are, and what they cost per order.

For `rmaplab schemes` and `rmaplab capacity`.
"""

from collections.abc import Sequence
from typing import Any

from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet
from rmaplab.schemes import Op, Scheme, responsible
from rmaplab.trace import MAX_ORDER


def scheme_rows(schemes: Sequence[Scheme]) -> list[dict[str, Any]]:
    """One dict a scheme: name, title, claim, predicate, orders, source."""
    return [
        {
            "scheme": s.name,
            "title": s.title,
            "exact": s.exact.value,
            "predicate": s.predicate.value,
            "orders": [s.orders.start, s.orders.stop - 1],
            "source": s.source,
        }
        for s in schemes
    ]


def scheme_table(schemes: Sequence[Scheme]) -> Sheet:
    """What `rmaplab schemes` shows."""
    rows = [
        (r["scheme"], r["title"], r["exact"], r["predicate"], f"{r['orders'][0]}-{r['orders'][1]}", r["source"])
        for r in scheme_rows(schemes)
    ]
    columns = ("scheme", "state", "claims to be", "answers", "orders", "source")
    return table("Schemes (small folios are left to their mapcount by all)", columns, rows, left=6)


def capacity_rows(schemes: Sequence[Scheme], orders: Sequence[int]) -> list[dict[str, Any]]:
    """One dict per order and scheme that covers it: values, id_bits, bytes, rmw_per_map."""
    rows = []
    for order in orders:
        for scheme in schemes:
            answering = responsible(scheme, order)
            if answering is None:
                continue
            layout = answering.layout(order)
            rows.append(
                {
                    "order": order,
                    "scheme": scheme.name,
                    "by_mapcount": answering is not scheme,
                    "values": layout.values,
                    "id_bits": answering.capacity(order),
                    "bytes": layout.bytes,
                    "rmw_per_map": answering.cost(order, Op.MAP).rmw,
                }
            )
    return rows


def capacity_table(schemes: Sequence[Scheme], orders: Sequence[int]) -> Sheet:
    """What `rmaplab capacity` shows: a cell is values/ID bits/bytes/RMWs, "-" where a scheme does not reach."""
    cells = {
        (r["order"], r["scheme"]): "mapcount"
        if r["by_mapcount"]
        else f"{r['values']}/{r['id_bits']}/{_size(r['bytes'])}/{r['rmw_per_map']}"
        for r in capacity_rows(schemes, orders)
    }
    rows = [(order, *(cells.get((order, s.name), "-") for s in schemes)) for order in orders]
    title = "rmap values / ID bits / state bytes per folio / atomic RMWs to map one page"
    return table(title, ("order", *(s.name for s in schemes)), rows)


def every_order() -> range:
    """All orders a scheme may be asked about."""
    return range(MAX_ORDER + 1)


def _size(count: int) -> str:
    """Bytes, shortened from 10 KiB on."""
    for unit, bits in (("M", 20), ("K", 10)):
        if count >= 10 << bits:
            return f"{count >> bits}{unit}"
    return str(count)
