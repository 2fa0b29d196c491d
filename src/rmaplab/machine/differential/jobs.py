"""One campaign over several processes, each on a CPU of its own.

For `python -m rmaplab.machine.differential` and `rmaplab differential`. A live machine keeps all its processes on one
CPU, so that is what a job needs and all it can use. Seeds are dealt out in turn, those of programs that must be alone on
the system behind the others; every program is a machine of its own, so a campaign says the same however many jobs it has.
"""

import io
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from rmaplab.campaigns import Shard, carry_out
from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.counts import Counts, Progress
from rmaplab.machine.differential.generate import ALONE, Generator
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.differential.program import Program
from rmaplab.machine.differential.units import Programs, Told
from rmaplab.machine.protocol import BadOperation
from rmaplab.system.signals import Interrupted

_STOP = signal.SIGTERM


def run_campaign(
    plan: Plan,
    seeds: range,
    jobs: int = 1,
    out: TextIO | None = None,
    resume: Path | None = None,
    shard: Shard | None = None,
) -> Told:
    """Run the programs of `seeds`, or a shard of them; progress and mismatches go to `out` (stderr), the part to the
    directory `resume`, whose programs are not run again. An interrupt ends it early, with what was done.

    Raises NotAvailable, BadOperation (more jobs than CPUs), CampaignError (no part of these programs).
    """
    out = out or sys.stderr
    cpus = sorted(os.sched_getaffinity(0))
    if jobs > len(cpus):
        raise BadOperation("jobs", jobs, f"each has a CPU of its own, and there are {len(cpus)}")
    campaign, progress = Programs.here(plan, seeds), Progress(len(seeds), out)
    engine = _Jobs(plan, cpus[:jobs], out) if jobs > 1 else _InTurn(plan, out)
    told = Told()

    def tell(_unit: int, _one: Told, so_far: Told) -> None:
        nonlocal told
        told = so_far
        progress.say(so_far.counts)

    try:
        told = carry_out(campaign, shard, resume, engine, tell)
    except (KeyboardInterrupt, Interrupted):  # not while a program ran, but while it was added up
        engine.stop()
    if engine.interrupted:
        print(f"interrupted after {told.counts.programs} programs", file=out)
    return told


def run_corpus(plan: Plan, programs: Sequence[Program], out: TextIO | None = None) -> Counts:
    """Run these programs one after the other, whatever the plan says of length and of what to do without. An interrupt
    ends it early, with what was done. Raises NotAvailable."""
    out = out or sys.stderr
    campaign, progress, counts = Campaign(plan, out), Progress(len(programs), out), Counts()
    try:
        for number, program in enumerate(programs, 1):
            counts += campaign.hold(f"program {number}", program)
            progress.say(counts)
    except (KeyboardInterrupt, Interrupted):
        print(f"interrupted after {counts.programs} programs", file=out)
    return counts


class _InTurn:
    """This process, one program after the other. An interrupt ends it."""

    def __init__(self, plan: Plan, out: TextIO) -> None:
        self._plan, self._out = plan, out
        self.interrupted = False

    def stop(self) -> None:
        """It has ended early."""
        self.interrupted = True

    def results(self, campaign: Programs, units: Iterable[int]) -> Iterator[tuple[int, Told]]:
        """Each unit and what its program came to."""
        told = _Tee(self._out)
        programs = Campaign(self._plan, told)
        try:
            for unit in units:
                told.begin()
                counts = programs.one(campaign.first + unit)
                yield unit, Told.of(campaign.first + unit, counts, told.getvalue())
        except (KeyboardInterrupt, Interrupted):
            self.stop()


class _Tee(io.StringIO):
    """What is written goes to `out` at once, and is kept."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def begin(self) -> None:
        """Forget."""
        self.seek(0)
        self.truncate()

    def write(self, text: str) -> int:
        self._out.write(text)
        self._out.flush()
        return super().write(text)


@dataclass(slots=True)
class _Job:
    """A process, its channel, and the seeds it has still to run, in this order."""

    process: BaseProcess
    channel: Connection
    seeds: deque[int]


class _Jobs:
    """Processes, each on a CPU of its own; what they say goes to `out`."""

    def __init__(self, plan: Plan, cpus: Sequence[int], out: TextIO) -> None:
        self._plan, self._cpus, self._out = plan, cpus, out
        self._jobs: dict[int, _Job] = {}
        self.interrupted = False

    def results(self, campaign: Programs, units: Iterable[int]) -> Iterator[tuple[int, Told]]:
        """Each unit and what its program came to. An interrupt ends every job after the program it is at."""
        seeds = sorted((campaign.first + unit for unit in units), key=self._alone)
        dealt = [(number, seeds[number :: len(self._cpus)]) for number in range(len(self._cpus))]
        self._jobs = {number: _start(self._plan, some, self._cpus[number]) for number, some in dealt if some}
        try:
            for seed, told in self._listen():
                yield seed - campaign.first, told
        except (KeyboardInterrupt, Interrupted):
            self.stop()
            for seed, told in self._listen():
                yield seed - campaign.first, told

    def _alone(self, seed: int) -> bool:
        """Whether the program waits for all others, and they for it: so it comes last, when the rest ran side by side."""
        may = {name: name not in self._plan.without for name in ALONE}
        return Generator(seed, (), self._plan.steps, **may).alone

    def stop(self) -> None:
        """Every job ends after the program it is at."""
        self.interrupted = True
        for job in self._jobs.values():
            job.process.terminate()

    def _listen(self) -> Iterator[tuple[int, Told]]:
        while self._jobs:
            numbers = {job.channel: number for number, job in self._jobs.items()}
            for channel in wait(list(numbers)):
                assert isinstance(channel, Connection)
                number = numbers[channel]
                try:
                    counts, text = channel.recv()
                except EOFError:
                    yield from self._end(number)
                    continue
                self._say(text)
                seed = self._jobs[number].seeds.popleft()
                yield seed, Told.of(seed, counts, text)

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _end(self, number: int) -> Iterator[tuple[int, Told]]:
        """A job says no more. One that died takes the program it was at along; another goes on behind that."""
        job = self._jobs.pop(number)
        job.channel.close()
        job.process.join()
        if self.interrupted or not job.seeds:
            return
        seed, *left = job.seeds
        self._say(f"seed {seed}: a job (pid {job.process.pid}) ended with code {job.process.exitcode}\n")
        lost = Counts(1, done=self._plan.steps)
        lost.aside["machine error"] = self._plan.steps
        if left:
            self._jobs[number] = _start(self._plan, left, self._cpus[number])
        yield seed, Told(lost)


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
