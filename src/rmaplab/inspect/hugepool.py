"""How many more hugetlb pages there are: a write that would copy one, and gets none, copies nothing.

For prices. The process that made the mapping then takes the page from its children, anybody else gets SIGBUS (hugetlb_wp,
mm/hugetlb.c). Pages that others have reserved are not given out.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.folios import HUGETLB, Folios
from rmaplab.inspect.join import Index
from rmaplab.machine.live.proc import procfs
from rmaplab.system.reading import content

_POOLS: Final = Path("/sys/kernel/mm/hugepages")


def free(order: int) -> int:
    """Pages of this order that are free and not reserved; 0 if that cannot be read."""
    pool = _POOLS / f"hugepages-{procfs.PAGE_SIZE << order >> 10}kB"
    try:
        there, reserved = (int(content(pool / f"{name}_hugepages")) for name in ("free", "resv"))
    except (OSError, ValueError):
        return 0
    return max(0, there - reserved)


def short(folios: Folios, copied: Index) -> NDArray[np.bool_]:
    """Which of the folios `copied` (rows; a copy of each is wanted) the pool may have no page for: the last ones, as many
    as that are. Which they are in truth the order of the writes decides."""
    table = folios[copied]
    out = np.zeros(len(copied), np.bool_)
    for order in np.unique(table.order[table.kind == HUGETLB]).tolist():
        wanted = np.flatnonzero((table.order == order) & (table.kind == HUGETLB))
        out[wanted[free(order) :]] = True
    return out
