"""`rmaplab race`: every execution of a few threads over the C core's headers, under seven memory models."""

from pathlib import Path
from typing import Annotated

import typer

from rmaplab.campaigns import Rows
from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.parting import ResumeOption, SchedulerOption, ShardOption, carried
from rmaplab.report.console import emit_json, note, show, table
from rmaplab.system.files import told, write_file
from rmaplab.verify.race.campaign import Races, verdict_of
from rmaplab.verify.race.draw import listing, svg
from rmaplab.verify.race.programs import BOUND, Verdict
from rmaplab.verify.race.result import cells, meaning, models, row


def race(
    program: Annotated[list[str] | None, typer.Argument(help="Programs, NAME or NAME/STAGE; all by default.")] = None,
    model: Annotated[str | None, typer.Option(help="Models, separated by commas; all by default.")] = None,
    bits: Annotated[int, typer.Option(parser=options.count(32, 64), help="Width of the sequence count: 64 or 32.")] = 64,
    seconds: Annotated[
        float, typer.Option(parser=options.seconds(0.1), help="Give up on a program under a model after this long.")
    ] = 60.0,
    draw: Annotated[
        Path | None, typer.Option(help="Write the smallest bad executions as SVG into this directory.")
    ] = None,
    shard: ShardOption = None,
    resume: ResumeOption = None,
    scheduler: SchedulerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of tables.")] = False,
) -> None:
    """Kept or broken, promise by promise, and the smallest execution that breaks it.

    Exit code 1 if a promise of ours is broken.
    """
    if bits not in (64, 32):
        raise typer.BadParameter(f"{bits}: must be 64 or 32", param_hint="--bits")
    campaign = Races.of(program or (), models(model), bits, seconds)
    rows = carried(campaign, shard, resume, scheduler, _tell)
    if draw is not None:
        _draw(list(map(verdict_of, rows)), draw)
    if present(campaign, rows, as_json):
        raise typer.Exit(FINDING)


campaign_of = Races.again


def present(campaign: Races, rows: Rows, as_json: bool) -> bool:
    """Print the verdicts; whether a promise of ours is broken."""
    found = list(map(verdict_of, rows))
    if as_json:
        emit_json([row(v) for v in found])
    else:
        _show(found, campaign.models, campaign.bits)
    return any(v.verdict == "broken" and v.ours for v in found)


def _tell(_unit: int, rows: Rows, _sum: Rows) -> None:
    some = next(map(verdict_of, rows))
    note(f"{some.program}/{some.stage} under {some.model}: {some.executions} executions")


def _show(found: list[Verdict], columns: tuple[str, ...], bits: int) -> None:
    title = f"Promises, {bits}-bit sequence count ({BOUND})"
    show(table(title, ("program", "stage", "promise", *columns), cells(found, columns), left=3))
    for v in found:
        if v.witness is not None:
            typer.echo(f"\n{v.program}/{v.stage} under {v.model}: broken: {meaning(v.promise)}")
            typer.echo("\n".join(listing(v.witness, v.roles, v.words)))
        elif v.reason:
            typer.echo(f"{v.program}/{v.stage} under {v.model}: {v.promise}: undecided: {v.reason}")


def _draw(found: list[Verdict], folder: Path) -> None:
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for v in found:
        if v.witness is not None:
            name = f"{v.program}-{v.stage}-{v.model}-{v.promise}.svg"
            title = f"{v.program}/{v.stage} under {v.model}: {meaning(v.promise)}: broken"
            write_file(folder / name, svg(v.witness, v.roles, v.words, title))
            note(f"wrote {folder / name}")
