"""Folio split, and the advice that asks for it: MADV_COLD, MADV_FREE and MADV_PAGEOUT on large anonymous folios.

For `advice`; mappings of files are `reclaim`'s. All leave folios alone that somebody else may map: this is where kernels
ask "exclusive or shared?" outside of COW. Nothing anonymous is reclaimed: there is no swap (a kernel without swap splits
what it cannot page out), and pages that were freed lazily stay.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.ask import may_split
from rmaplab.machine.model.columns import Index
from rmaplab.machine.model.memory import ZERO, Memory
from rmaplab.machine.model.pagetable import BLOCK, PMD, SWAP, Leaf, W, Window
from rmaplab.machine.model.reclaim import cold_file
from rmaplab.machine.model.space import AddressSpace
from rmaplab.machine.protocol import BadOperation


def free(space: AddressSpace, start: int, end: int) -> None:
    """MADV_FREE: as `cold`, and only for anonymous memory."""
    if any(not vma.anonymous for vma in space.vmas.within(start, end)):
        raise BadOperation("madvise", "free", "only private anonymous memory can be freed lazily")
    cold(space, start, end)


def cold(space: AddressSpace, start: int, end: int) -> None:
    """Split the large folios of which the range covers a part, if nobody else maps them or holds them."""
    _cold(space, start, end, whole=False)


def pageout(space: AddressSpace, start: int, end: int) -> None:
    """As `cold`, and split what the range covers as a whole too: there is no swap to write it to."""
    _cold(space, start, end, whole=True)


def _cold(space: AddressSpace, start: int, end: int, *, whole: bool) -> None:
    step = space.memory.recorder.tick()
    for vma, window in list(space.spans(start, end, write=True)):
        for lo in range(window.lo - window.lo % BLOCK, window.hi, BLOCK):
            part = max(lo, window.lo), min(lo + BLOCK, window.hi)
            if vma.file is None:
                _cold_block(space, window, *part, step, whole=whole)
            else:
                cold_file(space, vma, vma.file, window, *part, step, pageout=whole)


def _cold_block(space: AddressSpace, window: Window, lo: int, hi: int, step: int, *, whole: bool) -> None:
    memory, leaf = space.memory, window.leaf
    if leaf.flags[lo] & PMD:
        frame = int(leaf.frame[lo - lo % BLOCK])
        if (whole or hi - lo < BLOCK) and space.counted(leaf.frame[lo : lo + 1])[0]:
            _try_split(space, frame, BLOCK, step)
        return
    index = leaf.present(lo, hi)
    frames = leaf.frame[index]
    runs = memory.runs(frames[space.counted(frames)])
    for first, size in zip(runs.first.tolist(), runs.size.tolist(), strict=True):
        slot = memory.frame["folio"][first]
        order, mapcount = int(memory.folio["order"][slot]), int(memory.folio["mapcount"][slot])
        if order and (size < 1 << order or (whole and mapcount == size)):
            _try_split(space, first, size, step)


def _try_split(space: AddressSpace, frame: int, pages: int, step: int) -> None:
    slot = int(space.memory.frame["folio"][frame])
    if may_split(space, frame, pages, step):
        split_folio(space.memory, slot, space.memory.recorder.tick())


def split_folio(memory: Memory, slot: int, step: int) -> None:
    """Turn an anonymous folio without references but its mappings into small ones.

    Whoever maps a page of it maps the small folio afterwards; pages nobody maps are freed, and pages that hold nothing
    but zeroes give way to the zero page.
    """
    mappings = [m for space in memory.spaces.values() for m in _mappings(memory, space, slot, step)]
    memory.hold(np.array([slot], np.uint32))
    for space, leaf, index in mappings:
        memory.unmap_pages(memory.runs(leaf.frame[index]), space.mm, step)
    mapped = [leaf.frame[index] for _, leaf, index in mappings]
    kept = np.unique(np.concatenate(mapped)) if mapped else np.zeros(0, np.uint32)
    kept = kept[memory.frame["value"][kept] != 0]
    memory.break_up(slot, kept)
    for space, leaf, index in mappings:
        stays = np.isin(leaf.frame[index], kept)
        leaf.frame[index[~stays]] = ZERO
        leaf.expect[index[~stays]] = 0
        leaf.flags[index[~stays]] &= ~np.uint8(W)
        memory.map_pages(memory.runs(leaf.frame[index[stays]]), space.mm, step)


def _mappings(memory: Memory, space: AddressSpace, slot: int, step: int) -> list[tuple[AddressSpace, Leaf, Index]]:
    """Where `space` maps the folio by PTEs, after splitting a PMD mapping of it."""
    found = []
    for region in space.table.regions:
        for number in list(region.leaves):
            index = _of_folio(memory, region.leaves[number], slot)
            if not len(index):
                continue
            leaf = space.table.own(region, number)
            for block in np.unique(index[leaf.flags[index] & PMD != 0] // BLOCK).tolist():
                space.split_pmd(leaf, block * BLOCK, step, anon=True)
            found.append((space, leaf, index))
    return found


def _of_folio(memory: Memory, leaf: Leaf, slot: int) -> Index:
    mine: NDArray[np.bool_] = memory.frame["folio"][leaf.frame] == slot
    return np.flatnonzero(mine & (leaf.flags & SWAP == 0))
