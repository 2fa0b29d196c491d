"""Units by several processes of this machine, each doing one unit at a time.

For the commands with `--jobs`. Whoever is done gets the next unit, so a long one delays nothing but itself.
"""

import signal
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from rmaplab.campaigns.base import Campaign, CampaignError, R
from rmaplab.errors import RmaplabError


@dataclass(slots=True)
class _Job:
    """A process, its channel, and the unit it is at."""

    process: BaseProcess
    channel: Connection
    unit: int


class Processes:
    """An engine for `carry_out`: `jobs` processes. They end when the work ends, however it does."""

    def __init__(self, jobs: int) -> None:
        self._count = jobs

    def results(self, campaign: Campaign[R], units: Iterable[int]) -> Iterator[tuple[int, R]]:
        """Each unit and its result, as they come. Raises what a unit raised, and CampaignError if its process died."""
        waiting = iter(units)
        jobs: dict[Connection, _Job] = {}
        try:
            for _, unit in zip(range(self._count), waiting, strict=False):
                job = _start(campaign, unit)
                jobs[job.channel] = job
            while jobs:
                for channel in wait(list(jobs)):
                    assert isinstance(channel, Connection)
                    job = jobs[channel]
                    done, result = job.unit, _received(campaign, job)
                    following = next(waiting, None)
                    if following is None:
                        _end(jobs.pop(channel))
                    else:
                        job.unit = following
                        channel.send(following)
                    yield done, result
        finally:
            for job in jobs.values():
                job.process.terminate()
                _end(job)


def _start(campaign: Campaign[Any], unit: int) -> _Job:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(campaign, theirs), daemon=True)
    process.start()
    theirs.close()
    ours.send(unit)
    return _Job(process, ours, unit)


def _received(campaign: Campaign[Any], job: _Job) -> Any:
    try:
        found = job.channel.recv()
    except (EOFError, ConnectionResetError) as error:
        job.process.join()
        said = f"its process ended with code {job.process.exitcode}"
        raise CampaignError(f"{campaign.command}: unit {job.unit}: {said}") from error
    if isinstance(found, RmaplabError):
        raise found
    return found


def _end(job: _Job) -> None:
    job.channel.close()
    job.process.join()


def _work(campaign: Campaign[Any], channel: Connection) -> None:
    """A job: units in, results out, until the channel is closed. An interrupt from the terminal is the other end's to act
    on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with closing(channel):
        while True:
            try:
                unit = channel.recv()
            except EOFError:
                return
            try:
                found = campaign.run(unit)
            except RmaplabError as error:
                found = error
            try:
                channel.send(found)
            except (BrokenPipeError, ConnectionResetError):
                return
