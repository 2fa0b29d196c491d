"""Swap: the device, which files have pages there, and the swap cache: folios in memory that stand for swap slots.

For the model's reclaim, swap-in, COW and whoever takes mappings away. In a world without a device nothing here does
anything. Up to 6.18 large folios are in the swap cache only on their way out, within one operation.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.swapdevice import SwapSlots
from rmaplab.machine.model.physical.columns import Index, spread
from rmaplab.machine.model.physical.memory import Frames, Memory


class Swap:
    """A memory's swap. Folios of the swap cache hold a reference a page for the slots they stand for."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.device: SwapSlots | None = None
        self.files: list[ModelFile] = []
        """Files with pages on the device, now or once."""

    def enter(self, slots: Frames, firsts: Index) -> None:
        """These folios stand for the swap slots from `firsts` on."""
        if self.device is None or not len(slots):
            return
        folio, size = self._memory.folio, self._pages(slots)
        folio["swapcache"][slots] = firsts
        folio["refs"][slots] += size.astype(np.int32)
        self.device.folio[spread(firsts.astype(np.int64), size)] = np.repeat(slots, size)

    def leave(self, slots: Frames) -> None:
        """They do not any more; slots without page table entries are free, and so is a folio nobody else refers to."""
        if self.device is None or not len(slots):
            return
        folio, size = self._memory.folio, self._pages(slots)
        self.device.forget(spread(folio["swapcache"][slots].astype(np.int64), size))
        folio["swapcache"][slots] = 0
        folio["dirty"][slots] = True
        folio["refs"][slots] -= size.astype(np.int32)
        self._memory.release(slots)

    def move(self, slot: int, to: int) -> None:
        """The folio in slot `to` stands for the swap slots that the one in `slot` stood for, if any."""
        folio = self._memory.folio
        first, size = int(folio["swapcache"][slot]), 1 << int(folio["order"][slot])
        if self.device is not None and first:
            folio["swapcache"][[slot, to]] = 0, first
            folio["refs"][slot] -= size
            folio["refs"][to] += size
            self.device.folio[first : first + size] = to

    def put_entries(self, swap_slots: Index) -> None:
        """Page table entries of these swap slots are gone."""
        if self.device is None or not len(swap_slots):
            return
        self.device.put(swap_slots)
        folios = self.device.folio[swap_slots]
        self.leave_unmapped(folios[folios > 0])

    def leave_unmapped(self, slots: Frames) -> None:
        """Those of these folios that nobody maps leave the swap cache if no entry waits for them: for whoever took
        mappings away for good."""
        if self.device is None:
            return
        self.leave_idle(slots[self._memory.folio["mapcount"][slots] == 0])

    def leave_idle(self, slots: Frames) -> None:
        """folio_free_swap(): those of these folios leave the swap cache for which no entry waits."""
        cached = np.unique(slots[self._memory.folio["swapcache"][slots] > 0])
        self.leave(cached[~self.waited_for(cached)])

    def waited_for(self, slots: Frames) -> NDArray[np.bool_]:
        """Of which folios of the swap cache some page has entries left."""
        if self.device is None or not len(slots):
            return np.zeros(len(slots), np.bool_)
        size = self._pages(slots)
        pages = self.device.count[spread(self._memory.folio["swapcache"][slots].astype(np.int64), size)] > 0
        return np.asarray(np.logical_or.reduceat(pages, np.cumsum(size) - size))

    def references(self, slots: Frames) -> Index:
        """How many references the swap cache has of each folio: one a page."""
        return np.where(self._memory.folio["swapcache"][slots] > 0, self._pages(slots), 0)

    def sole(self, slots: Frames) -> NDArray[np.bool_]:
        """Of which folios one reference is left, once the swap cache, if no entry waits for it, has given up its own."""
        refs, cached = self._memory.folio["refs"][slots], self._memory.folio["swapcache"][slots]
        if self.device is None:
            return np.asarray(refs == 1)
        return np.asarray((refs == 1) & (cached == 0) | (refs == 2) & (cached > 0) & (self.device.count[cached] == 0))

    def _pages(self, slots: Frames) -> Index:
        return np.asarray(np.int64(1) << self._memory.folio["order"][slots].astype(np.int64))
