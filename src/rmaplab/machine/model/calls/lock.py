"""Locked memory (VM_LOCKED): what it brings in, and when.

For the model's processes. That memory is locked is an attribute of VMAs; that it stays is no rule here, since nothing is
reclaimed but by advice, which locked memory refuses. What counts are the faults: they end COW before anybody writes.
"""

from rmaplab.machine.model.calls.advice import set_flag
from rmaplab.machine.model.faults import fault
from rmaplab.machine.model.space.addressspace import AddressSpace


def lock(space: AddressSpace, start: int, end: int) -> None:
    """mlock [start, end), all of it readable."""
    set_flag(space, space.vmas.within(start, end), start, end, "locked", value=True)
    populate(space, start, end)


def unlock(space: AddressSpace, start: int, end: int) -> None:
    """munlock [start, end); the pages stay."""
    set_flag(space, space.vmas.within(start, end), start, end, "locked", value=False)


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
