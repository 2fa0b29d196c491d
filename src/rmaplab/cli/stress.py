"""`rmaplab stress`: race the C core's schemes and judge every answer afterwards."""

from types import MappingProxyType
from typing import Annotated, Final, Literal

import typer

from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.core import variants
from rmaplab.errors import RmaplabError
from rmaplab.report.console import emit_json, say, show, table
from rmaplab.report.progress import progress
from rmaplab.stress.campaign import Outcome, campaign

_SHOWN: Final = 20


_MODES: Final = MappingProxyType({"threads": [False], "processes": [True], "both": [False, True]})


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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Race the C core's schemes, and judge every answer afterwards.

    Exit code 1 if an answer was impossible at every moment of its call, or a counter is wrong at the end.
    """
    for name in scheme or []:
        if name not in variants():
            raise RmaplabError(f"scheme: {name}: must be one of {', '.join(variants())}")
    chosen = [variants()[name] for name in scheme or variants()]
    outcomes: list[Outcome] = []
    with progress() as bar:
        task = bar.add_task("racing", total=None)
        for outcome in campaign(chosen, seconds, workers, readers, _MODES[mode], seed):
            outcomes.append(outcome)
            bar.update(task, advance=1, description=f"racing {outcome.race.variant.name}")
    findings = [str(f) for outcome in outcomes for f in outcome.findings]
    if as_json:
        emit_json({"results": _rows(outcomes), "findings": findings})
    else:
        _print(outcomes, findings)
    if findings:
        raise typer.Exit(FINDING)


def _rows(outcomes: list[Outcome]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(outcome.race.variant.name for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.race.variant.name == name]
        rows.append(
            {
                "scheme": name,
                "races": len(mine),
                "operations": sum(outcome.operations for outcome in mine),
                "answers": sum(outcome.answers for outcome in mine),
                "findings": sum(len(outcome.findings) for outcome in mine),
            }
        )
    return rows


def _print(outcomes: list[Outcome], findings: list[str]) -> None:
    columns = ("scheme", "races", "operations", "answers checked", "findings")
    show(table("races", columns, [list(row.values()) for row in _rows(outcomes)]))
    for line in findings[:_SHOWN]:
        say(line)
    if len(findings) > _SHOWN:
        say(f"and {len(findings) - _SHOWN} more")
