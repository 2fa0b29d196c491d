"""The swap cache: folios in memory that stand for swap slots, and hold references for it.

For the model's reclaim, swap-in, COW and whoever takes mappings away. In a world without swap nothing here does anything.
Large folios are in the swap cache only on their way out, within one operation.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.columns import Index, spread
from rmaplab.machine.model.physical.memory import Frames, Memory


def enter(memory: Memory, slots: Frames, firsts: Index) -> None:
    """These folios stand for the swap slots from `firsts` on, and hold a reference a page for it."""
    if memory.swap is None or not len(slots):
        return
    size = _pages(memory, slots)
    memory.folio["swapcache"][slots] = firsts
    memory.folio["refs"][slots] += size.astype(np.int32)
    memory.swap.folio[spread(firsts.astype(np.int64), size)] = np.repeat(slots, size)


def leave(memory: Memory, slots: Frames) -> None:
    """They do not any more; slots without page table entries are free, and so is a folio nobody else refers to."""
    if memory.swap is None or not len(slots):
        return
    folio, size = memory.folio, _pages(memory, slots)
    memory.swap.forget(spread(folio["swapcache"][slots].astype(np.int64), size))
    folio["swapcache"][slots] = 0
    folio["dirty"][slots] = True
    folio["refs"][slots] -= size.astype(np.int32)
    memory.release(slots)


def move(memory: Memory, slot: int, to: int) -> None:
    """The folio in slot `to` stands for the swap slot that the small one in `slot` stood for, if any."""
    first = int(memory.folio["swapcache"][slot])
    if memory.swap is not None and first:
        memory.folio["swapcache"][[slot, to]] = 0, first
        memory.folio["refs"][slot] -= 1
        memory.folio["refs"][to] += 1
        memory.swap.folio[first] = to


def put_entries(memory: Memory, swap_slots: Index) -> None:
    """Page table entries of these swap slots are gone."""
    if memory.swap is None or not len(swap_slots):
        return
    memory.swap.put(swap_slots)
    folios = memory.swap.folio[swap_slots]
    leave_unmapped(memory, folios[folios > 0])


def leave_unmapped(memory: Memory, slots: Frames) -> None:
    """Those of these (small) folios that nobody maps leave the swap cache if no entry waits for them: for whoever took
    mappings away for good."""
    if memory.swap is None:
        return
    cached = np.unique(slots[(memory.folio["swapcache"][slots] > 0) & (memory.folio["mapcount"][slots] == 0)])
    leave(memory, cached[memory.swap.count[memory.folio["swapcache"][cached]] == 0])


def sole(memory: Memory, slots: Frames) -> NDArray[np.bool_]:
    """Of which folios one reference is left, once the swap cache, if no entry waits for it, has given up its own."""
    refs, cached = memory.folio["refs"][slots], memory.folio["swapcache"][slots]
    if memory.swap is None:
        return np.asarray(refs == 1)
    return np.asarray((refs == 1) & (cached == 0) | (refs == 2) & (cached > 0) & (memory.swap.count[cached] == 0))


def _pages(memory: Memory, slots: Frames) -> Index:
    return np.asarray(np.int64(1) << memory.folio["order"][slots].astype(np.int64))
