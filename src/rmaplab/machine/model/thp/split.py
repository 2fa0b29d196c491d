"""Folio split: a large anonymous folio becomes small ones, under its mappings.

For advice, migration and KSM; folios of files are `reclaim.files`'s. `separate` leaves folios alone that somebody else
may map: this is where kernels ask "exclusive or shared?" outside of COW.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import ZERO, Frames, Memory
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, LEAF, PMD, WP, Leaf, W
from rmaplab.machine.model.space.questions import may_split, maybe_shared
from rmaplab.machine.model.space.vma import Vma
from rmaplab.trace import KINDS

_ANON = (KINDS.index("anon"), KINDS.index("ksm"))


@dataclass(frozen=True, slots=True)
class _Mapping:
    """Indexes of `leaf`, whose first page is the virtual page `base`, at which `space` maps a folio by PTEs."""

    space: AddressSpace
    leaf: Leaf
    index: Index
    base: int

    def vmas(self) -> list[Vma]:
        """The VMAs it lies in."""
        return self.space.vmas.within(self.base + int(self.index[0]), self.base + int(self.index[-1]) + 1)


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
    found: list[Index] = []
    for pages in _batches(memory, leaf, index):
        size = len(pages)
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


def _batches(memory: Memory, leaf: Leaf, index: Index) -> list[Index]:
    """The pages at `index` in runs of one folio's that userfaultfd tracks alike: a difference there looks like the end of
    the folio (folio_pte_batch())."""
    alike = np.split(index, np.flatnonzero(np.diff((leaf.flags[index] & WP).astype(np.int8))) + 1)
    runs = [(part, memory.runs(leaf.frame[part])) for part in alike]
    return [
        part[at : at + size] for part, run in runs for at, size in zip(run.at.tolist(), run.size.tolist(), strict=True)
    ]


def _try_split(space: AddressSpace, frame: int, pages: int, step: int) -> bool:
    slot = int(space.memory.frame["folio"][frame])
    splits = may_split(space, frame, pages, step)
    if splits:
        split_folio(space.world, slot, space.memory.recorder.tick())
    return splits


def split_folio(world: World, slot: int, step: int) -> None:
    """Turn an anonymous folio without references but its mappings into small ones.

    Whoever maps a page of it maps the small folio afterwards; pages nobody maps are freed, and pages that hold nothing
    but zeroes give way to the zero page (`_staying`).
    """
    memory = world.memory
    mappings = [m for space in world.spaces.values() for m in _mappings_of(memory, space, slot, step)]
    memory.folio["dirty"][slot] |= any((m.leaf.flags[m.index] & CLEAN == 0).any() for m in mappings)
    memory.hold(np.array([slot], np.uint32))
    for m in mappings:
        memory.unmap_pages(memory.runs(m.leaf.frame[m.index]), m.space.mm, step)
    staying = _staying(memory, slot, mappings)
    kept = [m.leaf.frame[m.index[stays]] for m, stays in zip(mappings, staying, strict=True)]
    _break_up(world, slot, np.unique(np.concatenate([np.zeros(0, np.uint32), *kept])))
    for m, stays in zip(mappings, staying, strict=True):
        space, leaf, index = m.space, m.leaf, m.index
        leaf.frame[index[~stays]] = ZERO
        leaf.expect[index[~stays]] = 0
        leaf.flags[index[~stays]] &= ~np.uint8(W)
        memory.map_pages(memory.runs(leaf.frame[index[stays]]), space.mm, step)


def _break_up(world: World, slot: int, kept: Frames) -> None:
    """Small folios of the frames `kept`; one of the swap cache takes its place there along, and those of its pages stay
    for which entries wait."""
    memory, device = world.memory, world.swap.device
    first, head = int(memory.folio["swapcache"][slot]), int(memory.folio["head"][slot])
    if device is None or not first:
        memory.break_up(slot, kept)
        return
    size = 1 << int(memory.folio["order"][slot])
    waited = (head + np.flatnonzero(device.count[first : first + size])).astype(np.uint32)
    memory.folio["swapcache"][slot] = 0
    memory.folio["refs"][slot] -= size
    device.folio[first : first + size] = 0
    staying = np.union1d(kept, waited)
    memory.break_up(slot, staying)
    world.swap.enter(memory.frame["folio"][staying], first + staying.astype(np.int64) - head)
    slots = np.arange(first, first + size)
    device.free(slots[(device.count[slots] == 0) & (device.folio[slots] == 0)])


def _staying(memory: Memory, slot: int, mappings: list[_Mapping]) -> list[NDArray[np.bool_]]:
    """Which pages of each mapping stay mapped: those with contents, and of those full of zeroes what is locked.

    try_to_map_unused_to_zeropage() asks the VMA and the page. That is locked from its first mapping by a locked VMA on,
    and mappings are made again in the order of the reverse map: those before that get the zero page.
    """
    if memory.policy.split_keeps_zeroes or memory.folio["mlocked"][slot]:
        return [np.ones(len(m.index), np.bool_) for m in mappings]
    staying = [memory.frame["value"][m.leaf.frame[m.index]] != 0 for m in mappings]
    vmas = [(vma, number) for number, m in enumerate(mappings) for vma in m.vmas()]
    held = np.zeros(0, np.uint32)
    if not any(vma.locked for vma, _ in vmas):
        return staying
    for vma, number in sorted(vmas, key=lambda each: (each[0].pgoff, each[0].placed)):
        mapping = mappings[number]
        here = (mapping.index + mapping.base >= vma.start) & (mapping.index + mapping.base < vma.end)
        frames = mapping.leaf.frame[mapping.index]
        held = np.union1d(held, frames[here]) if vma.locked else held
        staying[number] |= here & np.isin(frames, held)
    return staying


def _mappings_of(memory: Memory, space: AddressSpace, slot: int, step: int) -> list[_Mapping]:
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
            found.append(_Mapping(space, leaf, index, region.start + number * LEAF))
    return found


def _of_folio(memory: Memory, leaf: Leaf, slot: int) -> Index:
    return np.flatnonzero(memory.frame["folio"][leaf.memory()] == slot)
