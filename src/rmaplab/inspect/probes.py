"""How exact each of the kernel's sources is here: found by trying it on memory whose truth is known.

For the labels of the inspector. Uses one huge page of its own, given back before it returns, and one forked child
that only waits. Asks what is there, never which version.
"""

import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.btf import BtfError
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.inspect.snapshot import Exactness
from rmaplab.machine.live import procfs

_PMD: Final = 2 << 20
_MADV_COLLAPSE: Final = 25
_TRIES: Final = 4
_NO_HUGE: Final = "no huge page could be had to try it on"
_TOP_BITS: Final = 1 << 31 | 1 << 63


@dataclass(frozen=True, slots=True)
class Source:
    """One of the kernel's answers: how exact it is on this kernel, and why."""

    name: str
    exactness: Exactness
    why: str


@dataclass(slots=True)
class KernelView:
    """What the kernel can be asked here. `reader` is None without BPF; `flag_bit` -1 if the flag is not understood."""

    sources: list[Source]
    reader: FolioReader | None
    flag_bit: int
    anon_exclusive: bool

    def close(self) -> None:
        if self.reader:
            self.reader.close()


def probe(*, bpf: bool = True) -> KernelView:
    """Try every source. About 10 ms, and 100 ms more with `bpf`."""
    sources = []
    reader: FolioReader | None = None
    refusal = "not asked"
    if bpf:
        try:
            reader = FolioReader()
        except (BpfError, BtfError) as error:
            refusal = str(error)
    with _huge_page() as address:
        sources.append(_per_page_counts(address))
        flag_bit, why = _flag_bit(reader, address)
    anon_exclusive = _marks_anon_exclusive()
    if reader:
        sources.append(Source("folio counters (BPF)", "exact", "checked against pages of known counts"))
    else:
        sources.append(Source("folio counters (BPF)", "unknown", refusal))
    sources.append(Source("maybe shared (MM ids)", "estimate" if flag_bit >= 0 else "unknown", why))
    label: Exactness = "exact" if anon_exclusive else "unknown"
    sources.append(
        Source("AnonExclusive (kpageflags)", label, "a page of ours is marked" if anon_exclusive else "no mark")
    )
    return KernelView(sources, reader, flag_bit, anon_exclusive)


def _per_page_counts(address: int) -> Source:
    """smaps, pagemap's bit 56 and kpagecount stand on one counter. Per page, or (CONFIG_NO_PAGE_MAPCOUNT) per folio?

    An unmapped page of a huge page that is mapped elsewhere has count 0 per page; averaged it has not.
    """
    name = "smaps, mmap-exclusive, kpagecount"
    if not address:
        return Source(name, "unknown", _NO_HUGE)
    with procfs.Pagemap(os.getpid()) as pagemap:
        pfn = pagemap.entries(address, procfs.PAGE_SIZE) & procfs.PM_PFN
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(procfs.PAGE_SIZE), mmap.MADV_DONTNEED)
    try:
        count = int(procfs.kpagecount(pfn)[0])
    except procfs.Missing as error:
        return Source(name, "unknown", str(error))
    if count == 0:
        return Source(name, "exact", "counted per page; but two mappings by one process read as shared")
    return Source(name, "estimate", "counted per folio: a large folio's average, and its maybe-shared flag")


def _flag_bit(reader: FolioReader | None, address: int) -> tuple[int, str]:
    """Which bit of `_mm_ids` says maybe-shared: the one that a second MM sets."""
    if reader is None:
        return -1, "needs BPF"
    if not reader.has_mm_ids:
        return -1, "this kernel keeps no MM ids (CONFIG_MM_ID)"
    if not address:
        return -1, _NO_HUGE
    with procfs.Pagemap(os.getpid()) as pagemap:
        head = int(pagemap.entries(address + procfs.PAGE_SIZE, procfs.PAGE_SIZE)[0] & procfs.PM_PFN) - 1
    before = reader.raw_ids(head)
    with _child():
        after = reader.raw_ids(head)
    changed = (before ^ after) & _TOP_BITS & after
    if changed.bit_count() != 1:
        return -1, f"a second MM changed no single flag ({before:#x} to {after:#x})"
    return changed.bit_length() - 1, "never says exclusive of shared memory; after a third MM it may stay shared"


@contextmanager
def _child() -> Iterator[None]:
    """A forked child that waits until the block ends: a second MM for everything we map."""
    ours, theirs = os.pipe()
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(theirs)
        os.write(told, b"x")
        os.read(ours, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        yield
    finally:
        for fd in (theirs, ours, ready, told):
            os.close(fd)
        os.waitpid(pid, 0)


@contextmanager
def _huge_page() -> Iterator[int]:
    """Address of one PMD-sized anonymous folio of ours, or 0 if the kernel gave none."""
    memory = mmap.mmap(-1, 2 * _PMD, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        view = np.frombuffer(memory, np.uint8)
        address = -(-int(view.ctypes.data) // _PMD) * _PMD
        at = address - int(view.ctypes.data)
        del view
        memory.madvise(mmap.MADV_HUGEPAGE)
        memory[at : at + _PMD : mmap.PAGESIZE] = bytes(_PMD // mmap.PAGESIZE)
        yield address if _is_huge(address) or _collapse(address) else 0
    finally:
        memory.close()


def _is_huge(address: int) -> bool:
    with procfs.Pagemap(os.getpid()) as pagemap:
        pfns = (pagemap.entries(address, _PMD) & procfs.PM_PFN).astype(np.int64)
    return bool(pfns[0]) and pfns[0] % len(pfns) == 0 and bool(np.all(np.diff(pfns) == 1))


def _collapse(address: int) -> bool:
    """Ask for a huge page whatever the THP settings say (MADV_COLLAPSE, Linux 6.1; EAGAIN asks to try again)."""
    libc = ctypes.CDLL(None, use_errno=True)
    where = ctypes.c_void_p(address), ctypes.c_size_t(_PMD)
    return any(libc.madvise(*where, _MADV_COLLAPSE) == 0 and _is_huge(address) for _ in range(_TRIES))


def _marks_anon_exclusive() -> bool:
    """Whether kpageflags shows PageAnonExclusive: a page only we ever had must have it."""
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[0] = 1
        view = np.frombuffer(memory, np.uint8)
        address = int(view.ctypes.data)
        del view
        try:
            with procfs.Pagemap(os.getpid()) as pagemap:
                pfn = pagemap.entries(address, mmap.PAGESIZE) & procfs.PM_PFN
            return bool(procfs.kpageflags(pfn)[0] & procfs.KPF_ANON_EXCLUSIVE)
        except procfs.ProcfsError:
            return False
