"""Did we see everybody? The kernel's map counts against the mappings found.

For results where some page table could not be read. Where every page of the targets has as many mappings as were
found, nobody unseen maps it, and the truth is exact after all.
"""

from typing import Final

import numpy as np

from rmaplab.inspect.folios import COUNTED
from rmaplab.inspect.join import spread
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.machine.live import procfs

_CHUNK: Final = 1 << 16


def unaccounted(snapshot: Snapshot) -> int:
    """Pages of the snapshot's folios that the kernel counts more mappings of than were found.

    Means something only where kpagecount is exact. 100 ns a page. Raises procfs.Missing without root.
    """
    sharing, joined = snapshot.sharing, snapshot.sharing.joined
    folios = sharing.folios[np.flatnonzero(sharing.folios.kind < COUNTED)]
    low, pages, more = folios.head.astype(np.int64), folios.pages, 0
    part = np.cumsum(pages) // _CHUNK
    bounds = np.flatnonzero(np.diff(part, prepend=-1, append=-2))
    for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        pfn = spread(low[a:b], pages[a:b])
        at = np.searchsorted(joined.start, pfn, side="right") - 1
        inside = (at >= 0) & (pfn < joined.end[at])
        found = np.where(inside, joined.ptr[at + 1] - joined.ptr[at], 0)
        more += int((procfs.kpagecount(pfn.astype(np.uint64)).astype(np.int64) > found).sum())
    return more
