"""What a family of processes shares: all of them, some, one; and who in it is whose child.

For `rmaplab inspect --family`. A page counts once, whatever it is mapped by; who maps it unseen is one outsider.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rmaplab import proctext
from rmaplab.inspect.folios import COUNTED
from rmaplab.inspect.join import Index, distinct
from rmaplab.inspect.processes import descendants
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.machine.live.proc import procfs
from rmaplab.system.reading import content


@dataclass(frozen=True, slots=True)
class Common:
    """Bytes of memory by how many of the family map it, each page once: `by_members[n - 1]` is what n of them map.

    `outside`: of that, what somebody outside of the family maps too.
    """

    by_members: tuple[int, ...]
    outside: tuple[int, ...]

    @property
    def all(self) -> int:
        return self.by_members[-1] if self.by_members else 0

    @property
    def some(self) -> int:
        return sum(self.by_members[1:-1])

    @property
    def one(self) -> int:
        return self.by_members[0] if len(self.by_members) > 1 else 0

    def as_json(self) -> dict[str, Any]:
        return {"all": self.all, "some": self.some, "one": self.one, **asdict(self)}


def relatives(pids: Iterable[int]) -> list[int]:
    """The processes and all that descend from them, now; ascending."""
    found: set[int] = set()
    for pid in pids:
        found |= descendants(pid)
    return sorted(found)


def common(snapshot: Snapshot) -> Common:
    """Of all that the targets map. O(mappings)."""
    sharing, members = snapshot.sharing, len(snapshot.targets)
    inside = np.isin(np.arange(len(snapshot.mms)), snapshot.targets)
    sums, outside = np.zeros(members + 1), np.zeros(members + 1)
    for rows in sharing.rows():
        if not len(rows.folio):
            continue
        owner = sharing.owner[rows.extent]
        # Rows of one stretch of pages follow each other: those that map the same pages of the same folio.
        new = (np.diff(rows.folio, prepend=-1) != 0) | (np.diff(rows.first, prepend=-1) != 0)
        stretch = np.cumsum(new) - 1
        first = np.flatnonzero(new)
        mine = inside[owner]
        count = distinct(stretch[mine], owner[mine], len(first)).astype(np.int64)
        pages = np.where(sharing.folios.kind[rows.folio[first]] < COUNTED, rows.pages[first], 0)
        others = rows.page_owners[first] > count
        sums += np.bincount(count, pages, members + 1)
        outside += np.bincount(count[others], pages[others], members + 1)
    size = snapshot.page_size
    return Common(*(tuple((column[1:] * size).astype(np.int64).tolist()) for column in (sums, outside)))


def parents(snapshot: Snapshot) -> Index:
    """Index of the parent of each MM (a target's, in the targets), -1 where it has none there: int64."""
    out = np.full(len(snapshot.mms), -1, np.int64)
    wanted = set(snapshot.targets.tolist())
    for mm in wanted:
        for pid in snapshot.mms[mm].pids:
            found = snapshot.mm_of_pid.get(_parent(pid), -1)
            if found in wanted and found != mm:
                out[mm] = found
                break
    return out


def ancestors(parent: Index, mm: int) -> list[int]:
    """The MMs from which `mm` descends, the nearest first."""
    found: list[int] = []
    while (mm := int(parent[mm])) >= 0 and mm not in found:
        found.append(mm)
    return found


def _parent(pid: int) -> int:
    try:
        return int(proctext.stat(content(procfs.PROC / str(pid) / "stat")).fields[1])
    except OSError:
        return 0
