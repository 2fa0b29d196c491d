"""Tables of benchmark results: ratios to `mm-id`, what Linux does today; `generations`, never merged, stands beside it.

For `rmaplab bench` and the documentation. A time moves with the machine, a ratio less, and how much is shown: a cell is
the median of the ratios within a round and their interquartile range. Only the baseline's own row has nanoseconds.
"""

from collections.abc import Sequence

from rmaplab.bench.aims import Aim
from rmaplab.bench.operations import BASELINE, LANES, POSTED, TODAY, UPDATE, Row
from rmaplab.bench.streams import STREAMS, StreamRow
from rmaplab.core import load, variants
from rmaplab.report.console import table
from rmaplab.report.sheet import Sheet


def price_table(rows: Sequence[Row], order: int) -> Sheet:
    """What every scheme costs on folios of `order`: ratio, its spread, instructions, state."""
    mine = {(r.scheme, r.op, r.threads, r.shared_folio): r for r in rows if r.order == order}
    lines = []
    for scheme in _today_first(dict.fromkeys(r.scheme for r in rows if r.order == order and r.scheme != BASELINE)):
        cells = [_cell(mine.get((scheme, *lane))) for lane in LANES]
        update = mine.get((scheme, UPDATE, 1, False))
        steps = "-" if update is None or update.instructions is None else str(update.instructions)
        lines.append((scheme, *cells, steps, *state_cost(scheme, order)))
    columns = ("scheme", *LANES.values(), "instructions", "bytes", "lines")
    return table(f"order {order}: {_TITLE}", columns, lines)


_TITLE = f"times {TODAY} (interquartile range), {TODAY} itself in ns per operation"


def _today_first(schemes: Sequence[str] | dict[str, None]) -> list[str]:
    """What Linux does today, the series that was never merged, then the others as they are registered."""
    return sorted(schemes, key=lambda name: (TODAY, POSTED).index(name) if name in (TODAY, POSTED) else 2)


def state_cost(scheme: str, order: int) -> tuple[str, str]:
    """State bytes per folio by definition, and cache lines an update of one page writes; "-" where neither is defined."""
    variant = variants().get(scheme)
    if variant is None:
        return "4", "1"
    size = "4" if variant.scheme is None else str(variant.scheme.layout(order).bytes)
    return size, str(load().lib.rmap_lines(variant.number, order, 1))


def _cell(row: Row | StreamRow | None) -> str:
    if row is None:
        return "-"
    if row.scheme == TODAY or row.ratio_mm_id is None:
        return f"{row.ns_median if isinstance(row, Row) else row.ns_per_page:.3g} ns"
    return f"{row.ratio_mm_id:.2f} ({row.ratio_mm_id_low:.2f}-{row.ratio_mm_id_high:.2f})"


def aims_table(aims: Sequence[Aim]) -> Sheet:
    """Aim, what it came to, and whether that is within the limit."""
    lines = [(aim.what, f"{aim.value:g}", f"{aim.limit:g}", "yes" if aim.met else "no") for aim in aims]
    return table("aims", ("aim", "measured", "at most", "met"), lines)


def streams_table(rows: Sequence[StreamRow]) -> Sheet:
    """The series' operations per page: ratio and its spread."""
    columns = [(stream, batched) for stream in STREAMS for batched in (False, True)]
    present = [c for c in columns if any((r.stream, r.batched) == c for r in rows)]
    lines = []
    for scheme in _today_first(dict.fromkeys(r.scheme for r in rows)):
        cells = {(r.stream, r.batched): r for r in rows if r.scheme == scheme}
        lines.append((scheme, *(_cell(cells[c]) for c in present)))
    titles = [f"{stream}\n{'batched' if batched else 'by page'}" for stream, batched in present]
    return table(f"1 GiB of THP, rmap updates per page: {_TITLE}", ("scheme", *titles), lines)
