"""Did we see everybody? The kernel's map counts against the mappings found.

For results where some page table could not be read. Where every page of the targets has as many mappings as were
found, nobody unseen maps it, and the truth is exact after all.
"""

from typing import Final

import numpy as np

from rmaplab.inspect.join import spread
from rmaplab.inspect.scan import EXCLUSIVE
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.machine.live import procfs

_CHUNK: Final = 1 << 16


def unaccounted(snapshot: Snapshot) -> int:
    """Pages of the snapshot's folios that the kernel counts more mappings of than were found.

    Means something only where the kernel counts per page. Pages with one mapping that pagemap calls exclusive need not
    be asked about; the others cost 100 ns each. Raises procfs.Missing without root.
    """
    joined, depth = snapshot.sharing.joined, snapshot.sharing.joined.depth
    marked = (snapshot.sharing.extents.flags[joined.extent[joined.ptr[:-1]]] & EXCLUSIVE) != 0
    start, pages, depth = (column[(depth > 1) | ~marked] for column in (joined.start, joined.pages, depth))
    part = np.cumsum(pages, dtype=np.int64) // _CHUNK
    bounds = np.flatnonzero(np.diff(part, prepend=-1, append=-2))
    more = 0
    for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        count = procfs.kpagecount(spread(start[a:b], pages[a:b]).astype(np.uint64))
        more += int((count > np.repeat(depth[a:b], pages[a:b]).astype(np.uint64)).sum())
    return more
