"""The reverse map: from folios to those who map them. Walks the page tables of every address space.

For reclaim and collapse, which take mappings away wherever they are.
"""

import numpy as np

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import Frames
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, PMD, Leaf


def unmap_everywhere(world: World, slots: Frames) -> None:
    """try_to_unmap(): no address space maps these folios any more."""
    memory = world.memory
    step = memory.recorder.tick()
    for space in world.spaces.values():
        for region in space.table.regions:
            for number in list(region.leaves):
                index = np.flatnonzero(np.isin(memory.frame["folio"][region.leaves[number].memory()], slots))
                if len(index):
                    _unmap_leaf(space, space.table.own(region, number), index, step)


def locked_frames(world: World) -> Frames:
    """Frames that some locked VMA maps."""
    found = [np.zeros(0, np.uint32)]
    for space in world.spaces.values():
        for vma in space.vmas:
            for window in space.table.windows(vma.start, vma.end) if vma.locked else ():
                found.append(window.leaf.frame[window.leaf.present(window.lo, window.hi)])
    return np.concatenate(found)


def _unmap_leaf(space: AddressSpace, leaf: Leaf, index: Index, step: int) -> None:
    for block in np.unique(index[leaf.flags[index] & PMD != 0] // BLOCK).tolist():
        space.split_pmd(leaf, block * BLOCK, step, anon=False)
    index = index[leaf.frame[index] != 0]
    space.memory.unmap_pages(space.memory.runs(leaf.frame[index]), space.mm, step)
    leaf.frame[index], leaf.flags[index], leaf.expect[index] = 0, 0, 0
