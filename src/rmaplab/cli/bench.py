"""`rmaplab bench`: what the schemes cost on real atomics."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from rmaplab.bench.aims import aims
from rmaplab.bench.host import host_facts
from rmaplab.bench.operations import ORDERS, Row, configurations, known, measure
from rmaplab.bench.streams import measure_streams
from rmaplab.cli import options
from rmaplab.cli.plots import check_plot, save_plot
from rmaplab.errors import RmaplabError
from rmaplab.extras import charts
from rmaplab.report.bench import aims_table, price_table, streams_table
from rmaplab.report.console import emit_json, show
from rmaplab.report.progress import progress


def bench(
    what: Annotated[
        Literal["operations", "streams"], typer.Argument(help="Single operations, or the rmap-ID series' streams.")
    ] = "operations",
    scheme: Annotated[list[str] | None, typer.Option(help="Only this scheme (may be repeated).")] = None,
    order: Annotated[
        list[int] | None, typer.Option(parser=options.order(), help="Only this order (may be repeated).")
    ] = None,
    rounds: Annotated[int, typer.Option(parser=options.count(1, 1_000_000), help="Interleaved rounds.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Host and results as JSON.")] = False,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Write a plot (.svg, .png, .html).")] = None,
) -> None:
    """Measure the C core's schemes against each other.

    Prices are ratios to mm-id, what Linux does today, within one interleaved run, with their spread.
    """
    if what == "streams" and (order or plot_to):
        raise RmaplabError("bench streams: must come without --order and --plot")
    for one in order or []:
        if one not in ORDERS:
            raise RmaplabError(f"order: {one}: must be one of {', '.join(map(str, ORDERS))}")
    if plot_to is not None:
        check_plot(plot_to)
    chosen = known(scheme)
    if what == "streams":
        _streams(chosen, rounds, as_json)
    else:
        _operations(chosen, order or list(ORDERS), rounds, as_json, plot_to)


def _operations(schemes: list[str], orders: list[int], rounds: int, as_json: bool, plot_to: Path | None) -> None:
    configs = configurations(schemes, orders)
    with progress() as bar:
        task = bar.add_task("measuring", total=len(configs) * (rounds + 1))
        rows = measure(configs, rounds, lambda: bar.advance(task))
    with ExitStack() as outputs:  # the failure of one output takes no other along; the plot is written first
        outputs.callback(_show_operations, rows, orders, as_json)
        if plot_to is not None:
            outputs.callback(lambda: save_plot(charts().prices(rows), plot_to))


def _show_operations(rows: Sequence[Row], orders: list[int], as_json: bool) -> None:
    judged = aims(rows)
    if as_json:
        results = [row.as_json() for row in rows]
        emit_json({"host": host_facts(), "results": results, "aims": [aim.as_json() for aim in judged]})
    else:
        for one in orders:
            show(price_table(rows, one))
        show(aims_table(judged))


def _streams(schemes: list[str], rounds: int, as_json: bool) -> None:
    with progress() as bar:
        task = bar.add_task("measuring", total=None)
        rows = measure_streams(schemes, rounds, lambda: bar.advance(task))
    if as_json:
        emit_json({"host": host_facts(), "results": [row.as_json() for row in rows]})
    else:
        show(streams_table(rows))
