"""MADV_COLD and MADV_FREE: memory that may leave first. Large folios covered in part are split if nobody else has them.

For `advice`; mappings of files are `files`'s. Nothing is reclaimed here: pages freed lazily stay until `pageout` comes.
"""

import numpy as np

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.reclaim.files import cold_file
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, PMD, SWAP, Leaf, Window
from rmaplab.machine.model.space.questions import shared_in_advice
from rmaplab.machine.model.thp.split import separate
from rmaplab.machine.protocol import BadOperation


def free(space: AddressSpace, start: int, end: int) -> None:
    """MADV_FREE: swap entries are gone at once; pages are until somebody writes to them again. Splits as `cold` does."""
    if any(not vma.anonymous for vma in space.vmas.within(start, end)):
        raise BadOperation("madvise", "free", "only private anonymous memory can be freed lazily")
    step = space.memory.recorder.tick()
    for _, window in list(space.spans(start, end, write=True)):
        _drop_swapped(space, window)
        for lo in range(window.lo - window.lo % BLOCK, window.hi, BLOCK):
            _free_block(space, window.leaf, max(lo, window.lo), min(lo + BLOCK, window.hi), step)


def _drop_swapped(space: AddressSpace, window: Window) -> None:
    leaf = window.leaf
    index = window.lo + np.flatnonzero(leaf.flags[window.lo : window.hi] & SWAP)
    slots = leaf.frame[index].astype(np.int64)
    leaf.frame[index] = leaf.flags[index] = leaf.expect[index] = 0
    space.swap.put_entries(slots)


def _free_block(space: AddressSpace, leaf: Leaf, lo: int, hi: int, step: int) -> None:
    memory = space.memory
    if leaf.flags[lo] & PMD and hi - lo == BLOCK:
        frame = int(leaf.frame[lo])
        if space.counted(leaf.frame[lo : lo + 1])[0] and not shared_in_advice(space, frame, BLOCK, step):
            _free_lazily(space, leaf, np.arange(lo, hi), int(memory.frame["folio"][frame]))
        return
    for pages in separate(space, leaf, lo, hi, step):
        _free_lazily(space, leaf, pages, int(memory.frame["folio"][leaf.frame[pages[0]]]))


def _free_lazily(space: AddressSpace, leaf: Leaf, index: Index, slot: int) -> None:
    """The folio mapped at `index` as a whole: its pages here are clean from now on, and it is not worth keeping unless
    written to; not so if it is dirty itself and others map it (madvise_free_pte_range())."""
    folio, device = space.memory.folio, space.swap.device
    cached, whole = int(folio["swapcache"][slot]), bool(leaf.flags[index[0]] & PMD)
    if cached or folio["dirty"][slot]:
        if not whole and folio["mapcount"][slot] != len(index):
            return
        if cached:
            if device is None or space.swap.waited_for(np.array([slot], np.uint32))[0]:
                return
            space.swap.leave(np.array([slot], np.uint32))
        folio["dirty"][slot] = False
    leaf.flags[index] |= CLEAN
    folio["lazy"][slot] = True


def cold(space: AddressSpace, start: int, end: int) -> None:
    """Split the large folios of which the range covers a part, if nobody else maps them or holds them."""
    step = space.memory.recorder.tick()
    for vma, window in list(space.spans(start, end, write=True)):
        for lo in range(window.lo - window.lo % BLOCK, window.hi, BLOCK):
            first, last = max(lo, window.lo), min(lo + BLOCK, window.hi)
            if vma.file is not None:
                cold_file(space, vma, vma.file, window, first, last, step, pageout=False)
            elif not window.leaf.flags[first] & PMD or last - first < BLOCK:
                separate(space, window.leaf, first, last, step)
