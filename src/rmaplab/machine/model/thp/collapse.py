"""MADV_COLLAPSE: what stands in a 2 MiB block of anonymous memory is copied into a new THP.

For `advice`; of shmem `collapse_shmem` does the work, on a disk file it is refused. Every block succeeds or fails by
itself, but nothing is tried after one where nothing is mapped; the call is refused if one failed, and what was
collapsed stays.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import takewhile

import numpy as np

from rmaplab.machine.model.faults.cow import map_thp
from rmaplab.machine.model.faults.swapin import swap_in
from rmaplab.machine.model.physical.memory import ZERO, Frames
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, PMD, SWAP, WP, Leaf, W, Window
from rmaplab.machine.model.space.questions import shared_pages
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.model.thp.collapse_shmem import collapse_file
from rmaplab.machine.protocol import BadOperation


def collapse(space: AddressSpace, start: int, end: int) -> None:
    """Collapse the whole blocks of [start, end), VMA by VMA up to the first that fails."""
    step = space.memory.recorder.tick()
    for vma in space.vmas.within(start, end):
        if vma.on_disk and not space.memory.policy.collapses_disk:
            raise BadOperation("madvise", "collapse", "no file system of a disk is made for it")
        if space.thp_disabled or not allows_collapse(vma):
            raise BadOperation("madvise", "collapse", "no room for a THP in the VMA, nothing in it, or advised against")
        first, last = -(-max(vma.start, start) // BLOCK), min(vma.end, end) // BLOCK
        if last < first and not space.memory.policy.collapse_skips_empty:
            raise BadOperation("madvise", "collapse", "no 2 MiB boundary in the range")
        pages = range(first * BLOCK, last * BLOCK, BLOCK)
        if vma.file is None:
            done = sum(collapse_block(space, vma, page, step) for page in _tried(space, pages))
        else:
            done = collapse_file(space, vma, vma.file, pages)
        if done < len(pages):
            raise BadOperation("madvise", "collapse", f"{len(pages) - done} of {len(pages)} blocks cannot be collapsed")


def allows_collapse(vma: Vma) -> bool:
    """Has it room for a THP, perhaps something to put there, and no advice against it?"""
    room = vma.end // BLOCK * BLOCK - BLOCK >= vma.start
    fits = vma.anon_vma != 0 if vma.anonymous else (vma.start - vma.pgoff) % BLOCK == 0
    return room and fits and not vma.nothp


def _tried(space: AddressSpace, pages: Iterable[int]) -> Iterator[int]:
    """The blocks that are tried: up to the first with nothing in its PMD (7.x goes past it); with guards and nobody who
    holds a page (the swap-in that stumbles over a guard ends the call, SCAN_FAIL); or with a gap in a VMA that
    userfaultfd tracks (SCAN_EXCEED_NONE_PTE)."""
    skips = space.memory.policy.collapse_skips_empty
    there: Iterable[int] = filter(partial(has_pmd, space), pages) if skips else takewhile(partial(has_pmd, space), pages)
    for page in there:
        yield page
        if tracked(space, page)[1]:
            return
        if space.world.guards and space.first_guard(page, page + BLOCK) is not None:
            (window,) = space.table.windows(page, page + BLOCK)
            if not _held(space, window.leaf, window.lo):
                return


def tracked(space: AddressSpace, page: int) -> tuple[bool, bool]:
    """Whether userfaultfd keeps the block at `page` from being collapsed: by marks, by gaps and pages of zeroes. And
    whether the scan, page by page, meets one of the latter first: that ends the call (hpage_collapse_scan_pmd())."""
    vma, window = next(space.spans(page, page + BLOCK))
    leaf, lo = window.leaf, window.lo
    if not vma.uffd or leaf.flags[lo] & PMD:
        return False, False
    frames, flags = leaf.frame[lo : lo + BLOCK], leaf.flags[lo : lo + BLOCK]
    marked = flags & WP != 0
    empty = ((frames == 0) & ~marked) | ((frames == ZERO) & (flags & SWAP == 0))
    stops = np.flatnonzero(marked | empty)
    if not len(stops):
        return False, False
    first = int(stops[0])
    return True, bool(empty[first]) and not _holds(space, leaf.frame[leaf.present(lo, lo + first)])


def has_pmd(space: AddressSpace, page: int) -> bool:
    """Does anything stand in the PMD of this block? Where nothing does (SCAN_PMD_NONE), madvise_collapse() gives up."""
    windows = space.table.windows(page, page + BLOCK)
    return any(w.leaf.tables[w.lo // BLOCK] or w.leaf.flags[w.lo] & PMD for w in windows)


def collapse_block(space: AddressSpace, vma: Vma, page: int, step: int, *, most_shared: int = BLOCK) -> bool:
    """Collapse the block of private anonymous memory that begins at `page`; whether a PMD maps it then. Not if more than
    `most_shared` of its pages are maybe shared once all are there."""
    (window,) = space.table.windows(page, page + BLOCK, write=True)
    leaf, lo = window.leaf, window.lo
    if leaf.flags[lo] & PMD:
        return True
    if tracked(space, page)[0]:
        return False
    if _held(space, leaf, lo) or (space.memory.policy.collapse_needs_writable and not _writable(space, leaf, lo)):
        return False
    guards = leaf.guards(lo, lo + BLOCK)
    end = int(guards[0]) if len(guards) else lo + BLOCK
    swap_in(space, vma, Window(leaf, lo, end, page), np.full(end - lo, step), write=False, large=False)
    frames = leaf.frame[leaf.present(lo, lo + BLOCK)]
    if len(guards) or _held(space, leaf, lo) or shared_pages(space, frames[space.counted(frames)]) > most_shared:
        return False
    return _copy(space, vma, leaf, lo, step)


def _writable(space: AddressSpace, leaf: Leaf, lo: int) -> bool:
    """Is some page of the block mapped writable? (SCAN_PAGE_RO where none is, up to 6.17.)"""
    index = leaf.present(lo, lo + BLOCK)
    return bool((space.counted(leaf.frame[index]) & (leaf.flags[index] & W != 0)).any())


def _held(space: AddressSpace, leaf: Leaf, lo: int) -> bool:
    """Does somebody hold a page of the block: a reference that is neither a mapping's nor the swap cache's?"""
    return _holds(space, leaf.frame[leaf.present(lo, lo + BLOCK)])


def _holds(space: AddressSpace, frames: Frames) -> bool:
    folio = space.memory.folio
    slots = space.memory.frame["folio"][frames[space.counted(frames)]]
    return bool((folio["refs"][slots] != folio["mapcount"][slots] + space.swap.references(slots)).any())


def _copy(space: AddressSpace, vma: Vma, leaf: Leaf, lo: int, step: int) -> bool:
    """Replace the PTEs of a block, of which nobody holds a page, by a PMD mapping of a copy. Not if a page is there
    twice, as KSM pages may be (__collapse_huge_page_isolate() cannot lock it a second time)."""
    memory = space.memory
    index = leaf.present(lo, lo + BLOCK)
    old = leaf.frame[index]
    mapped = space.counted(old)
    if len(np.unique(old[mapped])) < mapped.sum():
        return False
    contents = {name: memory.frame[name][old].copy() for name in ("version", "value")}
    slots = memory.frame["folio"][old[mapped]]
    memory.unmap_pages(memory.runs(old[mapped]), space.mm, step)
    space.swap.leave_unmapped(slots)
    map_thp(space, leaf, np.array([lo // BLOCK]), np.array([step]))
    for name, values in contents.items():
        memory.frame[name][leaf.frame[index]] = values
    leaf.tables[lo // BLOCK] = False
    if not vma.writable:
        leaf.flags[lo : lo + BLOCK] = PMD
    return True
