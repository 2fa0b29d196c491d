"""The functions of the face.

For `rmaplab/__init__.py`. Rooms that are dear to load, or need an extra, are loaded by the function that needs them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from rmaplab.errors import RmaplabError
from rmaplab.extras import explained
from rmaplab.face.results import Comparison, Inspection, Prices, Refutation, Run, StepComparison
from rmaplab.judge import judge as judge_trace
from rmaplab.machine.choose import On, open_machine
from rmaplab.report.console import table
from rmaplab.report.html_table import html
from rmaplab.report.schemes import scheme_table
from rmaplab.scenarios import CHOICES, SCENARIOS, Parameters, find
from rmaplab.schemes import SCHEMES, Scheme, select
from rmaplab.trace import Trace, read

if TYPE_CHECKING:  # the room that has it costs time to load
    from rmaplab.machine.differential.program import Step

__all__ = ["bench", "compare", "inspect", "judge", "open_machine", "refute", "registry_html", "run"]

_DEFAULT_KERNEL = "linux-6.18"


def run(
    scenario: str,
    *,
    on: On = "live",
    kernel: str | None = None,
    schemes: Iterable[str | Scheme] | None = None,
    size: int = 16 << 20,
    order: int = 9,
    k: int = 2,
    survivor: int = -1,
    mapping: Literal["pte", "pmd"] = "pte",
    seed: int = 0,
) -> Run:
    """Run `scenario` on a machine, replay it through the schemes, and judge them.

    `on`: "live" (real processes of this kernel), "model", or "lab" (a kernel booted in QEMU). `kernel`: the model's
    policy ("linux-6.18" by default) or what the lab boots ("6.12", "7.3,scheme=packed"). `size` in bytes; the other
    parameters are those of `rmaplab run`. Raises RmaplabError for a parameter that the scenario does not read,
    NotAvailable where this system does not permit it.
    """
    parameters = Parameters(size, order, k, survivor, seed, mapping)
    parameters.check()
    program = find(scenario)
    usual = Parameters()
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if field.name in CHOICES - program.reads and value != getattr(usual, field.name):
            raise RmaplabError(f"{field.name}: {value}: must be left out: {scenario} does not read it")
    if on == "live" and kernel is not None:
        raise RmaplabError(f"kernel: {kernel}: goes with on='model' or on='lab'")
    if on == "lab" and kernel is None:
        raise RmaplabError("kernel: missing: on='lab' boots one, such as '6.12'")
    with open_machine(on, kernel or _DEFAULT_KERNEL) as machine:
        trace = program.play(machine, parameters)
    return judge(trace, schemes)


@overload
def compare(program: str, kernels: Sequence[str], **parameters: int | str) -> Comparison: ...
@overload
def compare(program: "Sequence[Step]", kernels: Sequence[str]) -> StepComparison: ...
def compare(
    program: "str | Sequence[Step]", kernels: Sequence[str], **parameters: int | str
) -> Comparison | StepComparison:
    """`program` on the model under the rules of each of `kernels`: a scenario by name, with parameters as for `run`; or a
    sequence of `Step`s, compared step by step."""
    if isinstance(kernels, str):
        raise RmaplabError(f"kernels: {kernels!r}: must be a sequence of names")
    if not isinstance(program, str):
        return _step_by_step(program, kernels, parameters)
    runs = {kernel: run(program, on="model", kernel=kernel, **parameters) for kernel in kernels}  # type: ignore[arg-type]
    if not runs:
        raise RmaplabError("kernels: none given: must name at least one")
    return Comparison(runs)


def _step_by_step(program: "Sequence[Step]", kernels: Sequence[str], parameters: dict[str, int | str]) -> StepComparison:
    if parameters:
        raise RmaplabError(f"{next(iter(parameters))}: must be left out: a sequence of steps reads no parameters")
    if not kernels:
        raise RmaplabError("kernels: none given: must name at least one")
    sidebyside = import_module("rmaplab.machine.differential.sidebyside")
    return StepComparison(tuple(kernels), sidebyside.side_by_side(tuple(program), kernels))


def judge(trace: Trace | str | PathLike[str], schemes: Iterable[str | Scheme] | None = None) -> Run:
    """Judge schemes (all by default; names, or `Scheme` objects of your own) on a trace or on the directory of one."""
    source = trace if isinstance(trace, Trace) else read(Path(trace))
    wanted = list(schemes) if schemes is not None else list(SCHEMES)
    chosen = [select([one])[0] if isinstance(one, str) else one for one in wanted]
    return Run(source, judge_trace(source, chosen))


def inspect(
    *pids: int,
    cgroup: str | None = None,
    by: Literal["process", "vma", "cgroup", "order", "folio"] = "process",
    write: bool = False,
) -> Inspection:
    """Who maps the memory of processes `pids` (all if none and no `cgroup`), exclusively or shared, exactly.

    `by` says what a row is; `write` adds what a write to all of it would copy now. Raises RmaplabError for a PID that is
    no running process, NotAvailable without the privilege to see page frame numbers.
    """
    cgroups, look, probes, snapshot, views = (
        import_module(f"rmaplab.inspect.{name}") for name in ("cgroups", "look", "probes", "snapshot", "views")
    )
    system = import_module("rmaplab.system.pids")
    for pid in pids:
        system.find(pid)
    if cgroup is not None:
        if pids:
            raise RmaplabError(f"cgroup: {cgroup}: must come without PIDs")
        pids = tuple(cgroups.cgroup_pids(cgroup))
    snapshot.require_frames()
    view = probes.probe()
    try:
        everybody = not pids and cgroup is None
        choose = snapshot.everybody if everybody else lambda mms: snapshot.of_pids(mms, pids)
        answer = look.look(choose, view, write=write)
        return Inspection(answer, by, views.rows(answer.scope, by))
    finally:
        view.close()


def refute(
    scheme: str,
    order: int,
    *,
    values: int | None = None,
    id_bits: int | None = None,
    word_bits: int = 64,
    seconds: float = 60.0,
) -> Refutation:
    """Can this configuration of a linear scheme take shared memory for exclusive? By default the scheme's own.

    Gives up after `seconds`; then the answer is "undecided" and says how far it came. Needs the extra `refute`.
    """
    with explained():
        answers, decide, words = (import_module(f"rmaplab.verify.refute.{n}") for n in ("answers", "decide", "words"))
    config = words.configure(scheme, order, values, id_bits, word_bits)
    return Refutation(answers.with_replays(decide.decide(config, seconds)))


def bench(schemes: Iterable[str] | None = None, *, order: int = 9, rounds: int = 15) -> Prices:
    """Measure the C core's schemes on folios of `order`, interleaved in `rounds`; every price is a ratio to `mm-id`.

    Raises NotAvailable where the C core was not built.
    """
    operations = import_module("rmaplab.bench.operations")
    return Prices(operations.measure(operations.configurations(operations.known(schemes), [order]), rounds), order)


def registry_html(package: str) -> str:
    """The table a notebook shows for `rmaplab.schemes` or `rmaplab.scenarios`."""
    if package.endswith("schemes"):
        return html(scheme_table(list(SCHEMES.values())))
    rows = [(s.name, s.summary) for s in SCENARIOS.values()]
    return html(table("Scenarios", ("scenario", "what happens"), rows, left=2))
