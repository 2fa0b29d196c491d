"""`rmaplab run`: a scenario on a machine, or a recorded trace; then every scheme's verdicts, judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from rmaplab.cli import options
from rmaplab.cli.sizes import parse_size
from rmaplab.errors import RmaplabError
from rmaplab.judge import Happened, Judgement, judge, judge_parts
from rmaplab.machine.choose import On, open_machine
from rmaplab.report.console import emit_json, note, show
from rmaplab.report.kernels import kernels_table
from rmaplab.report.run import run_json, run_tables
from rmaplab.scenarios import CHOICES, MAX_PROCESSES, Parameters, Scenario, find
from rmaplab.schemes import Scheme, select
from rmaplab.trace import Meta, Trace, check_place, is_parted, open_parts, read, write


def run(
    context: typer.Context,
    what: Annotated[
        list[str], typer.Argument(metavar="[SCENARIO] [PATH]", help="A scenario; with --on trace, a trace's path.")
    ],
    on: Annotated[
        Literal["live", "model", "lab", "trace"],
        typer.Option(help="Where: real processes here, the model, processes in a booted kernel, or a recorded trace."),
    ] = "live",
    kernel: Annotated[
        str | None,
        typer.Option(
            help="Kernel of the model (linux-6.18); several, separated by commas, are compared. "
            "With --on lab what is booted: 6.12, or 7.3,scheme=packed, or a directory with a kernel."
        ),
    ] = None,
    scheme: Annotated[list[str] | None, typer.Option(help="Only this scheme (may be repeated).")] = None,
    size: Annotated[str, typer.Option(help="Memory the scenario maps: bytes, or with K, M, G.")] = "16M",
    order: Annotated[
        int, typer.Option(parser=options.order(), help="Order of its folios: 0 small, 9 THP, between: mTHP.")
    ] = 9,
    k: Annotated[
        int,
        typer.Option(
            parser=options.count(1, MAX_PROCESSES), help="Workers, generations or peers, as the scenario has it."
        ),
    ] = 2,
    survivor: Annotated[
        int,
        typer.Option(
            parser=options.count(-MAX_PROCESSES - 1, MAX_PROCESSES),
            help="Which process stays, counted from 0; -1 is the last.",
        ),
    ] = -1,
    mapping: Annotated[Literal["pte", "pmd"], typer.Option(help="THPs mapped by PTEs, or left PMD-mapped.")] = "pte",
    seed: Annotated[int, typer.Option(parser=options.seed(), help="Seed of scenarios that draw lots.")] = 0,
    save_trace: Annotated[Path | None, typer.Option(help="Write the trace to this directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Run a scenario, replay it through the schemes, and judge them."""
    schemes = select(scheme or None)
    if kernel is not None and on not in ("model", "lab"):
        raise RmaplabError(f"--kernel: {kernel}: goes with --on model or --on lab")
    if kernel is None and on == "lab":
        raise RmaplabError("--kernel: missing: --on lab boots one, such as 6.12")
    kernels = [kernel] if on == "lab" and kernel else (kernel or "linux-6.18").split(",")
    if save_trace is not None:
        _check_save(save_trace, kernels)
    if on == "trace":
        options.refuse(context, "--on trace", "size", "order", *CHOICES)
        if is_parted(what[-1]):
            options.refuse(context, "a trace in parts", "save_trace")
            _show([_by_parts(what, schemes)], as_json)
            return
        traces = [_recorded(what)]
    else:
        parameters = Parameters(parse_size(size), order, k, survivor, seed, mapping)
        parameters.check()
        scenario = find(_only(what))
        options.refuse(context, f"{scenario.name}, which does not read it", *CHOICES - scenario.reads)
        traces = [_played(scenario, parameters, on, name) for name in kernels]
    if save_trace is not None:
        write(traces[0], save_trace)
        note(f"trace written to {save_trace}")
    _show([(trace, judge(trace, schemes)) for trace in traces], as_json)


def _show(judged: Sequence[tuple[Trace | Happened, Judgement]], as_json: bool) -> None:
    if as_json:
        documents = [run_json(trace, judgement) for trace, judgement in judged]
        emit_json(documents[0] if len(documents) == 1 else {"kernels": documents})
        return
    shown = run_tables(*judged[0]) if len(judged) == 1 else [kernels_table(judged)]
    for table in shown:
        show(table)


def _played(scenario: Scenario, parameters: Parameters, on: On, kernel: str) -> Trace:
    with open_machine(on, kernel) as machine:
        note(f"{scenario.name} on {machine.name}: {scenario.summary}")
        return scenario.play(machine, parameters)


def _check_save(directory: Path, kernels: list[str]) -> None:
    if len(kernels) != 1:
        raise RmaplabError(f"--save-trace: {directory}: takes one trace, not those of {len(kernels)} kernels")
    check_place(directory)


def _only(what: list[str]) -> str:
    if len(what) != 1:
        raise RmaplabError(f"run: {' '.join(what)!r}: must be one scenario")
    return what[0]


def _recorded(what: list[str]) -> Trace:
    """`PATH`, or `SCENARIO PATH`: then the trace must be of that scenario."""
    _check_words(what)
    trace = read(Path(what[-1]))
    _check_scenario(what, trace.meta)
    return trace


def _by_parts(what: list[str], schemes: Sequence[Scheme]) -> tuple[Happened, Judgement]:
    """The same of a trace in parts, which are read and judged one after the other."""
    _check_words(what)
    parts = open_parts(Path(what[-1]))
    _check_scenario(what, parts.meta)
    judged = judge_parts(parts, schemes)
    return judged.happened, judged.judgement


def _check_words(what: list[str]) -> None:
    if len(what) > 2:
        raise RmaplabError(f"run --on trace: {' '.join(what)!r}: must be [SCENARIO] PATH")


def _check_scenario(what: list[str], meta: Meta) -> None:
    if len(what) == 2 and meta.scenario != find(what[0]).name:
        raise RmaplabError(f"run --on trace: {what[-1]} is a trace of {meta.scenario!r}, not of {what[0]!r}")
