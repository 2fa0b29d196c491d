"""`rmaplab differential`: hold the model against the running kernel with random programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rmaplab.campaigns import Shard
from rmaplab.cli import options
from rmaplab.cli.exits import FINDING
from rmaplab.cli.parting import ResumeOption, SchedulerOption, ShardOption, carried
from rmaplab.errors import RmaplabError
from rmaplab.machine.differential.corpus import read
from rmaplab.machine.differential.counts import Counts
from rmaplab.machine.differential.jobs import run_campaign, run_corpus
from rmaplab.machine.differential.plan import OPTIONAL, Plan, Seeds, without
from rmaplab.machine.differential.units import Programs, Told
from rmaplab.report.console import emit_json, note
from rmaplab.system.signals import Interrupted
from rmaplab.text import for_terminal
from rmaplab.trials.units import InGuests, guests

_OF_RANDOM: Final = ("n", "seed", "seeds", "steps", "without_", "jobs", "shard", "resume", "scheduler", "guest")
"""Options that say which random programs run, and where."""


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
    jobs: Annotated[int, typer.Option(parser=options.count(1, 8192), help="Processes, each on a CPU; or guests.")] = 1,
    shard: ShardOption = None,
    resume: ResumeOption = None,
    scheduler: SchedulerOption = None,
    guest: Annotated[
        str | None, typer.Option(metavar="KERNEL", help="Programs run in guests of this kernel, which the lab boots.")
    ] = None,
    on_workers: Annotated[
        bool, typer.Option("--on-workers", help="With --scheduler: programs run on the workers' own kernel.")
    ] = False,
    corpus: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The programs of this file (see make hunt), not random ones."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold the model against the running kernel with random programs.

    Exit code 1 after a mismatch (a script that shows it goes to stderr), or if too much had to be set aside.
    """
    if seeds is not None:
        options.refuse(context, "--seeds", "n", "seed")
    which = Seeds.parse(seeds).range() if seeds is not None else range(seed, seed + n)
    if shard is not None and resume is None:
        raise RmaplabError(f"--shard: {shard}: must come with --resume DIR, where its part is written")
    if scheduler is not None and (guest is not None) == on_workers:
        raise RmaplabError(
            "--scheduler: must come with --guest KERNEL (programs in guests) or --on-workers (on the workers' own kernel)"
        )
    if scheduler is None:
        options.refuse(context, "no --scheduler, which reads it", "on_workers")
    if scheduler is not None:
        options.refuse(context, "--scheduler", "jobs")
    plan = Plan(kernel, steps, without(without_))
    if corpus is not None:
        options.refuse(context, "--corpus", *_OF_RANDOM)
        _end(run_corpus(plan, read(corpus)), kernel, as_json)
        return
    campaign: Programs | InGuests = Programs.here(plan, which)
    if guest is not None:
        options.refuse(context, "--guest, whose kernel has rules of its own", "kernel")
        campaign = guests(guest, plan, which)
    elif scheduler is None:
        present(campaign, run_campaign(plan, which, jobs, resume=resume, shard=shard), as_json, said=False)
        return
    present(campaign, _carried(campaign, shard, resume, scheduler, jobs), as_json, said=False)


def _carried(
    campaign: Programs | InGuests, shard: Shard | None, resume: Path | None, scheduler: str | None, jobs: int
) -> Told:
    """All of it, or what an interrupt left of it."""
    told = Told()

    def tell(_unit: int, one: Told, so_far: Told) -> None:
        nonlocal told
        told = so_far
        for text in one.said.values():
            _say(text)
        note(so_far.counts.total())

    try:
        return carried(campaign, shard, resume, scheduler, tell, jobs)
    except (KeyboardInterrupt, Interrupted):
        note(f"interrupted after {told.counts.programs} programs")
        return told


def _say(text: str) -> None:
    """Lines that somewhere else were said of a mismatch: programs, among them C, which has tabs."""
    for line in text.splitlines():
        typer.echo("\t".join(for_terminal(word) for word in line.split("\t")), err=True)


def campaign_of(parameters: Mapping[str, Any]) -> Programs | InGuests:
    """The campaign of a part. Raises KeyError, TypeError, ValueError."""
    return InGuests.again(parameters) if "guest" in parameters else Programs.again(parameters)


def present(campaign: Programs | InGuests, told: Told, as_json: bool, *, said: bool = True) -> None:
    """Print the sum, and end as it says. `said`: also what was said of mismatches, to stderr."""
    for text in told.said.values() if said else ():
        _say(text)
    _end(told.counts, campaign.plan.kernel, as_json)


def _end(counts: Counts, kernel: str, as_json: bool) -> None:
    if as_json:
        emit_json(counts.numbers(kernel))
    else:
        typer.echo(counts.report(kernel))
    if counts.exit_code:
        raise typer.Exit(FINDING)
