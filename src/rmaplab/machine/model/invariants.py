"""What must hold in the model after every operation, checked from the page tables up.

For tests and the differential runner: `check(machine)` raises `Broken` naming the rule, the folio and the numbers.
O(pages of all page tables).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.swapdevice import SwapSlots
from rmaplab.machine.model.machine import ModelMachine
from rmaplab.machine.model.physical.memory import Memory
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, PMD, SWAP, SWAP_EXCLUSIVE, WP, W, Window
from rmaplab.trace import KINDS

_KSM: Final = KINDS.index("ksm")


class Broken(AssertionError):
    """The model contradicts itself."""


def check(machine: ModelMachine) -> None:
    """All invariants: counters equal the sums over page tables, references cover mappings, exclusive pages have one
    mapping, and every page reads as it must (the leak oracle, `ContentLeak`)."""
    memory, device = machine.memory, machine.world.swap.device
    pages = np.zeros(memory.frame.rows, np.int64)
    entries, marked = np.zeros((2, device.pages if device else 0), np.int64)
    entire, sums = np.zeros(memory.folio.rows, np.int64), np.zeros((memory.folio.rows, 3), np.uint64)
    for space in machine.world.spaces.values():
        for vma, window in [pair for v in space.vmas for pair in space.spans(v.start, v.end)]:
            space.check_contents(vma, window)
            _count_swapped(window, entries, marked)
            index = window.leaf.present(window.lo, window.hi)
            merged = memory.folio["kind"][memory.frame["folio"][window.leaf.frame[index]]] == _KSM
            _none("entry both writable and tracked", window.leaf.flags[window.lo : window.hi] & (W | WP) == W | WP)
            _none("KSM page mapped writable", merged & (window.leaf.flags[index] & W != 0))
            _count(memory, space.mm, index, window.leaf.frame[index], window.leaf.flags[index], pages, entire, sums)
    _equal("page mapcount", memory.frame.used("mapcount"), pages)
    _equal("entire mapcount", memory.folio.used("entire"), entire)
    _equal("mapcount", memory.folio.used("mapcount"), sums[:, 0].astype(np.int64))
    refs, mapcount = memory.folio.used("refs"), memory.folio.used("mapcount")
    _none("refcount below mapcount", refs < mapcount)
    exclusive = memory.frame.used("exclusive")
    times = pages + entire[memory.frame.used("folio")]
    _none("exclusive page mapped more than once", exclusive & (times > 1))
    merged = memory.folio.used("kind") == _KSM
    _none("KSM folio of more than one page", merged & (memory.folio.used("order") > 0))
    _none("exclusive KSM page", exclusive & merged[memory.frame.used("folio")])
    _truth(memory, sums)
    for file in machine.world.swap.files:
        _count_file(device, file, entries)
    _swap(memory, device, entries, marked)


def _count(
    memory: Memory,
    mm: int,
    index: NDArray[np.int64],
    frames: NDArray[np.uint32],
    flags: NDArray[np.uint8],
    pages: NDArray[np.int64],
    entire: NDArray[np.int64],
    sums: NDArray[np.uint64],
) -> None:
    counted = AddressSpace.counted(frames)
    huge = flags & PMD != 0
    small = frames[counted & ~huge]
    heads = frames[counted & huge & (index % BLOCK == 0)]
    np.add.at(pages, small, 1)
    np.add.at(entire, memory.frame["folio"][heads], 1)
    weights = np.array([1, mm, mm * mm], np.uint64)
    np.add.at(sums, memory.frame["folio"][np.concatenate((small, heads))], weights)


def _count_swapped(window: Window, entries: NDArray[np.int64], marked: NDArray[np.int64]) -> None:
    """Add this window's page table entries to those of each swap slot, `marked`: those marked exclusive."""
    flags = window.leaf.flags[window.lo : window.hi]
    slots = window.leaf.frame[window.lo : window.hi]
    entries += np.bincount(slots[flags & SWAP != 0], minlength=len(entries))
    marked += np.bincount(slots[flags & SWAP_EXCLUSIVE != 0], minlength=len(entries))


def _count_file(swap: SwapSlots | None, file: ModelFile, entries: NDArray[np.int64]) -> None:
    """Add the page cache's entries, of pages that are not cached and hold the last write to the file."""
    pages = np.flatnonzero(file.swap)
    slots = file.swap[pages]
    np.add.at(entries, slots, 1)
    _none("file page cached and in swap", file.frame[pages] != 0)
    if swap is not None:
        _none("file page in swap that is not its last write", swap.version[slots] != file.expect[pages])


def _swap(memory: Memory, swap: SwapSlots | None, entries: NDArray[np.int64], marked: NDArray[np.int64]) -> None:
    """Slots count their entries in page tables and page caches, of which an exclusive one is the only one; swap cache and
    slots know each other."""
    cached = np.flatnonzero(memory.folio.used("swapcache"))
    refs, mapcount, order = (memory.folio[name][cached] for name in ("refs", "mapcount", "order"))
    _none("refcount below mapcount and swap cache", refs < mapcount + (1 << order.astype(np.int64)))
    if swap is None:
        return
    _equal("entries of swap slot", swap.count, entries)
    _none("exclusive swap entry of a shared slot", (marked > 0) & (entries > 1))
    used = swap.used
    used[0] = True
    _none("swap slot in use, but not taken, or the reverse", used != swap.taken)
    firsts = memory.folio["swapcache"][cached]
    _none("swap cache folio its slot does not know", swap.folio[firsts] != cached)


def _truth(memory: Memory, sums: NDArray[np.uint64]) -> None:
    """The sums that stand for the truth about large folios are those of the page tables."""
    live = np.flatnonzero(memory.folio.used("refs") > 0)
    order = memory.folio["order"][live]
    for o in np.unique(order[order > 0]).tolist():
        slots = live[order == o]
        rows = memory.folio["row"][slots].astype(np.int64)
        wrong = (memory.answers.sums(o, rows) != sums[slots]).any(axis=1)
        _none("sums of MM ids differ from the page tables'", wrong)


def _equal(what: str, have: NDArray[np.int32], want: NDArray[np.int64]) -> None:
    wrong = np.flatnonzero(have != want)
    if len(wrong):
        raise Broken(f"{what} {have[wrong[0]]} of {wrong[0]}: page tables say {want[wrong[0]]}")


def _none(what: str, wrong: NDArray[np.bool_]) -> None:
    if wrong.any():
        raise Broken(f"{what}: folio or frame {int(np.flatnonzero(wrong)[0])}")
