"""Memory of this process whose kind is known, to try on it what the kernel says about memory.

For the probes of the inspector and of the live machine. Everything is given back at the end of its block.
"""

import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.live.proc import procfs

PMD: Final = 2 << 20
_MADV_COLLAPSE: Final = 25
_MREMAP_MAYMOVE: Final = 1
_FAILED: Final = ctypes.c_void_p(-1).value
_MADV_GUARD_INSTALL: Final = 102
_TRIES: Final = 4
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def address_of(memory: mmap.mmap) -> int:
    """Where a mapping is."""
    view = np.frombuffer(memory, np.uint8)
    address = int(view.ctypes.data)
    del view
    return address


def _wish(memory: mmap.mmap, advice: int) -> None:
    """Advice about THPs; a kernel without them (EINVAL) gives small folios in any case."""
    with suppress(OSError):
        memory.madvise(advice)


def entries(address: int, length: int) -> NDArray[np.uint64]:
    """Our own pagemap."""
    with procfs.Pagemap(os.getpid()) as pagemap:
        return pagemap.entries(address, length)


@contextmanager
def anonymous(pages: int) -> Iterator[int]:
    """Address of written private anonymous memory in small folios."""
    with mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        _wish(memory, mmap.MADV_NOHUGEPAGE)
        memory[:: mmap.PAGESIZE] = b"\1" * pages
        yield address_of(memory)


@contextmanager
def shmem(pages: int, *, twice: bool = False) -> Iterator[int]:
    """Address of written shared anonymous memory; `twice`: mapped once more, also written.

    It has no file of ours that a limit on the size of files (RLIMIT_FSIZE) could refuse.
    """
    length = pages * mmap.PAGESIZE
    with mmap.mmap(-1, length, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) as memory:
        memory[:: mmap.PAGESIZE] = b"\1" * pages
        address = address_of(memory)
        with _again(address, length) if twice else nullcontext():
            yield address


@contextmanager
def _again(address: int, length: int) -> Iterator[None]:
    """A second mapping of shared memory, written: mremap(2) of old length 0 makes one. Raises OSError."""
    _LIBC.mremap.restype = ctypes.c_void_p
    other = _LIBC.mremap(
        ctypes.c_void_p(address), ctypes.c_size_t(0), ctypes.c_size_t(length), ctypes.c_int(_MREMAP_MAYMOVE)
    )
    if other == _FAILED:
        raise OSError(ctypes.get_errno(), "mremap")
    try:
        ctypes.memset(other, 1, length)
        yield
    finally:
        _LIBC.munmap(ctypes.c_void_p(other), ctypes.c_size_t(length))


@contextmanager
def huge() -> Iterator[int]:
    """Address of one PMD-sized anonymous folio, or 0 if the kernel gave none."""
    memory = mmap.mmap(-1, 2 * PMD, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        address = -(-address_of(memory) // PMD) * PMD
        at = address - address_of(memory)
        _wish(memory, mmap.MADV_HUGEPAGE)
        memory[at : at + PMD : mmap.PAGESIZE] = bytes(PMD // mmap.PAGESIZE)
        yield address if _is_huge(address) or _collapse(address) else 0
    finally:
        memory.close()


def _is_huge(address: int) -> bool:
    pfns = (entries(address, PMD) & procfs.PM_PFN).astype(np.int64)
    return bool(pfns[0]) and pfns[0] % len(pfns) == 0 and bool(np.all(np.diff(pfns) == 1))


def _collapse(address: int) -> bool:
    """Ask for a huge page whatever the THP settings say (MADV_COLLAPSE, Linux 6.1; EAGAIN asks to try again)."""
    where = ctypes.c_void_p(address), ctypes.c_size_t(PMD)
    return any(_LIBC.madvise(*where, _MADV_COLLAPSE) == 0 and _is_huge(address) for _ in range(_TRIES))


def zero_page() -> int:
    """PFN of the zero page, by mapping it: 0 if PFNs are hidden."""
    with mmap.mmap(
        -1, 2 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE
    ) as memory:
        _wish(memory, mmap.MADV_NOHUGEPAGE)
        address = address_of(memory)
        ctypes.string_at(address, 1)
        return int(entries(address, mmap.PAGESIZE)[0] & procfs.PM_PFN)


def guard(address: int) -> bool:
    """Make one page of ours a guard region; False where the kernel has none (MADV_GUARD_INSTALL, Linux 6.13)."""
    where = ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE)
    return bool(_LIBC.madvise(*where, _MADV_GUARD_INSTALL) == 0)
