"""`rmaplab differential`: hold the model against the running kernel with random programs."""

from pathlib import Path
from typing import Annotated

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.machine.differential.jobs import run_campaign
from rmaplab.machine.differential.plan import OPTIONAL, Plan, Seeds, without
from rmaplab.report.console import emit_json


def differential(
    context: typer.Context,
    n: Annotated[int, typer.Option("-n", parser=options.count(1), help="Programs.")] = 2000,
    seed: Annotated[int, typer.Option(parser=options.seed(), help="Seed of the first; the others follow it.")] = 1,
    seeds: Annotated[str | None, typer.Option(help="First and last seed, A:B, instead of -n and --seed.")] = None,
    steps: Annotated[int, typer.Option(parser=options.count(1, 100_000), help="Operations a program.")] = 30,
    kernel: Annotated[str, typer.Option(help="The kernel the model is.")] = "linux-6.18",
    without_: Annotated[
        str, typer.Option("--without", help=f"What programs do without, by commas: {', '.join(OPTIONAL)}.")
    ] = "",
    jobs: Annotated[int, typer.Option(parser=options.count(1, 8192), help="Processes, each on a CPU of its own.")] = 1,
    resume: Annotated[
        Path | None, typer.Option(help="A journal: what it has is not run again, and what is run gets into it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold the model against the running kernel with random programs.

    Exit code 1 after a mismatch (a script that shows it goes to stderr), or if too much had to be set aside.
    """
    if seeds is not None:
        options.refuse(context, "--seeds", "n", "seed")
    which = Seeds.parse(seeds).range() if seeds is not None else range(seed, seed + n)
    counts = run_campaign(Plan(kernel, steps, without(without_)), which, jobs, resume=resume)
    if as_json:
        emit_json(counts.numbers(kernel))
    else:
        typer.echo(counts.report(kernel))
    if counts.exit_code:
        raise typer.Exit(FINDING)
