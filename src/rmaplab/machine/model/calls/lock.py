"""Locked memory (VM_LOCKED): what it brings in, and when.

For the model's processes. That memory is locked is an attribute of VMAs; that it stays is no rule here, since nothing is
reclaimed but by advice, which locked memory refuses. What counts are the faults: they end COW before anybody writes.
"""

import numpy as np

from rmaplab.machine.model.calls.advice import set_flag
from rmaplab.machine.model.faults import fault
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import PMD
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER


def lock(space: AddressSpace, start: int, end: int) -> None:
    """mlock [start, end), all of it readable."""
    set_flag(space, space.vmas.within(start, end), start, end, "locked", value=True)
    populate(space, start, end)


def unlock(space: AddressSpace, start: int, end: int) -> None:
    """munlock [start, end); the pages stay."""
    set_flag(space, space.vmas.within(start, end), start, end, "locked", value=False)


def keep_mlocked(space: AddressSpace, vma: Vma) -> None:
    """`vma` loses VM_LOCKED, but what it maps keeps PG_mlocked: small folios, what a PMD maps, and folios of middle size
    that it maps whole (allow_mlock_munlock()). Reclaim does not touch these until they are freed or migrated."""
    folio = space.memory.folio
    for window in space.table.windows(vma.start, vma.end):
        index = window.leaf.present(window.lo, window.hi)
        index = index[space.counted(window.leaf.frame[index])]
        slots, huge = space.memory.frame["folio"][window.leaf.frame[index]], window.leaf.flags[index] & PMD != 0
        found, which, times = np.unique(slots, return_inverse=True, return_counts=True)
        whole = times == 1 << folio["order"][found].astype(np.int64)
        by_pmd = np.zeros(len(found), np.bool_)
        by_pmd[which[huge]] = True
        folio["mlocked"][found[whole & (by_pmd | (folio["order"][found] < PMD_ORDER))]] = True


def populate(space: AddressSpace, start: int, end: int) -> None:
    """Fault in what is locked of [start, end): private writable memory as writes do, other memory as reads do
    (populate_vma_page_range()). In each VMA up to the first page that no fault brings in; nobody hears of that."""
    for vma in space.vmas.within(start, end):
        lo, hi = max(vma.start, start), min(vma.end, end)
        if vma.file is not None:
            hi = min(hi, vma.start + vma.file.pages - vma.pgoff)
        if not vma.locked or not vma.readable or lo >= hi:
            continue
        if space.world.guards and (guard := space.first_guard(lo, hi)) is not None:
            hi = guard
        if lo == hi:
            continue
        if vma.private and vma.writable:
            fault.populate_write(space, lo, hi)
        else:
            fault.read(space, lo, hi)
