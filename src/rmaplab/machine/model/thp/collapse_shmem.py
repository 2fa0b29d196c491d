"""MADV_COLLAPSE on files: what one caches of 2 MiB is copied into a new THP, which the caller maps by a PMD.

For `collapse`. Two steps that succeed or fail apart (collapse_file(), collapse_pte_mapped_thp()): the page cache's, which
unmaps the old folios everywhere, and the caller's page table's.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import numpy as np

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.shmem import read_back
from rmaplab.machine.model.faults.file import install_pmd
from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, LEAF, PMD, SWAP
from rmaplab.machine.model.space.rmap import unmap_everywhere
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER

_GIB: Final = 18
"""log2 of the pages of 1 GiB."""


class _Result(Enum):
    DONE = 1
    HELD = 2
    """Somebody holds a page, or a private copy is in swap: the next block may fare better."""
    FAILED = 3
    """The call ends here."""


def collapse_file(space: AddressSpace, vma: Vma, file: ModelFile, pages: Iterable[int]) -> int:
    """Collapse the blocks that begin at the virtual pages `pages`, up to the first that fails; returns how many are
    mapped by PMDs now."""
    done = 0
    for page in pages:
        result = _block(space, vma, file, page)
        done += result is _Result.DONE
        if result is _Result.FAILED:
            break
    return done


def _block(space: AddressSpace, vma: Vma, file: ModelFile, page: int) -> _Result:
    memory, first = space.memory, vma.offset_of(page)
    if file.on_disk and first + BLOCK > file.pages:
        return _Result.FAILED
    slots = _cached(memory, file, first)
    if not len(slots) and not file.on_disk and not file.swap[first : first + BLOCK].any():
        return _Result.FAILED
    sizes = 1 << memory.folio["order"][slots].astype(np.int64)
    if (sizes < BLOCK).all():
        if (memory.folio["refs"][slots] != memory.folio["mapcount"][slots] + sizes).any():
            return _Result.HELD
        if file.on_disk:  # what is dirty is written back, what is not cached read in
            file.dirty[first : first + BLOCK] = False
            file.cache(first + np.flatnonzero(file.frame[first : first + BLOCK] == 0), 0)
        else:
            read_back(memory, space.swap, file, np.arange(first, first + BLOCK))
        slots = _cached(memory, file, first)
        if memory.folio["order"][slots[0]] < PMD_ORDER:
            _replace(space.world, file, first, slots)
    return _map(space, vma, page, int(file.frame[first]))


def _cached(memory: Memory, file: ModelFile, first: int) -> Frames:
    """Folio slots of what is cached of the 2 MiB from file page `first` on."""
    frames = file.frame[first : first + BLOCK]
    return np.unique(memory.frame["folio"][frames[frames != 0]])


def _replace(world: World, file: ModelFile, first: int, slots: Frames) -> None:
    """Cache the 2 MiB from file page `first` on by one folio instead of those in `slots`; holes become zeros."""
    memory = world.memory
    unmap_everywhere(world, slots)
    cached = first + np.flatnonzero(file.frame[first : first + BLOCK])
    for page in np.unique(file.first_pages(cached)).tolist():
        file.forget(page, 1 << int(memory.folio["order"][memory.frame["folio"][file.frame[page]]]))
    file.cache(np.array([first]), PMD_ORDER)
    file.dirty[first : first + BLOCK] = not file.on_disk
    for space in world.spaces.values():
        for vma in space.vmas:
            if vma.file is file and not vma.anon_vma:
                _retract(space, vma, vma.start + first - vma.pgoff)


def _retract(space: AddressSpace, vma: Vma, page: int) -> None:
    """Free the empty table of PTEs over the block that begins at virtual page `page`, if `vma` has all of it."""
    if page % BLOCK == 0 and vma.allows(page, BLOCK):
        for window in space.table.windows(page, page + BLOCK, write=True):
            window.leaf.tables[window.lo // BLOCK] = False


def _has_tables(space: AddressSpace, page: int) -> bool:
    """Is there a table of PMDs for the 1 GiB around `page` (mm_find_pmd())? Something was faulted in there."""
    regions = [(region.start, number) for region in space.table.regions for number in region.leaves]
    return any((start + number * LEAF) >> _GIB == page >> _GIB for start, number in regions)


def _map(space: AddressSpace, vma: Vma, page: int, head: int) -> _Result:
    """Map the THP at frame `head` by a PMD, in place of PTEs of its pages if there are any, and of nothing else."""
    if not space.memory.policy.collapse_makes_tables and not _has_tables(space, page):
        return _Result.HELD
    step = space.memory.recorder.tick()
    (window,) = space.table.windows(page, page + BLOCK, write=True, create=True)
    leaf, lo = window.leaf, window.lo
    if leaf.flags[lo] & PMD:
        return _Result.DONE
    index = leaf.present(lo, lo + BLOCK)
    strange = index[leaf.frame[index] != head + index - lo]
    swapped = lo + np.flatnonzero(leaf.flags[lo : lo + BLOCK] & SWAP)
    if len(swapped) and not (strange < swapped[0]).any():
        return _Result.HELD
    if len(strange):
        return _Result.FAILED
    space.memory.unmap_pages(space.memory.runs(leaf.frame[index]), space.mm, step)
    leaf.clear(lo, lo + BLOCK)
    leaf.tables[lo // BLOCK] = False
    install_pmd(space, vma, leaf, lo, head, step, write=False)
    return _Result.DONE
