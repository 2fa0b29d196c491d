"""`rmaplab trace`: traces larger than memory, cut into parts."""

from pathlib import Path
from typing import Annotated

import typer

from rmaplab.cli import options
from rmaplab.cli.parting import ResumeOption, SchedulerOption, ShardOption, carried
from rmaplab.cli.trace_erosion import erosion
from rmaplab.cli.trace_partly import partly
from rmaplab.judge.campaign import JudgedUnits, JudgeTrace
from rmaplab.report.console import emit_json, note, show
from rmaplab.report.run import run_json, run_tables
from rmaplab.trace import MOST_PARTS, open_parts
from rmaplab.trace import split as split_trace

trace = typer.Typer(
    no_args_is_help=True, help="Recorded traces: cut into parts, or asked what erodes and what is partly mapped."
)


trace.command()(erosion)
trace.command()(partly)


@trace.callback()
def _group() -> None:
    """Traces larger than memory, cut into parts."""


@trace.command()
def split(
    source: Annotated[Path, typer.Argument(help="A trace's directory.")],
    target: Annotated[Path, typer.Argument(help="Directory to write the parts to.")],
    parts: Annotated[
        int | None,
        typer.Option(parser=options.count(1, MOST_PARTS), help="At most so many; by default of 4,000,000 events each."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object about the parts.")] = False,
) -> None:
    """Cut a trace by folio into parts that `rmaplab run --on trace` reads one after the other."""
    split_trace(source, target, parts)
    made = open_parts(target)
    sums = {name: sum(one[name] for one in made.parts) for name in ("folios", "events", "questions")}
    if as_json:
        emit_json({"path": str(target), "parts": len(made), **sums})
        return
    note(f"{', '.join(f'{count} {name}' for name, count in sums.items())} in {len(made)} parts: written to {target}")


@trace.command()
def judge(
    path: Annotated[Path, typer.Argument(metavar="PARTS", help="A trace in parts.")],
    scheme: Annotated[list[str] | None, typer.Option(help="Only this scheme (may be repeated).")] = None,
    shard: ShardOption = None,
    resume: ResumeOption = None,
    scheduler: SchedulerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Judge a trace in parts, as `rmaplab run --on trace` does: in shards, resumed, or by many workers."""
    campaign = JudgeTrace.of(path, scheme)

    def tell(unit: int, _one: JudgedUnits, so_far: JudgedUnits) -> None:
        note(f"part {unit} judged; {so_far.judged.happened.events} events so far")

    present(campaign, carried(campaign, shard, resume, scheduler, tell), as_json)


campaign_of = JudgeTrace.again


def present(_campaign: JudgeTrace, found: JudgedUnits, as_json: bool) -> None:
    """Print the judgement."""
    happened, judgement = found.judged.happened, found.judged.judgement
    if as_json:
        emit_json(run_json(happened, judgement))
    else:
        for sheet in run_tables(happened, judgement):
            show(sheet)
