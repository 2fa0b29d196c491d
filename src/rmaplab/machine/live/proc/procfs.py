"""What /proc says about memory, read in bulk into NumPy arrays: pagemap, kpageflags, kpagecount, maps.

For the live machine and for `rmaplab.inspect`. Stands alone: no state, no process of its own, no opinion about
what the numbers mean for sharing. Works without root as far as the kernel lets it: then PFNs read as 0
(`pfns_visible` tells), and the kpage* files raise `Missing`.

Formats: Documentation/admin-guide/mm/pagemap.rst of the kernel; kpageflags bits above 31 are kernel-internal
(include/linux/kernel-page-flags.h) and mean what is said here on x86-64 of 6.x.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.proctext import Malformed, lines, maps_line
from rmaplab.system.reading import SMAPS, content

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT

PROC = Path("/proc")

PM_PFN: Final = np.uint64((1 << 55) - 1)
PM_SLOT: Final = PM_PFN
"""Of a page with PM_SWAP: swap type and offset."""
SWAP_TYPE: Final = np.uint64(31)
SWAP_TYPES: Final = np.uint64(23)
SWAP_MARKER: Final = np.uint64(31)
"""Of PM_SLOT: the mask of the type; types from here on are no swap device but migrating, poisoned or a device's memory
(MAX_SWAPFILES, include/linux/swap.h, with all of these configured); the last is a PTE marker (Linux 5.19, by commit
679d10331910; always there since 6.2)."""
PM_MMAP_EXCLUSIVE: Final = np.uint64(1 << 56)
PM_UFFD_WP: Final = np.uint64(1 << 57)
PM_GUARD: Final = np.uint64(1 << 58)
"""A guard region (since "fs/proc/task_mmu: add guard region bit to pagemap", Linux 6.15; before, one marker of many)."""
PM_FILE: Final = np.uint64(1 << 61)
PM_SWAP: Final = np.uint64(1 << 62)
PM_PRESENT: Final = np.uint64(1 << 63)

KPF_MMAP: Final = np.uint64(1 << 11)
KPF_ANON: Final = np.uint64(1 << 12)
KPF_SWAPCACHE: Final = np.uint64(1 << 13)
KPF_SWAPBACKED: Final = np.uint64(1 << 14)
KPF_COMPOUND_HEAD: Final = np.uint64(1 << 15)
KPF_COMPOUND_TAIL: Final = np.uint64(1 << 16)
KPF_HUGETLB: Final = np.uint64(1 << 17)
KPF_KSM: Final = np.uint64(1 << 21)
KPF_THP: Final = np.uint64(1 << 22)
KPF_ZERO_PAGE: Final = np.uint64(1 << 24)
KPF_ANON_EXCLUSIVE: Final = np.uint64(1 << 34)
"""PG_mappedtodisk, which on an anonymous page is PG_anon_exclusive: per page, for a PMD-mapped folio on its head."""

_NO_END: Final = 1 << 64
_MAPS_READ: Final = 1 << 16

_SCAN: Final = 0xC060_6610
_PAGE_IS_HUGE: Final = 1 << 6
_SCAN_REGIONS: Final = 1024
_GAP: Final = 16
"""Reading a few words nobody asked for is cheaper than another system call."""

Words = NDArray[np.uint64]


class ProcfsError(RmaplabError):
    """What was asked of /proc cannot be had; the message names the file and the reason."""


class ProcessGone(ProcfsError):
    """The process ended, or has no memory any more."""


class Missing(ProcfsError, NotAvailable):
    """The kernel does not offer this file or call, or not to this user."""


def _fault(error: OSError, path: Path) -> ProcfsError:
    gone = error.errno == errno.ESRCH or (error.errno == errno.ENOENT and path.parent != PROC)
    return (ProcessGone if gone else Missing)(f"{path}: {error.strerror}")


@dataclass(frozen=True, slots=True)
class Region:
    """One VMA as /proc/PID/maps has it: bytes [start, end), file `offset`, `path` empty for anonymous memory."""

    start: int
    end: int
    readable: bool
    writable: bool
    shared: bool
    offset: int
    path: str


def regions_or_none(pid: int, upto: int = _NO_END) -> list[Region]:
    """As `regions`, and none for a process that is gone: one that ends loses its memory a moment before."""
    try:
        return regions(pid, upto)
    except ProcessGone:
        return []


def regions(pid: int, upto: int = _NO_END) -> list[Region]:
    """The VMAs of `pid`, ascending, the last of them the first that starts at byte `upto` or later: it is none only for
    a process without memory. Reads no more of the file than that takes. Raises ProcessGone, Missing."""
    path = PROC.joinpath(str(pid), "maps")
    found: list[Region] = []
    try:
        with path.open("rb", buffering=0) as maps:
            rest = b""
            while (not found or found[-1].start < upto) and (part := maps.read(_MAPS_READ)):
                *whole, rest = (rest + part).split(b"\n")
                if len(rest) > _MAPS_READ:
                    raise Malformed("maps", rest)
                for line in whole:
                    found.append(_region(line))
                    if found[-1].start >= upto:
                        break
    except OSError as error:
        raise _fault(error, path) from error
    return found


def _region(line: bytes) -> Region:
    start, end, perms, offset, path = maps_line(line)
    return Region(start, end, perms[0] == "r", perms[1] == "w", perms[3] == "s", offset, path)


def flagged(pid: int, *flags: bytes) -> list[Region]:
    """The VMAs of `pid` with one of these words among the VmFlags of smaps ("lo": locked, "hg": MADV_HUGEPAGE), in order
    of address. Raises ProcessGone, Missing."""
    path, found, wanted = PROC.joinpath(str(pid), "smaps"), list[Region](), set(flags)
    last = b""
    try:
        for line in lines(content(path, SMAPS)):
            if line[:1] in b"0123456789abcdef":
                last = line
            elif line.startswith(b"VmFlags:") and wanted & set(line.split()):
                found.append(_region(last))
    except OSError as error:
        raise _fault(error, path) from error
    return found


class _ScanArg(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages"),
            *("category_inverted", "category_mask", "category_anyof_mask", "return_mask"),
        )
    )


class Pagemap:
    """/proc/PID/pagemap of one address space, held open (an exec in between makes it the old, dead one).

    Raises ProcessGone or Missing from every call.
    """

    def __init__(self, pid: int) -> None:
        self._path = PROC.joinpath(str(pid), "pagemap")
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _fault(error, self._path) from error

    def fileno(self) -> int:
        """The open file."""
        return self._fd

    def entries(self, start: int, length: int) -> Words:
        """The entries of bytes [start, start + length), page-aligned: uint64, one per page, 0 where nothing is."""
        out = np.zeros(length >> PAGE_SHIFT, np.uint64)
        try:
            got = os.preadv(self._fd, [out.data.cast("B")], (start >> PAGE_SHIFT) * 8)
            while 0 < got < out.nbytes:
                more = os.preadv(self._fd, [out.data.cast("B")[got:]], (start >> PAGE_SHIFT) * 8 + got)
                got = got + more if more else out.nbytes
        except OSError as error:
            raise _fault(error, self._path) from error
        if got == 0 and length:
            raise ProcessGone(f"{self._path}: the process has no memory any more")
        return out

    def pmd_mapped(self, start: int, length: int) -> NDArray[np.uint64]:
        """The ranges in [start, start + length) that PMDs map: shape (n, 2), first and past-the-end byte.

        By the PAGEMAP_SCAN ioctl (Linux 6.7); its huge zero page counts too. Needs no root.
        """
        found: list[Words] = []
        vec = np.zeros((_SCAN_REGIONS, 3), np.uint64)
        end = start + length
        while start < end:
            arg = _ScanArg(
                size=ctypes.sizeof(_ScanArg),
                start=start,
                end=end,
                vec=vec.ctypes.data,
                vec_len=_SCAN_REGIONS,
                category_mask=_PAGE_IS_HUGE,
                return_mask=_PAGE_IS_HUGE,
            )
            try:
                filled = fcntl.ioctl(self._fd, _SCAN, arg)
            except OSError as error:
                raise _fault(error, self._path) from error
            found.append(vec[:filled, :2].copy())
            start = end if arg.walk_end <= start else arg.walk_end
        return np.concatenate(found) if found else np.zeros((0, 2), np.uint64)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """What goes wrong while the file is read by others than this class becomes ProcessGone or Missing."""
        try:
            yield
        except OSError as error:
            raise _fault(error, self._path) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def pfns_visible() -> bool:
    """Whether pagemap shows PFNs here: needs CAP_SYS_ADMIN in the initial user namespace, else they read as 0."""
    page = (ctypes.c_char * (2 * PAGE_SIZE))()
    address = ctypes.addressof(page) + PAGE_SIZE & -PAGE_SIZE
    ctypes.memset(address, 1, 1)
    with Pagemap(os.getpid()) as pagemap:
        return bool(pagemap.entries(address, PAGE_SIZE)[0] & PM_PFN)


@contextmanager
def words_of(name: str) -> Iterator[int]:
    """PROC/name (kpageflags, kpagecount), open: one word of 8 bytes a PFN. Whatever goes wrong with it raises Missing."""
    path = PROC / name
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    except OSError as error:
        raise _fault(error, path) from error


def _words(name: str, pfns: Words) -> Words:
    """One word per PFN from PROC/name; `pfns` in any order. PFNs past the end of memory read as 0."""
    if not len(pfns):
        return np.zeros(0, np.uint64)
    if np.any(pfns[1:] <= pfns[:-1]):
        sorted_pfns, back = np.unique(pfns, return_inverse=True)
        return _words(name, sorted_pfns)[back]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(pfns) > _GAP) + 1))
    first = pfns[starts].astype(np.int64)
    size = pfns[np.append(starts[1:], len(pfns)) - 1].astype(np.int64) - first + 1
    with words_of(name) as fd:
        runs = zip(first.tolist(), size.tolist(), strict=True)
        parts = [os.pread(fd, 8 * words, 8 * at).ljust(8 * words, b"\0") for at, words in runs]
    read: Words = np.frombuffer(b"".join(parts), np.uint64)
    if len(read) == len(pfns):
        return read
    before = np.cumsum(size) - size - first
    wanted: Words = read[pfns.astype(np.int64) + np.repeat(before, np.diff(starts, append=len(pfns)))]
    return wanted


def slot_place(slot: Words) -> Words:
    """Swap slots as pagemap has them, as numbers in which those of a device follow each other: type above, offset (at
    most 50 bits) below."""
    return np.asarray((slot & SWAP_TYPE) << np.uint64(50) | slot >> np.uint64(5))


def kpageflags(pfns: Words) -> Words:
    """The KPF_* bits of every PFN: uint64 of the same shape. About 100 ns a page. Raises Missing without root."""
    return _words("kpageflags", pfns)


def kpagecount(pfns: Words) -> Words:
    """The kernel's map count of every page: uint64 of the same shape. Raises Missing without root.

    Exact per page, unless the kernel has CONFIG_NO_PAGE_MAPCOUNT: then a large folio's rounded average.
    """
    return _words("kpagecount", pfns)


@dataclass(frozen=True, slots=True)
class Folios:
    """Of every PFN asked for: its KPF_* flags, its folio's first PFN (uint64) and its folio's order (uint8)."""

    flags: Words
    head: Words
    order: NDArray[np.uint8]


def folios(pfns: Words, block_order: int = 9) -> Folios:
    """Flags, heads and orders of the folios behind `pfns`, strictly ascending.

    A folio is a COMPOUND_HEAD page and the COMPOUND_TAIL pages after it, naturally aligned: reads the aligned
    2^block_order blocks around compound pages, and larger ones only if a folio turns out to reach beyond.
    """
    flags = kpageflags(pfns)
    head, order = pfns.copy(), np.zeros(len(pfns), np.uint8)
    compound = np.flatnonzero(flags & (KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL))
    if not len(compound):
        return Folios(flags, head, order)
    size = np.uint64(1 << block_order)
    blocks = np.unique(pfns[compound] & ~(size - np.uint64(1)))
    pages = (blocks[:, None] + np.arange(size, dtype=np.uint64)).ravel()
    seen = kpageflags(pages)
    tail = (seen & KPF_COMPOUND_TAIL) != 0
    edge = tail.reshape(-1, int(size))
    over = np.any(edge[:, 0])
    if not over and np.any(edge[:, -1]):
        over = np.any(kpageflags(blocks + size) & KPF_COMPOUND_TAIL)
    if over:
        return folios(pfns, block_order + 1)
    starts = np.flatnonzero(~tail)
    sizes = np.diff(np.append(starts, len(pages)))
    which = np.searchsorted(starts, np.searchsorted(pages, pfns[compound]), side="right") - 1
    head[compound] = pages[starts[which]]
    order[compound] = np.log2(sizes[which]).astype(np.uint8)
    return Folios(flags, head, order)
