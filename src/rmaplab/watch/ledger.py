"""What was seen, added up: processes, their mappings and ages, and stacks.

For `rmaplab.watch.watcher`. Counters are the kernel's (`records.Outcome`); here they only meet the names of things.
Memory is bounded: of processes that ended, and of stacks, so many are kept; the rest is one row.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.watch import records
from rmaplab.watch.hooks import Faults, Record
from rmaplab.watch.records import OUTCOMES, TOTALS
from rmaplab.watch.space import NOTHING, Place, Space

AGES: Final = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Bounds of the ages since fork, seconds; one more is beyond them."""
WIDTH: Final = OUTCOMES + 2
"""Detail: faults by outcome, bytes copied, nanoseconds."""
MOST_ENDED, MOST_STACKS, MOST_NAMES, MOST_CGROUPS = 4096, 16384, 100, 1024
OTHER: Final = "other"

Counts = NDArray[np.uint64]


@dataclass(slots=True)
class Process:
    """One process while it was watched. Times: CLOCK_MONOTONIC, ns; 0: not known (`born`, of one that was not forked
    while watched) or not yet (`ended`). `cgroup`: where it was seen last, its parent's at first; `placed`: when that was
    read (time.monotonic). `totals`: shape (TOTALS,); `vmas`: detail by label; `ages`: shape (6, WIDTH)."""

    number: int
    pid: int
    parent: int
    name: str
    born: int = 0
    ended: int = 0
    execs: int = 0
    cgroup: str = "?"
    placed: float = 0.0
    totals: Counts = field(default_factory=lambda: np.zeros(TOTALS, np.uint64))
    vmas: dict[str, Counts] = field(default_factory=dict)
    ages: Counts = field(default_factory=lambda: np.zeros((len(AGES) + 1, WIDTH), np.uint64))
    space: Space = NOTHING


Frames = tuple[Place, ...]
"""Innermost first; empty where it is not known."""


@dataclass(slots=True)
class Stack:
    """One path of code that copied or reused, innermost frame first. `processes`: numbers."""

    frames: Frames
    counts: Counts = field(default_factory=lambda: np.zeros(WIDTH, np.uint64))
    processes: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Ledger:
    """All that was seen. `by_name`, `by_cgroup`: totals by name and by cgroup of process.

    `ended_early`: totals of processes that are not kept any more, and how many they were."""

    processes: dict[int, Process] = field(default_factory=dict)
    stacks: dict[Frames, Stack] = field(default_factory=dict)
    by_name: dict[str, Counts] = field(default_factory=dict)
    by_cgroup: dict[str, Counts] = field(default_factory=dict)
    by_kernel: int = 0
    ended_early: Counts = field(default_factory=lambda: np.zeros(TOTALS, np.uint64))
    ended_early_count: int = 0

    def note(self, record: Record, name: str) -> Process | None:
        """A process began, executed or ended; returns it."""
        if record.kind == records.FORK:
            parent = self.processes.get(record.parent)
            made = Process(record.process, record.pid, record.parent, name, record.when)
            made.space = parent.space if parent else NOTHING
            made.cgroup = parent.cgroup if parent else "?"
            self.processes[record.process] = made
            return made
        found = self.processes.get(record.process)
        if found is not None:
            if record.kind == records.EXEC:
                found.name = name
                found.execs += 1
                found.space = NOTHING
            else:
                found.ended = record.when
        return found

    def settle(self, number: int, totals: Counts) -> None:
        """The counters of a process are these now; what is new counts under its name and cgroup too: never less."""
        process = self.processes.get(number)
        if process is None:
            return
        new = totals - process.totals
        _added(self.by_name, _bounded(process.name, self.by_name, MOST_NAMES), new)
        _added(self.by_cgroup, _bounded(process.cgroup, self.by_cgroup, MOST_CGROUPS), new)
        process.totals = totals

    def forget(self) -> list[int]:
        """Fold the oldest processes that ended into one row, if there are too many; returns their numbers."""
        ended = [one for one in self.processes.values() if one.ended]
        gone = sorted(ended, key=lambda one: one.ended)[: max(0, len(ended) - MOST_ENDED)]
        for one in gone:
            self.ended_early += one.totals
            self.ended_early_count += 1
            del self.processes[one.number]
        return [one.number for one in gone]

    def add_places(self, process: Process, faults: Faults) -> None:
        """Faults of one process, by mapping and age."""
        detail = _detail(faults)
        index = process.space.find(faults["address"])
        for one in np.unique(index):
            label = process.space.vmas[one].label if one >= 0 else "?"
            _added(process.vmas, label, detail[index == one].sum(axis=0))
        if process.born:
            bounds = np.array([bound * 1e9 for bound in AGES])
            age = np.searchsorted(bounds, faults["began"].astype(np.float64) - process.born, "right")
            np.add.at(process.ages, age, detail)
        self.by_kernel += int(np.count_nonzero(faults["outcome"] & records.BY_KERNEL))

    def add_stack(self, process: int, frames: Frames, faults: Faults) -> None:
        """Faults of one process that have one stack."""
        if frames not in self.stacks and len(self.stacks) >= MOST_STACKS:
            frames = ()
        stack = self.stacks.setdefault(frames, Stack(frames))
        stack.counts += _detail(faults).sum(axis=0)
        if len(stack.processes) < MOST_ENDED:
            stack.processes.add(process)

    def total(self) -> Counts:
        """Counters of everybody, shape (TOTALS,)."""
        rows = [self.ended_early, *(one.totals for one in self.processes.values())]
        return np.asarray(np.sum(rows, axis=0, dtype=np.uint64))


def _bounded(key: str, table: dict[str, Counts], most: int) -> str:
    """The key, or the one for all others if the table is full."""
    return key if key in table or len(table) < most else OTHER


def _added(table: dict[str, Counts], key: str, counts: Counts) -> None:
    table[key] = table[key] + counts if key in table else counts


def _detail(faults: Faults) -> Counts:
    """uint64, shape (n, WIDTH)."""
    rows = np.zeros((len(faults), WIDTH), np.uint64)
    rows[np.arange(len(faults)), faults["outcome"] & (records.BY_KERNEL - 1)] = 1
    rows[:, OUTCOMES] = faults["bytes"]
    rows[:, OUTCOMES + 1] = faults["ns"]
    return rows
