"""What this system lets one see and do: probed, never inferred from a version.

For `LiveMachine`, the inspector and `rmaplab`'s messages.
"""

import ctypes
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rmaplab.machine.live.host import knobs
from rmaplab.machine.live.proc import pageflags, procfs
from rmaplab.machine.live.workers import ksm, swap
from rmaplab.machine.protocol import PMD_ORDER, NotAvailable

_NEEDED: Final = ("pfns", "kpageflags", "pmd_ranges", "anon_exclusive")
_BITS: Final = ("mmap", "anon", "swapbacked", "compound_head", "compound_tail", "zero_page")
"""Bits of kpageflags without which folios, orders and kinds cannot be told; without the one of KSM there is no KSM."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing the kernel may offer: is it here, what for, and if not, why not."""

    name: str
    here: bool
    gives: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything probed; `anon_orders` and `shmem_orders` are the orders of large folios faults can get."""

    items: tuple[Capability, ...]
    anon_orders: tuple[int, ...] = ()
    shmem_orders: tuple[int, ...] = ()

    def __getitem__(self, name: str) -> Capability:
        return next(item for item in self.items if item.name == name)

    def has(self, *names: str) -> bool:
        return all(self[name].here for name in names)

    def missing(self) -> list[Capability]:
        return [item for item in self.items if not item.here]

    def require(self, *names: str) -> None:
        """Raise NotAvailable, in one line, unless all `names` are here; by default what live traces need."""
        lacking = [self[name] for name in names or _NEEDED if not self[name].here]
        if lacking:
            what = "; ".join(f"{item.name} ({item.why_not})" for item in lacking)
            raise NotAvailable(
                f"the live machine cannot work here: missing {what}; the model and recorded traces still work"
            )


def probe() -> Capabilities:
    """Look at this process' own memory and at /proc and /sys; changes nothing. A few milliseconds."""
    anon, shmem = tuple(knobs.orders("anon")), tuple(knobs.orders("shmem"))
    with mmap.mmap(-1, procfs.PAGE_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        page[0] = 1
        held = ctypes.c_char.from_buffer(page)
        own = _own_page(ctypes.addressof(held))
        del held
    why_not_swap = swap.why_not()
    why_not_ksm = "" if os.access(ksm.KSM / "run", os.W_OK) else f"no {ksm.KSM}, or not writable"
    if not why_not_ksm and all(item.here for item in own):
        why_not_ksm = "; ".join(f"kpageflags: ksm: {seen}" for name, seen in _refuted().items() if name == "ksm")
    items = (
        *own,
        _item("thp", "PMD-mapped folios (order 9)", PMD_ORDER in anon, f"no such size under {knobs.THP}"),
        _item("mthp", "folios between a page and a PMD", bool({*anon} - {PMD_ORDER}), f"no such size under {knobs.THP}"),
        _item("shmem_thp", "large folios in shmem", bool(shmem), f"no shmem_enabled under {knobs.THP}"),
        _item("swap", "a swap device of one's own", not why_not_swap, why_not_swap),
        _item("ksm", "merging equal pages", not why_not_ksm, why_not_ksm),
        _item("knobs", "choosing the order of folios", _may_write(anon), f"{knobs.THP}: not writable"),
    )
    return Capabilities(items, anon, shmem)


def _item(name: str, gives: str, here: bool, why_not: str) -> Capability:
    return Capability(name, here, gives, "" if here else why_not)


def _why_missing(call: Callable[[], object]) -> str:
    """ "" if `call` works, else the reason it gives."""
    try:
        call()
    except procfs.ProcfsError as error:
        return str(error)
    return ""


def _own_page(address: int) -> list[Capability]:
    """Everything that is probed on one written anonymous page of this process."""
    pid = os.getpid()
    why_pagemap = _why_missing(lambda: procfs.Pagemap(pid).close())
    if why_pagemap:
        entry = np.zeros(1, np.uint64)
        why_scan = why_pagemap
    else:
        with procfs.Pagemap(pid) as pagemap:
            entry = pagemap.entries(address, procfs.PAGE_SIZE)
            why_scan = _why_missing(lambda: pagemap.pmd_mapped(address, procfs.PAGE_SIZE))
    pfn = entry & procfs.PM_PFN
    hidden = why_pagemap or "pagemap hides PFNs: needs CAP_SYS_ADMIN"
    why_flags = _why_missing(lambda: procfs.kpageflags(pfn))
    why_count = _why_missing(lambda: procfs.kpagecount(pfn))
    refuted = _refuted() if pfn[0] and not why_flags else {}
    needed = [f"kpageflags: {name}: {refuted[name]}" for name in _BITS if name in refuted]
    why_flags = why_flags or "; ".join(needed)
    why_scan = f"{why_scan}: PAGEMAP_SCAN needs Linux 6.7" if why_scan else refuted.get("scan_huge", "")
    why_exclusive = refuted.get("anon_exclusive", "" if pfn[0] and not why_flags else "kpageflags cannot be read")
    return [
        _item("pagemap", "which pages are present, which are mapped once", not why_pagemap, why_pagemap),
        _item("pfns", "exact sharing, by joining processes", bool(pfn[0]), hidden),
        _item("pmd_ranges", "what PMDs map", not why_scan, why_scan),
        _item("kpageflags", "folio heads, orders and kinds", not why_flags, why_flags),
        _item("kpagecount", "the kernel's own map counts", not why_count, why_count),
        _item("anon_exclusive", "which pages ask nothing on a write", not why_exclusive, f"bit 34: {why_exclusive}"),
    ]


def _refuted() -> dict[str, str]:
    """Bits of kpageflags that do not mean here what they should, and what was seen."""
    return pageflags.here().refuted


def _may_write(orders: Sequence[int]) -> bool:
    sizes = [procfs.PAGE_SIZE << order >> 10 for order in orders]
    return bool(sizes) and all(os.access(knobs.THP / f"hugepages-{size}kB" / "enabled", os.W_OK) for size in sizes)
