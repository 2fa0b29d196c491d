"""`rmaplab stress`: race the C core's schemes and judge every answer afterwards."""

from dataclasses import asdict
from types import MappingProxyType
from typing import Annotated, Final, Literal

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.parting import ResumeOption, SchedulerOption, ShardOption, carried
from rmaplab.core import variants
from rmaplab.errors import RmaplabError
from rmaplab.names import must_be
from rmaplab.report.console import emit_json, say, show, table
from rmaplab.report.progress import progress
from rmaplab.stress.campaign import Raced, Stress

_SHOWN: Final = 20


_MODES: Final = MappingProxyType({"threads": (False,), "processes": (True,), "both": (False, True)})


def stress(
    seconds: Annotated[float, typer.Option(parser=options.seconds(0), help="How long to race.")] = 60,
    scheme: Annotated[list[str] | None, typer.Option(help="Only this scheme (may be repeated).")] = None,
    mode: Annotated[
        Literal["threads", "processes", "both"], typer.Option(help="Workers: threads, processes, or both in turn.")
    ] = "both",
    workers: Annotated[
        int, typer.Option(parser=options.count(1, 32), help="Workers that map, unmap, fork, exit and ask.")
    ] = 3,
    readers: Annotated[int, typer.Option(parser=options.count(0, 32), help="Workers that only ask.")] = 1,
    seed: Annotated[int, typer.Option(parser=options.seed(1), help="Seed of the first race.")] = 1,
    shard: ShardOption = None,
    resume: ResumeOption = None,
    scheduler: SchedulerOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Race the C core's schemes, and judge every answer afterwards.

    Exit code 1 if an answer was impossible at every moment of its call, or a counter is wrong at the end.
    """
    for name in scheme or []:
        if name not in variants():
            raise RmaplabError(f"scheme: {name}: {must_be(name, variants())}")
    campaign = Stress(tuple(dict.fromkeys(scheme or variants())), seconds, workers, readers, _MODES[mode], seed)
    with progress() as bar:
        task = bar.add_task("racing", total=None)

        def tell(_unit: int, one: Raced, _sum: Raced) -> None:
            bar.update(task, advance=1, description=f"racing {next(iter(one.tallies))}")

        raced = carried(campaign, shard, resume, scheduler, tell)
    present(campaign, raced, as_json)


campaign_of = Stress.again


def present(campaign: Stress, raced: Raced, as_json: bool) -> None:
    """Print what the races gave, and end as they say."""
    findings = [text for unit in sorted(raced.findings) for text in raced.findings[unit]]
    rows = [{"scheme": name, **asdict(raced.tallies[name])} for name in campaign.names if name in raced.tallies]
    if as_json:
        emit_json({"results": rows, "findings": findings})
    else:
        _print(rows, findings)
    if findings:
        raise typer.Exit(FINDING)


def _print(rows: list[dict[str, object]], findings: list[str]) -> None:
    columns = ("scheme", "races", "operations", "answers checked", "findings")
    show(table("races", columns, [list(row.values()) for row in rows]))
    for line in findings[:_SHOWN]:
        say(line)
    if len(findings) > _SHOWN:
        say(f"and {len(findings) - _SHOWN} more")
