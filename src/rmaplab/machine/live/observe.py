"""`Machine.observe()` of the live machine: pagemaps joined with the snapshot, one row per virtual page.

Map counts are the join over all processes of the machine, so they are exact whatever the kernel counts.
"""

from collections.abc import Iterable

import numpy as np
import polars as pl

from rmaplab.machine.live import procfs
from rmaplab.machine.live.snapshot import ARENA_PAGE, MM_SHIFT, Index, Snapshot, Space, key_of
from rmaplab.machine.protocol import ARENA_BASE, OBSERVATION

_STATES = pl.Series(["none", "present", "swap"], dtype=OBSERVATION["state"])


def observe(spaces: Iterable[Space], snapshot: Snapshot) -> pl.DataFrame:
    """A table of schema OBSERVATION; `snapshot` must be the latest. Pages that are no folio of the machine's
    (zero pages) have a frame but no head, order and mapcount."""
    keys, entries = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for space in spaces:
        for start, length in _mapped(space):
            with procfs.Pagemap(space.pid) as pagemap:
                entries.append(pagemap.entries(start, length))
            keys.append(np.arange(len(entries[-1])) + key_of(space.mm, start))
    return _table(np.concatenate(keys), np.concatenate(entries), snapshot)


def _mapped(space: Space) -> list[tuple[int, int]]:
    ranges = sorted(space.ranges)
    return [
        (region.start, region.end - region.start)
        for region in procfs.regions(space.pid)
        if any(start <= region.start and region.end <= start + length for start, length in ranges)
    ]


def _table(key: Index, entry: np.ndarray, snapshot: Snapshot) -> pl.DataFrame:
    present = entry & procfs.PM_PRESENT != 0
    row = np.searchsorted(snapshot.key, key)
    row[row == len(snapshot.key)] = -1
    known = np.append(snapshot.key, -1)[row] == key
    page = np.append(snapshot.page, 0)[np.where(known, row, -1)]
    pages = snapshot.pages
    count = np.bincount(snapshot.page, minlength=len(pages.pfn))

    def where(mask: np.ndarray, values: np.ndarray) -> pl.Series:
        return pl.Series(values).set(pl.Series(~mask), None)

    def of_page(values: np.ndarray) -> pl.Series:
        return where(known, np.append(values, values[:0].sum(dtype=values.dtype))[np.where(known, page, -1)])

    columns: dict[str, pl.Series | np.ndarray] = {
        "mm": key >> MM_SHIFT,
        "address": ((key & ((1 << MM_SHIFT) - 1)) + ARENA_PAGE) << procfs.PAGE_SHIFT,
        "state": _STATES.gather(np.where(present, 1, np.where(entry & procfs.PM_SWAP != 0, 2, 0))),
        "frame": where(present, entry & procfs.PM_PFN),
        "head": of_page(pages.folio_head[pages.local]),
        "order": of_page(pages.folio_order[pages.local]),
        "mapcount": of_page(count),
        "mmap_exclusive": where(present, entry & procfs.PM_MMAP_EXCLUSIVE != 0),
        "anon_exclusive": of_page(pages.exclusive),
        "pmd_mapped": where(known, np.append(snapshot.pmd, False)[np.where(known, row, -1)]),
    }
    return pl.DataFrame({name: pl.Series(columns[name]).cast(dtype) for name, dtype in OBSERVATION.items()})


assert ARENA_PAGE << procfs.PAGE_SHIFT == ARENA_BASE
