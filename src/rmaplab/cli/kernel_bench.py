"""`rmaplab kernel bench`: what operations cost a kernel, counted in instructions."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from rmaplab.cli import options
from rmaplab.cli.kernel_words import KernelOption, wish, words
from rmaplab.cli.plots import check_plot, save_plot
from rmaplab.errors import RmaplabError
from rmaplab.extras import charts
from rmaplab.kernels import bench as pricing
from rmaplab.kernels import cow, obtain
from rmaplab.kernels.bench import Compared
from rmaplab.kernels.entries import Wish
from rmaplab.report.console import emit_json, say, show
from rmaplab.report.kernel_bench import bench_table, functions_table, text_lines
from rmaplab.trials.trial import folio_bytes


def kernel_bench(
    name: KernelOption = "7.3",
    scheme: Annotated[
        str | None,
        typer.Option("--scheme", help="Schemes to boot with, separated by commas; without, the kernel as it is."),
    ] = None,
    orders: Annotated[str, typer.Option(help="Orders of the folios, separated by commas: 0, 2 to 9.")] = "0,4,9",
    repeats: Annotated[
        int, typer.Option(parser=options.count(1, 100), help="How often; the least counts.")
    ] = pricing.REPEATS,
    against: Annotated[
        str | None, typer.Option(help="Compare with this kernel, as it is; without, with the same kernel's rule (off).")
    ] = None,
    functions: Annotated[
        bool, typer.Option("--functions", help="Also in which functions they are more or fewer, and lock more or less.")
    ] = False,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Write a plot (.svg, .png, .html).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Count what the series' operations cost a kernel: instructions, and how many of them lock, beside its own rule.

    The guest's clock is the number of its instructions. Each scheme is one boot of about a minute.
    """
    sizes = [int(word) for word in words("--orders", orders, ("0", *(str(order) for order in cow.ORDERS)))]
    schemes = scheme.split(",") if scheme else [None]
    wishes = [wish(name, word) for word in schemes]
    yardstick = [] if against is None else [wish(against, None)]
    if plot_to is not None:
        if against is None and not {"off"} < set(schemes):
            raise RmaplabError("--plot: draws changes: must come with --against, or with off and another in --scheme")
        check_plot(plot_to)

    def costs(wanted: Sequence[Wish]) -> list[pricing.Cost]:
        boots = [(obtain.bootable(one), one.answers_by) for one in wanted]
        return [cost for boot, by in boots for cost in pricing.measure(boot, by, sizes, repeats)]

    own = costs(yardstick)
    compared = pricing.compare(costs(wishes), own)
    with ExitStack() as outputs:  # the plot is written first, and its failure takes no table along
        outputs.callback(_show, compared, functions, as_json)
        if plot_to is not None:
            outputs.callback(lambda: save_plot(charts().kernel_prices(compared), plot_to))


def _show(compared: Sequence[Compared], functions: bool, as_json: bool) -> None:
    if as_json:
        emit_json([{**one.to_dict(), "bytes_per_folio": _bytes(one)} for one in compared])
        return
    show(bench_table(compared))
    if functions:
        show(functions_table(compared))
    say(*text_lines(compared))
    sizes = {f"{one.cost.scheme}, order {one.cost.order}: {_bytes(one)} B" for one in compared if _bytes(one)}
    say(*(f"for each folio, {size}" for size in sorted(sizes)))


def _bytes(one: Compared) -> int | None:
    return folio_bytes(one.cost.scheme, one.cost.order)
