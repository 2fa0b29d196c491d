"""Files of a disk file system in a known state: all in the page cache, in folios of a chosen order.

For `LiveMachine.file(kind="file")`. Such a file stands in the first temporary directory on a file system whose behaviour
is known, and has no name there. Written in pieces of one folio each, it is cached in folios of that size (ext4 has large
folios since Linux 6.16); what came is checked. It is mapped with MADV_RANDOM, so that a page that left the cache comes
back alone and not with its readahead.
"""

import ctypes
import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from rmaplab.machine.live.proc import procfs
from rmaplab.machine.pagecache import contents, layout
from rmaplab.machine.protocol import PAGE_SIZE, NotAvailable
from rmaplab.proctext import mountinfo

KNOWN: Final = ("ext4",)
"""File systems the model was held against. On others a page cache may look otherwise, on tmpfs it is shmem."""

_MADV_COLD: Final = 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def directory() -> Path:
    """Where disk files can be made. Raises NotAvailable, naming the directories tried and their file systems."""
    tried = []
    for path in dict.fromkeys((Path(tempfile.gettempdir()), Path("/var/tmp"))):
        if path.is_dir() and os.access(path, os.W_OK):
            system = _file_system(path)
            if system in KNOWN:
                return path
            tried.append(f"{path} is {system}")
    raise NotAvailable(f"files of a disk file system: need {' or '.join(KNOWN)}; {', '.join(tried) or 'no directory'}")


def _file_system(path: Path) -> str:
    """Type of the file system of `path`, by its device number in mountinfo; "unknown" if it is not there."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    mounts = mountinfo(Path("/proc/self/mountinfo").read_bytes())
    return next((mount.kind for mount in mounts if mount.device == wanted), "unknown")


def make(length: int, order: int) -> int:
    """A descriptor of a new file of `length` bytes, cached in folios of `order` where these fit.

    Raises NotAvailable if the file system makes others (journalled data, no contiguous memory) or has no room.
    """
    where = directory()
    pages = length // PAGE_SIZE
    with tempfile.TemporaryFile(prefix="rmaplab-", dir=where, buffering=0) as file, one_cpu():
        try:
            _fill(file.fileno(), pages, order)
        except OSError as error:
            raise NotAvailable(f"a file of {length} bytes in {where}: {error.strerror}") from error
        _check(file.fileno(), pages, order, where)
        return os.dup(file.fileno())


@contextmanager
def source(length: int, value: int) -> Iterator[int]:
    """A descriptor, good for direct reads, of a file of `length` bytes in which every page begins with `value`. Raises
    NotAvailable."""
    where = directory()
    pages = np.zeros((length // PAGE_SIZE, PAGE_SIZE), np.uint8)
    pages[:, 0] = value
    with tempfile.TemporaryFile(prefix="rmaplab-", dir=where, buffering=0) as file:
        try:
            file.write(pages.data)
            os.fsync(file.fileno())
            fd = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            raise NotAvailable(f"direct reads from {where}: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE, on any file. Raises OSError."""
    if _libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length):
        raise OSError(ctypes.get_errno(), f"fallocate: {os.strerror(ctypes.get_errno())}")


def _fill(fd: int, pages: int, order: int) -> None:
    """Write the contents, one folio a write."""
    buffer = np.zeros((1 << order, PAGE_SIZE), np.uint8)
    first = contents(pages)
    for page, size in layout(pages, order):
        part = buffer[: 1 << size]
        part[:, 0] = first[page : page + (1 << size)]
        if os.write(fd, part.data) < part.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def one_cpu() -> Iterator[None]:
    """Stay on one CPU, and drain its LRU batches at the end: a folio that waits in one carries a reference more and
    cannot be reclaimed."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
        with mmap.mmap(-1, PAGE_SIZE) as scratch:
            scratch.madvise(_MADV_COLD)
    finally:
        os.sched_setaffinity(0, before)


def _check(fd: int, pages: int, order: int, where: Path) -> None:
    """Compare the orders in the page cache with what was wanted."""
    wanted = np.concatenate([np.full(1 << size, size) for _, size in layout(pages, order)])
    with mmap.mmap(fd, pages * PAGE_SIZE, prot=mmap.PROT_READ) as mapping:
        view = np.frombuffer(mapping, np.uint8)
        view[::PAGE_SIZE].sum()
        with procfs.Pagemap(os.getpid()) as pagemap:
            pfns = pagemap.entries(view.ctypes.data, pages * PAGE_SIZE) & procfs.PM_PFN
        del view
    unique, which = np.unique(pfns, return_inverse=True)
    got = procfs.folios(unique).order[which]
    if not np.array_equal(got, wanted):
        page = int(np.argmax(got != wanted))
        raise NotAvailable(
            f"files of order {order}: page {page} of one in {where} is cached by a folio of order {got[page]}, "
            f"not {wanted[page]}"
        )
