"""Who else uses what a random program needs for itself: other people's KSM, other people's swap, the memory.

For the runner and the campaign. A live machine is alone among live machines; a QEMU that starts midway, or an
administrator's swapon, asks nobody. What such a program shows says nothing about the model.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

from rmaplab.machine.live.host import knobs
from rmaplab.machine.live.workers import ksm, swap

SURROUNDINGS: Final = "surroundings"
"""What begins the reason where others on the system are it: these steps count as set aside, but fail nothing."""


def others(ours: Collection[int], *, merges: bool, swaps: bool) -> str:
    """Why a program of the processes `ours` cannot be compared now, "" if nothing speaks against it. `merges`: it has
    mergeable memory; `swaps`: it has a swap device."""
    if merges and set(ksm.users()) - set(ours):
        return f"{SURROUNDINGS}: KSM"
    if swap.SWAPS.exists() and len(swap.SWAPS.read_bytes().splitlines()) - 1 > int(swaps):
        return f"{SURROUNDINGS}: swap"
    return ""


_VMSTAT: Final = Path("/proc/vmstat")
_NO_FOLIO: Final = ("thp_fault_fallback", "thp_file_fallback", "thp_collapse_alloc_failed", "thp_zero_page_alloc_failed")
_NO_MTHP: Final = ("anon_fault_fallback", "shmem_fallback", "swpin_fallback")
_RECLAIMED: Final = ("pgsteal_kswapd", "pgsteal_direct", "compact_isolated")
"""Not raised by MADV_PAGEOUT, nor by a migration that a program asked for."""


class Shortage:
    """How often the kernel found no memory for a large folio, and how often it took or moved pages to find some: since
    `now` was called. The counters are the whole system's (Documentation/admin-guide/mm/transhuge.rst)."""

    def __init__(self, allocations: int, reclaimed: int) -> None:
        self._allocations, self._reclaimed = allocations, reclaimed

    @classmethod
    def now(cls) -> Self:
        """The counters as they are."""
        lines = (line.split() for line in _VMSTAT.read_text().splitlines())
        counts = {name: int(count) for name, count in lines}
        missed = sum(counts.get(name, 0) for name in _NO_FOLIO)
        for size in knobs.THP.glob("hugepages-*kB/stats"):
            missed += sum(int((size / name).read_text()) for name in _NO_MTHP if (size / name).exists())
        return cls(missed, sum(counts.get(name, 0) for name in _RECLAIMED))

    def since(self) -> str:
        """What of it can explain a difference: its name, or "" if nothing does."""
        now = self.now()
        if now._allocations > self._allocations:
            return "allocation"
        return f"{SURROUNDINGS}: memory" if now._reclaimed > self._reclaimed else ""
