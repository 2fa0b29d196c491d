"""`rmaplab trace erosion`: what became, over time, of memory that was shared when a process was first seen."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from rmaplab.cli.plots import check_plot, save_plot
from rmaplab.engine.erosion import Curve
from rmaplab.engine.erosion import erosion as curves_of
from rmaplab.extras import charts
from rmaplab.report.console import emit_json, say, show, table
from rmaplab.report.inspect_table import size
from rmaplab.trace import Trace, read


def erosion(
    source: Annotated[Path, typer.Argument(help="A trace's directory.")],
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Write the curves (.svg, .png, .html).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every point.")] = False,
) -> None:
    """How much each process still shares of the anonymous memory it shared when it was first seen, over time."""
    if plot_to is not None:
        check_plot(plot_to)
    recorded = read(source)
    curves = curves_of(recorded)
    with ExitStack() as outputs:
        outputs.callback(_show_erosion, recorded, curves, as_json)
        if plot_to is not None:
            outputs.callback(lambda: save_plot(charts().erosion(_rows(recorded, curves)), plot_to))


def _rows(recorded: Trace, curves: list[Curve]) -> list[dict[str, object]]:
    page = recorded.meta.page_size
    return [
        {"mm": curve.mm, "name": recorded.meta.names.get(curve.mm, ""), "step": point.step, "kept": point.kept}
        | {"still_shared": point.still_shared * page, "alone": point.alone * page, "gone": point.gone * page}
        for curve in curves
        for point in curve.points
    ]


def _show_erosion(recorded: Trace, curves: list[Curve], as_json: bool) -> None:
    meta = recorded.meta
    if as_json:
        emit_json({"exactness": meta.exactness, "why": meta.why, "points": _rows(recorded, curves)})
        return
    cells = []
    for curve in curves:
        last, count = curve.points[-1], len(curve.points)
        at = [f"{curve.points[count * part // 4].kept:.1%}" for part in range(4)]
        sizes = [size(n * meta.page_size) for n in (len(curve.inherited), last.still_shared, last.alone, last.gone)]
        cells.append([f"MM {curve.mm} {meta.names.get(curve.mm, '')}".strip(), *sizes, *at, f"{last.kept:.1%}"])
    columns = ("MM", "inherited", "still shared", "alone", "gone", "kept", "1/4", "1/2", "3/4", "end")
    show(table("of what was shared when first seen", columns, cells))
    say(f"truth: {meta.exactness} ({meta.why}); gone: copied or unmapped")
