"""khugepaged: collapse in the background, where memory is used, there, and shared by few.

For `ModelMachine`. Every block of private anonymous memory under MADV_HUGEPAGE is looked at (hpage_collapse_scan_pmd()):
of its pages some may be missing or zero, some in swap, some maybe shared, each up to a limit; so the kernel asks here too
whether a folio is maybe mapped shared. What passes is collapsed as MADV_COLLAPSE does it. Files are left alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, GUARD, PMD, SWAP, Leaf
from rmaplab.machine.model.space.questions import shared_pages
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.model.thp.collapse import allows_collapse, collapse_block, has_pmd


@dataclass(frozen=True, slots=True)
class Limits:
    """Pages of a block that may be missing or zero, in swap, maybe shared: max_ptes_none, _swap, _shared."""

    none: int
    swap: int
    shared: int


def scan(world: World, limits: Limits) -> None:
    """Visit all address spaces until a visit to all of them collapses nothing: what one gives up others may own."""
    step = world.memory.recorder.tick()
    while sum(_visit(space, limits, step) for space in list(world.spaces.values())):
        pass


def visited(space: AddressSpace) -> list[Vma]:
    """VMAs that khugepaged looks into as soon as there is something in them."""
    if space.thp_disabled:
        return []
    room = [vma for vma in space.vmas if vma.end // BLOCK * BLOCK - BLOCK >= vma.start]
    return [vma for vma in room if vma.anonymous and vma.private and vma.thp]


def _visit(space: AddressSpace, limits: Limits, step: int) -> int:
    """Collapse what can be; how many blocks were."""
    done = 0
    for vma in filter(allows_collapse, visited(space)):
        for page in range(-(-vma.start // BLOCK) * BLOCK, vma.end // BLOCK * BLOCK, BLOCK):
            if has_pmd(space, page) and _worthwhile(space, page, limits):
                done += collapse_block(space, vma, page, step, most_shared=limits.shared)
    return done


def _worthwhile(space: AddressSpace, page: int, limits: Limits) -> bool:
    """Is the block mapped by PTEs, and does it keep to the limits? All its present pages count as used; where some are in
    swap, half of the block must be."""
    (window,) = space.table.windows(page, page + BLOCK)
    leaf, lo, policy = window.leaf, window.lo, space.memory.policy
    if leaf.flags[lo] & PMD:
        return False
    here = slice(lo, lo + BLOCK)
    frames, flags = leaf.frame[here], leaf.flags[here]
    away = (flags & SWAP != 0) | (frames == GUARD)
    there = ~away & space.counted(frames)
    used, swapped = int(there.sum()), int(away.sum())
    if BLOCK - used - swapped > limits.none or swapped > limits.swap:
        return False
    if not used or (swapped and used < BLOCK // 2) or shared_pages(space, frames[there]) > limits.shared:
        return False
    return not (policy.khugepaged_spares_lazy and _lazy(space, leaf, lo + np.flatnonzero(there)))


def _lazy(space: AddressSpace, leaf: Leaf, index: NDArray[np.int64]) -> bool:
    lazy = space.memory.folio["lazy"][space.memory.frame["folio"][leaf.frame[index]]]
    return bool((lazy & (leaf.flags[index] & CLEAN != 0)).any())
