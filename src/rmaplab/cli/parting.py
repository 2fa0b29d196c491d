"""Options of every campaign: which part of it, where its file is, and who does the work.

For the commands that have a campaign. `carried` carries one out as these options say.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from rmaplab.campaigns import Campaign, CampaignError, Processes, Shard, carry_out
from rmaplab.campaigns.base import R
from rmaplab.cluster import require_dask
from rmaplab.errors import RmaplabError


def _shard(value: object) -> Shard:
    if isinstance(value, Shard):
        return value
    try:
        return Shard.parse(str(value))
    except CampaignError as error:
        raise typer.BadParameter(str(error)) from error


ShardOption = Annotated[
    Shard | None,
    typer.Option("--shard", parser=_shard, metavar="I/N", help="Do part I of N only; with --resume. See rmaplab merge."),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        "--resume", metavar="DIR", help="Write the part to this directory as the work goes; go on if it is there."
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS|local[:N]",
        help="Have Dask's workers do it: those of a scheduler, or N processes here (rmaplab[cluster]).",
    ),
]


def carried(
    campaign: Campaign[R],
    shard: Shard | None,
    resume: Path | None,
    scheduler: str | None = None,
    each: Callable[[int, R, R], None] = lambda *_: None,
    jobs: int = 1,
) -> R:
    """Carry `campaign` out, in `jobs` processes if there is no scheduler. Raises RmaplabError where a part would be lost,
    NotAvailable without Dask."""
    if shard is not None and resume is None:
        raise RmaplabError(f"--shard: {shard}: must come with --resume DIR, where its part is written")
    if scheduler is None:
        return carry_out(campaign, shard, resume, Processes(jobs) if jobs > 1 else None, each)
    require_dask()
    connected = import_module("rmaplab.cluster.engine").connected
    with connected(scheduler) as engine:
        return carry_out(campaign, shard, resume, engine, each)
