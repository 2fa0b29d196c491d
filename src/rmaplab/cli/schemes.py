"""`rmaplab schemes`: list the schemes."""

from typing import Annotated

import typer

from rmaplab.report.console import emit_json, show
from rmaplab.report.schemes import scheme_rows, scheme_table
from rmaplab.schemes import select


def schemes(as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False) -> None:
    """List the schemes: what they keep, claim and answer."""
    chosen = select()
    if as_json:
        emit_json(scheme_rows(chosen))
    else:
        show(scheme_table(chosen))
