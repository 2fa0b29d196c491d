"""Reads and writes from outside: GUP on somebody's memory, page by page.

For `ModelProcess`. What a debugger or process_vm_readv(2) does: the pages are made fit for the access by faults, held
for a moment, and given back; nothing else of the address space changes.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.faults import fault
from rmaplab.machine.model.faults.cow import Tally, unshare
from rmaplab.machine.model.faults.swapin import swap_in
from rmaplab.machine.model.space.addressspace import AddressSpace


def peek(space: AddressSpace, start: int, end: int) -> NDArray[np.uint8]:
    """First byte of every page of [start, end), each FOLL_PINned for reading in turn: missing pages are read in,
    anonymous ones unshared."""
    first = space.memory.recorder.tick(2 * (end - start))
    values = []
    for vma, window in space.spans(start, end, write=True, create=True):
        step = first + 2 * (np.arange(window.lo, window.hi) + window.base - start)
        swap_in(space, vma, window, step, write=False)
        fault.missing_read(space, vma, window, step)
        unshare(space, vma, window, step)
        space.check_contents(vma, window)
        values.append(space.memory.frame["value"][window.leaf.frame[window.lo : window.hi]])
    return np.concatenate(values)


def poke(space: AddressSpace, start: int, end: int, value: int, version: int) -> Tally:
    """Store `value`, known as content `version`, into every page of [start, end) with FOLL_FORCE: where the VMA does not
    allow writing, COW is broken all the same and the pages stay write-protected (maybe_mkwrite())."""
    tally = fault.write(space, start, end, value, version)
    space.memory.folio["dirty"][space.folios(start, end)] = True
    for vma in space.vmas.within(start, end):
        if not vma.writable:
            space.protect(vma.start, vma.end, writable=False)
    return tally


def read_direct(space: AddressSpace, start: int, end: int, value: int, version: int) -> Tally:
    """Have a device store `value`, known as content `version`, into every page of [start, end): each is made writable and
    FOLL_PINned before the next (GUP goes page by page), and all are given back when the device is through. Their mappings
    stay as clean as they were, the folios are dirty (bio_set_pages_dirty())."""
    total, held = Tally(), [np.zeros(0, np.uint32)]
    for page in range(start, end):
        tally = fault.populate_write(space, page, page + 1, touch=False)
        total.reused += tally.reused
        total.copied += tally.copied
        held.append(space.folios(page, page + 1))
        space.memory.hold(held[-1], longterm=True)
    for vma, window in space.spans(start, end, write=True):
        fault.store(space, vma, window, value, version, mapped=False)
    slots = np.concatenate(held)
    space.memory.folio["dirty"][slots] = True
    space.memory.drop(slots, longterm=True)
    return total
