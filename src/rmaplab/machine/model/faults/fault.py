"""Read and write faults on a range: first touch, zero pages, file pages, and the way to copy-on-write.

For the model's processes. A range is touched page by page in ascending order; what a fault brings in beyond its own
page (a THP, an mTHP, fault-around) later pages do not fault for.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.faults.cow import Tally, map_anon, map_thp, write_protected
from rmaplab.machine.model.faults.file import missing_file_read, missing_file_write
from rmaplab.machine.model.faults.swapin import swap_in
from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import HUGE_ZERO, ZERO
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, PMD, WP, Leaf, W, Window
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER


def write(space: AddressSpace, start: int, end: int, value: int, version: int) -> Tally:
    """Store `value`, known as content `version`, into every page of [start, end)."""
    first = space.memory.recorder.tick(2 * (end - start))
    total = Tally()
    for vma, window in space.spans(start, end, write=True, create=True):
        lo, hi = window.lo, window.hi
        tally = _write_faults(space, vma, window, first + 2 * (np.arange(lo, hi) + window.base - start))
        total.reused += tally.reused
        total.copied += tally.copied
        store(space, vma, window, value, version)
    return total


def _write_faults(space: AddressSpace, vma: Vma, window: Window, step: Index) -> Tally:
    """Make every page of `window` present and writable; `step` has one element a page."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    swap_in(space, vma, window, step, write=True)
    missing_write(space, vma, window, step)
    index = lo + np.flatnonzero(leaf.flags[lo:hi] & W == 0)
    tally = Tally()
    if len(index):
        tally = write_protected(space, vma, window, index, step[index - lo])
        if vma.file is not None:
            # The PMD mapping of a file was unmapped by the fault, which then goes on as if nothing had been there.
            missing_write(space, vma, window, step + 1)
    if vma.file is not None and vma.shared:
        at = vma.offset_of(window.page)
        vma.file.touch(at, at + hi - lo)
    return tally


def store(space: AddressSpace, vma: Vma, window: Window, value: int, version: int, *, mapped: bool = True) -> None:
    """New contents for the pages of `window`, all there and this space's to write; `mapped`: stored through their
    mappings, not by a device."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    if mapped:
        _dirty(leaf, lo, hi)
    frames = leaf.frame[lo:hi]
    space.memory.frame["version"][frames] = version
    space.memory.frame["value"][frames] = value
    if vma.file is not None and vma.shared:
        at = vma.offset_of(window.page)
        vma.file.expect[at : at + hi - lo], vma.file.value[at : at + hi - lo] = version, value
    else:
        leaf.expect[lo:hi] = version


def read(space: AddressSpace, start: int, end: int) -> NDArray[np.uint8]:
    """First byte of every page of [start, end), faulting it in."""
    first = space.memory.recorder.tick(end - start)
    values = []
    for vma, window in space.spans(start, end, write=True, create=True):
        step = first + np.arange(window.lo, window.hi) + window.base - start
        swap_in(space, vma, window, step, write=False)
        missing_read(space, vma, window, step)
        frames = window.leaf.frame[window.lo : window.hi]
        space.check_contents(vma, window)
        values.append(space.memory.frame["value"][frames])
    return np.concatenate(values)


def _dirty(leaf: Leaf, lo: int, hi: int) -> None:
    """[lo, hi) were written through their mappings, those by a PMD as a whole."""
    if not (leaf.flags[lo:hi] & CLEAN).any():
        return
    if leaf.flags[lo] & PMD:
        lo -= lo % BLOCK
    if leaf.flags[hi - 1] & PMD:
        hi += -hi % BLOCK
    leaf.flags[lo:hi] &= ~np.uint8(CLEAN)


def populate_write(space: AddressSpace, start: int, end: int, *, touch: bool = True) -> Tally:
    """Write faults on [start, end) that store nothing. `touch`: pages found writable are marked dirty themselves."""
    first = space.memory.recorder.tick(2 * (end - start))
    total = Tally()
    for vma, window in space.spans(start, end, write=True, create=True):
        _mark_dirty(space, window, touch=touch)
        step = first + 2 * (np.arange(window.lo, window.hi) + window.base - start)
        tally = _write_faults(space, vma, window, step)
        total.reused += tally.reused
        total.copied += tally.copied
    return total


def _mark_dirty(space: AddressSpace, window: Window, *, touch: bool) -> None:
    """What a write fault without a store leaves dirty: mappings that were not writable, and pages that GUP found so."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    clean = lo + np.flatnonzero(leaf.flags[lo:hi] & CLEAN)
    writable = leaf.flags[clean] & W != 0
    for at in clean[~writable | (touch & (leaf.flags[clean] & PMD != 0))].tolist():
        _dirty(leaf, at, at + 1)
    if touch:
        pages = clean[writable]
        space.memory.folio["dirty"][space.memory.frame["folio"][leaf.frame[pages[leaf.flags[pages] & CLEAN != 0]]]] = True


def missing_write(space: AddressSpace, vma: Vma, window: Window, step: Index) -> None:
    """Write faults on the pages of `window` that are not present; `step` has one element a page."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    if vma.file is not None:
        missing_file_write(space, vma, vma.file, window, step)
        return
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    space.prepare_anon_vma(vma)
    for block in _huge_blocks(space, vma, leaf, window.base, missing).tolist():
        at = max(block * BLOCK, lo)
        map_thp(space, leaf, np.array([block]), step[at - lo : at - lo + 1])
        space.memory.counters.faults += 1
    missing = missing[leaf.frame[missing] == 0]
    order = space.fault_order(vma) % PMD_ORDER
    if order:
        groups = np.unique(missing >> order)
        groups = groups[_free_groups(vma, leaf, window.base, groups, order)]
        at = np.maximum(groups << order, lo)
        map_anon(space, leaf, groups << order, order, step[at - lo])
        missing = missing[leaf.frame[missing] == 0]
    map_anon(space, leaf, missing, 0, step[missing - lo])


def _huge_blocks(space: AddressSpace, vma: Vma, leaf: Leaf, base: int, missing: Index) -> Index:
    """Blocks among those of `missing` where a fault may map a THP: no table of PTEs yet, and room in the VMA."""
    if space.fault_order(vma) != PMD_ORDER:
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


def missing_read(space: AddressSpace, vma: Vma, window: Window, step: Index) -> None:
    """Read faults on the pages of `window` that are not present: zero pages, or the file's."""
    leaf, lo, hi = window.leaf, window.lo, window.hi
    missing = lo + np.flatnonzero(leaf.frame[lo:hi] == 0)
    if not len(missing):
        return
    if vma.file is not None:
        missing_file_read(space, vma, vma.file, window, step)
        return
    huge = _huge_blocks(space, vma, leaf, window.base, missing)
    if len(huge):
        space.prepare_anon_vma(vma)
        where = (huge[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        leaf.frame[where] = np.tile(np.arange(HUGE_ZERO, HUGE_ZERO + BLOCK, dtype=np.uint32), len(huge))
        leaf.flags[where] = PMD
        space.memory.counters.faults += len(huge)
    missing = missing[leaf.frame[missing] == 0]
    leaf.frame[missing] = ZERO
    leaf.flags[missing] &= WP
    leaf.tables[missing // BLOCK] = True
    space.memory.counters.faults += len(missing)
