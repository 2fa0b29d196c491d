"""MADV_PAGEOUT: what is isolated, what of anonymous memory goes to swap, what is dropped or left.

For `advice`; what becomes of page-cache folios is `files`'s. Follows madvise_cold_or_pageout_pte_range() and
shrink_folio_list(): only folios nobody else maps, and of large ones only those the range covers whole (a part is split
off first); a folio somebody holds stays, a small one in the swap cache. Lazily freed pages (MADV_FREE) nobody wrote since
are dropped. Without swap, large folios are split and stay.
"""

from dataclasses import dataclass, field

import numpy as np

from rmaplab.machine.model.backing.swap import Swap
from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.model.reclaim.files import cold_file
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, PMD, SWAP, SWAP_EXCLUSIVE, WP, W, Window
from rmaplab.machine.model.space.questions import shared_in_advice
from rmaplab.machine.model.thp.split import separate, split_folio


def pageout(space: AddressSpace, start: int, end: int) -> None:
    """Reclaim what can be of the pages [start, end), one table of PTEs after the other."""
    step = space.memory.recorder.tick()
    for vma, window in list(space.spans(start, end, write=True)):
        for lo in range(window.lo - window.lo % BLOCK, window.hi, BLOCK):
            first, last = max(lo, window.lo), min(lo + BLOCK, window.hi)
            if vma.file is not None:
                cold_file(space, vma, vma.file, window, first, last, step, pageout=True)
            if vma.anonymous or (vma.private and not window.leaf.flags[first] & PMD):
                _Block(space, window, step).reclaim(first, last)


@dataclass(slots=True)
class _Block:
    """Reclaim in one table of PTEs (or of the PMD mapping in its place). `out` collects runs of a folio's pages, by
    leaf index and first swap slot, that go to swap."""

    space: AddressSpace
    window: Window
    step: int
    out: list[tuple[Index, int]] = field(default_factory=list)

    def reclaim(self, lo: int, hi: int) -> None:
        leaf, memory = self.window.leaf, self.space.memory
        if leaf.flags[lo] & PMD and hi - lo == BLOCK:
            head = leaf.frame[lo : lo + 1]
            if self.space.counted(head)[0] and not shared_in_advice(self.space, int(head[0]), BLOCK, self.step):
                self._shrink(np.arange(lo, hi))
        else:
            for index in separate(self.space, leaf, lo, hi, self.step):
                if memory.folio["mapcount"][memory.frame["folio"][leaf.frame[index[0]]]] == len(index):
                    self._shrink(index)
        self._swap_out()

    def _shrink(self, index: Index) -> None:
        """shrink_folio_list() for the folio mapped at `index`."""
        memory, leaf, device = self.space.memory, self.window.leaf, self.space.swap.device
        folio, slot = memory.folio, int(memory.frame["folio"][leaf.frame[index[0]]])
        if folio["mlocked"][slot]:
            return
        if folio["lazy"][slot]:
            self._drop(index, slot)
            return
        if folio["pins"][slot]:
            return
        if folio["swapcache"][slot]:
            self.out.append((index, int(folio["swapcache"][slot])))
            return
        order = int(folio["order"][slot])
        if order and folio["refs"][slot] != folio["mapcount"][slot]:
            return
        first = device.take(order) if device and not folio["partial"][slot] else 0
        if first:
            self.space.swap.enter(np.array([slot], np.uint32), np.array([first]))
            folio["dirty"][slot] = True
            self.out.append((index, first))
        elif order:
            split_folio(self.space.world, slot, memory.recorder.tick())
            # The first page goes on, the others stand at the end of a list that is taken from behind.
            left = np.concatenate((index[:1], index[:0:-1]))
            for i in left[self.space.counted(leaf.frame[left])].tolist() if device else ():
                self._shrink(np.array([i]))

    def _drop(self, index: Index, slot: int) -> None:
        """A lazily freed folio: gone if nobody wrote to it or holds it; an ordinary one again if somebody wrote. A PMD is
        split before anything else (vmstat's thp_split_pmd), so its table of PTEs stays in any case.

        The kernel takes away runs of PTEs that agree in write access (try_to_unmap_one()). At the first run with a
        written page it stops: what went before is lost.
        """
        memory, leaf = self.space.memory, self.window.leaf
        folio = memory.folio
        if leaf.flags[index[0]] & PMD:
            self.space.split_pmd(leaf, int(index[0]), memory.recorder.tick(), anon=True)
        writable = leaf.flags[index] & (W | WP)
        for run in np.split(index, np.flatnonzero(np.diff(writable.astype(np.int8))) + 1):
            if folio["dirty"][slot] or not (leaf.flags[run] & CLEAN).all():
                folio["lazy"][slot] = False
                folio["dirty"][slot] = True
                leaf.flags[index] &= ~np.uint8(CLEAN)
                return
            if folio["refs"][slot] != folio["mapcount"][slot]:
                return
            frames = leaf.frame[run]
            leaf.frame[run] = leaf.flags[run] = leaf.expect[run] = 0
            memory.unmap_pages(memory.runs(frames), self.space.mm, memory.recorder.tick())

    def _swap_out(self) -> None:
        """Put swap entries in place of the pages, and let go of those folios nobody holds."""
        memory, leaf, device = self.space.memory, self.window.leaf, self.space.swap.device
        if not self.out or device is None:
            return
        # Splits on the way took steps of their own; this comes after them.
        step = memory.recorder.tick()
        for index, _ in self.out:
            if leaf.flags[index[0]] & PMD:
                self.space.split_pmd(leaf, int(index[0]), step, anon=True)
        index = np.concatenate([pages for pages, _ in self.out])
        slots = np.concatenate([first + np.arange(len(pages)) for pages, first in self.out])
        frames = leaf.frame[index]
        exclusive = memory.frame["exclusive"][frames]
        leaf.frame[index] = slots
        leaf.flags[index] = np.where(exclusive, SWAP | SWAP_EXCLUSIVE, SWAP) | leaf.flags[index] & WP
        device.get(slots)
        memory.frame["exclusive"][frames] = False
        memory.unmap_pages(memory.runs(frames), self.space.mm, step)
        folios = memory.frame["folio"][frames]
        write_out(memory, self.space.swap, np.unique(folios[memory.folio["mapcount"][folios] == 0]))
        self.out.clear()


def write_out(memory: Memory, swap: Swap, folios: Frames) -> None:
    """Unmapped folios of the swap cache that nobody else holds go to the device and are freed."""
    device = swap.device
    if device is None:
        return
    size = 1 << memory.folio["order"][folios].astype(np.int64)
    for slot in folios[memory.folio["refs"][folios] == size].tolist():
        first, head = int(memory.folio["swapcache"][slot]), int(memory.folio["head"][slot])
        pages = 1 << int(memory.folio["order"][slot])
        here, there = slice(head, head + pages), slice(first, first + pages)
        device.version[there] = memory.frame["version"][here]
        device.value[there] = memory.frame["value"][here]
        # Zeroes are told per folio (swap_writeout()).
        device.zero[there] = not memory.frame["value"][here].any()
        swap.leave(np.array([slot], np.uint32))
