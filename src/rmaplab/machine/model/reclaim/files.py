"""Page-cache folios under advice: split, unmapped, written back, taken out of the cache.

For `split` (MADV_COLD and MADV_PAGEOUT on mappings of files) and the machine. Where anonymous folios are split under
their mappings, those of a file are unmapped first, everywhere, and fault in again (unmap_folio()). Shmem that was
written to goes to swap, or stays in memory, unmapped, if there is no place for it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.shmem import write_out
from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import DIRTY, PMD, Leaf, W, Window
from rmaplab.machine.model.space.questions import may_split, maybe_shared
from rmaplab.machine.model.space.rmap import locked_frames, unmap_everywhere, unmap_up_to_lock
from rmaplab.machine.model.space.vma import Vma
from rmaplab.trace import KINDS

_ANON = KINDS.index("anon")


def write_back(world: World, files: Sequence[ModelFile]) -> None:
    """Write what is dirty of these files to the disk: their pages are write-protected in every shared mapping."""
    for space in world.spaces.values():
        for vma in space.vmas:
            if vma.shared and vma.file in files:
                for window in space.table.windows(vma.start, vma.end, write=True):
                    window.leaf.flags[window.lo : window.hi] &= ~np.uint8(W | DIRTY)


def cold_file(
    space: AddressSpace, vma: Vma, file: ModelFile, window: Window, lo: int, hi: int, step: int, *, pageout: bool
) -> None:
    """MADV_COLD or MADV_PAGEOUT on [lo, hi) of one block of a mapping of `file`: split the folios that the range covers
    in part, take those it covers as a whole out of memory. What others may map is left alone."""
    memory, leaf = space.memory, window.leaf
    whole: list[int] = []
    for at, pages in _batches(memory, leaf, lo, hi):
        frame = int(leaf.frame[at])
        slot = memory.frame["folio"][frame : frame + 1]
        size, mapcount = 1 << int(memory.folio["order"][slot[0]]), int(memory.folio["mapcount"][slot[0]])
        if pages < size:
            if may_split(space, frame, pages, step, cached=size):
                _split(space.world, file, slot, int(file.first_pages(vma.offset_of(window.base) + np.array([at]))[0]))
        elif not maybe_shared(space, slot) if leaf.flags[at] & PMD else mapcount == size:
            whole.append(int(slot[0]))
    if pageout:
        first = file.first_pages(np.flatnonzero(np.isin(memory.frame["folio"][file.frame], np.array(whole, np.uint32))))
        _reclaim(space.world, file, np.unique(first))


def _batches(memory: Memory, leaf: Leaf, lo: int, hi: int) -> Iterator[tuple[int, int]]:
    """Leaf index and length of every run of pages of one folio of a file in [lo, hi), each looked for when the one before
    has been dealt with."""
    at = lo
    while at < hi:
        index = leaf.present(at, hi)
        frames = leaf.frame[index]
        kinds = memory.folio["kind"][memory.frame["folio"][frames]]
        index = index[AddressSpace.counted(frames) & (kinds != _ANON)]
        if not len(index):
            return
        at = int(index[0])
        frame = int(leaf.frame[at])
        slot = memory.frame["folio"][frame]
        left = min(int(memory.folio["head"][slot]) + (1 << int(memory.folio["order"][slot])) - frame, hi - at)
        same = leaf.frame[at : at + left] == frame + np.arange(left)
        pages = left if same.all() else int(np.argmin(same))
        yield at, pages
        at += pages


def _split(world: World, file: ModelFile, slot: Frames, first: int) -> None:
    """Make small folios of the one in `slot`, which caches the pages of `file` from `first` on, and unmap it."""
    memory = world.memory
    pages = 1 << int(memory.folio["order"][slot[0]])
    unmap_everywhere(world, slot)
    frames = file.frame[first : first + pages].copy()
    memory.break_up(int(slot[0]), frames)
    memory.hold(memory.frame["folio"][frames])
    file.dirty[first : first + pages] = file.dirty[first : first + pages].any()
    memory.counters.splits += 1


def _reclaim(world: World, file: ModelFile, first: Index) -> None:
    """Unmap the folios of `file` that begin at the pages `first`; let go of those nobody holds, if what was written to
    them is on the disk or goes to swap. What a locked VMA maps stays, mapped by that one at least. Of a large one
    without room there as a whole, the pages go one by one."""
    memory, swap = world.memory, world.swap
    slots = memory.frame["folio"][file.frame[first]]
    evictable = ~memory.folio["mlocked"][slots]
    first, slots = first[evictable], slots[evictable]
    free = ~np.isin(slots, memory.frame["folio"][locked_frames(world)])
    for slot in slots[~free].tolist():
        unmap_up_to_lock(world, slot)
    first, slots = first[free], slots[free]
    if not len(slots):
        return
    unmap_everywhere(world, slots)
    for page, slot in zip(first.tolist(), slots.tolist(), strict=True):
        order = int(memory.folio["order"][slot])
        pages = 1 << order
        if memory.folio["refs"][slot] != pages:
            continue
        if file.on_disk or not file.dirty[page : page + pages].any():
            file.forget(page, pages)
        elif not write_out(memory, swap, file, page, order) and order and swap.device is not None:
            _split(world, file, np.array([slot], np.uint32), page)
            for at in (page, *range(page + pages - 1, page, -1)):
                write_out(memory, swap, file, at, 0)
