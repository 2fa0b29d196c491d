"""Swap-in: what a fault on a swap entry does (do_swap_page()), for many pages at once.

For faults and collapse. The device is synchronous, as zram is: a page that one entry holds alone is read past the swap
cache into a new folio, which is exclusive whatever the entry said; a page of several entries goes through the swap
cache, one small folio for all of them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.backing.swapdevice import SwapSlots
from rmaplab.machine.model.faults.cow import decide, replace_pages
from rmaplab.machine.model.physical.columns import Index, Runs
from rmaplab.machine.model.physical.memory import Frames
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, SWAP, SWAP_EXCLUSIVE, WP, Leaf, W, Window
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER
from rmaplab.trace import KINDS

_KSM: Final = KINDS.index("ksm")


def swap_in(space: AddressSpace, vma: Vma, window: Window, step: Index, *, write: bool, large: bool = True) -> None:
    """Faults on the swap entries of `window`, whose leaf may be changed; `step` has one element a page. After a `write`
    fault the page is writable. `large`: mTHP sizes are switched on.

    A write fault that finds the page shared copies it at once; that is no COW question: the page was not mapped.
    """
    leaf, lo, hi = window.leaf, window.lo, window.hi
    index = lo + np.flatnonzero(leaf.flags[lo:hi] & SWAP)
    swap = space.swap.device
    if not len(index) or swap is None:
        return
    space.memory.counters.faults += len(index)
    order = space.fault_order(vma) % PMD_ORDER if large and vma.anonymous else 0
    if order and not space.memory.policy.swapin_keeps_folios:
        for first, at in _large_groups(swap, vma, window, index, order):
            _read_large(space, swap, vma, leaf, first, order, int(step[at - lo]), write=write)
        index = index[leaf.flags[index] & SWAP != 0]
    if space.memory.policy.swapin_keeps_folios:
        _through_the_cache(space, swap, vma, window, index, step, order, write=write)
        return
    slots = leaf.frame[index].astype(np.int64)
    alone = (swap.count[slots] == 1) & (swap.folio[slots] == 0)
    _read_alone(space, swap, vma, leaf, index[alone], step[index[alone] - lo], write=write)
    _read_cached(space, swap, vma, leaf, index[~alone], step[index[~alone] - lo], write=write)


def _large_groups(
    swap: SwapSlots, vma: Vma, window: Window, index: Index, order: int, *, shared: bool = False
) -> list[tuple[int, int]]:
    """Groups of 2^order pages that come back as one folio: first index of each, and the index that faults. `shared`: also
    where others have entries of that page's slot.

    can_swapin_thp(): aligned in memory and on the device, slots in a row, all entries alike, none in the swap cache,
    all or none of them zeroes; and nobody else counts the slot of the page that faults.
    """
    leaf, size, found = window.leaf, 1 << order, []
    firsts, where = np.unique(index >> order, return_index=True)
    for first, at in zip((firsts << order).tolist(), index[where].tolist(), strict=True):
        if not vma.allows(first + window.base, size) or first + size > len(leaf.frame):
            continue
        slots = leaf.frame[first : first + size].astype(np.int64)
        flags = leaf.flags[first : first + size] & (SWAP | SWAP_EXCLUSIVE)
        in_a_row = slots[0] % size == 0 and bool((np.diff(slots) == 1).all())
        alike = bool(flags[0] & SWAP) and bool((flags == flags[0]).all())
        if not in_a_row or not alike or swap.folio[slots].any():
            continue
        if not shared and swap.count[leaf.frame[at]] != 1:
            continue
        if swap.zero[slots].all() or not swap.zero[slots].any():
            found.append((first, at))
    return found


def _read_large(
    space: AddressSpace, swap: SwapSlots, vma: Vma, leaf: Leaf, first: int, order: int, step: int, *, write: bool
) -> None:
    index = np.arange(first, first + (1 << order))
    slots = leaf.frame[index].astype(np.int64)
    heads = space.memory.allocate(order, 1, "anon")
    frames = space.memory.pages_of(heads, order).astype(np.uint32)
    _fill(space, swap, frames, slots)
    runs = Runs(np.zeros(1, np.int64), heads.astype(np.int64), np.array([1 << order]))
    _enter(space, vma, leaf, index, frames, np.ones(len(index), np.bool_), write=write)
    space.memory.map_pages(runs, space.mm, step)
    swap.put(slots)


def _read_alone(
    space: AddressSpace, swap: SwapSlots, vma: Vma, leaf: Leaf, index: Index, step: Index, *, write: bool
) -> None:
    if not len(index):
        return
    slots = leaf.frame[index].astype(np.int64)
    frames = space.memory.allocate(0, len(index), "anon")
    _fill(space, swap, frames, slots)
    _enter(space, vma, leaf, index, frames, np.ones(len(index), np.bool_), write=write)
    _map_small(space, frames, step)
    swap.put(slots)


def _read_cached(
    space: AddressSpace, swap: SwapSlots, vma: Vma, leaf: Leaf, index: Index, step: Index, *, write: bool
) -> None:
    """Pages that stand in the swap cache, or come to: one folio for all entries of a slot."""
    if not len(index):
        return
    memory = space.memory
    slots = leaf.frame[index].astype(np.int64)
    absent = slots[swap.folio[slots] == 0]
    fresh = memory.allocate(0, len(absent), "anon")
    _fill(space, swap, fresh, absent)
    space.swap.enter(memory.frame["folio"][fresh], absent)
    folios = swap.folio[slots]
    frames = memory.folio["head"][folios]
    merged = memory.folio["kind"][folios] == _KSM
    swap.count[slots] -= 1
    # should_try_to_free_swap(): locked memory wants no slot; a write does not where nobody else refers to the folio.
    alone = np.full(len(index), vma.locked) | (write & (memory.folio["refs"][folios] == 1) & ~merged)
    memory.hold(folios)
    space.swap.leave(np.unique(folios[alone & (swap.count[slots] == 0)]))
    exclusive = ~merged & ((leaf.flags[index] & SWAP_EXCLUSIVE != 0) | (memory.folio["refs"][folios] == 1))
    _enter(space, vma, leaf, index, frames, exclusive, write=write)
    _map_small(space, frames, step)
    memory.drop(folios)
    if write and not exclusive.all():
        replace_pages(space, leaf, index[~exclusive], step[~exclusive])


def _through_the_cache(
    space: AddressSpace,
    swap: SwapSlots,
    vma: Vma,
    window: Window,
    index: Index,
    step: Index,
    order: int,
    *,
    write: bool,
) -> None:
    """do_swap_page() of 7.x, page by page: a folio of the swap cache, or one that is read into it, is mapped whole if all
    its entries are here, else by one page. What is not exclusive by its entry is then written as a COW fault would write
    it; that is no question on record: the page was not mapped."""
    leaf = window.leaf
    for at in index.tolist():
        page, when = np.array([at]), step[at - window.lo : at - window.lo + 1]
        if leaf.flags[at] & SWAP:
            _map_cached(space, swap, vma, window, at, int(when[0]), order, write=write)
        if write and leaf.frame[at] and not leaf.flags[at] & W:
            leaf.flags[at] = int(leaf.flags[at]) & ~(CLEAN | WP)
            slot = space.memory.frame["folio"][leaf.frame[page]]
            kept = space.memory.folio["kind"][slot[0]] != _KSM and bool(decide(space, slot, np.ones(1, np.int64))[0][0])
            if not (kept or space.memory.frame["exclusive"][leaf.frame[at]]):
                replace_pages(space, leaf, page, when)
                continue
            space.swap.leave_idle(slot)
            space.memory.frame["exclusive"][leaf.frame[at]] = True
            leaf.flags[at] = int(leaf.flags[at]) | W


def _map_cached(
    space: AddressSpace, swap: SwapSlots, vma: Vma, window: Window, at: int, step: int, order: int, *, write: bool
) -> None:
    """Map what the entry at index `at` stands for."""
    memory, leaf = space.memory, window.leaf
    slot = int(leaf.frame[at])
    if not swap.folio[slot]:
        large = order and _large_groups(swap, vma, window, np.array([at]), order, shared=True)
        fresh = memory.allocate(order if large else 0, 1, "anon")
        first = slot & -(1 << order) if large else slot
        pages = np.arange(1 << order if large else 1)
        _fill(space, swap, (fresh[0] + pages).astype(np.uint32), first + pages)
        space.swap.enter(memory.frame["folio"][fresh], np.array([first]))
    folio = int(swap.folio[slot])
    if memory.folio["kind"][folio] == _KSM:
        _read_cached(space, swap, vma, leaf, np.array([at]), np.array([step]), write=write)
        return
    first, size = int(memory.folio["swapcache"][folio]), 1 << int(memory.folio["order"][folio])
    where = _entries_of(vma, window, at, first, size)
    slots = leaf.frame[where].astype(np.int64)
    exclusive = bool(leaf.flags[at] & SWAP_EXCLUSIVE)
    frames = (memory.folio["head"][folio] + slots - first).astype(np.uint32)
    _enter(space, vma, leaf, where, frames, np.full(len(where), exclusive), write=write and exclusive)
    runs = Runs(np.zeros(1, np.int64), frames[:1].astype(np.int64), np.array([len(where)]))
    memory.map_pages(runs, space.mm, step)
    swap.count[slots] -= 1
    space.swap.leave_idle(np.array([folio], np.uint32))


def _entries_of(vma: Vma, window: Window, at: int, first: int, size: int) -> Index:
    """Indexes of all entries of the folio of `size` slots from `first` on, if they stand here in a row and alike; else
    `at` alone."""
    leaf, alone = window.leaf, np.array([at])
    begin = at - (int(leaf.frame[at]) - first)
    if size == 1 or begin < at - at % BLOCK or begin + size > at - at % BLOCK + BLOCK:
        return alone
    here = slice(begin, begin + size)
    if not vma.allows(begin + window.base, size) or len(leaf.frame[here]) < size:
        return alone
    alike = (leaf.flags[here] == leaf.flags[at]) & (leaf.frame[here] == np.arange(first, first + size))
    return np.arange(begin, begin + size) if alike.all() else alone


def _fill(space: AddressSpace, swap: SwapSlots, frames: Frames, slots: Index) -> None:
    space.memory.frame["version"][frames] = swap.version[slots]
    space.memory.frame["value"][frames] = swap.value[slots]


def _enter(
    space: AddressSpace,
    vma: Vma,
    leaf: Leaf,
    index: Index,
    frames: Frames,
    exclusive: NDArray[np.bool_],
    *,
    write: bool,
) -> None:
    """Page table entries for `frames`: writable where the page is exclusive, also after a read; dirty after a write."""
    space.memory.frame["exclusive"][frames] |= exclusive
    leaf.frame[index] = frames
    kept = leaf.flags[index] & (0 if write else WP)
    access = np.where(exclusive & vma.writable & (kept == 0), W, 0)
    leaf.flags[index] = access | kept | (0 if write else CLEAN)


def _map_small(space: AddressSpace, frames: Frames, step: Index) -> None:
    wide = frames.astype(np.int64)
    space.memory.map_pages(Runs(np.arange(len(wide)), wide, np.ones(len(wide), np.int64)), space.mm, step)
