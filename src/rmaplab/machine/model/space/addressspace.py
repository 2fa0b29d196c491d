"""One address space: VMAs, page table, and what every operation on a range is made of.

For the model's operations (faults, fork, move, advice), which are functions over an `AddressSpace`. Ranges are virtual
pages [start, end); an operation has checked them before it comes here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.backing import shmem
from rmaplab.machine.model.backing.swap import Swap
from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.physical.memory import HUGE_ZERO, ZERO, Frames, Memory
from rmaplab.machine.model.physical.recorder import Recorder
from rmaplab.machine.model.policy import KernelPolicy
from rmaplab.machine.model.space.pagetable import (
    BLOCK,
    CLEAN,
    DIRTY,
    GUARD,
    PMD,
    SWAP,
    WP,
    Leaf,
    PageTable,
    W,
    Window,
    any_of,
)
from rmaplab.machine.model.space.vma import Vma, VmaList
from rmaplab.machine.protocol import PMD_ORDER
from rmaplab.trace import KINDS

_PRIVATE_KINDS: Final = (KINDS.index("anon"), KINDS.index("ksm"))
"""Folios whose contents are a process's own."""


_COUNTED: Final = 2 * HUGE_ZERO
"""First frame that has an rmap: those before are zero pages."""


_NOT_W, _NOT_PMD = ~np.uint8(W), ~np.uint8(PMD)


class ContentLeak(AssertionError):
    """An MM would read what another wrote after their fork: a wrong reuse."""

    def __init__(self, mm: int, address: int, wanted: int, found: int) -> None:
        super().__init__(f"MM {mm} at {address:#x} reads write {found}, must read write {wanted}")
        self.mm, self.address, self.wanted, self.found = mm, address, wanted, found


class World:
    """One physical memory, its swap, and every address space on it."""

    def __init__(self, policy: KernelPolicy, recorder: Recorder) -> None:
        self.memory = Memory(policy, recorder)
        self.swap = Swap(self.memory)
        self.spaces: dict[int, AddressSpace] = {}
        """By MM."""
        self.ksm_mms: list[int] = []
        """MMs with mergeable memory in the order KSM scans them; some may have ended."""
        self.guards = False
        """Whether any guard was ever put anywhere."""
        self._anon_vmas = 0

    def next_anon_vma(self) -> int:
        """A number for a new anon_vma."""
        self._anon_vmas += 1
        return self._anon_vmas

    def forget_unmapped(self) -> None:
        """Mappings went: files that nobody maps any more and that do not last give their swap slots back."""
        if self.swap.files:
            shmem.forget(self.swap, {id(vma.file) for space in self.spaces.values() for vma in space.vmas})


@dataclass(slots=True)
class AddressSpace:
    """An MM. `mm` is its rmap ID, `forebears` those it was forked from, `users` how many processes are in it;
    `thp_disabled`: no large folios for it (MMF_DISABLE_THP)."""

    world: World
    mm: int
    vmas: VmaList = field(default_factory=VmaList)
    table: PageTable = field(default_factory=PageTable)
    forebears: frozenset[int] = frozenset()
    users: int = 1
    thp_disabled: bool = False
    memory: Memory = field(init=False)
    swap: Swap = field(init=False)

    def __post_init__(self) -> None:
        self.memory, self.swap = self.world.memory, self.world.swap
        self.world.spaces[self.mm] = self

    def spans(self, start: int, end: int, *, write: bool = False, create: bool = False) -> Iterator[tuple[Vma, Window]]:
        """VMAs under [start, end) and the leaves under each, in address order."""
        for vma in self.vmas.within(start, end):
            lo, hi = max(vma.start, start), min(vma.end, end)
            for window in self.table.windows(lo, hi, write=write, create=create):
                yield vma, window

    def folios(self, start: int, end: int) -> Frames:
        """Folio slot behind every present page of [start, end), zero pages left out."""
        parts = [np.zeros(0, np.uint32)]
        for _, window in self.spans(start, end):
            frames = window.leaf.frame[window.leaf.present(window.lo, window.hi)]
            parts.append(self.memory.frame["folio"][frames[self.counted(frames)]])
        return np.concatenate(parts)

    def fault_order(self, vma: Vma) -> int:
        """Order of the folios a fault in `vma` brings in. Where userfaultfd tracks writes, single pages or whole blocks
        (alloc_anon_folio(), alloc_swap_folio())."""
        order = 0 if self.thp_disabled else vma.fault_order
        return 0 if vma.uffd and order < PMD_ORDER else order

    def maps_by_pmd(self, vma: Vma) -> bool:
        """May a fault in `vma` map a THP of the page cache by a PMD?"""
        return vma.maps_by_pmd and not self.thp_disabled

    def prepare_anon_vma(self, vma: Vma) -> None:
        """`vma` may hold anonymous pages from now on, so fork has to copy its page tables."""
        if not vma.anon_vma:
            vma.anon_vma = self.vmas.neighbour_anon_vma(vma) or self.world.next_anon_vma()
            vma.place()

    # --- PMD mappings -------------------------------------------------------------------------------------------

    def split_pmd(self, leaf: Leaf, index: int, step: int, *, anon: bool) -> None:
        """Remap the PMD mapping over leaf index `index` by PTEs; of a file it is unmapped instead, to be faulted
        in again. New mappings are counted before the old one goes, as in the kernel."""
        lo = index - index % BLOCK
        hi = lo + BLOCK
        leaf.tables[lo // BLOCK] |= anon
        self.memory.counters.splits += 1
        if leaf.frame[lo] == HUGE_ZERO:
            leaf.frame[lo:hi] = ZERO
            leaf.flags[lo:hi] &= ~np.uint8(PMD)
            return
        slot = self.memory.frame.cells["folio"][leaf.frame[lo]]
        if anon:
            if not leaf.flags[lo] & CLEAN:
                self.memory.folio.cells["dirty"][slot] = True
            leaf.flags[lo:hi] &= _NOT_PMD
            self.memory.map_run(int(leaf.frame[lo]), BLOCK, self.mm, step)
        else:
            leaf.clear(lo, hi)
        self.memory.unmap_thp(slot, self.mm, step, bare=not anon)

    def split_at(self, page: int, step: int) -> None:
        """Make `page` a VMA boundary; a PMD mapping across it is split."""
        if not self.vmas.cut(page) or page % BLOCK == 0:
            return
        if self.table.maps_by_pmd(page):
            self._split_over(page, step, anon=self.vmas.within(page, page + 1)[0].anonymous)

    def split_edges(self, vma: Vma, start: int, end: int, step: int) -> None:
        """Split PMD mappings that [start, end) covers only in part."""
        if end - start == 1 and vma.start <= start < vma.end:
            if self.table.maps_by_pmd(start):
                self._split_over(start, step, anon=vma.anonymous)
            return
        for page in (start, end):
            if page % BLOCK == 0 or not vma.start <= page <= vma.end:
                continue
            at = page if page < vma.end else page - 1
            if self.table.maps_by_pmd(at):
                self._split_over(at, step, anon=vma.anonymous)

    def _split_over(self, page: int, step: int, *, anon: bool) -> None:
        own = self.table.entry(page, write=True)
        assert own is not None
        self.split_pmd(*own, step, anon=anon)

    # --- taking away --------------------------------------------------------------------------------------------

    def zap(self, start: int, end: int, step: int, *, guards: bool = True) -> None:
        """Unmap every page of [start, end) (PMD mappings in it are whole by now); `guards` go too."""
        if end - start == 1:
            self._zap_page(start, step, guards=guards)
            return
        heads, small = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]
        for window in self.table.windows(start, end, write=True):
            leaf, lo, hi = window.leaf, window.lo, window.hi
            kept = None if guards or not self.world.guards else leaf.guards(lo, hi)
            self._give_slots_back(leaf, lo, hi)
            for found, part in zip((heads, small), self._mapped(leaf, lo, hi), strict=True):
                found.append(part)
            leaf.clear(lo, hi)
            if kept is not None:
                leaf.frame[kept] = GUARD
        self._unmap(np.concatenate(heads), np.concatenate(small), step)

    def _zap_page(self, page: int, step: int, *, guards: bool) -> None:
        """`zap` of one page that no PMD maps, in plain numbers."""
        found = self.table.entry(page, write=True)
        if found is None:
            return
        leaf, at = found
        frame = int(leaf.frame[at])
        if leaf.flags[at] & SWAP:
            self._give_slots_back(leaf, at, at + 1)
        elif frame >= _COUNTED:
            slot = self.memory.frame.cells["folio"][frame]
            self.memory.unmap_page(frame, self.mm, step)
            if self.swap.device is not None:
                self.swap.leave_unmapped(np.array([slot], np.uint32))
        elif frame == GUARD and not guards:
            return
        leaf.frame[at] = leaf.flags[at] = leaf.expect[at] = 0

    def zap_file(self, start: int, end: int, step: int) -> None:
        """Unmap what [start, end), of a mapping of a file, maps of that; copies of its pages stay."""
        for window in self.table.windows(start, end, write=True):
            leaf = window.leaf
            index = leaf.present(window.lo, window.hi)
            kinds = self.memory.folio["kind"][self.memory.frame["folio"][leaf.frame[index]]]
            index = index[~np.isin(kinds, _PRIVATE_KINDS)]
            if len(index):
                self._unmap(*self._sorted_out(leaf, index), step)
                leaf.frame[index] = leaf.flags[index] = leaf.expect[index] = 0

    def first_guard(self, start: int, end: int) -> int | None:
        """The first page of [start, end) that is a guard."""
        for _, window in self.spans(start, end):
            if len(found := window.leaf.guards(window.lo, window.hi)):
                return window.base + int(found[0])
        return None

    def _give_slots_back(self, leaf: Leaf, lo: int, hi: int) -> None:
        if self.swap.device is not None:
            swapped = lo + np.flatnonzero(leaf.flags[lo:hi] & SWAP)
            self.swap.put_entries(leaf.frame[swapped].astype(np.int64))
            leaf.frame[swapped] = leaf.flags[swapped] = 0

    def _mapped(self, leaf: Leaf, lo: int, hi: int) -> tuple[Frames, Frames]:
        """What of [lo, hi) has an rmap: first frames of what PMDs map, and frames that PTEs map."""
        frames, flags = leaf.frame[lo:hi], leaf.flags[lo:hi]
        if not any_of(flags, PMD | SWAP) and int(frames.min()) >= _COUNTED:
            return frames[:0], frames.copy()  # as most memory is
        index = leaf.present(lo, hi)
        return self._sorted_out(leaf, index)

    def _sorted_out(self, leaf: Leaf, index: Index) -> tuple[Frames, Frames]:
        """`_mapped` of the present pages at `index`."""
        frames, huge = leaf.frame[index], leaf.flags[index] & PMD != 0
        counted = self.counted(frames)
        return frames[huge & counted & (index % BLOCK == 0)], frames[~huge & counted]

    def _unmap(self, heads: Frames, frames: Frames, step: int) -> None:
        """Take away these mappings: of THPs by PMDs, of pages by PTEs."""
        if len(heads):
            self.memory.unmap_entire(self.memory.frame["folio"][heads], self.mm, step)
        memory, slots = self.memory, None
        if self.swap.device is not None:
            slots = memory.frame["folio"][frames]
        memory.unmap_pages(memory.runs(frames), self.mm, step)
        if slots is not None:
            self.swap.leave_unmapped(slots)

    @staticmethod
    def counted(frames: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which of these frames have an rmap at all: not the zero pages."""
        return np.asarray(frames >= _COUNTED)

    def tidy(self, start: int, end: int) -> None:
        """No VMA covers [start, end) any more: blocks without any VMA lose their table, a region without any goes."""
        region = self.table.region(start)
        if not region.kept and not self.vmas.within(region.start, region.start + region.pages):
            self.table.remove(region)
            return
        first, last = start // BLOCK, -(-end // BLOCK)
        if self.vmas.within(first * BLOCK, start):
            first += 1
        if self.vmas.within(end, last * BLOCK):
            last -= 1
        self.forget_tables(first * BLOCK, last * BLOCK)

    def forget_tables(self, start: int, end: int) -> None:
        """The blocks of [start, end), empty by now, have no table of PTEs any more."""
        if start >= end:
            return
        region = self.table.region(start)
        for window in self.table.windows(start, min(end, region.start + region.pages), write=True):
            window.leaf.tables[window.lo // BLOCK : -(-window.hi // BLOCK)] = False

    # --- contents -----------------------------------------------------------------------------------------------

    def check_contents(self, vma: Vma, window: Window) -> None:
        """The leak oracle: every present page reads as the last write this address space is to see.

        Raises ContentLeak naming the first page that does not.
        """
        leaf, lo, hi = window.leaf, window.lo, window.hi
        self._check_swapped(window)
        index = leaf.present(lo, hi)
        frames = leaf.frame[index]
        version = self.memory.frame["version"][frames]
        wanted = leaf.expect[index]
        if vma.file is not None:
            anon = np.isin(self.memory.folio["kind"][self.memory.frame["folio"][frames]], _PRIVATE_KINDS)
            wanted = np.where(anon & vma.private, wanted, vma.file.expect[vma.offset_of(window.base) + index])
        self._compare(window, index, wanted, version)

    def _check_swapped(self, window: Window) -> None:
        """The same of what is swapped out, be it on the device or in the swap cache."""
        leaf, swap = window.leaf, self.swap.device
        index = window.lo + np.flatnonzero(leaf.flags[window.lo : window.hi] & SWAP)
        if swap is None or not len(index):
            return
        slots = leaf.frame[index]
        cached = self.memory.frame["version"][self.memory.folio["head"][swap.folio[slots]]]
        version = np.where(swap.folio[slots] > 0, cached, swap.version[slots])
        self._compare(window, index, leaf.expect[index], version)

    def _compare(self, window: Window, index: Index, wanted: NDArray[np.uint32], version: NDArray[np.uint32]) -> None:
        wrong = np.flatnonzero(version != wanted)
        if len(wrong):
            at = wrong[0]
            address = (window.base + int(index[at])) << 12
            raise ContentLeak(self.mm, address, int(wanted[at]), int(version[at]))

    # --- protecting ---------------------------------------------------------------------------------------------

    def protect(self, start: int, end: int, *, writable: bool) -> None:
        """Set the W bit where that needs no fault: on anonymous exclusive pages and on shared file pages written before;
        or take it away everywhere."""
        if end - start == 1 and not writable:
            if (found := self.table.entry(start, write=True)) is not None:
                leaf, at = found
                leaf.flags[at] = int(leaf.flags[at]) & ~W
            return
        for window in self.table.windows(start, end, write=True):
            leaf, lo, hi = window.leaf, window.lo, window.hi
            if not writable:
                leaf.flags[lo:hi] &= _NOT_W
                continue
            index = leaf.present(lo, hi)
            exclusive = self.memory.frame["exclusive"][leaf.frame[index]]
            free = leaf.flags[index] & WP == 0
            leaf.flags[index[free & (exclusive | (leaf.flags[index] & DIRTY != 0))]] |= W
