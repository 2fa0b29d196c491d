"""userfaultfd's write protection (UFFDIO_REGISTER, UFFDIO_WRITEPROTECT), in the mode that needs no handler.

For the model's processes. It is an attribute of VMAs and a mark of page table entries; the mark goes with the next write,
which faults for it (do_wp_page()), and stays over swap, migration and splits.
"""

import numpy as np

from rmaplab.machine.model.calls.advice import set_flag
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, GUARD, PMD, SWAP, WP, W
from rmaplab.machine.protocol import BadOperation


def protect(space: AddressSpace, start: int, end: int) -> None:
    """Mark [start, end), private anonymous memory: also what is not there, in tables of PTEs
    (UFFD_FEATURE_WP_UNPOPULATED); guards stay what they are (change_pte_range())."""
    _register(space, start, end)
    step = space.memory.recorder.tick()
    for vma in space.vmas.within(start, end):
        lo, hi = max(vma.start, start), min(vma.end, end)
        space.split_edges(vma, lo, hi, step)
        for window in space.table.windows(lo, hi, write=True, create=True):
            leaf, here = window.leaf, slice(window.lo, window.hi)
            guards = (leaf.frame[here] == GUARD) & (leaf.flags[here] & SWAP == 0)
            leaf.flags[here] = np.where(guards, leaf.flags[here], leaf.flags[here] & ~np.uint8(W) | WP)
            blocks = np.arange(window.lo // BLOCK, -(-window.hi // BLOCK))
            first = np.maximum(blocks * BLOCK, window.lo)
            leaf.tables[blocks[leaf.flags[first] & PMD == 0]] = True


def resolve(space: AddressSpace, start: int, end: int) -> None:
    """Take the marks away from [start, end); what is exclusive becomes writable at once where the VMA is."""
    _register(space, start, end)
    step = space.memory.recorder.tick()
    for vma in space.vmas.within(start, end):
        lo, hi = max(vma.start, start), min(vma.end, end)
        space.split_edges(vma, lo, hi, step)
        for window in space.table.windows(lo, hi, write=True):
            window.leaf.flags[window.lo : window.hi] &= ~np.uint8(WP)
        space.protect(lo, hi, writable=vma.writable)


def _register(space: AddressSpace, start: int, end: int) -> None:
    if not space.memory.policy.uffd_wp_async:
        raise BadOperation("uffd_wp", "protected", "this kernel's userfaultfd needs a handler")
    set_flag(space, space.vmas.within(start, end), start, end, "uffd", value=True)
