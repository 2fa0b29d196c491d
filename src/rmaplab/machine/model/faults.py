"""Read and write faults on a range: first touch, zero pages, file pages, and the way to copy-on-write.

For the model's processes. A range is touched page by page in ascending order; what a fault brings in beyond its own
page (a THP, an mTHP, fault-around) later pages do not fault for.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.columns import Index, Runs
from rmaplab.machine.model.cow import Tally, map_thp, write_protected
from rmaplab.machine.model.files import ModelFile
from rmaplab.machine.model.memory import HUGE_ZERO, ZERO
from rmaplab.machine.model.pagetable import BLOCK, PMD, Leaf, W, Window
from rmaplab.machine.model.space import AddressSpace
from rmaplab.machine.model.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER

FAULT_AROUND: Final = 16
"""Pages a read fault on a file looks at (fault_around_bytes, 64 KiB)."""


def write(space: AddressSpace, start: int, end: int, value: int, version: int) -> Tally:
    """Store `value`, known as content `version`, into every page of [start, end)."""
    first = space.memory.recorder.tick(2 * (end - start))
    total = Tally()
    for vma, window in space.spans(start, end, write=True, create=True):
        lo, hi = window.lo, window.hi
        tally = _write_faults(space, vma, window, first + 2 * (np.arange(lo, hi) + window.base - start))
        total.reused += tally.reused
        total.copied += tally.copied
        _store(space, vma, window, value, version)
    return total


def _write_faults(space: AddressSpace, vma: Vma, window: Window, step: Index) -> Tally:
    """Make every page of `window` present and writable; `step` has one element a page."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    missing_write(space, vma, window, step)
    index = lo + np.flatnonzero(leaf.flags[lo:hi] & W == 0)
    if not len(index):
        return Tally()
    tally = write_protected(space, vma, leaf, index, step[index - lo])
    if vma.file is not None and vma.private:
        # The PMD of a private file mapping was unmapped by the fault, which then goes on page by page.
        missing_write(space, vma, window, step + 1)
    return tally


def _store(space: AddressSpace, vma: Vma, window: Window, value: int, version: int) -> None:
    leaf, lo, hi = window.leaf, window.lo, window.hi
    frames = leaf.frame[lo:hi]
    space.memory.frame["version"][frames] = version
    space.memory.frame["value"][frames] = value
    if vma.file is not None and vma.shared:
        at = vma.offset_of(window.page)
        vma.file.expect[at : at + hi - lo] = version
    else:
        leaf.expect[lo:hi] = version


def read(space: AddressSpace, start: int, end: int) -> NDArray[np.uint8]:
    """First byte of every page of [start, end), faulting it in."""
    first = space.memory.recorder.tick(end - start)
    values = []
    for vma, window in space.spans(start, end, write=True, create=True):
        step = first + np.arange(window.lo, window.hi) + window.base - start
        missing_read(space, vma, window, step)
        frames = window.leaf.frame[window.lo : window.hi]
        space.check_contents(vma, window)
        values.append(space.memory.frame["value"][frames])
    return np.concatenate(values)


def populate_write(space: AddressSpace, start: int, end: int) -> None:
    """Write faults on [start, end) that store nothing."""
    first = space.memory.recorder.tick(2 * (end - start))
    for vma, window in space.spans(start, end, write=True, create=True):
        _write_faults(space, vma, window, first + 2 * (np.arange(window.lo, window.hi) + window.base - start))


def missing_write(space: AddressSpace, vma: Vma, window: Window, step: Index) -> None:
    """Write faults on the pages of `window` that are not present; `step` has one element a page."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    if vma.file is not None:
        if vma.shared:
            _shared_write(space, vma, vma.file, window, step)
        else:
            _private_write(space, vma, vma.file, window, step)
        return
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    space.prepare_anon_vma(vma)
    for block in _huge_blocks(vma, leaf, window.base, missing).tolist():
        at = max(block * BLOCK, lo)
        map_thp(space, leaf, np.array([block]), step[at - lo : at - lo + 1])
        space.memory.counters.faults += 1
    missing = missing[leaf.frame[missing] == 0]
    order = vma.fault_order % PMD_ORDER
    if order:
        groups = np.unique(missing >> order)
        groups = groups[_free_groups(vma, leaf, window.base, groups, order)]
        at = np.maximum(groups << order, lo)
        _map_anon(space, leaf, groups << order, order, step[at - lo])
        missing = missing[leaf.frame[missing] == 0]
    _map_anon(space, leaf, missing, 0, step[missing - lo])


def _huge_blocks(vma: Vma, leaf: Leaf, base: int, missing: Index) -> Index:
    """Blocks among those of `missing` where a fault may map a THP: no table of PTEs yet, and room in the VMA."""
    if vma.fault_order != PMD_ORDER:
        return np.zeros(0, np.int64)
    blocks = np.unique(missing // BLOCK)
    first = blocks * BLOCK + base
    fits = (first >= vma.start) & (first + BLOCK <= vma.end)
    return blocks[fits & ~leaf.tables[blocks]]


def _free_groups(vma: Vma, leaf: Leaf, base: int, groups: Index, order: int) -> NDArray[np.bool_]:
    """Which naturally aligned groups of 2^order pages lie in the VMA and hold nothing."""
    first = (groups << order) + base
    fits = (first >= vma.start) & (first + (1 << order) <= vma.end)
    span = np.minimum((groups << order)[:, None] + np.arange(1 << order), len(leaf.frame) - 1)
    return np.asarray(fits & (leaf.frame[span] == 0).all(axis=1))


def _map_anon(space: AddressSpace, leaf: Leaf, first: Index, order: int, step: Index) -> None:
    """New anonymous folios of `order`, PTE-mapped from each index of `first` on."""
    if not len(first):
        return
    memory, size = space.memory, 1 << order
    heads = memory.allocate(order, len(first), "anon")
    where = (first[:, None] + np.arange(size)).ravel()
    frames = memory.pages_of(heads, order)
    leaf.frame[where] = frames
    leaf.flags[where] = W
    leaf.tables[where // BLOCK] = True
    memory.frame["exclusive"][frames] = True
    memory.counters.faults += len(first)
    memory.map_pages(Runs(where[::size], heads.astype(np.int64), np.full(len(first), size)), space.mm, step)


def missing_read(space: AddressSpace, vma: Vma, window: Window, step: Index) -> None:
    """Read faults on the pages of `window` that are not present: zero pages, or the file's."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    if vma.file is not None:
        _file_read(space, vma, vma.file, window, step)
        return
    huge = _huge_blocks(vma, leaf, window.base, missing)
    if len(huge):
        space.prepare_anon_vma(vma)
        where = (huge[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        leaf.frame[where] = np.tile(np.arange(HUGE_ZERO, HUGE_ZERO + BLOCK, dtype=np.uint32), len(huge))
        leaf.flags[where] = PMD
        space.memory.counters.faults += len(huge)
    missing = missing[leaf.frame[missing] == 0]
    leaf.frame[missing] = ZERO
    leaf.flags[missing] = 0
    leaf.tables[missing // BLOCK] = True
    space.memory.counters.faults += len(missing)


# --- files ------------------------------------------------------------------------------------------------------


def _file_read(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, step: Index) -> None:
    """Read faults map what is cached around them; what is not is brought in, and only the asked-for page mapped."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    while len(missing := lo + np.flatnonzero(leaf.frame[lo:hi] == 0)):
        at = int(missing[0])
        space.memory.counters.faults += 1
        around = _around(vma, window.base, at)
        pages = vma.offset_of(window.base) + around
        cached = file.frame[np.minimum(pages, file.pages - 1)]
        able = (pages < file.pages) & (cached != 0) & (leaf.frame[around] == 0)
        map_file(space, vma, leaf, around[able], cached[able], int(step[at - lo]))
        if leaf.frame[at] == 0:
            page = vma.offset_of(window.base) + at
            file.fill(np.array([page]), vma.fault_order)
            map_file(space, vma, leaf, np.array([at]), file.frame[page : page + 1], int(step[at - lo]))


def _around(vma: Vma, base: int, at: int) -> Index:
    first = at - at % FAULT_AROUND
    lo, hi = max(first, vma.start - base), min(first + FAULT_AROUND, vma.end - base)
    return np.arange(lo, hi)


def map_file(
    space: AddressSpace, vma: Vma, leaf: Leaf, index: Index, frames: NDArray[np.uint32], step: int | Index
) -> None:
    """PTE-map cached `frames` at `index`."""
    if not len(index):
        return
    leaf.frame[index] = frames
    leaf.flags[index] = W if vma.shared and vma.writable else 0
    leaf.tables[index // BLOCK] = True
    space.memory.map_pages(space.memory.runs(frames), space.mm, step)


def _shared_write(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, step: Index) -> None:
    """Write faults on a shared mapping: no fault-around, every page by itself."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    pages = vma.offset_of(window.base) + missing
    file.fill(pages, vma.fault_order)
    frames = file.frame[pages]
    leaf.frame[missing] = frames
    leaf.flags[missing] = W
    leaf.tables[missing // BLOCK] = True
    runs = Runs(missing, frames.astype(np.int64), np.ones(len(missing), np.int64))
    space.memory.counters.faults += len(missing)
    space.memory.map_pages(runs, space.mm, step[missing - lo])


def _private_write(space: AddressSpace, vma: Vma, file: ModelFile, window: Window, step: Index) -> None:
    """First write to a file page through a private mapping: straight into a copy."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    space.prepare_anon_vma(vma)
    pages = vma.offset_of(window.base) + missing
    file.fill(pages, vma.fault_order)
    old = file.frame[pages]
    _map_anon(space, leaf, missing, 0, step[missing - lo])
    new = leaf.frame[missing]
    for name in ("version", "value"):
        space.memory.frame[name][new] = space.memory.frame[name][old]
