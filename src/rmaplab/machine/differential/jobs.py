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
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.counts import Counts, Progress
from rmaplab.machine.differential.journal import Journal
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.protocol import BadOperation
from rmaplab.system.signals import Interrupted, shielded

_STOP = signal.SIGTERM


def run_campaign(
    plan: Plan, seeds: range, jobs: int = 1, out: TextIO | None = None, resume: Path | None = None
) -> Counts:
    """Run the programs of `seeds`; progress and mismatches go to `out` (stderr), and what each came to to the journal
    `resume`, whose programs are not run again. An interrupt ends it early, with the counts of what was done.

    Raises NotAvailable, BadOperation (more jobs than CPUs), RmaplabError (no journal of these programs).
    """
    out = out or sys.stderr
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(resume, plan)) if resume else None
        total = _Sum(len(seeds), out, journal, journal.done(seeds) if journal else Counts())
        left = journal.left(seeds) if journal else list(seeds)
        if jobs > 1:
            _Jobs(plan, left, jobs, total).run()
        else:
            campaign = Campaign(plan, out)
            try:
                for seed, counts in campaign.run(left):
                    total.add(seed, counts)
            except (KeyboardInterrupt, Interrupted):
                total.interrupted()
    return total.counts


@dataclass(slots=True)
class _Sum:
    """What has come to an end so far."""

    programs: int
    out: TextIO
    journal: Journal | None
    counts: Counts
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.programs, self.out)
        if self.counts.programs:
            print(f"{self.counts.programs} of {self.programs} programs were done before", file=self.out)

    def add(self, seed: int, counts: Counts) -> None:
        with shielded():
            self.counts += counts
            if self.journal:
                self.journal.add(seed, counts)
        self.progress.say(self.counts)

    def interrupted(self) -> None:
        print(f"interrupted after {self.counts.programs} programs", file=self.out)


@dataclass(slots=True)
class _Job:
    """A process, its channel, and the seeds it has still to run, in this order."""

    process: BaseProcess
    channel: Connection
    seeds: deque[int]


class _Jobs:
    """The processes of one campaign, each on a CPU of its own. Raises BadOperation if there are not as many."""

    def __init__(self, plan: Plan, seeds: Sequence[int], jobs: int, total: _Sum) -> None:
        self._cpus = sorted(os.sched_getaffinity(0))
        if jobs > len(self._cpus):
            raise BadOperation("jobs", jobs, f"each has a CPU of its own, and there are {len(self._cpus)}")
        self._plan, self._total = plan, total
        self._stopped = False
        self._jobs = {number: _start(plan, seeds[number::jobs], self._cpus[number]) for number in range(jobs)}

    def run(self) -> None:
        """Until all have ended. An interrupt ends every job after what it has done."""
        try:
            self._listen()
        except (KeyboardInterrupt, Interrupted):
            self._stopped = True
            for job in self._jobs.values():
                job.process.terminate()
            self._listen()
            self._total.interrupted()

    def _listen(self) -> None:
        while self._jobs:
            numbers = {job.channel: number for number, job in self._jobs.items()}
            for channel in wait(list(numbers)):
                assert isinstance(channel, Connection)
                number = numbers[channel]
                try:
                    counts, text = channel.recv()
                except EOFError:
                    self._end(number)
                    continue
                self._say(text)
                self._total.add(self._jobs[number].seeds.popleft(), counts)

    def _say(self, text: str) -> None:
        self._total.out.write(text)
        self._total.out.flush()

    def _end(self, number: int) -> None:
        """A job says no more. One that died takes the program it was at along; another goes on behind that."""
        job = self._jobs.pop(number)
        job.channel.close()
        job.process.join()
        if self._stopped or not job.seeds:
            return
        seed, *left = job.seeds
        self._say(f"seed {seed}: a job (pid {job.process.pid}) ended with code {job.process.exitcode}\n")
        lost = Counts(1, done=self._plan.steps)
        lost.aside["machine error"] = self._plan.steps
        self._total.add(seed, lost)
        self._jobs[number] = _start(self._plan, left, self._cpus[number])


def _start(plan: Plan, seeds: Sequence[int], cpu: int) -> _Job:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(plan, seeds, cpu, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Job(process, ours, deque(seeds))


def _work(plan: Plan, seeds: Sequence[int], cpu: int, channel: Connection) -> None:
    """A job: after every program its counts and what there is to print. SIGTERM ends it after the program it is
    at; an interrupt from the terminal is the coordinator's to act on."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(_STOP, lambda *_: stop.set())
    os.sched_setaffinity(0, {cpu})
    out = io.StringIO()
    try:
        for _, counts in Campaign(plan, out).run(seeds):
            channel.send((counts, out.getvalue()))
            out.seek(0)
            out.truncate()
            if stop.is_set():
                break
    except BrokenPipeError:
        sys.exit(1)
