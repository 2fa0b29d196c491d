"""`rmaplab demo`: two runs that show the question, its answers, and the price of a wrong one."""

from typing import Final

from rmaplab.errors import NotAvailable
from rmaplab.judge import judge
from rmaplab.machine.choose import open_machine
from rmaplab.recorded import recorded
from rmaplab.report.console import note, stdout
from rmaplab.report.run import conclusion, run_tables
from rmaplab.scenarios import Parameters, find
from rmaplab.schemes import select
from rmaplab.trace import Trace, read

_RUNS: Final = ("prefork", "fork-exit-write")
_PARAMETERS: Final = Parameters(k=2, survivor=-1)


def demo() -> None:
    """See on this kernel which schemes are right, which are wrong, and what that costs.

    prefork: a parent and two workers; the last-forked worker survives and writes. fork-exit-write: a parent and a
    child; the child leaves, the parent writes. Live where permitted, else from a recorded trace of the same run.
    """
    console = stdout()
    for name in _RUNS:
        trace = _live_or_recorded(name)
        judgement = judge(trace, select())
        for table in run_tables(trace, judgement):
            console.print(table)
            console.print()
        console.print(conclusion(trace, judgement))
        console.print()


def _live_or_recorded(name: str) -> Trace:
    scenario = find(name)
    try:
        with open_machine("live", "") as machine:
            note(f"{name}: live, on the running kernel: {scenario.summary}")
            return scenario.play(machine, _PARAMETERS)
    except NotAvailable as missing:
        note(f"{name}: from the recorded trace, because {missing}")
        return read(recorded(name))
