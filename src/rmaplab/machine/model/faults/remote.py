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
