"""Shmem in swap: folios that leave a file's page cache for swap slots, and come back at the next fault.

For reclaim, faults and collapse. The page cache keeps the entry, page tables keep nothing (shmem_writeout(),
shmem_swapin_folio()). A folio of any order goes out and comes back as a whole, past the swap cache as the device is
synchronous; it is dirty ever after, as its slots are free once it is back.
"""

from collections.abc import Set

import numpy as np

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.swap import Swap
from rmaplab.machine.model.physical.columns import Index, spread
from rmaplab.machine.model.physical.memory import Memory


def write_out(memory: Memory, swap: Swap, file: ModelFile, first: int, order: int) -> bool:
    """Put the folio that caches file page `first` and those after it, which only the page cache refers to, into swap.
    False if there is no device or no room on it for 2^order slots in a row."""
    device, pages = swap.device, slice(first, first + (1 << order))
    slot = device.take(order) if device is not None else 0
    if device is None or not slot:
        return False
    there, frames = slice(slot, slot + (1 << order)), file.frame[pages]
    device.version[there] = memory.frame["version"][frames]
    device.value[there] = memory.frame["value"][frames]
    device.zero[there] = not memory.frame["value"][frames].any()
    slots = np.arange(there.start, there.stop)
    device.get(slots)
    file.swap[pages], file.swap_order[pages] = slots, order
    file.forget(first, 1 << order)
    if file not in swap.files:
        swap.files.append(file)
    return True


def read_back(memory: Memory, swap: Swap, file: ModelFile, pages: Index) -> None:
    """Cache again what is swapped out of these file pages (ascending), each with all of the folio it left with."""
    device = swap.device
    if device is None or not file.swap[pages].any():
        return
    pages = pages[file.swap[pages] > 0]
    if not memory.policy.shmem_swaps_large:
        groups = pages >> file.swap_order[pages] << file.swap_order[pages]
        file.swap_order[spread(groups, np.int64(1) << file.swap_order[pages].astype(np.int64))] = 0
    for order in np.unique(file.swap_order[pages]).tolist():
        first = np.unique(pages[file.swap_order[pages] == order] >> order) << order
        whole = spread(first, np.full(len(first), 1 << order))
        slots = file.swap[whole].astype(np.int64)
        file.swap[whole] = 0
        file.cache(first, order)
        frames = file.frame[whole]
        memory.frame["version"][frames], memory.frame["value"][frames] = device.version[slots], device.value[slots]
        file.dirty[whole] = True
        device.put(slots)


def forget(swap: Swap, mapped: Set[int]) -> None:
    """Files that do not last and are not among the `mapped` (by `id`) give their slots back."""
    if swap.device is None:
        return
    for file in [f for f in swap.files if not f.lasting and id(f) not in mapped]:
        swap.files.remove(file)
        slots = file.swap[file.swap > 0].astype(np.int64)
        file.swap[:] = 0
        swap.device.put(np.sort(slots))
