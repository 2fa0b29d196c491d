"""Tables and a plot of benchmark results.

For `rmaplab bench` and the README. A cell is nanoseconds per operation and, in brackets, the ratio to `generations`.
"""

from collections.abc import Sequence

import altair as alt
import polars as pl

from rmaplab.bench.aims import UPDATE, Aim
from rmaplab.bench.operations import BASELINE, POSTED, Row
from rmaplab.bench.streams import STREAMS, StreamRow
from rmaplab.core import load, variants
from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet

_COLUMNS = (
    (UPDATE, 1, False, "map/unmap"),
    (f"{UPDATE} 512", 1, False, "batch 512"),
    (UPDATE, 2, True, "two threads,\none folio"),
    ("verdict", 1, False, "verdict"),
    ("verdict-while-updated", 2, True, "verdict while\nupdated"),
    ("cow", 1, False, "COW\ndecision"),
)


def price_table(rows: Sequence[Row], order: int) -> Sheet:
    """What every scheme costs on folios of `order`."""
    mine = {(r.scheme, r.op, r.threads, r.shared_folio): r for r in rows if r.order == order}
    lines = []
    for scheme in dict.fromkeys(r.scheme for r in rows if r.order == order and r.scheme != BASELINE):
        cells = [_cell(mine.get((scheme, op, threads, shared))) for op, threads, shared, _ in _COLUMNS]
        update = mine.get((scheme, UPDATE, 1, False))
        steps = "-" if update is None or update.instructions is None else str(update.instructions)
        lines.append((scheme, *cells, steps, *state_cost(scheme, order)))
    columns = ("scheme", *(title for *_, title in _COLUMNS), "instructions", "bytes", "lines")
    return table(f"order {order}: ns per operation (ratio to {POSTED})", columns, lines)


def state_cost(scheme: str, order: int) -> tuple[str, str]:
    """State bytes per folio by definition, and cache lines an update of one page writes; "-" where neither is defined."""
    variant = variants().get(scheme)
    if variant is None:
        return "4", "1"
    size = "4" if variant.scheme is None else str(variant.scheme.layout(order).bytes)
    return size, str(load().lib.rmap_lines(variant.number, order, 1))


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    ratio = "" if row.ratio_generations is None else f" ({row.ratio_generations:.2f})"
    return f"{row.ns_median:.1f}{ratio}"


def aims_table(aims: Sequence[Aim]) -> Sheet:
    """Aim, what it came to, and whether that is within the limit."""
    lines = [(aim.what, f"{aim.value:g}", f"{aim.limit:g}", "yes" if aim.met else "no") for aim in aims]
    return table("aims", ("aim", "measured", "at most", "met"), lines)


def streams_table(rows: Sequence[StreamRow]) -> Sheet:
    """The series' operations: nanoseconds per page, and the ratio to `generations`."""
    columns = [(stream, batched) for stream in STREAMS for batched in (False, True)]
    present = [c for c in columns if any((r.stream, r.batched) == c for r in rows)]
    lines = []
    for scheme in dict.fromkeys(r.scheme for r in rows):
        cells = {(r.stream, r.batched): r for r in rows if r.scheme == scheme}
        lines.append((scheme, *(_stream_cell(cells[c]) for c in present)))
    titles = [f"{stream}\n{'batched' if batched else 'by page'}" for stream, batched in present]
    return table(f"1 GiB of THP: rmap updates, ns per page (ratio to {POSTED})", ("scheme", *titles), lines)


def _stream_cell(row: StreamRow) -> str:
    ratio = "" if row.ratio_generations is None else f" ({row.ratio_generations:.2f})"
    return f"{row.ns_per_page:.2f}{ratio}"


def plot(rows: Sequence[Row]) -> alt.Chart:
    """Nanoseconds per single update against the order, one line a scheme, median and interquartile range."""
    data = pl.DataFrame(
        {
            "scheme": [r.scheme for r in rows if r.op == UPDATE and r.threads == 1],
            "order": [r.order for r in rows if r.op == UPDATE and r.threads == 1],
            "ns": [r.ns_median for r in rows if r.op == UPDATE and r.threads == 1],
        }
    )
    chart: alt.Chart = (
        alt.Chart(data, title="One map or unmap, one thread, uncontended")
        .mark_line(point=True)
        .encode(
            x=alt.X("order:O", title="folio order"),
            y=alt.Y("ns:Q", title="nanoseconds").scale(type="log"),
            color=alt.Color("scheme:N", sort=None),
            tooltip=["scheme", "order", "ns"],
        )
        .properties(width=420, height=360)
    )
    return chart
