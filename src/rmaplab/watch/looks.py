"""Looks at the watched family's memory while it is watched: how its inheritance erodes, and the folios behind it.

For `rmaplab watch --html`. A look is `rmaplab inspect` in a process of its own: its CPU time is not the watch's, and the
ring is read meanwhile. Looks are spaced so that they take no larger share of a CPU than watching may. They write to
memory that has no name: nothing is left, whatever ends the watch.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from rmaplab.watch.ledger import Process

_MOST_ROOTS: Final = 200
"""PIDs on a command line; with them come all their descendants."""
_PATIENCE: Final = 300.0
"""Seconds that the last look may take."""
_INSPECT: Final = ("-m", "rmaplab", "inspect", "--family", "--by", "worker", "--json")


def roots(processes: Mapping[int, Process]) -> list[int]:
    """PIDs of those that are alive and whose parents are not, or not watched: `processes` by number."""
    alive = {number for number, one in processes.items() if not one.ended}
    return sorted(processes[number].pid for number in alive if processes[number].parent not in alive)


@dataclass(slots=True)
class Looks:
    """`curves`: by PID of a worker its points, seconds since the watch began and `kept` then, and `names`; `page`: the
    last look's map of folios, begun `seen` seconds after the watch; `missed`: looks that could not be finished, as when a
    process ended meanwhile.

    `share`: of one CPU, that looks may take (None: no limit); `every`: seconds between two at least.
    """

    share: float | None
    every: float
    curves: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    page: str = ""
    seen: float = 0.0
    missed: int = 0
    _rows: int = -1
    _map: int = -1
    _running: subprocess.Popen[bytes] | None = None
    _began: float = 0.0
    _due: float = 0.0
    _when: float = 0.0

    def __enter__(self) -> Self:
        self._rows, self._map = os.memfd_create("rows"), os.memfd_create("map")
        return self

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None
        for fd in (self._rows, self._map):
            os.close(fd)

    def note(self, roots: Sequence[int], seconds: float) -> None:
        """Take in a look that is done, begin one that is due. `roots`: of the family, alive; `seconds`: since the watch
        began."""
        if self._running is not None and self._running.poll() is not None:
            self._take_in()
        if self._running is None and roots and time.monotonic() >= self._due:
            self._begin(roots, seconds)

    def last(self, roots: Sequence[int], seconds: float) -> None:
        """A look at who is left when the watch ends; waits for it."""
        self._finish()
        if roots:
            self._begin(roots, seconds)
            self._finish()

    def _begin(self, roots: Sequence[int], seconds: float) -> None:
        for fd in (self._rows, self._map):
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        self._running = subprocess.Popen(
            [sys.executable, *_INSPECT, "--html", f"/proc/self/fd/{self._map}", *map(str, roots[:_MOST_ROOTS])],
            stdin=subprocess.DEVNULL,
            stdout=self._rows,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._map,),
            start_new_session=True,
        )
        self._began, self._when = time.monotonic(), seconds

    def _finish(self) -> None:
        if self._running is None:
            return
        try:
            self._running.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        self._take_in()

    def _take_in(self) -> None:
        """The rows and the page of a look that has ended. Exit code 1 is a look with a finding."""
        assert self._running is not None
        took, code = time.monotonic() - self._began, self._running.returncode
        self._running = None
        self._due = self._began + max(self.every, took / self.share if self.share else 0.0)
        if code not in (0, 1) or not (rows := _read(self._rows)):
            self.missed += 1
            return
        found: dict[str, Any] = json.loads(rows)
        self.page, self.seen = _read(self._map), self._when
        for row in found["rows"]:
            if row["kept"] is not None:
                self.curves.setdefault(row["pid"], []).append((self._when, row["kept"]))
                self.names[row["pid"]] = row["name"]


def _read(fd: int) -> str:
    """All of a file that another process wrote to by a descriptor of its own, or by ours."""
    return os.pread(fd, os.fstat(fd).st_size, 0).decode()
