"""`rmaplab race`: every execution of a few threads over the C core's headers, under seven memory models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from rmaplab.campaigns import Rows
from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.parting import ResumeOption, SchedulerOption, ShardOption, carried
from rmaplab.errors import RmaplabError
from rmaplab.report.console import emit_json, note, show, table
from rmaplab.sources import CORE
from rmaplab.system.files import told, write_file
from rmaplab.verify.race.barriers import BARRIERS, needs
from rmaplab.verify.race.barriers import cells as barrier_cells
from rmaplab.verify.race.barriers import row as barrier_row
from rmaplab.verify.race.campaign import Races, verdict_of
from rmaplab.verify.race.cheapest import CHOICES, HEADINGS, search
from rmaplab.verify.race.cheapest import cells as cheapest_cells
from rmaplab.verify.race.cheapest import row as cheapest_row
from rmaplab.verify.race.draw import listing
from rmaplab.verify.race.export import Unfinished, can_be_exported, exported
from rmaplab.verify.race.page import difference, page, picture
from rmaplab.verify.race.programs import BOUND, Programs, Verdict, load
from rmaplab.verify.race.result import cells, choose, meaning, models, row, smallest

_WORK: Final = ("jobs", "shard", "resume", "scheduler")
"""Options of how the work is done."""


def race(
    context: typer.Context,
    program: Annotated[
        list[str] | None, typer.Argument(help="Programs, NAME or NAME/STAGE; by default all of up to three threads.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Models, separated by commas; all by default.")] = None,
    bits: Annotated[int, typer.Option(parser=options.count(32, 64), help="Width of the sequence count: 64 or 32.")] = 64,
    seconds: Annotated[
        float, typer.Option(parser=options.seconds(0.1), help="CPU time for a program under a model.")
    ] = 60.0,
    core: Annotated[
        Path | None,
        typer.Option(help="Take core/'s headers from this directory: a copy with a barrier changed, say.", metavar="DIR"),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            help="Write the smallest bad executions into this directory: race.html, model by model, and an SVG each."
        ),
    ] = None,
    export: Annotated[
        str | None, typer.Option(help="litmus: write the programs as litmus files of Linux' model, for herd7.")
    ] = None,
    into: Annotated[Path | None, typer.Option(help="The directory for --export, otherwise ./litmus.")] = None,
    barriers: Annotated[
        bool,
        typer.Option(
            "--barriers", help="Take the headers' barriers out one at a time: which model needs it, and what breaks?"
        ),
    ] = False,
    cheapest: Annotated[
        bool,
        typer.Option(
            "--cheapest",
            help="How weak may each place of the sequence count be? The weakest mappings that keep every promise.",
        ),
    ] = False,
    jobs: Annotated[int, typer.Option(parser=options.count(1, 8192), help="Processes that do the work.")] = 1,
    shard: ShardOption = None,
    resume: ResumeOption = None,
    scheduler: SchedulerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of tables.")] = False,
) -> None:
    """Kept or broken, promise by promise, and the smallest execution that breaks it, model by model.

    Exit code 1 if a promise of ours is broken.
    """
    if bits not in (64, 32):
        raise typer.BadParameter(f"{bits}: must be 64 or 32", param_hint="--bits")
    if core is not None and not (core / "atomic_seqcount.h").is_file():
        raise RmaplabError(f"--core: {core}: must be a directory with core/'s headers, has no atomic_seqcount.h")
    if export is not None:
        if export != "litmus":
            raise typer.BadParameter(f"{export}: must be litmus", param_hint="--export")
        options.refuse(context, "--export", "model", "draw", "barriers", "cheapest", *_WORK)
        programs = load(bits) if core is None else load(bits, core)
        _export(programs, program or (), seconds, into or Path("litmus"), as_json)
        return
    if into is not None:
        raise typer.BadParameter(f"{into}: must come with --export", param_hint="--into")
    if barriers:
        if program:
            raise typer.BadParameter(f"{program[0]}: --barriers runs programs of its own", param_hint="PROGRAM")
        options.refuse(context, "--barriers", "core", "draw", "cheapest", *_WORK)
        _barriers(models(model), bits, seconds, as_json)
        return
    if cheapest:
        if program:
            raise typer.BadParameter(f"{program[0]}: --cheapest runs programs of its own", param_hint="PROGRAM")
        options.refuse(context, "--cheapest", "bits", "core", "draw", *_WORK)
        _cheapest(models(model) if model else tuple(CHOICES), seconds, as_json)
        return
    if scheduler is not None:
        options.refuse(context, "--scheduler", "jobs")
    campaign = Races.of(program or (), models(model), bits, seconds, None if core is None else str(core.absolute()))
    rows = carried(campaign, shard, resume, scheduler, _tell, jobs)
    if draw is not None:
        _draw(list(map(verdict_of, rows)), campaign.models, difference(core or CORE, CORE), draw)
    present(campaign, rows, as_json)


campaign_of = Races.again


def present(campaign: Races, rows: Rows, as_json: bool) -> None:
    """Print the verdicts, and end as they say."""
    found = list(map(verdict_of, rows))
    if as_json:
        emit_json([row(v) for v in found])
    else:
        _show(found, campaign.models, campaign.bits)
    if any(v.verdict == "broken" and v.ours for v in found):
        raise typer.Exit(FINDING)


def _tell(_unit: int, rows: Rows, _sum: Rows) -> None:
    found = list(map(verdict_of, rows))
    some, broken = found[0], [v.promise for v in found if v.verdict == "broken"]
    said = f", broken: {', '.join(broken)}" if broken else ""
    note(f"{some.program}/{some.stage} under {some.model}: {some.executions} executions{said}")


def _show(found: list[Verdict], columns: tuple[str, ...], bits: int) -> None:
    title = f"Promises, {bits}-bit sequence count ({BOUND})"
    show(table(title, ("program", "stage", "promise", *columns), cells(found, columns), left=3))
    for v in found:
        if v.witness is None and v.reason:
            typer.echo(f"{v.program}/{v.stage} under {v.model}: {v.promise}: undecided: {v.reason}")
    for v in smallest(found).values():
        if v.witness is not None:
            typer.echo(f"\n{v.program}/{v.stage} under {v.model}: broken: {meaning(v.promise)}")
            typer.echo("\n".join(listing(v.witness, v.roles, v.words)))


def _export(programs: Programs, names: Sequence[str], seconds: float, into: Path, as_json: bool) -> None:
    written = []
    with told(into):
        into.mkdir(parents=True, exist_ok=True)
    for program in choose(programs, names):
        if not can_be_exported(programs, program):
            note(f"{program.name}/{program.stage}: has 16-byte accesses, which Linux' model does not know: left out")
            continue
        try:
            for file in exported(programs, program, seconds):
                path = into / f"{file.name}.litmus"
                write_file(path, file.text)
                written.append({"file": str(path), "result": file.result})
        except Unfinished as error:
            note(f"{error}: left out")
    if as_json:
        emit_json(written)
    else:
        typer.echo(f"{len(written)} files in {into}")


def _barriers(columns: tuple[str, ...], bits: int, seconds: float, as_json: bool) -> None:
    found = []
    for need in needs(BARRIERS, columns, seconds, bits):
        found.append(need)
        note(f"without the {need.barrier.name}, under {need.model}: {need.verdict}")
    if as_json:
        emit_json([barrier_row(need) for need in found])
    else:
        title = f"What breaks without it, {bits}-bit sequence count ({BOUND})"
        show(table(title, ("barrier", *columns), barrier_cells(found, columns), left=1))
        typer.echo("-: nothing in the programs run; ?: undecided")


def _cheapest(columns: tuple[str, ...], seconds: float, as_json: bool) -> None:
    found = []
    for column in columns:
        if column not in CHOICES:
            raise RmaplabError(f"--model: {column}: has no mapping to weaken, must be one of {', '.join(CHOICES)}")
    for column in columns:
        for one in search(column, seconds):
            found.append(one)
            note(f"{one.model}, {one.start}: {one.broken.verdict if one.broken else 'kept'}")
    if as_json:
        emit_json([cheapest_row(one) for one in found])
    else:
        title = f"The weakest mappings of the sequence count ({BOUND})"
        show(table(title, ("model", "start", *HEADINGS, "promises"), cheapest_cells(found), left=9))


def _draw(found: list[Verdict], columns: tuple[str, ...], change: str, folder: Path) -> None:
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for v in found:
        if v.witness is not None:
            name = f"{v.program}-{v.stage}-{v.model}-{v.promise}.svg"
            write_file(folder / name.replace(" ", "-").replace(",", ""), picture(v))
    write_file(folder / "race.html", page(found, columns, change))
    note(f"wrote {folder / 'race.html'}")
