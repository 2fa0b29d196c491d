"""mremap: page tables that move to other addresses, VMAs that grow and shrink.

For the model's processes. Moving changes no counter: the same MM maps the same pages elsewhere.
"""

from dataclasses import replace

import numpy as np

from rmaplab.machine.model.calls.lock import keep_mlocked, populate
from rmaplab.machine.model.ksm.scanner import unmerge
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, PMD, WP, Leaf
from rmaplab.machine.model.space.vma import Vma


def relocate(
    space: AddressSpace,
    vma: Vma,
    source: int,
    pages: int,
    target: int,
    new_pages: int,
    step: int,
    *,
    keep_source: bool,
) -> None:
    """Move `pages` pages of `vma` from `source` to `target`, in a region made for it; they have `new_pages` there.

    `keep_source`: the source stays mapped, empty (DONTUNMAP).
    """
    if vma.mergeable:
        # KSM pages do not move (move_vma() in mm/mremap.c).
        unmerge(space, source, source + pages, step)
    if not keep_source or (vma.locked and space.memory.policy.dontunmap_splits):
        space.split_at(source, step)
        space.split_at(source + pages, step)
        (vma,) = space.vmas.within(source, source + pages)
    # Anonymous memory in which nothing was ever faulted is as good as new where it comes to (copy_vma()).
    pgoff = vma.offset_of(source) if vma.anon_vma or not vma.anonymous else target
    space.vmas.add(replace(vma, start=target, end=target + new_pages, pgoff=pgoff, uffd=False))
    at = source
    while at < source + pages:
        room = min(BLOCK - at % BLOCK, BLOCK - (target + at - source) % BLOCK, source + pages - at)
        _move_extent(space, vma, at, target + at - source, room, step)
        at += room
    if not keep_source:
        space.vmas.remove(vma)
        space.tidy(source, source + pages)
        return
    # All of the VMA is unlocked (dontunmap_complete()), also what did not move, of which nobody tells the folios.
    if vma.locked and not space.memory.policy.dontunmap_splits:
        keep_mlocked(space, vma)
    vma.locked = False
    if (vma.start, vma.end) == (source, source + pages):
        vma.anon_vma, vma.cloned = 0, False


def _move_extent(space: AddressSpace, vma: Vma, old: int, new: int, pages: int, step: int) -> None:
    """Move up to one block's worth of page table entries."""
    for window in space.table.windows(old, old + pages, write=True):
        leaf, lo, hi = window.leaf, window.lo, window.hi
        block = lo // BLOCK
        huge = bool(leaf.flags[lo] & PMD)
        if not huge and not leaf.tables[block]:
            return
        if huge and pages < BLOCK:
            space.split_pmd(leaf, lo, step, anon=vma.anonymous)
            huge = False
        (to,) = space.table.windows(new, new + pages, write=True, create=True)
        _copy_entries(leaf, lo, hi, to.leaf, to.lo)
        to.leaf.flags[to.lo : to.lo + hi - lo] &= ~np.uint8(WP)
        to.leaf.tables[to.lo // BLOCK] |= not huge
        if pages == BLOCK and not vma.uffd:  # a table does not move where its entries must change (move_normal_pmd())
            leaf.tables[block] = False
        leaf.clear(lo, hi)


def _copy_entries(source: Leaf, lo: int, hi: int, target: Leaf, at: int) -> None:
    for name in ("frame", "flags", "expect"):
        getattr(target, name)[at : at + hi - lo] = getattr(source, name)[lo:hi]


def duplicate(space: AddressSpace, vma: Vma, source: int, target: int, pages: int) -> None:
    """A second mapping of the same file pages (mremap with an old length of 0): nothing is mapped in it yet."""
    space.memory.recorder.tick()
    space.table.add(target, pages)
    space.vmas.add(replace(vma, start=target, end=target + pages, pgoff=vma.offset_of(source), anon_vma=0, cloned=False))


def protect(space: AddressSpace, start: int, end: int, *, writable: bool, readable: bool) -> None:
    """mprotect [start, end): changes VMAs, splits PMD mappings it covers in part, and sets or clears write access.
    Private locked memory that becomes writable has its COW broken at once (mprotect_fixup())."""
    step, changed, opened = space.memory.recorder.tick(), [], []
    for vma in space.vmas.within(start, end):
        if (vma.writable, vma.readable) == (writable, readable):
            continue
        lo, hi = max(vma.start, start), min(vma.end, end)
        space.split_at(lo, step)
        space.split_at(hi, step)
        (part,) = space.vmas.within(lo, hi)
        if writable and part.locked and part.private and not part.writable:
            opened.append((lo, hi))
        part.protect(writable=writable, readable=readable)
        space.protect(lo, hi, writable=writable)
        changed.append((lo, hi))
    for lo, hi in changed:
        space.vmas.merge(lo, hi)
    for lo, hi in opened:
        populate(space, lo, hi)


def unmap(space: AddressSpace, start: int, end: int) -> None:
    """munmap [start, end), all of it mapped."""
    step = space.memory.recorder.tick()
    space.split_at(start, step)
    space.split_at(end, step)
    for vma in space.vmas.within(start, end):
        space.zap(vma.start, vma.end, step)
        space.vmas.remove(vma)
    space.tidy(start, end)
    space.world.forget_unmapped()
