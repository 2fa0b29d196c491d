"""The reverse map: from folios to those who map them. Walks the page tables of every address space.

For reclaim and collapse, which take mappings away wherever they are.
"""

from collections.abc import Iterator

import numpy as np

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import Frames
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, PMD, Leaf, Window
from rmaplab.machine.model.space.vma import Vma


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


def unmap_up_to_lock(world: World, slot: int) -> None:
    """try_to_unmap() of a folio of a file that some locked VMA maps: it goes from VMA to VMA, by where in the file they
    begin, and stops at that one. Of VMAs that begin at one place the kernel takes the one first that is there longer. One
    that a locked VMA maps as a whole is unevictable: nothing is unmapped."""
    pages, mapped = 1 << int(world.memory.folio["order"][slot]), list[tuple[Vma, AddressSpace, list[Window]]]()
    for vma, space in sorted(_vmas(world), key=lambda each: (each[0].pgoff, each[1].mm, each[0].start)):
        windows = list(_of_folio(space, vma, slot))
        if vma.locked and sum(window.hi - window.lo for window in windows) == pages:
            return
        mapped.append((vma, space, windows))
    step = world.memory.recorder.tick()
    for vma, space, windows in mapped:
        if vma.locked and windows:
            return
        for window in windows:
            (own,) = space.table.windows(window.page, window.page + 1, write=True)
            _unmap_leaf(space, own.leaf, np.arange(window.lo, window.hi), step)


def _vmas(world: World) -> Iterator[tuple[Vma, AddressSpace]]:
    return ((vma, space) for space in world.spaces.values() for vma in space.vmas)


def _of_folio(space: AddressSpace, vma: Vma, slot: int) -> Iterator[Window]:
    """Where the VMA maps pages of the folio, run by run."""
    for window in space.table.windows(vma.start, vma.end):
        frames = window.leaf.memory()[window.lo : window.hi]
        at = np.flatnonzero(space.memory.frame["folio"][frames] == slot)
        for run in np.split(at, np.flatnonzero(np.diff(at) != 1) + 1) if len(at) else ():
            lo, hi = window.lo + int(run[0]), window.lo + int(run[-1]) + 1
            yield Window(window.leaf, lo, hi, window.base + lo)


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
