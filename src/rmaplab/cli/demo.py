"""`rmaplab demo`: two runs that show the question, its answers, and the price of a wrong one."""

from typing import Annotated, Final

import typer

from rmaplab.errors import NotAvailable
from rmaplab.judge import Judgement, judge
from rmaplab.machine.choose import open_machine
from rmaplab.recorded import recorded
from rmaplab.report.console import emit_json, note, say, show
from rmaplab.report.lesson import WORDS, lesson
from rmaplab.report.run import conclusion, run_json, run_tables
from rmaplab.scenarios import Parameters, find
from rmaplab.schemes import select
from rmaplab.trace import Trace, read

_RUNS: Final = ("prefork", "fork-exit-write")
_PARAMETERS: Final = Parameters(k=2, survivor=-1)


def demo(as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False) -> None:
    """See on this kernel which schemes are right, which are wrong, and what that costs.

    prefork: a parent and two workers; the last-forked worker survives and writes. fork-exit-write: a parent and a
    child; the child leaves, the parent writes. Live where permitted, else from a recorded trace of the same run.
    """
    documents = []
    runs = []
    if not as_json:
        say(*WORDS, "")
    for name in _RUNS:
        trace, recorded_because = _live_or_recorded(name)
        judgement = judge(trace, select())
        runs.append((trace, judgement))
        if as_json:
            documents.append({**run_json(trace, judgement), "recorded_because": recorded_because})
        else:
            _print(trace, judgement)
    if as_json:
        emit_json({"runs": documents})
    else:
        say(*lesson(runs))


def _print(trace: Trace, judgement: Judgement) -> None:
    for table in run_tables(trace, judgement):
        show(table)
        say("")
    say(*conclusion(trace, judgement).split("\n"), "")


def _live_or_recorded(name: str) -> tuple[Trace, str | None]:
    """The trace, and if it is the one that comes with the package, why."""
    scenario = find(name)
    try:
        with open_machine("live", "") as machine:
            note(f"{name}: live, on the running kernel: {scenario.summary}")
            return scenario.play(machine, _PARAMETERS), None
    except NotAvailable as missing:
        note(f"{name}: from the recorded trace, because {missing}")
        return read(recorded(name)), str(missing)
