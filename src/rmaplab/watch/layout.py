"""Where this kernel keeps what the programs read: offsets from BTF, page tables by trying.

For `rmaplab.watch.faults`. The programs go from a task to its page table and on to struct folio. How deep page tables
are and where physical memory is mapped is found on a page of our own, whose page frame pagemap tells: what gives that
frame is right. x86-64 only: other machines have no tracepoint for page faults (arm64) or other page tables.
"""

import mmap
import os
import platform
from dataclasses import dataclass
from typing import Final

from rmaplab.errors import NotAvailable
from rmaplab.inspect.bpf import BpfError, KernelReader
from rmaplab.inspect.btf import Btf, BtfError
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.machine.live.proc import ownpages, procfs

FRAME: Final = 0x000F_FFFF_FFFF_F000
"""The bits of a page-table entry that hold an address."""
PRESENT, WRITABLE, LEAF = 1, 2, 0x80
_DEPTHS: Final = (4, 5)
_GIB: Final = 1 << 30
_MOST_GIB: Final = 1 << 14
"""16 TiB of memory, and as many places tried for the first byte of it."""
FOLIO_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets by "struct.field", enumerators by name, and where memory is. -1: this kernel has no such field."""

    offsets: dict[str, int]
    head_bit: int
    page_fault_event: int
    page_size: int
    vmemmap: int
    page_offset: int
    depth: int
    zero_frame: int

    def at(self, name: str) -> int:
        return self.offsets[name]


_NEEDED: Final = (
    "task_struct.mm",
    "task_struct.pid",
    "task_struct.tgid",
    "task_struct.comm",
    "task_struct.signal",
    "signal_struct.live",
    "mm_struct.pgd",
    "page.compound_head",
    "folio.flags",
    "folio.mapping",
    "folio._refcount",
)
_WELCOME: Final = ("folio._mapcount", "folio._large_mapcount", "folio._flags_1")


def find() -> Layout:
    """The running kernel's. Raises NotAvailable, the message saying what is missing."""
    if platform.machine() != "x86_64":
        raise NotAvailable(f"copy-on-write faults cannot be watched on {platform.machine()}: only x86_64 is known")
    try:
        btf = Btf.running()
        with FolioReader(btf) as folios:
            vmemmap = folios.vmemmap
        offsets = {name: btf.field(*name.split(".")).offset for name in _NEEDED}
        offsets |= {name: _offset(btf, name) for name in _WELCOME}
        page_offset, depth = _tables(offsets["task_struct.mm"], offsets["mm_struct.pgd"])
        return Layout(
            offsets,
            btf.enumerator("pageflags", "PG_head"),
            btf.enumerator("vm_event_item", "PGFAULT"),
            btf.size("page"),
            vmemmap,
            page_offset,
            depth,
            ownpages.zero_page(),
        )
    except (BpfError, BtfError) as error:
        raise NotAvailable(f"copy-on-write faults cannot be watched: {error}") from error


def _offset(btf: Btf, name: str) -> int:
    try:
        place = btf.field(*name.split("."))
    except BtfError:
        return -1
    return place.offset if place.offset + place.size <= FOLIO_BYTES else -1


def _tables(mm: int, pgd: int) -> tuple[int, int]:
    """Where the kernel maps physical address 0, and how many levels page tables have."""
    with KernelReader(8, capacity=1024) as reader, ownpages.anonymous(1) as address:
        frame = int(ownpages.entries(address, mmap.PAGESIZE)[0] & procfs.PM_PFN)
        top = reader.word(reader.word(reader.current_task() + mm) + pgd)
        for gib in range(min(_MOST_GIB, _memory() // _GIB + 5)):
            base = (top & -_GIB) - gib * _GIB
            for depth in _DEPTHS:
                if frame and _walk(reader, top, base, depth, address) == frame:
                    return base, depth
    raise BpfError("page tables: a page of ours is not found through them")


def _walk(reader: KernelReader, table: int, base: int, depth: int, address: int) -> int:
    """The page frame at `address`, 0 if these are no such page tables."""
    for level in range(depth - 1, -1, -1):
        entry = reader.word((table & (1 << 64) - 1) + (address >> 12 + 9 * level & 511) * 8)
        if not entry & PRESENT or (entry & LEAF and level):
            return 0
        table = base + (entry & FRAME)
    return (table - base) >> 12


def _memory() -> int:
    """Bytes up to the last byte of physical memory, roughly: twice what there is."""
    return 2 * os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE
