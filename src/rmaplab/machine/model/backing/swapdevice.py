"""Swap slots: who counts them, what they hold, and which one a folio gets.

For the model's reclaim and swap-in. A slot is in use while page tables hold entries of it (`count`) or a folio of the
swap cache stands for it (`folio`). Which slots a folio gets decides whether its pages may come back as one large folio,
so they are given out as Linux 6.18 does on a solid-state device, all on one CPU: in clusters of 512 slots, each for one
order at a time (mm/swapfile.c, cluster_alloc_swap_entry()). What changes once a device is half full (vm_swap_full())
does not change here.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.protocol import PMD_ORDER

CLUSTER: Final = 512
"""SWAPFILE_CLUSTER: slots of a cluster, as many as a THP has pages."""


class SwapSlots:
    """A device of `pages` slots, a multiple of CLUSTER; slot 0 holds the header and is nobody's. `fills_free`: free
    clusters come before those partly used (6.12).

    Arrays of one element a slot: `count` entries in page tables, `folio` the folio slot of the swap cache (0 none),
    `version`, `value` and `zero` (written as zeroes, without going to the device) what was swapped out.
    """

    def __init__(self, pages: int, *, fills_free: bool = False) -> None:
        self.pages = pages
        self.count = np.zeros(pages, np.int32)
        self.folio = np.zeros(pages, np.uint32)
        self.version = np.zeros(pages, np.uint32)
        self.value = np.zeros(pages, np.uint8)
        self.zero = np.zeros(pages, np.bool_)
        self.taken = np.zeros(pages, np.bool_)
        self.taken[0] = True
        self._clusters = _Clusters(pages // CLUSTER, fills_free=fills_free)

    def take(self, order: int) -> int:
        """2^order slots in a row, aligned to their number; returns the first, 0 if there are none."""
        return self._clusters.take(self.taken, order)

    def get(self, slots: Index) -> None:
        """One more page table entry for each (all distinct)."""
        self.count[slots] += 1

    def put(self, slots: Index) -> None:
        """One less; those nobody counts and no folio stands for are free."""
        self.count[slots] -= 1
        self.free(slots[(self.count[slots] == 0) & (self.folio[slots] == 0)])

    def forget(self, slots: Index) -> None:
        """No folio stands for these any more."""
        self.folio[slots] = 0
        self.free(slots[self.count[slots] == 0])

    def free(self, slots: Index) -> None:
        """Give slots back, in ascending order."""
        if not len(slots):
            return
        self.taken[slots] = False
        clusters, gone = np.unique(slots // CLUSTER, return_counts=True)
        for cluster, slots_gone in zip(clusters.tolist(), gone.tolist(), strict=True):
            self._clusters.give_back(cluster, slots_gone)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which slots somebody counts or stands for."""
        return np.asarray((self.count > 0) | (self.folio != 0))


class _Clusters:
    """Where the next folio of each order goes. A cluster is free, partly used with room given back (`nonfull`), or
    neither: then only the order that used it last finds it, through `next`."""

    def __init__(self, clusters: int, *, fills_free: bool) -> None:
        self.fills_free = fills_free
        self.used = [0] * clusters
        self.order = [0] * clusters
        self.free = dict.fromkeys(range(1, clusters))
        self.nonfull: list[dict[int, None]] = [{} for _ in range(PMD_ORDER + 1)]
        self.next = [0] * (PMD_ORDER + 1)
        # The header makes cluster 0 a partly used one of small folios.
        self.used[0] = 1
        self.nonfull[0][0] = None

    def take(self, taken: NDArray[np.bool_], order: int) -> int:
        at = self.next[order]
        if at:
            cluster = at // CLUSTER
            mine = self.order[cluster] == order or not order
            if mine and cluster not in self.free and self.used[cluster] < CLUSTER:
                found = self._scan(taken, cluster, at, order)
                if found:
                    return found
        if self.fills_free and self.free:
            return self._scan(taken, next(iter(self.free)), 0, order)
        while order < PMD_ORDER and self.nonfull[order]:
            cluster = next(iter(self.nonfull[order]))
            found = self._scan(taken, cluster, cluster * CLUSTER, order)
            if found:
                return found
        if not self.free:
            return 0
        return self._scan(taken, next(iter(self.free)), 0, order)

    def _scan(self, taken: NDArray[np.bool_], cluster: int, at: int, order: int) -> int:
        """Take the first fitting place of a cluster from slot `at` on, and remember where to go on."""
        size, base = 1 << order, cluster * CLUSTER
        self.free.pop(cluster, None)
        self.nonfull[self.order[cluster]].pop(cluster, None)
        busy = taken[base : base + CLUSTER].reshape(-1, size).max(axis=1)
        places = np.flatnonzero(busy[max(at - base, 0) // size :] == 0)
        self.next[order] = 0
        if not len(places):
            return 0
        first = base + (max(at - base, 0) // size + int(places[0])) * size
        if not self.used[cluster]:
            self.order[cluster] = order
        self.used[cluster] += size
        taken[first : first + size] = True
        if self.used[cluster] < CLUSTER and first + size < base + CLUSTER:
            self.next[order] = first + size
        return first

    def give_back(self, cluster: int, slots: int) -> None:
        self.used[cluster] -= slots
        lists = self.nonfull[self.order[cluster]]
        if self.used[cluster]:
            lists.setdefault(cluster)
        else:
            lists.pop(cluster, None)
            self.free[cluster] = None
            self.order[cluster] = 0
