"""Watching without BPF: bounds from what /proc tells everybody of their own processes.

For `rmaplab watch` where the kernel's programs may not be loaded. A copy is a minor fault, so there were at most as
many as minor faults; how much is shared and private is smaps', an estimate. Copies are not told from reuses.
"""

import mmap
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rmaplab import proctext
from rmaplab.inspect.kernel import rollup
from rmaplab.inspect.processes import descendants
from rmaplab.system.command import Command
from rmaplab.system.pids import find
from rmaplab.system.reading import content

_MINOR, _OF_CHILDREN, _PARENT = 7, 8, 1
"""Fields of /proc/PID/stat after the name: minor faults of its own, and of children it has waited for; its parent."""

Answer = dict[str, Any]
_UNKNOWN = dict.fromkeys(("faults", "copied", "reused", "needless", "lost", "bytes"))


class Estimate:
    """The same to its user as `Watch`. `why`: why nothing better can be had."""

    def __init__(self, why: str) -> None:
        self.began, self._why = time.monotonic(), why
        self._roots: set[int] = set()
        self._first: dict[int, int] = {}
        self._rows: dict[int, Answer] = {}
        self._there: set[int] = set()

    def add(self, pids: Iterable[int], *, some_gone: bool = False) -> None:
        """Look at these processes and their children. RmaplabError: there is no such process, unless `some_gone`."""
        self._roots |= set(pids) if some_gone else {find(pid).pid for pid in pids}
        self.poll()

    def launch(self, words: Sequence[str], output: int | None = None) -> Command:
        """Start a command and look at it. Raises RmaplabError if it cannot be started."""
        command = Command(words, output, "watch")
        self._roots.add(command.pid)
        self._first[command.pid] = 0
        return command

    def poll(self) -> None:
        """Look at everybody once."""
        self._there = set().union(*(descendants(root) for root in self._roots))
        for pid in self._there:
            self._look(pid)

    def _look(self, pid: int) -> None:
        try:
            stat = proctext.stat(content(f"/proc/{pid}/stat"))
        except (OSError, proctext.Malformed):
            return
        own = int(stat.fields[_MINOR])
        faults = own + (int(stat.fields[_OF_CHILDREN]) if pid in self._roots else 0)
        first = self._first.setdefault(pid, faults if pid in self._roots else 0)
        row = self._rows.setdefault(pid, {})
        parent = int(stat.fields[_PARENT])
        row |= {"pid": pid, "parent": parent if parent in self._rows else None, "name": stat.name} | _UNKNOWN
        row |= {"faults_at_most": faults - first, "bytes_at_most": (faults - first) * mmap.PAGESIZE}
        if (sizes := rollup(pid)) is not None and sizes["rss"]:
            row |= {"private": sizes["uss"], "shared": sizes["shared"], "pss": sizes["pss"]}

    def alive(self) -> bool:
        """Whether anybody was there at the last look."""
        return any(pid in self._rows for pid in self._there)

    def wait(self, seconds: float) -> None:
        """A look costs every process: not often."""
        time.sleep(max(seconds, 0.2))

    def line(self) -> Answer:
        """The bounds so far. Children that a root waited for are in its own number."""
        most = max(
            sum(self._rows[pid]["faults_at_most"] for pid in self._roots if pid in self._rows),
            sum(row["faults_at_most"] for row in self._rows.values()),
        )
        seconds = round(time.monotonic() - self.began, 3)
        bounds = {"faults_at_most": most, "bytes_at_most": most * mmap.PAGESIZE}
        return {"kind": "line", "seconds": seconds, **_UNKNOWN, **bounds}

    def summary(self) -> Answer:
        """The sum: what is unknown is null."""
        rows = [self._rows[pid] for pid in sorted(self._rows)]
        more = {
            "exactness": "estimate",
            "why": [self._why],
            "processes": rows,
            "cgroups": list[Answer](),
            "stacks": list[Answer](),
        }
        return self.line() | {"kind": "sum"} | more
