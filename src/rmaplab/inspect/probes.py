"""How exact each of the kernel's sources is here: found by trying it on memory whose truth is known.

For the labels of the inspector. Uses one huge page of its own, given back before it returns, and one forked child
that only waits. Asks what is there, never which version.
"""

import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.btf import BtfError
from rmaplab.inspect.exactness import Label
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.machine.live.proc import ownpages, pageflags, procfs
from rmaplab.machine.live.proc.pageflags import PAGEMAP, PageFlags

_TRIES: Final = 3
_NO_HUGE: Final = "no huge page could be had to try it on"
_TOP_BITS: Final = 1 << 31 | 1 << 63


@dataclass(frozen=True, slots=True)
class Source:
    """One of the kernel's answers: how exact it is on this kernel, and why."""

    name: str
    exactness: Label
    why: str


@dataclass(slots=True)
class KernelView:
    """What the kernel can be asked here. `reader` is None without BPF; `flag_bit` -1 if the flag is not understood;
    `per_page`: kpagecount counts every page of a large folio, `by_page`: every small one; `flags`: the bits of
    kpageflags that may be used."""

    sources: list[Source]
    reader: FolioReader | None
    flag_bit: int
    per_page: bool
    by_page: bool = True
    flags: PageFlags = field(default_factory=PageFlags)

    @property
    def anon_exclusive(self) -> bool:
        """Whether kpageflags shows PageAnonExclusive."""
        return self.flags.trusts("anon_exclusive")

    def close(self) -> None:
        if self.reader:
            self.reader.close()


def probe(*, bpf: bool = True) -> KernelView:
    """Try every source. About 15 ms, and 100 ms more with `bpf`."""
    sources = []
    reader: FolioReader | None = None
    refusal = "not asked"
    if bpf:
        try:
            reader = FolioReader()
        except (BpfError, BtfError) as error:
            refusal = str(error)
    flags = pageflags.probe()
    with ownpages.huge() as address:
        sources.append(_per_page_counts(address))
        wrong = _large_counts(reader, address)
        flag_bit, why = _flag_bit(reader, address)
    sources.append(_counters(reader, wrong, refusal))
    sources.append(Source("maybe shared (MM ids)", "estimate" if flag_bit >= 0 else "unknown", why))
    label: Label = "exact" if flags.trusts("anon_exclusive") else "unknown"
    seen = flags.refuted.get("anon_exclusive", "a page of ours is marked")
    sources.append(Source("AnonExclusive (kpageflags)", label, seen))
    sources += [
        Source(f"{'pagemap' if name in PAGEMAP else 'kpageflags'}: {name}", "unknown", f"{seen}: not used")
        for name, seen in flags.refuted.items()
        if name != "anon_exclusive"
    ]
    if wrong := _small_counts():
        sources[0] = Source(sources[0].name, "unknown", wrong)
    return KernelView(sources, reader, flag_bit, sources[0].exactness == "exact", not wrong, flags)


def _counters(reader: FolioReader | None, wrong: str, refusal: str) -> Source:
    name = "folio counters (BPF)"
    if reader is None:
        return Source(name, "unknown", refusal)
    if wrong:
        return Source(name, "unknown", f"mapcounts of large folios are not used: {wrong}")
    if lacking := [f for f in reader.missing if f in ("_mapcount", "_large_mapcount")]:
        return Source(name, "estimate", f"this kernel has no {', '.join(lacking)}: such counts come from kpagecount")
    return Source(name, "exact", "checked against pages of known counts")


def _large_counts(reader: FolioReader | None, address: int) -> str:
    """Why mapcounts of large folios are not what they should be; then they are not used. Empty if all is well.

    `address` is a huge page of ours of which one page is unmapped (`_per_page_counts`): PTEs map the others.
    """
    if reader is None or not reader.counts_large:
        return ""
    if not address:
        reader.counts_large = False
        return _NO_HUGE
    pages = ownpages.PMD // procfs.PAGE_SIZE
    entry = ownpages.entries(address + procfs.PAGE_SIZE, procfs.PAGE_SIZE)
    head = (entry & procfs.PM_PFN) - np.uint64(1)
    count = int(reader.read(head, np.ones(1, np.bool_)).mapcount[0])
    if count == pages - 1:
        return ""
    reader.counts_large = False
    return f"{count} mappings of a huge page of ours, must be {pages - 1}"


def _small_counts() -> str:
    """Why kpagecount is not to be believed of small folios: it must say 1 of a page that we alone map. Empty if it does.

    Thrice: reclaim may have one page in its hands.
    """
    said = 0
    try:
        for _ in range(_TRIES):
            with ownpages.anonymous(1) as address:
                said = int(procfs.kpagecount(ownpages.entries(address, procfs.PAGE_SIZE) & procfs.PM_PFN)[0])
            if said == 1:
                return ""
    except procfs.Missing as error:
        return str(error)
    return f"kpagecount says {said} of a page of ours that is mapped once"


def _per_page_counts(address: int) -> Source:
    """smaps, pagemap's bit 56 and kpagecount stand on one counter. Per page, or (CONFIG_NO_PAGE_MAPCOUNT) per folio?

    An unmapped page of a huge page that is mapped elsewhere has count 0 per page; averaged it has not.
    """
    name = "smaps, mmap-exclusive, kpagecount"
    if not address:
        return Source(name, "unknown", _NO_HUGE)
    pfn = ownpages.entries(address, procfs.PAGE_SIZE) & procfs.PM_PFN
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(procfs.PAGE_SIZE), mmap.MADV_DONTNEED)
    try:
        count, beside = procfs.kpagecount(np.append(pfn, pfn + np.uint64(1))).tolist()
    except procfs.Missing as error:
        return Source(name, "unknown", str(error))
    if beside != 1:
        return Source(name, "unknown", f"kpagecount says {beside} of a page of ours that is mapped once")
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
    head = int(ownpages.entries(address + procfs.PAGE_SIZE, procfs.PAGE_SIZE)[0] & procfs.PM_PFN) - 1
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
