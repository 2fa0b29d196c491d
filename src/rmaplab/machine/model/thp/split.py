"""Folio split, and the advice that asks for it: MADV_COLD and MADV_FREE on large anonymous folios.

For `advice`; mappings of files are `reclaim.files`'s. All leave folios alone that somebody else may map: this is where
kernels ask "exclusive or shared?" outside of COW. Nothing is reclaimed here: pages freed lazily stay until `pageout`
comes by.
"""

import numpy as np

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import ZERO, Memory
from rmaplab.machine.model.reclaim.files import cold_file
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, PMD, SWAP, Leaf, W, Window
from rmaplab.machine.model.space.questions import may_split, maybe_shared, shared_in_advice
from rmaplab.machine.protocol import BadOperation
from rmaplab.trace import KINDS

_ANON = (KINDS.index("anon"), KINDS.index("ksm"))


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
            if device is None or device.count[cached]:
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


def separate(space: AddressSpace, leaf: Leaf, lo: int, hi: int, step: int) -> list[Index]:
    """Split the large anonymous folios of which [lo, hi), part of one block, has only a part. Returns those it has as a
    whole afterwards, in order, as the leaf indexes of their pages."""
    memory = space.memory
    if leaf.flags[lo] & PMD:
        head = leaf.frame[lo - lo % BLOCK]
        if not space.counted(np.array([head]))[0] or not _try_split(space, int(head), BLOCK, step):
            return []
    index = leaf.present(lo, hi)
    index = index[space.counted(leaf.frame[index])]
    index = index[np.isin(memory.folio["kind"][memory.frame["folio"][leaf.frame[index]]], _ANON)]
    runs = memory.runs(leaf.frame[index])
    found: list[Index] = []
    for at, size in zip(runs.at.tolist(), runs.size.tolist(), strict=True):
        pages = index[at : at + size]
        frame = int(leaf.frame[pages[0]])
        order = int(memory.folio["order"][memory.frame["folio"][frame]])
        if order and size == 1 << order and not memory.policy.whole_splits:
            found.append(pages)
        elif not order or _try_split(space, frame, size, step):
            # Where the folio was split, pages full of zeroes became the zero page.
            found += list(pages[space.counted(leaf.frame[pages]), None])
        elif memory.policy.shared_ends_walk and maybe_shared(space, memory.frame["folio"][frame : frame + 1]):
            break
    return found


def _try_split(space: AddressSpace, frame: int, pages: int, step: int) -> bool:
    slot = int(space.memory.frame["folio"][frame])
    splits = may_split(space, frame, pages, step)
    if splits:
        split_folio(space.world, slot, space.memory.recorder.tick())
    return splits


def split_folio(world: World, slot: int, step: int) -> None:
    """Turn an anonymous folio without references but its mappings into small ones.

    Whoever maps a page of it maps the small folio afterwards; pages nobody maps are freed, and pages that hold nothing
    but zeroes give way to the zero page.
    """
    memory = world.memory
    mappings = [m for space in world.spaces.values() for m in mappings_of(memory, space, slot, step)]
    memory.folio["dirty"][slot] |= any((leaf.flags[index] & CLEAN == 0).any() for _, leaf, index in mappings)
    memory.hold(np.array([slot], np.uint32))
    for space, leaf, index in mappings:
        memory.unmap_pages(memory.runs(leaf.frame[index]), space.mm, step)
    mapped = [leaf.frame[index] for _, leaf, index in mappings]
    kept = np.unique(np.concatenate(mapped)) if mapped else np.zeros(0, np.uint32)
    if not memory.policy.split_keeps_zeroes:
        kept = kept[memory.frame["value"][kept] != 0]
    memory.break_up(slot, kept)
    for space, leaf, index in mappings:
        stays = np.isin(leaf.frame[index], kept)
        leaf.frame[index[~stays]] = ZERO
        leaf.expect[index[~stays]] = 0
        leaf.flags[index[~stays]] &= ~np.uint8(W)
        memory.map_pages(memory.runs(leaf.frame[index[stays]]), space.mm, step)


def mappings_of(memory: Memory, space: AddressSpace, slot: int, step: int) -> list[tuple[AddressSpace, Leaf, Index]]:
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
    return np.flatnonzero(memory.frame["folio"][leaf.memory()] == slot)
