"""Address spaces as they were seen: which mapping and which file an address belongs to.

For `rmaplab.watch.ledger`. /proc/PID/maps is read when an address is asked for that the last reading does not have; a
forked child has its parent's until it execs. So what is known of a process survives it. A mapping that took another's
place between two readings is taken for it.
"""

import os
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab import proctext
from rmaplab.system.reading import SMAPS, content


@dataclass(frozen=True, slots=True)
class Vma:
    """One mapping: bytes `start` .. `end`, `offset` in the file `path` ("" if anonymous)."""

    start: int
    end: int
    offset: int
    path: str
    executable: bool

    @property
    def label(self) -> str:
        """What it is called where addresses do not count."""
        return self.path or "anonymous"


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of code, wherever it is loaded: `path` in mount namespace `namespace`; `pid`: who was seen to run it.

    Anonymous code has an empty path, and its address for an offset.
    """

    path: str
    offset: int
    namespace: str
    pid: int


class Space:
    """The mappings of one process at one moment; `read`: when (time.monotonic), `took`: CPU seconds."""

    def __init__(self, vmas: list[Vma], namespace: str, pid: int, took: float = 0.0) -> None:
        self.vmas, self.namespace, self.pid = vmas, namespace, pid
        self.read, self.took = time.monotonic(), took
        self._starts = np.array([vma.start for vma in vmas], np.uint64)
        self._ends = np.array([vma.end for vma in vmas], np.uint64)

    def find(self, addresses: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Index of each address' mapping in `vmas`, -1 where there is none: int64, the shape of `addresses`."""
        if not self.vmas:
            return np.full(len(addresses), -1)
        at = np.searchsorted(self._starts, addresses, "right") - 1
        inside = (at >= 0) & (addresses < self._ends[at])
        return np.where(inside, at, -1)

    def has(self, address: int) -> bool:
        return bool(self.find(np.array([address], np.uint64))[0] >= 0)

    def stack(self, addresses: list[int]) -> tuple[Place, ...]:
        """Where the code of a stack comes from, up to the first caller that is no code.

        A caller is what lay where a frame pointer should be: where there was none, it may be any number.
        """
        found: list[Place] = []
        for address, index in zip(addresses, self.find(np.array(addresses, np.uint64)).tolist(), strict=True):
            if index < 0 or not self.vmas[index].executable:
                break
            found.append(self._place(address, self.vmas[index]))
        return tuple(found)

    def _place(self, address: int, vma: Vma) -> Place:
        if not vma.path.startswith("/"):
            return Place(vma.path, address, self.namespace, self.pid)
        return Place(vma.path, address - vma.start + vma.offset, self.namespace, self.pid)


NOTHING: Final = Space([], "", 0)


def read(pid: int) -> Space | None:
    """The mappings of a process now; None if it is gone, or they may not be read."""
    began = time.thread_time()
    try:
        raw = content(f"/proc/{pid}/maps", SMAPS)
        namespace = os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None
    vmas = []
    for line in proctext.lines(raw):
        one = proctext.maps_line(line)
        vmas.append(Vma(one.start, one.end, one.offset, one.path, "x" in one.permissions))
    return Space(vmas, namespace, pid, time.thread_time() - began) if vmas else None
