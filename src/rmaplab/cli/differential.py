"""`rmaplab differential`: hold the model against the running kernel with random programs."""

from typing import Annotated

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.machine.differential.jobs import run_campaign
from rmaplab.report.console import emit_json


def differential(
    n: Annotated[int, typer.Option("-n", parser=options.count(1), help="Programs.")] = 2000,
    seed: Annotated[int, typer.Option(parser=options.seed(), help="Seed of the first; the others follow it.")] = 1,
    steps: Annotated[int, typer.Option(parser=options.count(1, 100_000), help="Operations a program.")] = 30,
    kernel: Annotated[str, typer.Option(help="The kernel the model is.")] = "linux-6.18",
    jobs: Annotated[int, typer.Option(parser=options.count(1, 8192), help="Processes, each on a CPU of its own.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold the model against the running kernel with random programs.

    Exit code 1 after a mismatch (a script that shows it goes to stderr), or if too much had to be set aside.
    """
    counts = run_campaign(kernel, steps, range(seed, seed + n), jobs)
    if as_json:
        emit_json(counts.numbers(kernel))
    else:
        typer.echo(counts.report())
    if counts.exit_code:
        raise typer.Exit(FINDING)
