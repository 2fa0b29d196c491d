"""One campaign over several processes, each on a CPU of its own.

For `python -m rmaplab.machine.differential` and `rmaplab differential`. A live machine keeps all its processes on one
CPU, so that is what a job needs and all it can use. Seeds are dealt out in turn; every program is a machine of its own,
so a campaign says the same however many jobs it has.
"""

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TextIO

from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.counts import Counts, Progress
from rmaplab.machine.protocol import BadOperation, MachineError
from rmaplab.system.signals import Interrupted

_STOP = signal.SIGTERM


def run_campaign(kernel: str, steps: int, seeds: range, jobs: int = 1, out: TextIO | None = None) -> Counts:
    """Run the programs of `seeds`; progress and mismatches go to `out` (stderr). An interrupt ends it early, with the
    counts of what was done. Raises NotAvailable, BadOperation (more jobs than CPUs), MachineError (a job died)."""
    out = out or sys.stderr
    campaign, progress = Campaign(kernel, steps, out), Progress(len(seeds), out)
    if jobs > 1:
        return _Jobs(kernel, steps, seeds, jobs, out).collect(progress)
    try:
        for counts in campaign.run(seeds):
            progress.say(counts)
    except (KeyboardInterrupt, Interrupted):
        _interrupted(campaign.counts, out)
    return campaign.counts


def _interrupted(counts: Counts, out: TextIO) -> None:
    print(f"interrupted after {counts.programs} programs", file=out)


@dataclass(slots=True)
class _Job:
    process: BaseProcess
    channel: Connection
    counts: Counts = field(default_factory=Counts)


class _Jobs:
    """The processes of one campaign, running."""

    def __init__(self, kernel: str, steps: int, seeds: range, jobs: int, out: TextIO) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        if jobs > len(cpus):
            raise BadOperation("jobs", jobs, f"each has a CPU of its own, and there are {len(cpus)}")
        self._out = out
        self._jobs = [_start(kernel, steps, seeds[i::jobs], cpus[i]) for i in range(jobs)]

    def collect(self, progress: Progress) -> Counts:
        """Wait for all; the sum. An interrupt ends every job after what it has done."""
        try:
            self._listen(progress)
        except (KeyboardInterrupt, Interrupted):
            for job in self._jobs:
                job.process.terminate()
            self._listen(progress)
            _interrupted(self._sum(), self._out)
        for job in self._jobs:
            job.process.join()
            if job.process.exitcode not in (0, -_STOP):  # the latter: stopped before it had begun
                raise MachineError(f"a job (pid {job.process.pid}) ended with code {job.process.exitcode}")
        return self._sum()

    def _listen(self, progress: Progress) -> None:
        open_channels = {job.channel: job for job in self._jobs if not job.channel.closed}
        while open_channels:
            for channel in wait(list(open_channels)):
                assert isinstance(channel, Connection)
                try:
                    open_channels[channel].counts, text = channel.recv()
                except EOFError:
                    channel.close()
                    del open_channels[channel]
                    continue
                self._out.write(text)
                self._out.flush()
                progress.say(self._sum())

    def _sum(self) -> Counts:
        return sum((job.counts for job in self._jobs), Counts())


def _start(kernel: str, steps: int, seeds: Sequence[int], cpu: int) -> _Job:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(kernel, steps, seeds, cpu, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Job(process, ours)


def _work(kernel: str, steps: int, seeds: Sequence[int], cpu: int, channel: Connection) -> None:
    """A job: after every program the counts so far and what there is to print. SIGTERM ends it after the program it is
    at; an interrupt from the terminal is the coordinator's to act on."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(_STOP, lambda *_: stop.set())
    os.sched_setaffinity(0, {cpu})
    out = io.StringIO()
    try:
        for counts in Campaign(kernel, steps, out).run(seeds):
            channel.send((counts, out.getvalue()))
            out.seek(0)
            out.truncate()
            if stop.is_set():
                break
    except BrokenPipeError:
        sys.exit(1)
