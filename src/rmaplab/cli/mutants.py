"""What `rmaplab merge` prints of `make mutants`: the score. No command of its own: faults go into a source tree."""

import json

import typer

from rmaplab.campaigns import Rows
from rmaplab.cli.exits import FINDING
from rmaplab.machine.differential.fates import Mutants, line, numbers, score, surprising
from rmaplab.report.console import note

campaign_of = Mutants.again


def present(campaign: Mutants, rows: Rows, as_json: bool) -> None:
    """Print the score, and end as it says."""
    found = numbers(rows, campaign.programs)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for fate in rows:
            note(line(fate))
        typer.echo(score(found))
    if surprising(found):
        raise typer.Exit(FINDING)
