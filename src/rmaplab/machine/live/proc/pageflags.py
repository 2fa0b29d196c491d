"""Which bits of kpageflags mean here what they are taken for: each tried on memory of our own, of known kind.

For the inspector and the live machine, which use no bit that fails. Stock 6.12 sets the KSM bit on every anonymous page
(it tests a two-bit mask as if it were one); other kernels may surprise otherwise. A kind of page that we cannot make
without changing the system (hugetlb, KSM, swap cache) is tried the other way round: its bit must not be on ours.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.live.proc import ownpages, procfs

Words = NDArray[np.uint64]
Read = Callable[[Words], Words]

_PAGES: Final = 16
_TRIES: Final = 3

_NAMES: Final = {
    "mmap": procfs.KPF_MMAP,
    "anon": procfs.KPF_ANON,
    "swapcache": procfs.KPF_SWAPCACHE,
    "swapbacked": procfs.KPF_SWAPBACKED,
    "compound_head": procfs.KPF_COMPOUND_HEAD,
    "compound_tail": procfs.KPF_COMPOUND_TAIL,
    "hugetlb": procfs.KPF_HUGETLB,
    "ksm": procfs.KPF_KSM,
    "zero_page": procfs.KPF_ZERO_PAGE,
    "anon_exclusive": procfs.KPF_ANON_EXCLUSIVE,
}
PAGEMAP: Final = frozenset({"mmap_exclusive", "scan_huge", "guard"})
"""Names of what is tried of pagemap."""

_ONLY: Final[dict[str, tuple[str, ...]]] = {
    "a small anonymous page": ("mmap", "anon", "swapbacked", "anon_exclusive"),
    "a page of shmem": ("mmap", "swapbacked"),
    "the head of a huge page": ("mmap", "anon", "swapbacked", "compound_head"),
    "a tail of a huge page": ("compound_tail",),
    "the zero page": ("zero_page",),
}
"""Kinds of page and the bits that must be on them."""
_MAY: Final[dict[str, tuple[str, ...]]] = {
    "a page of shmem": ("compound_head", "compound_tail", "anon_exclusive"),
    "the head of a huge page": ("anon_exclusive",),
    "a tail of a huge page": ("mmap", "anon", "swapbacked", "anon_exclusive"),
    "the zero page": ("mmap", "anon_exclusive", "swapbacked"),
}
"""Bits that may be on them; all others must not. Bit 34 of a page that is not anonymous is PG_mappedtodisk; tails
show some bits of their own (5.x) or of the folio (6.x)."""


@dataclass(frozen=True, slots=True)
class PageFlags:
    """What was found: `refuted` maps the name of a bit that must not be used to what was seen."""

    refuted: dict[str, str] = field(default_factory=dict)

    def trusts(self, *names: str) -> bool:
        return not any(name in self.refuted for name in names)

    def of(self, flags: Words) -> Words:
        """`flags` without the bits that must not be used."""
        bad = np.uint64(0)
        for name in self.refuted.keys() & _NAMES.keys():
            bad |= _NAMES[name]
        return flags & ~bad

    @property
    def folios(self) -> str:
        """Why folios cannot be told from these flags; empty if they can."""
        needed = [name for name in ("mmap", "anon", "compound_head", "compound_tail") if name in self.refuted]
        return "; ".join(f"kpageflags: {name}: {self.refuted[name]}" for name in needed)


def probe(read: Read | None = None) -> PageFlags:
    """Make a page of each kind and look at it, by `read` (kpageflags). About 5 ms, thrice that if something is refuted.

    Only what fails every time counts: reclaim or migration may have a page of ours in its hands once.
    Raises procfs.Missing where the files are refused.
    """
    refuted = _try(read or procfs.kpageflags)
    for _ in range(_TRIES - 1):
        if not refuted:
            break
        again = _try(read or procfs.kpageflags)
        refuted = {name: seen for name, seen in refuted.items() if name in again}
    return PageFlags(refuted)


def _try(read: Read) -> dict[str, str]:
    """The bits that are not what they should be on pages made now, and what was seen."""
    refuted: dict[str, str] = {}
    for kind, flags in _samples(read).items():
        must = _ONLY[kind]
        for name, bit in _NAMES.items():
            on = (flags & bit) != 0
            if name in must and not on.all():
                refuted.setdefault(name, f"not set on {kind} of ours")
            elif name not in (*must, *_MAY.get(kind, ())) and on.any():
                refuted.setdefault(name, f"set on {kind} of ours")
    return refuted | _pagemap()


def _pagemap() -> dict[str, str]:
    """What of pagemap does not mean what it is taken for: "mmap_exclusive" (bit 56), "scan_huge" (PAGEMAP_SCAN's
    PAGE_IS_HUGE), "guard" (a guard region is told from a page in swap)."""
    refuted = {}
    with ownpages.anonymous(_PAGES) as address:
        if not ((ownpages.entries(address, _PAGES * procfs.PAGE_SIZE) & procfs.PM_MMAP_EXCLUSIVE) != 0).all():
            refuted["mmap_exclusive"] = "not set on a page of ours that nobody else maps"
        if ownpages.guard(address):
            entry = ownpages.entries(address, procfs.PAGE_SIZE)[0]
            if entry & procfs.PM_SWAP and not entry & procfs.PM_GUARD and entry & procfs.SWAP_TYPE != procfs.SWAP_MARKER:
                refuted["guard"] = f"a guard region of ours looks like swap: {int(entry):#x}"
    with ownpages.shmem(1, twice=True) as address:
        if ownpages.entries(address, procfs.PAGE_SIZE)[0] & procfs.PM_MMAP_EXCLUSIVE:
            refuted["mmap_exclusive"] = "set on a page that is mapped twice"
    with ownpages.huge() as address, procfs.Pagemap(os.getpid()) as pagemap:
        try:
            if address and not len(pagemap.pmd_mapped(address, ownpages.PMD)):
                refuted["scan_huge"] = "not set on a huge page of ours"
        except procfs.Missing as error:
            refuted["scan_huge"] = str(error)
    return refuted


@cache
def here() -> PageFlags:
    """The same, once a process."""
    return probe()


def _samples(read: Read) -> dict[str, Words]:
    """Flags of pages of each kind; a kind that cannot be had, or whose pages just moved, is left out."""
    found = {}
    with ownpages.anonymous(_PAGES) as address:
        found["a small anonymous page"] = _look(read, address, _PAGES)
    with ownpages.shmem(_PAGES) as address:
        found["a page of shmem"] = _look(read, address, _PAGES)
    with ownpages.huge() as address:
        if address:
            flags = _look(read, address, ownpages.PMD // procfs.PAGE_SIZE)
            found["the head of a huge page"], found["a tail of a huge page"] = flags[:1], flags[1:]
    if zero := ownpages.zero_page():
        found["the zero page"] = read(np.array([zero], np.uint64))
    return {kind: flags for kind, flags in found.items() if len(flags)}


def _look(read: Read, address: int, pages: int) -> Words:
    """The flags of our pages at `address`, if they stayed where they were."""
    before = ownpages.entries(address, pages * procfs.PAGE_SIZE)
    flags = read(before & procfs.PM_PFN)
    after = ownpages.entries(address, pages * procfs.PAGE_SIZE)
    stayed = ((before & after & procfs.PM_PRESENT) != 0) & ((before & procfs.PM_PFN) == (after & procfs.PM_PFN))
    return flags if bool(stayed.all()) else flags[:0]
