"""`rmaplab capacity`: what every scheme needs and holds, per order."""

from typing import Annotated

import typer

from rmaplab.cli import options
from rmaplab.errors import RmaplabError
from rmaplab.report.console import emit_json, show
from rmaplab.report.schemes import capacity_rows, capacity_table, every_order
from rmaplab.schemes import select


def capacity(
    scheme: Annotated[list[str] | None, typer.Option(help="Only this scheme (may be repeated).")] = None,
    order: Annotated[
        list[int] | None, typer.Option(parser=options.order(), help="Only this order (may be repeated).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False,
) -> None:
    """Values, ID bits, bytes and atomic operations per scheme and order.

    ID bits: the largest b such that the scheme keeps its claim for rmap IDs 1 .. 2^b - 1.
    """
    chosen = [s for s in select(scheme or None) if scheme or s.name != "truth"]
    orders = sorted(order) if order else list(every_order())
    for one in orders:
        if one not in every_order():
            raise RmaplabError(f"order: {one}: must be in 0 .. {every_order()[-1]}")
    if as_json:
        emit_json(capacity_rows(chosen, orders))
    else:
        show(capacity_table(chosen, orders))
