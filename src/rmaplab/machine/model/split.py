"""Folio split, and the advice that asks for it: MADV_COLD, MADV_FREE and MADV_PAGEOUT on large anonymous folios.

For `advice`. All leave folios alone that somebody else may map: this is where kernels ask "exclusive or shared?" outside
of COW. Nothing is reclaimed: there is no swap (a kernel without swap splits what it cannot page out), and pages that were
freed lazily stay.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.columns import Index
from rmaplab.machine.model.memory import ZERO, Memory
from rmaplab.machine.model.pagetable import BLOCK, PMD, SWAP, Leaf, W, Window
from rmaplab.machine.model.space import AddressSpace
from rmaplab.machine.protocol import BadOperation
from rmaplab.trace import OUTCOMES, Verdict


def free(space: AddressSpace, start: int, end: int) -> None:
    """MADV_FREE: as `cold`, and only for anonymous memory."""
    if any(not vma.anonymous for vma in space.vmas.within(start, end)):
        raise BadOperation("madvise", "free", "only private anonymous memory can be freed lazily")
    cold(space, start, end)


def cold(space: AddressSpace, start: int, end: int) -> None:
    """Split the large folios of which the range covers a part, if nobody else maps them or holds them."""
    _cold(space, start, end, whole=False)


def pageout(space: AddressSpace, start: int, end: int) -> None:
    """As `cold`, and split what the range covers as a whole too: there is no swap to write it to."""
    _cold(space, start, end, whole=True)


def _cold(space: AddressSpace, start: int, end: int, *, whole: bool) -> None:
    step = space.memory.recorder.tick()
    for vma, window in list(space.spans(start, end, write=True)):
        if not vma.anonymous:
            raise BadOperation("madvise", "cold", "file mappings are not modelled here")
        for lo in range(window.lo - window.lo % BLOCK, window.hi, BLOCK):
            _cold_block(space, window, max(lo, window.lo), min(lo + BLOCK, window.hi), step, whole=whole)


def _cold_block(space: AddressSpace, window: Window, lo: int, hi: int, step: int, *, whole: bool) -> None:
    memory, leaf = space.memory, window.leaf
    if leaf.flags[lo] & PMD:
        frame = int(leaf.frame[lo - lo % BLOCK])
        if (whole or hi - lo < BLOCK) and space.counted(leaf.frame[lo : lo + 1])[0]:
            _try_split(space, frame, BLOCK, step)
        return
    index = leaf.present(lo, hi)
    frames = leaf.frame[index]
    runs = memory.runs(frames[space.counted(frames)])
    for first, size in zip(runs.first.tolist(), runs.size.tolist(), strict=True):
        slot = memory.frame["folio"][first]
        order, mapcount = int(memory.folio["order"][slot]), int(memory.folio["mapcount"][slot])
        if order and (size < 1 << order or (whole and mapcount == size)):
            _try_split(space, first, size, step)


def _try_split(space: AddressSpace, frame: int, pages: int, step: int) -> None:
    """Ask whether the folio of `frame` is ours alone; split it if so and no reference is but a mapping's."""
    memory = space.memory
    slot = memory.frame["folio"][frame : frame + 1]
    verdict, truth = memory.verdicts(slot, space.mm)
    mapcount, refs = int(memory.folio["mapcount"][slot[0]]), int(memory.folio["refs"][slot[0]])
    answer = memory.policy.unknown if verdict[0] == Verdict.UNKNOWN else Verdict(int(verdict[0]))
    # folio_maybe_mapped_shared() takes a single mapping for exclusive before it asks anybody.
    shared = mapcount > 1 and answer is Verdict.SHARED
    done = not shared and refs == mapcount
    memory.recorder.questions(
        "madvise",
        step=step,
        folio=memory.folio["ident"][slot],
        mm=space.mm,
        page=frame - memory.folio["head"][slot],
        pages=pages,
        kernel=Verdict.SHARED if shared else Verdict.EXCLUSIVE,
        truth=truth,
        outcome=OUTCOMES.index("split") if done else 255,
        extra_refs=refs - mapcount,
    )
    if done:
        split_folio(memory, int(slot[0]), memory.recorder.tick())


def split_folio(memory: Memory, slot: int, step: int) -> None:
    """Turn an anonymous folio without references but its mappings into small ones.

    Whoever maps a page of it maps the small folio afterwards; pages nobody maps are freed, and pages that hold nothing
    but zeroes give way to the zero page.
    """
    mappings = [m for space in memory.spaces.values() for m in _mappings(memory, space, slot, step)]
    memory.hold(np.array([slot], np.uint32))
    for space, leaf, index in mappings:
        memory.unmap_pages(memory.runs(leaf.frame[index]), space.mm, step)
    mapped = [leaf.frame[index] for _, leaf, index in mappings]
    kept = np.unique(np.concatenate(mapped)) if mapped else np.zeros(0, np.uint32)
    kept = kept[memory.frame["value"][kept] != 0]
    memory.break_up(slot, kept)
    for space, leaf, index in mappings:
        stays = np.isin(leaf.frame[index], kept)
        leaf.frame[index[~stays]] = ZERO
        leaf.flags[index[~stays]] &= ~np.uint8(W)
        memory.map_pages(memory.runs(leaf.frame[index[stays]]), space.mm, step)


def _mappings(memory: Memory, space: AddressSpace, slot: int, step: int) -> list[tuple[AddressSpace, Leaf, Index]]:
    """Where `space` maps the folio by PTEs, after splitting a PMD mapping of it."""
    found = []
    for region in space.table.regions:
        for number in list(region.leaves):
            index = _of_folio(memory, region.leaves[number], slot)
            if not len(index):
                continue
            leaf = space.table.own(region, number)
            for block in np.unique(index[leaf.flags[index] & PMD != 0] // BLOCK).tolist():
                space.split_pmd(leaf, block * BLOCK, step, anon=True)
            found.append((space, leaf, index))
    return found


def _of_folio(memory: Memory, leaf: Leaf, slot: int) -> Index:
    mine: NDArray[np.bool_] = memory.frame["folio"][leaf.frame] == slot
    return np.flatnonzero(mine & (leaf.flags & SWAP == 0))
