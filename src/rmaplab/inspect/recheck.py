"""How much moved while we looked: a second, cheap pass over what the answer stands on.

For every result. Reads one pagemap entry of each of about a thousand extents of the targets again; an entry that changed
is a mapping that moved between the two looks.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from rmaplab.inspect.processes import process
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.machine.live.proc import procfs

_SAMPLE: Final = 1024


@dataclass(frozen=True, slots=True)
class Moved:
    """Of `checked` extents (of `extents` that the targets have) `changed` had another page by the second pass.

    `gone`: targets that ended or replaced their program meanwhile.
    """

    extents: int
    checked: int
    changed: int
    gone: int

    @property
    def share(self) -> float:
        """Part of the checked extents that changed, 0..1."""
        return self.changed / self.checked if self.checked else 0.0


def recheck(snapshot: Snapshot) -> Moved:
    """The second pass over the snapshot's targets. O(sample) system calls: a few ms."""
    extents, size = snapshot.sharing.extents, np.uint64(snapshot.page_size)
    mine = np.flatnonzero(np.isin(snapshot.sharing.owner, snapshot.targets))
    chosen = mine[np.linspace(0, len(mine) - 1, min(len(mine), _SAMPLE)).astype(np.int64)] if len(mine) else mine
    last = extents.pages[chosen].astype(np.uint64) - np.uint64(1)
    address = (extents.vpn[chosen] + last) * size
    expected = extents.pfn[chosen].astype(np.uint64) + last
    owner = snapshot.sharing.owner[chosen]
    changed = gone = 0
    for mm in snapshot.targets.tolist():
        leader = snapshot.mms[mm].leader
        now = process(leader.pid)
        here = np.flatnonzero(owner == mm)
        if now is None or (now.start, now.identity) != (leader.start, leader.identity):
            gone += 1
            changed += len(here)
            continue
        changed += _differing(now.tid, address[here].tolist(), expected[here].tolist())
    return Moved(len(mine), len(chosen), changed, gone)


def _differing(pid: int, addresses: list[int], frames: list[int]) -> int:
    """How many addresses are no longer backed by their frame; all of them if the process is gone."""
    mask = int(procfs.PM_PFN)
    try:
        with procfs.Pagemap(pid) as pagemap:
            now = [int(pagemap.entries(address, procfs.PAGE_SIZE)[0]) & mask for address in addresses]
    except procfs.ProcfsError:
        return len(addresses)
    return sum(a != b for a, b in zip(now, frames, strict=True))
