"""fork: what of an address space a child gets, and what that does to the parent's pages.

For the model's processes. Page tables are shared with the child, leaf by leaf, until one side changes them; the
counters see every mapping the child got.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.faults.cow import map_copies
from rmaplab.machine.model.physical.columns import Index, Runs
from rmaplab.machine.model.physical.memory import Frames
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, LEAF, PMD, SWAP, SWAP_EXCLUSIVE, WP, Leaf, Region, W, any_of
from rmaplab.machine.model.space.vma import Vma, VmaList
from rmaplab.trace import KINDS

Ranges = list[tuple[int, int]]
"""Parts [lo, hi) of a leaf."""


def fork(parent: AddressSpace, mm: int) -> AddressSpace:
    """A child address space `mm`. Only private VMAs that may hold anonymous pages have their page tables copied; the
    rest faults in again."""
    step = parent.memory.recorder.tick()
    if parent.mm in parent.world.ksm_mms:
        parent.world.ksm_mms.append(mm)
    child = AddressSpace(parent.world, mm, VmaList([_child_vma(parent, v) for v in parent.vmas if not v.dontfork]))
    child.forebears, child.thp_disabled = parent.forebears | {parent.mm}, parent.thp_disabled
    inherited = [v for v in parent.vmas if v.private and not v.dontfork and not v.wipeonfork]
    copied = [v for v in inherited if v.anon_vma or v.guarded]
    for region in parent.table.regions:
        inside = [v for v in copied if region.start <= v.start < region.start + region.pages]
        if not child.vmas.within(region.start, region.start + region.pages):
            continue
        leaves = _fork_region(parent, child, region, inside, step)
        child.table.adopt(Region(region.start, region.pages, leaves, region.kept))
    return child


def _child_vma(parent: AddressSpace, vma: Vma) -> Vma:
    if vma.wipeonfork:
        return replace(vma, anon_vma=0, cloned=False, guarded=False, locked=False, uffd=False)
    if not vma.anon_vma:
        return replace(vma, anon_vma=0, cloned=False, locked=False, uffd=False)
    return replace(vma, anon_vma=parent.world.next_anon_vma(), cloned=True, locked=False, uffd=False)


def _fork_region(
    parent: AddressSpace, child: AddressSpace, region: Region, vmas: list[Vma], step: int
) -> dict[int, Leaf]:
    """The child's leaves of a region of which it gets `vmas`."""
    leaves: dict[int, Leaf] = {}
    frames, huge = [np.zeros(0, np.uint32)], [np.zeros(0, np.bool_)]
    plain = all(v.anonymous for v in vmas)
    last = region.start + region.pages
    whole_region = plain and any(v.start <= region.start and last <= v.end for v in vmas)
    if whole_region and region.inherited is not None:
        for leaf in region.leaves.values():
            leaf.sharers += 1
        _dup(child, *region.inherited, step)
        return dict(region.leaves)
    pins = bool(parent.memory.folio.used("pins").any())
    for number in sorted(region.leaves) if vmas else ():
        leaf = region.leaves[number]
        if whole_region and leaf.sharers > 1 and leaf.mapped is not None:
            frames.append(leaf.mapped[0])
            huge.append(leaf.mapped[1])
            leaf.sharers += 1
            leaves[number] = leaf
            continue
        base = region.start + number * LEAF
        end = base + region.leaf_pages(number)
        ranges = [(max(v.start, base) - base, min(v.end, end) - base) for v in vmas if v.start < end and base < v.end]
        if not ranges:
            continue
        pinned = _protect_parent(parent, region, number, ranges, step, pins=pins)
        leaf = region.leaves[number]
        left_out = pinned if plain else np.concatenate((pinned, _file_pmds(parent, leaf)))
        for lo, hi in ranges:
            mapped, whole = _mapped(leaf, lo, hi, left_out)
            frames.append(mapped)
            huge.append(whole)
            if parent.swap.device is not None:
                parent.swap.device.get(leaf.frame[lo + np.flatnonzero(leaf.flags[lo:hi] & SWAP)].astype(np.int64))
        leaves[number] = _child_leaf(child, leaf, ranges, left_out, len(pinned), step)
        if leaves[number] is leaf and whole_region and parent.swap.device is None:
            leaf.mapped = mapped, whole
    inherited = np.concatenate(frames), np.concatenate(huge)
    _dup(child, *inherited, step)
    if whole_region and all(leaf.sharers > 1 and leaf.mapped is not None for leaf in region.leaves.values()):
        region.inherited = inherited
    return leaves


def _mapped(leaf: Leaf, lo: int, hi: int, left_out: Index) -> tuple[Frames, NDArray[np.bool_]]:
    """The frames the child maps of [lo, hi), and which of them by a PMD: there the first page stands for all."""
    huge = leaf.flags[lo:hi] & PMD != 0
    if not len(left_out) and (lo | hi) % BLOCK == 0 and huge.all():
        heads: Frames = leaf.frame[lo:hi:BLOCK]
        return heads, huge[::BLOCK]
    if not len(left_out) and not any_of(leaf.flags[lo:hi], PMD | SWAP) and leaf.frame[lo:hi].all():
        return leaf.frame[lo:hi], huge
    index = leaf.present(lo, hi)
    index = np.setdiff1d(index, left_out) if len(left_out) else index
    if not huge.any():
        return leaf.frame[index], huge[index - lo]
    whole = huge[index - lo]
    counted = ~whole | (index % BLOCK == 0)
    return leaf.frame[index[counted]], whole[counted]


def _protect_parent(parent: AddressSpace, region: Region, number: int, ranges: Ranges, step: int, *, pins: bool) -> Index:
    """Take write access from the parent, but for exclusive pages of pinned folios (`pins`: there are any): their indexes
    are returned, and a PMD mapping of such a folio is remapped by PTEs."""
    leaf = region.leaves[number]
    if not any(_exclusive(parent, leaf, lo, hi) for lo, hi in ranges):
        return np.zeros(0, np.int64)
    if not pins:
        leaf = parent.table.own(region, number)
        for lo, hi in ranges:
            leaf.flags[lo:hi] &= ~np.uint8(W | SWAP_EXCLUSIVE)
        return np.zeros(0, np.int64)
    inside = _mask(leaf, ranges)
    index = np.flatnonzero(inside & (leaf.frame != 0) & (leaf.flags & SWAP == 0))
    pinned = index[parent.memory.pinned_exclusive(leaf.frame[index])]
    leaf = parent.table.own(region, number)
    for block in np.unique(pinned[leaf.flags[pinned] & PMD != 0] // BLOCK).tolist():
        parent.split_pmd(leaf, block * BLOCK, step, anon=True)
    inside[pinned] = False
    leaf.flags[inside] &= ~np.uint8(W | SWAP_EXCLUSIVE)
    return pinned


def _exclusive(parent: AddressSpace, leaf: Leaf, lo: int, hi: int) -> bool:
    """Does [lo, hi) hold anything that fork takes from the parent: write access, or exclusive pages? What address
    spaces share a fork has taken it from already."""
    if leaf.sharers > 1:
        return False
    if any_of(leaf.flags[lo:hi], W | SWAP_EXCLUSIVE):
        return True
    return bool(parent.memory.frame["exclusive"][leaf.frame[leaf.present(lo, hi)]].any())


def _dup(child: AddressSpace, frames: Frames, huge: NDArray[np.bool_], step: int) -> None:
    """The child maps these pages too, those that are `huge` by a PMD; none of them is exclusive any more."""
    memory = child.memory
    counted = child.counted(frames)
    heads = frames[huge & counted].astype(np.int64)
    memory.map_entire(memory.frame["folio"][heads], child.mm, step)
    heads = heads[memory.frame["exclusive"][heads]]
    Runs(heads, heads, np.full(len(heads), BLOCK)).fill(memory.frame["exclusive"], False)
    small = frames[~huge & counted]
    if len(small):
        runs = memory.runs(small)
        memory.map_pages(runs, child.mm, step)
        runs.fill(memory.frame["exclusive"], False)


def _file_pmds(parent: AddressSpace, leaf: Leaf) -> Index:
    """Pages that a PMD maps from a file: fork leaves them to be faulted in again."""
    index = np.flatnonzero(leaf.flags & PMD)
    frames = leaf.frame[index]
    kind = parent.memory.folio["kind"][parent.memory.frame["folio"][frames]]
    return np.asarray(index[parent.counted(frames) & (kind != KINDS.index("anon"))], np.int64)


def _child_leaf(child: AddressSpace, leaf: Leaf, ranges: Ranges, left_out: Index, pins: int, step: int) -> Leaf:
    """The parent's leaf itself if the child has all of it, else a copy of `ranges` without `left_out`. Of these the
    first `pins` are pinned: the child gets copies of its own."""
    tracked = any_of(leaf.flags, WP)  # the child's memory is not
    if ranges == [(0, len(leaf.frame))] and not len(left_out) and not tracked:
        leaf.sharers += 1
        return leaf
    outside = ~_mask(leaf, ranges)
    tables = np.zeros_like(leaf.tables)
    for lo, hi in ranges:
        tables[lo // BLOCK : -(-hi // BLOCK)] = leaf.tables[lo // BLOCK : -(-hi // BLOCK)]
    if not len(left_out) and not tracked and not leaf.frame[outside].any() and bool((tables == leaf.tables).all()):
        leaf.sharers += 1
        return leaf
    copy = leaf.copy()
    copy.flags &= ~np.uint8(WP)
    for column in (copy.frame, copy.flags, copy.expect):
        column[outside] = 0
    copy.tables = tables
    if pins:
        map_copies(child, copy, left_out[:pins], np.full(pins, step))
    for column in (copy.frame, copy.flags, copy.expect):
        column[left_out[pins:]] = 0
    return copy


def _mask(leaf: Leaf, ranges: Ranges) -> NDArray[np.bool_]:
    mask = np.zeros(len(leaf.frame), np.bool_)
    for lo, hi in ranges:
        mask[lo:hi] = True
    return mask
