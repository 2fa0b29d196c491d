"""What the next fork of a process will cost, as it writes now: a forecast.

For `rmaplab inspect --what-if fork` and `--what-if snapshot`. After a fork the first write to each page copies it while
the child lives (the child of a snapshot, BGSAVE say, writes little and ends; a worker stays). So the price of a child
that lives for some seconds is what is written in as many seconds, each page once. A huge page that a PMD maps is split
at its first write, and copied page by page. Memory that is shared with another process already is copied all the same.
"""

import mmap
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmaplab import proctext
from rmaplab.errors import NotAvailable
from rmaplab.inspect.folios import ANON
from rmaplab.inspect.join import Index
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.write_rule import private_pages
from rmaplab.inspect.written import Wait, written
from rmaplab.machine.live.proc import procfs
from rmaplab.system.reading import content


@dataclass(frozen=True, slots=True)
class ForkPrice:
    """Bytes, for one MM. `private`: anonymous pages present in private writable mappings that a child gets, the most that
    it can copy, once for each fork; `least`, `most`: of these written in `seconds`; `huge`: of `private`, mapped by PMDs;
    `tables`: page tables, of which the fork itself copies those of anonymous memory. `by`: how the writes are known."""

    private: int
    least: int
    most: int
    huge: int
    tables: int
    seconds: float
    by: str

    def as_json(self) -> dict[str, Any]:
        """For the JSON; a forecast is never exact."""
        return asdict(self) | {"exactness": "estimate"}


def what_if_fork(snapshot: Snapshot, mm: int, seconds: float, wait: Wait = time.sleep) -> ForkPrice:
    """The price for MM `mm`, whose writes are looked at for `seconds`. Raises NotAvailable if it is gone."""
    pages = private_pages(snapshot, np.array([mm]))
    pid = snapshot.mms[mm].leader.tid
    pages = pages[(snapshot.sharing.folios.kind[pages.folio] == ANON) & ~_kept_back(pid, pages.vpn)]
    order = np.argsort(pages.vpn)
    found = written(pid, pages.vpn[order], pages.huge[order], seconds, wait)
    size = mmap.PAGESIZE
    return ForkPrice(
        len(pages) * size,
        found.least * size,
        found.most * size,
        int(pages.huge.sum()) * size,
        _tables(pid),
        round(found.seconds, 3),
        found.by,
    )


def _kept_back(pid: int, vpn: Index) -> NDArray[np.bool_]:
    """Which pages a child does not get: of mappings with MADV_DONTFORK or MADV_WIPEONFORK."""
    try:
        found = procfs.flagged(pid, b"dc", b"wf")
    except procfs.ProcfsError as error:
        raise NotAvailable(f"PID {pid}: what a fork leaves out cannot be told: {error}") from error
    start, end = (np.array([getattr(one, name) for one in found], np.int64) for name in ("start", "end"))
    at = np.searchsorted(start, vpn * mmap.PAGESIZE, side="right")
    return np.asarray((at > 0) & (vpn * mmap.PAGESIZE < np.append(0, end)[at]))


def _tables(pid: int) -> int:
    try:
        fields = proctext.fields(content(procfs.PROC / str(pid) / "status"))
        return int(fields["VmPTE"].split()[0]) * 1024
    except (OSError, KeyError) as gone:  # a zombie has a status, and no memory in it
        raise NotAvailable(f"PID {pid} ended while it was looked at") from gone
