"""What the live machine shows: pagemaps joined with the snapshot, one element per virtual page.

Map counts are the join over all processes of the machine, so they are exact whatever the kernel counts.
"""

from collections.abc import Iterable

import numpy as np

from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.record.snapshot import ARENA_PAGE, MM_SHIFT, Index, Snapshot, Space, key_of
from rmaplab.machine.observation import GUARD, NONE, PRESENT, SWAP, UNKNOWN, Observation, known_where
from rmaplab.machine.protocol import ARENA_BASE


def observe(spaces: Iterable[Space], snapshot: Snapshot) -> Observation:
    """One element per mapped virtual page; `snapshot` must be the latest. Pages that are no folio of the machine's
    (zero pages) have a frame but no head, order and mapcount."""
    keys, entries = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for space in spaces:
        mapped = _mapped(space)
        if not mapped:
            continue
        with procfs.Pagemap(space.pid) as pagemap:
            entries.extend(pagemap.entries(start, length) for start, length in mapped)
        first = [key_of(space.mm, start) for start, _ in mapped]
        keys.extend(
            np.arange(at, at + (length >> procfs.PAGE_SHIFT)) for at, (_, length) in zip(first, mapped, strict=True)
        )
    return _joined(np.concatenate(keys), np.concatenate(entries), snapshot)


def _mapped(space: Space) -> list[tuple[int, int]]:
    """Start and length of every VMA of the program, ascending."""
    ranges = list[tuple[int, int]]()
    for start, length in sorted(space.ranges):
        if ranges and ranges[-1][1] == start:  # a VMA may lie in several areas
            ranges[-1] = ranges[-1][0], start + length
        else:
            ranges.append((start, start + length))
    if not ranges:
        return []
    return [
        (region.start, region.end - region.start)
        for region in procfs.regions(space.pid, ranges[-1][1])
        if any(start <= region.start and region.end <= end for start, end in ranges)
    ]


def _joined(key: Index, entry: np.ndarray, snapshot: Snapshot) -> Observation:
    present = entry & procfs.PM_PRESENT != 0
    guarded = ~present & (entry & procfs.PM_GUARD != 0)
    marked = entry & procfs.PM_SWAP != 0
    swapped = ~present & ~guarded & marked & (entry & procfs.SWAP_TYPE != procfs.SWAP_MARKER)
    row = np.searchsorted(snapshot.key, key)
    row[row == len(snapshot.key)] = -1
    known = np.append(snapshot.key, -1)[row] == key
    row[~known] = -1
    page = np.append(snapshot.page, -1)[row]
    pages = snapshot.pages
    count = np.bincount(snapshot.page, minlength=len(pages.pfn))

    def of_page(values: np.ndarray) -> Index:
        wide: Index = np.append(values.astype(np.int64), UNKNOWN)[page]
        return wide

    return Observation(
        mm=key >> MM_SHIFT,
        address=((key & ((1 << MM_SHIFT) - 1)) + ARENA_PAGE) << procfs.PAGE_SHIFT,
        state=np.where(present, PRESENT, np.where(swapped, SWAP, np.where(guarded, GUARD, NONE))),
        frame=known_where(present, entry & procfs.PM_PFN),
        head=of_page(pages.folio_head[pages.local]),
        order=of_page(pages.folio_order[pages.local]),
        mapcount=of_page(count),
        mmap_exclusive=known_where(present, entry & procfs.PM_MMAP_EXCLUSIVE != 0),
        anon_exclusive=of_page(pages.exclusive),
        pmd_mapped=np.append(snapshot.pmd.astype(np.int64), UNKNOWN)[row],
        kind=of_page(pages.folio_kind[pages.local]),
        slot=known_where(swapped, entry & procfs.PM_SLOT),
        uffd_wp=(entry & procfs.PM_UFFD_WP != 0).astype(np.int64),
    )


assert ARENA_PAGE << procfs.PAGE_SHIFT == ARENA_BASE
