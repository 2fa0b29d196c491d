"""Folio split: a large anonymous folio becomes small ones, under its mappings.

For advice, migration and KSM; folios of files are `reclaim.files`'s. `separate` leaves folios alone that somebody else
may map: this is where kernels ask "exclusive or shared?" outside of COW.
"""

import numpy as np

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import ZERO, Memory
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, PMD, Leaf, W
from rmaplab.machine.model.space.questions import may_split, maybe_shared
from rmaplab.machine.model.space.rmap import locked_frames
from rmaplab.trace import KINDS

_ANON = (KINDS.index("anon"), KINDS.index("ksm"))


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
    but zeroes give way to the zero page, unless they are locked (try_to_map_unused_to_zeropage()).
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
        kept = kept[(memory.frame["value"][kept] != 0) | np.isin(kept, locked_frames(world))]
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
