"""Watching: a command, processes or a cgroup, from the first write fault to the sum.

For `rmaplab.cli.watch`. The kernel's programs (`hooks`) see every fault of the processes that are watched and of what
they fork; `poll` fetches what they saw and must be called a few times a second.
"""

import mmap
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Final, Self

import numpy as np

from rmaplab import proctext
from rmaplab.bpf.syscalls import BpfError
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.inspect.processes import cgroup_of, unseen
from rmaplab.system.command import Command
from rmaplab.system.pids import find, start_time
from rmaplab.system.reading import content
from rmaplab.watch import layout, records, space
from rmaplab.watch.budget import Budget
from rmaplab.watch.hooks import Faults, Hooks
from rmaplab.watch.ledger import Ledger, Process
from rmaplab.watch.records import Outcome
from rmaplab.watch.symbols import Symbols

_SAMPLED: Final = 63
"""Without tokens, one fault in 64 is looked at."""
_AGAIN, _BLIND = 0.01, 0.25
_DEAR: Final = 50
_SETTLE: Final = 0.5
"""Seconds between two polls, and two looks at one process' mappings (and so many times what the last one took); between
two looks at the counters."""
_MULTIPLIERS: Final = np.random.default_rng().integers(1, 1 << 63, records.DEPTH, np.uint64) * 2 + 1
"""Stacks are told apart by a sum that nobody can foresee: two of n are taken for one at a chance of n^2 / 2^64."""
_MOVE, _MOST_PLACED = 1.0, 64
"""Seconds between two looks at a process' cgroup, and looks at cgroups each time the counters are fetched."""


class Watch:
    """What is watched, and what was seen so far. A context manager: nothing is left in the kernel after it. `looks`:
    faults that were looked at.

    Raises NotAvailable where the kernel cannot be asked; the message says why.
    """

    def __init__(self, share: float | None = None) -> None:
        """`share`: of one CPU, what watching may cost; None: everything is looked at, whatever it costs."""
        self.budget = Budget(share)
        self._paid, self.looks, self._skipped = (0, 0), 0, 0
        self._alive = True
        self._unplaced: list[tuple[int, Faults]] = []
        self.ledger, self.symbols = Ledger(), Symbols()
        self.began = self._polled = self._settled = time.monotonic()
        with ExitStack() as owned:
            self._hooks = owned.enter_context(_hooks())
            self._hooks.set_word(records.MASK, _SAMPLED)
            self._hooks.set_word(records.TOKENS, self.budget.tokens)
            self._owned = owned.pop_all()

    def add(self, pids: Iterable[int], *, some_gone: bool = False) -> None:
        """Watch these processes, and what they fork from now on.

        Raises RmaplabError if there is no such process, unless `some_gone`: the list may be older than their end.
        """
        watched = self._hooks.watched()
        for pid in pids:
            if pid in watched:
                continue
            try:
                seen = find(pid)
            except RmaplabError:
                if not some_gone:
                    raise
                continue
            number = self._hooks.add(pid)
            one = Process(number, seen.pid, 0, _name(pid))
            one.space = space.read(pid) or space.NOTHING
            self._place(one)
            self.ledger.processes[number] = one
            if start_time(pid) != seen.start:
                self._hooks.drop(pid)

    def launch(self, words: Sequence[str], output: int | None = None) -> Command:
        """Start a command and watch it from its exec on. Raises RmaplabError if it cannot be started."""
        self._hooks.add(os.getpid(), records.ARMED)
        try:
            return Command(words, output, "watch")
        finally:
            self._hooks.drop(os.getpid())

    def poll(self) -> None:
        """Fetch what was seen since the last call."""
        self._polled = time.monotonic()
        news, faults = self._hooks.news()
        for record in news:
            if record.kind == records.EXEC:
                earlier = (faults["process"] == record.process) & (faults["began"] < record.when)
                self._add_unplaced(record.process)
                self._add(record.process, faults[earlier], last=True)
                faults = faults[~earlier]
            if record.kind == records.FORK and (parent := self.ledger.processes.get(record.parent)):
                self._read(parent, _AGAIN)
            process = self.ledger.note(record, proctext.decoded(record.name))
            if process is not None and record.kind == records.EXEC:
                self._read(process)
                self._place(process)
        for number in np.unique(faults["process"]).tolist():
            self._add(number, faults[faults["process"] == number])
        self.looks += len(faults)
        if time.monotonic() - self._settled > _SETTLE:
            self.settle()
        if self.budget.share is not None:
            self._economize()

    def wait(self, seconds: float) -> None:
        """Until there is something to poll for at once, or the time is over; storms of forks do not hurry it on."""
        if self.budget.blind_since:  # our own polling is what is saved
            seconds = max(seconds, _BLIND)
        pause = _AGAIN if self.budget.rested and not self.budget.blind_since else seconds
        rest = self._polled + pause - time.monotonic()
        if rest > 0:
            time.sleep(min(rest, seconds))
        self._hooks.wait(max(0.0, seconds - max(rest, 0.0)))

    def settle(self) -> None:
        """Fetch the counters, as they are now."""
        self._settled = time.monotonic()
        self._add_unplaced()
        alive = [one for one in self.ledger.processes.values() if not one.ended and self._settled - one.placed > _MOVE]
        for process in sorted(alive, key=lambda one: one.placed)[:_MOST_PLACED]:
            self._place(process)
        for number, counts in self._hooks.totals().items():
            self.ledger.settle(number, counts)
        self._skipped = int(self.ledger.total()[records.SKIPPED])
        self._hooks.forget(self.ledger.forget())
        self._alive = bool(self._hooks.watched())

    def _economize(self) -> None:
        """Pay for what the kernel's programs did since the last call, and let them do what the rest allows."""
        done = self.looks + self._hooks.word(records.LOST_DETAIL), self._skipped
        self.budget.spend(done[0] - self._paid[0], done[1] - self._paid[1])
        self._paid = done
        self._hooks.set_word(records.TOKENS, self.budget.tokens)
        if self.budget.exhausted and not self.budget.blind_since:
            self._hooks.pause()
            self.budget.close_eyes()
        elif self.budget.blind_since and self.budget.rested:
            self._hooks.resume()
            self.budget.open_eyes()

    def alive(self) -> bool:
        """Whether anybody was watched when the counters were fetched last."""
        return self._alive

    def lost(self) -> dict[str, int]:
        """Events that were lost or not looked at, by kind."""
        words = {
            "faults": records.LOST_FAULTS,
            "processes": records.LOST_PROCESSES,
            "records": records.LOST_RECORDS,
            "detail": records.LOST_DETAIL,
            "stacks": records.NO_STACK,
        }
        return {name: self._hooks.word(word) for name, word in words.items()}

    def close(self) -> None:
        """Detach. Idempotent."""
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, process: Process, age: float = 0.0, *, first: bool = False) -> None:
        """The mappings of a process as they are now, unless they were read that many seconds ago, or it is gone.

        `first`: however short a time ago.
        """
        waited = time.monotonic() - process.space.read >= max(age, _DEAR * process.space.took)
        if not process.ended and (first or waited):
            process.space = space.read(process.pid) or process.space

    def _place(self, process: Process) -> None:
        """Its cgroup as it is now, unless it is gone."""
        found = cgroup_of(process.pid)
        process.cgroup = process.cgroup if found == "?" else found
        process.placed = time.monotonic()

    def _add_unplaced(self, number: int | None = None) -> None:
        """Add the faults that waited for a look at the mappings, of this process or of all."""
        waited, self._unplaced = self._unplaced, []
        for one, faults in waited:
            if number in (None, one):
                self._add(one, faults, last=True)
            else:
                self._unplaced.append((one, faults))

    def _add(self, number: int, faults: Faults, *, last: bool = False) -> None:
        """Add faults of one process by place and stack. What no known mapping has waits for the next time the counters
        are fetched, unless this is the `last` try: the mappings were read too short a time ago to be read again."""
        process = self.ledger.processes.get(number)
        if process is None or not len(faults):
            return
        stacks = _by_stack(faults)
        if not _knows(process.space, faults, stacks):
            self._read(process, first=process.space.pid != process.pid)
            parent = self.ledger.processes.get(process.parent)
            if not process.execs and parent and not _knows(process.space, faults, stacks):
                # It was gone before its mappings were read; they were its parent's when it was forked.
                self._read(parent, first=parent.space.read * 1e9 < process.born)
                if _knows(parent.space, faults, stacks):
                    process.space = parent.space
            if not last and not process.ended and not _knows(process.space, faults, stacks):
                self._unplaced.append((number, faults))
                return
        self.ledger.add_places(process, faults)
        for addresses, alike in stacks:
            self.ledger.add_stack(number, process.space.stack(addresses), alike)


def _by_stack(faults: Faults) -> list[tuple[list[int], Faults]]:
    """Faults that have one stack, with its addresses, innermost first. Faults: at least one."""
    hashed = (faults["frames"] * _MULTIPLIERS).sum(axis=1)
    order = np.argsort(hashed, kind="stable")
    ends = np.flatnonzero(np.diff(hashed[order])) + 1
    groups = [faults[part] for part in np.split(order, ends)]
    return [([word for word in group["frames"][0].tolist() if word], group) for group in groups]


def _knows(mapped: space.Space, faults: Faults, stacks: list[tuple[list[int], Faults]]) -> bool:
    """Whether it has what was written to, and the code that wrote."""
    if np.any(mapped.find(faults["address"]) < 0):
        return False
    return all(mapped.has(address) for stack, _ in stacks for address in stack[:1])


def _hooks() -> Hooks:
    """The kernel's hooks; where the first way to see the end of a fault is not to be had, the second."""
    found = layout.find()
    refusals = []
    for events in (False, True):
        try:
            made = Hooks(found, events=events)
        except BpfError as error:
            refusals.append(str(error))
            continue
        if sees_faults(made):
            return made
        made.close()
        refusals.append("a fault of our own was not seen")
    said = "".join(f"; {line}" for line in unseen())  # the kernel's programs know PIDs of the first namespace only
    raise NotAvailable(f"copy-on-write faults cannot be watched: {refusals[0]}; the other way: {refusals[1]}{said}")


def sees_faults(hooks: Hooks) -> bool:
    """Try it: a page of ours that is read first, and so the zero page, is written to."""
    number = hooks.add(os.getpid())
    before = hooks.word(records.TOKENS)
    hooks.set_word(records.TOKENS, 1 << 20)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            page.madvise(mmap.MADV_NOHUGEPAGE)
            if page[0] == 0:
                page[0] = 1
        return int(hooks.totals()[number][Outcome.FROM_ZERO]) >= 1
    finally:
        hooks.drop(os.getpid())
        hooks.set_word(records.TOKENS, before)
        hooks.news()
        hooks.forget([number])


def _name(pid: int) -> str:
    try:
        return proctext.stat(content(f"/proc/{pid}/stat")).name
    except (OSError, proctext.Malformed):
        return "?"
