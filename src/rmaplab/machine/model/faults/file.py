"""Faults on mappings of files: what a fault brings into the page cache, and how much of it gets mapped.

For `fault`. A read fault maps what is cached around it; any fault maps all of a large folio where it fits, by a PMD if
it can. What a disk file's page misses bring in is `readahead`'s.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.readahead import read_in
from rmaplab.machine.model.backing.shmem import read_back
from rmaplab.machine.model.faults.cow import map_anon
from rmaplab.machine.model.physical.columns import Index, Runs, spread
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, DIRTY, PMD, Leaf, W, Window
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER

FAULT_AROUND: Final = 16
"""Pages a read fault looks at (fault_around_bytes, 64 KiB)."""


def missing_file_read(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, step: Index) -> None:
    """Read faults on the pages of `window` that are not present; `step` has one element a page."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    while len(missing := lo + np.flatnonzero(leaf.frame[lo:hi] == 0)):
        at = int(missing[0])
        space.memory.counters.faults += 1
        _fault_around(space, vma, file, window, at, int(step[at - lo]))
        if leaf.frame[at] == 0:
            _bring_in(space, vma, file, window.base, np.array([at]))
            if file.on_disk:
                # Who waited for the disk begins the fault anew.
                _fault_around(space, vma, file, window, at, int(step[at - lo]))
        if leaf.frame[at] == 0:
            _map_fault(space, vma, file, window, at, int(step[at - lo]), write=False)


def missing_file_write(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, step: Index) -> None:
    """Write faults on them: the file's page itself through a shared mapping, a copy through a private one."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    _bring_in(space, vma, file, window.base, missing)
    if vma.private:
        _copy(space, vma, file, window, missing, step[missing - lo])
    elif space.fault_order(vma) or _has_large(space, vma, file, window, missing):
        for at in missing.tolist():
            if leaf.frame[at] == 0:
                space.memory.counters.faults += 1
                _map_fault(space, vma, file, window, at, int(step[at - lo]), write=True)
    else:
        space.memory.counters.faults += len(missing)
        _map_small(space, vma, leaf, missing, file.frame[vma.offset_of(window.base) + missing], step[missing - lo])


def _copy(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, missing: Index, step: Index) -> None:
    space.prepare_anon_vma(vma)
    pages = vma.offset_of(window.base) + missing
    old = file.frame[pages]
    window.leaf.expect[missing] = file.expect[pages]
    map_anon(space, window.leaf, missing, 0, step)
    new = window.leaf.frame[missing]
    for name in ("version", "value"):
        space.memory.frame[name][new] = space.memory.frame[name][old]


def _bring_in(space: AddressSpace, vma: Vma, file: ModelFile, base: int, index: Index) -> None:
    """Cache the file pages behind `index` (ascending): those in swap as they left, others in folios of the VMA's order
    where these fit the VMA, the file's alignment, and what is cached or in swap already."""
    pages = vma.offset_of(base) + index
    if file.on_disk:
        read_in(file, pages, huge=vma.thp, large=space.memory.policy.disk_large)
        return
    read_back(space.memory, space.swap, file, pages)
    order = space.fault_order(vma)
    if order and (vma.start - vma.pgoff) % (1 << order) == 0:
        first = np.unique((index + base) >> order) << order
        first = first[(first >= vma.start) & (first + (1 << order) <= vma.end)]
        at = vma.pgoff + first - vma.start
        wanted = np.isin(at >> order, pages[file.frame[pages] == 0] >> order)
        file.cache((group := at[wanted])[file.free_groups(group, order)], order)
    file.cache(pages[file.frame[pages] == 0], 0)


def _has_large(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, index: Index) -> bool:
    slots = space.memory.frame["folio"][file.frame[vma.offset_of(window.base) + index]]
    return bool((space.memory.folio["order"][slots] > 0).any())


def _fault_around(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, at: int, step: int) -> None:
    """Map what is cached in the 64 KiB around index `at`; by a PMD if the first folio found allows it. Of a
    folio that fits into VMA and block all is mapped, also what lies beyond the 64 KiB.

    A disk file's last folio is taken for one that reaches beyond the end: it is not mapped whole, and if it is the first
    found and there is no table of PTEs, nothing is (filemap_map_pages() of 6.18 compares the last page with the next).
    """
    leaf = window.leaf
    lo = max(at - at % FAULT_AROUND, vma.start - window.base)
    around = np.arange(lo, min(lo + FAULT_AROUND, at - at % BLOCK + BLOCK, vma.end - window.base))
    pages = vma.offset_of(window.base) + around
    around, pages = around[pages < file.pages], pages[pages < file.pages]
    hit = np.flatnonzero(file.frame[pages])
    if file.ahead.any():
        hit = hit[~file.ahead[file.first_pages(pages[hit])]]
    around, cached = around[hit], file.frame[pages[hit]]
    if not len(around):
        return
    last = file.on_disk & (space.memory.frame["folio"][cached] == space.memory.frame["folio"][file.frame[file.pages - 1]])
    if last[0]:
        if not leaf.tables[at // BLOCK]:
            return
    elif _map_pmd(space, vma, window, at, int(cached[0]), int(around[0]), step, write=False):
        return
    if space.memory.policy.around_maps_whole:
        around = np.union1d(around, _whole_folios(space, vma, window, around[~last], cached[~last]))
    around = around[leaf.frame[around] == 0]
    _map_pages(space, vma, leaf, around, file.frame[vma.offset_of(window.base) + around], step, write=False)


def _whole_folios(space: AddressSpace, vma: Vma, window: Window, index: Index, frames: NDArray[np.uint32]) -> Index:
    """All pages of the large folios at `index` that fit into VMA and block."""
    memory = space.memory
    slots = memory.frame["folio"][frames]
    order = memory.folio["order"][slots].astype(np.int64)
    first = index - (frames - memory.folio["head"][slots]).astype(np.int64)
    last = first + (1 << order)
    fits = (order > 0) & (first + window.base >= vma.start) & (last + window.base <= vma.end)
    fits &= (first // BLOCK == (last - 1) // BLOCK) & (first >= 0)
    starts, which = np.unique(first[fits], return_index=True)
    return spread(starts, 1 << order[fits][which])


def _map_fault(
    space: AddressSpace, vma: Vma, file: ModelFile, window: Window, at: int, step: int, *, write: bool
) -> None:
    """Map the cached page of index `at`, with all of its folio where that fits."""
    leaf, memory = window.leaf, space.memory
    frame = int(file.frame[vma.offset_of(window.base) + at])
    if _map_pmd(space, vma, window, at, frame, at, step, write=write):
        return
    slot = memory.frame["folio"][frame]
    maps_whole = memory.policy.disk_maps_whole if file.on_disk else memory.policy.shmem_maps_whole
    size = 1 << int(memory.folio["order"][slot]) if maps_whole else 1
    first = at - (frame - int(memory.folio["head"][slot]))
    last = first + size
    inside = vma.allows(first + window.base, size) and first // BLOCK == (last - 1) // BLOCK and first >= 0
    if size > 1 and inside and not leaf.frame[first:last].any():
        index = np.arange(first, last)
        _map_pages(space, vma, leaf, index, (index - at + frame).astype(np.uint32), step, write=write)
    else:
        _map_pages(space, vma, leaf, np.array([at]), np.array([frame], np.uint32), step, write=write)


def _map_pmd(
    space: AddressSpace, vma: Vma, window: Window, at: int, frame: int, index: int, step: int, *, write: bool
) -> bool:
    """Map the whole block of `at` by a PMD, if `frame` (to be mapped at `index`) is of a THP that lies right."""
    memory, leaf = space.memory, window.leaf
    slot = memory.frame["folio"][frame : frame + 1]
    head = int(memory.folio["head"][slot[0]])
    lo = at - at % BLOCK
    if memory.folio["order"][slot[0]] != PMD_ORDER or leaf.tables[lo // BLOCK] or index - (frame - head) != lo:
        return False
    if not space.maps_by_pmd(vma) or not vma.allows(lo + window.base, BLOCK) or leaf.frame[lo : lo + BLOCK].any():
        return False
    install_pmd(space, vma, leaf, lo, head, step, write=write)
    return True


def install_pmd(space: AddressSpace, vma: Vma, leaf: Leaf, lo: int, head: int, step: int, *, write: bool) -> None:
    """Map the cached THP that begins at frame `head` by a PMD at leaf index `lo`, where nothing is mapped."""
    leaf.frame[lo : lo + BLOCK] = np.arange(head, head + BLOCK)
    leaf.flags[lo : lo + BLOCK] = PMD | _access(vma, write)
    space.memory.map_entire(space.memory.frame["folio"][head : head + 1], space.mm, step)


def _access(vma: Vma, write: bool) -> int:
    """A shared page of a disk file is mapped read-only until it is written: the file system wants to know."""
    if not (vma.shared and vma.writable):
        return 0
    return W | DIRTY if write else 0 if vma.on_disk else W


def _map_pages(
    space: AddressSpace, vma: Vma, leaf: Leaf, index: Index, frames: NDArray[np.uint32], step: int, *, write: bool
) -> None:
    """PTE-map cached `frames` at `index`, all by one fault."""
    if len(index):
        _enter(vma, leaf, index, frames, write)
        space.memory.map_pages(space.memory.runs(frames), space.mm, step)


def _map_small(space: AddressSpace, vma: Vma, leaf: Leaf, index: Index, frames: NDArray[np.uint32], step: Index) -> None:
    """PTE-map cached small folios at `index`, each by a write fault of its own."""
    _enter(vma, leaf, index, frames, True)
    wide = frames.astype(np.int64)
    space.memory.map_pages(Runs(wide, wide, np.ones(len(wide), np.int64)), space.mm, step)


def _enter(vma: Vma, leaf: Leaf, index: Index, frames: NDArray[np.uint32], write: bool) -> None:
    leaf.frame[index] = frames
    leaf.flags[index] = _access(vma, write)
    leaf.tables[index // BLOCK] = True
