"""`rmaplab scenarios`: list the scenarios."""

from typing import Annotated

import typer

from rmaplab.report.console import emit_json, show, table
from rmaplab.scenarios import SCENARIOS


def scenarios(as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False) -> None:
    """List the scenarios."""
    rows = [(s.name, s.summary) for s in SCENARIOS.values()]
    if as_json:
        emit_json([{"scenario": name, "summary": summary} for name, summary in rows])
    else:
        show(table("Scenarios (`rmaplab run NAME`)", ("scenario", "what happens"), rows, left=2))
