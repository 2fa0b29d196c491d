"""The folio itself, as the kernel keeps it: refcount, mapcounts, the two MM slots and the maybe-shared flag.

For disagreements and prices. Reads struct folio by BPF at vmemmap + PFN * sizeof(struct page). Where vmemmap begins is
found out, not assumed: pages of a file of ours have PFNs that pagemap tells and addresses that the file's page cache
tells; the differences must agree.
"""

import mmap
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.bpf import BpfError, KernelReader
from rmaplab.inspect.btf import Btf, BtfError, Field
from rmaplab.machine.live.proc import procfs

_KNOWN_PAGES: Final = 3
_READ: Final = 128
"""The first two struct pages' worth of a folio hold all that is asked for."""

_FIELDS: Final = {
    "_refcount": (4,),
    "_mapcount": (4,),
    "_large_mapcount": (4,),
    "_mm_ids": (8,),
    "_mm_id_mapcount": (4, 8),
    "mapping": (8,),
    "swap": (8,),
}
"""Fields of struct folio and the widths they are understood in; all but the first may be missing.

_mapcount: small folios (struct folio is of 5.16), and each page of large ones, which the RFC
<20260412-mapcount-v1-0-05e8dfab52e0@kernel.org> ends. _large_mapcount: all mappings of a large folio, since 05c5323b2a34
(6.10). _mm_ids, _mm_id_mapcount: since 6af8cb80d3a9 (6.15), the latter two counters of 16 bits or of 32. swap: the slot
of a folio in the swap cache (6.6; before, in page->private). _entire_mapcount is not asked for: it is in the total."""

_MAPPING_KSM: Final = np.uint64(3)
"""Both low bits of folio->mapping: KSM; the lower alone: anonymous (FOLIO_MAPPING_KSM, include/linux/page-flags.h)."""
_SWAP_TYPE_SHIFT: Final = np.uint64(58)
"""Where swp_entry_t has its type (SWP_TYPE_SHIFT on 64 bits, include/linux/swapops.h, since 4.20's XArray)."""

Words = NDArray[np.uint64]


def _as_pagemap(entry: Words) -> Words:
    """swp_entry_t as pagemap shows it: the type in the low 5 bits, the offset above."""
    kind = entry >> _SWAP_TYPE_SHIFT
    offset = entry & ((np.uint64(1) << _SWAP_TYPE_SHIFT) - np.uint64(1))
    return np.asarray((offset << np.uint64(5) | kind) & procfs.PM_SLOT)


@dataclass(frozen=True, slots=True)
class FolioState:
    """One element per folio asked for, int64 except where said. `mapcount`: all mappings (PMD ones count one), -1 where
    this kernel does not keep it; `swap`: the slot of its first page as pagemap has it, if in the swap cache, uint64;
    `ksm`: bool, whether its mapping says KSM; `birth`: of an anonymous folio a name of the VMA that it was first faulted
    into (the address of its anon_vma), 0 if there is none, uint64; `slot_id`, `slot_count`: shape (n, 2), -1 where the
    kernel has no MM ids or the folio is small; `maybe_shared`: int8, 1, 0, or -1 likewise; `known`: bool,
    whether the folio could be read."""

    refcount: NDArray[np.int64]
    mapcount: NDArray[np.int64]
    swap: Words
    ksm: NDArray[np.bool_]
    slot_id: NDArray[np.int64]
    slot_count: NDArray[np.int64]
    maybe_shared: NDArray[np.int8]
    known: NDArray[np.bool_]
    birth: Words = field(default_factory=lambda: np.zeros(0, np.uint64))


class Objects(Protocol):
    """Copies kernel objects by address: `KernelReader`, or recorded bytes."""

    def read(self, addresses: Words) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]: ...

    def word(self, address: int) -> int: ...

    def current_task(self) -> int: ...

    def close(self) -> None: ...


class FolioReader:
    """Reads folios by PFN. A context manager. Raises BpfError or BtfError, the message saying what is missing.

    `counts_small`, `counts_large`: whether mapcounts of small and large folios are kept here. `missing`: fields that this
    kernel has not. `btf`, `objects` and `vmemmap` (address of PFN 0's struct page) stand in for the running kernel's.
    """

    def __init__(self, btf: Btf | None = None, objects: Objects | None = None, vmemmap: int | None = None) -> None:
        self._btf = btf or Btf.running()
        self._page_size = self._btf.size("page")
        size = min(self._btf.size("folio"), _READ)
        self._fields = {name: field for name, widths in _FIELDS.items() if (field := self._find(name, widths, size))}
        self.missing = tuple(name for name in _FIELDS if name not in self._fields)
        if "_refcount" not in self._fields:
            raise BtfError("struct folio: no _refcount of 4 bytes: must have one")
        self.has_mm_ids = {"_mm_ids", "_mm_id_mapcount"} <= self._fields.keys()
        self.counts_small, self.counts_large = "_mapcount" in self._fields, "_large_mapcount" in self._fields
        self.tells_swap, self.tells_ksm = "swap" in self._fields, "mapping" in self._fields
        self._reader: Objects = objects or KernelReader(size)
        with ExitStack() as on_failure:
            on_failure.callback(self._reader.close)
            self.vmemmap = self._find_vmemmap() if vmemmap is None else vmemmap
            on_failure.pop_all()

    def read(self, heads: Words, large: NDArray[np.bool_], flag_bit: int = -1) -> FolioState:
        """State of the folios headed by PFNs `heads`; `large` says which have an order of 1 or more.

        `flag_bit` is the bit of `_mm_ids` that says maybe-shared (`probes` finds it), -1 if unknown.
        """
        data, good = self._reader.read(np.uint64(self.vmemmap) + heads * np.uint64(self._page_size))
        small = self._int(data, "_mapcount") + 1 if self.counts_small else np.full(len(heads), -1)
        total = self._int(data, "_large_mapcount") + 1 if self.counts_large else np.full(len(heads), -1)
        shape = (len(heads), 2)
        slot_id, slot_count = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
        flag = np.full(len(heads), -1, np.int8)
        mapping = self._word(data, "mapping")
        if self.has_mm_ids:
            ids = self.mm_ids(data)
            slot_id[large] = ids.view(np.uint32).reshape(shape)[large] & np.uint32((1 << 31) - 1)
            slot_count[large] = self._pair(data, "_mm_id_mapcount")[large] + 1
            if flag_bit >= 0:
                flag[large] = (ids >> np.uint64(flag_bit) & np.uint64(1))[large]
        return FolioState(
            self._int(data, "_refcount"),
            np.where(large, total, small),
            _as_pagemap(self._word(data, "swap")),
            (mapping & _MAPPING_KSM) == _MAPPING_KSM,
            slot_id,
            slot_count,
            flag,
            good,
            np.where(mapping & _MAPPING_KSM == 1, mapping & ~_MAPPING_KSM, np.uint64(0)),
        )

    def raw_ids(self, head: int) -> int:
        """The word `_mm_ids` of one large folio."""
        data, _ = self._reader.read(np.array([self.vmemmap + head * self._page_size], np.uint64))
        return int(self.mm_ids(data)[0])

    def mm_ids(self, data: NDArray[np.uint8]) -> Words:
        """The words `_mm_ids`: both slots' ids and, in their top bits, a lock and the maybe-shared flag."""
        return self._column(data, "_mm_ids").view(np.uint64)[:, 0]

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, name: str, widths: tuple[int, ...], size: int) -> Field | None:
        """Where the field is, if it is there, as wide as we know it, and in what is read."""
        try:
            field = self._btf.field("folio", name)
        except BtfError:
            return None
        return field if field.size in widths and field.offset + field.size <= size else None

    def _column(self, data: NDArray[np.uint8], name: str) -> NDArray[Any]:
        field = self._fields[name]
        return np.ascontiguousarray(data[:, field.offset : field.offset + field.size])

    def _int(self, data: NDArray[np.uint8], name: str) -> NDArray[np.int64]:
        return self._column(data, name).view(np.int32)[:, 0].astype(np.int64)

    def _word(self, data: NDArray[np.uint8], name: str) -> Words:
        """A field of 8 bytes; 0 where this kernel has none."""
        if name not in self._fields:
            return np.zeros(len(data), np.uint64)
        return np.asarray(self._column(data, name).view(np.uint64)[:, 0])

    def _pair(self, data: NDArray[np.uint8], name: str) -> NDArray[np.int64]:
        """Two counters: of 16 or 32 bits, as the kernel has it."""
        column = self._column(data, name)
        return column.view(np.int16 if column.shape[1] == 4 else np.int32).astype(np.int64)

    def _find_vmemmap(self) -> int:
        """Address of the struct page of PFN 0, if the memory map is one array; else BpfError."""
        bases = {self._base_of_known_page() for _ in range(_KNOWN_PAGES)}
        if len(bases) != 1:
            raise BpfError("struct pages: known pages disagree on where PFN 0's is: no single memory map here")
        return bases.pop()

    def _base_of_known_page(self) -> int:
        """A fresh one-page file: its page cache holds the page's address, pagemap its PFN."""
        fd = os.memfd_create("rmaplab", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            with mmap.mmap(fd, mmap.PAGESIZE) as page:
                page[0] = 1
                view = np.frombuffer(page, np.uint8)
                address = int(view.ctypes.data)
                del view
                with procfs.Pagemap(os.getpid()) as pagemap:
                    pfn = int(pagemap.entries(address, mmap.PAGESIZE)[0] & procfs.PM_PFN)
                return self._check(self._page_of_file(fd), pfn)
        finally:
            os.close(fd)

    def _check(self, page: int, pfn: int) -> int:
        """The base, if the page at `page` looks like what it is: mapped once, referenced by file and mapping."""
        data, good = self._reader.read(np.array([page], np.uint64))
        mapcount = int(self._int(data, "_mapcount")[0]) + 1 if self.counts_small else 1
        refs = int(self._int(data, "_refcount")[0])
        if not good[0] or mapcount != 1 or not 2 <= refs <= 4:
            raise BpfError(f"struct page of a known page: mapcount {mapcount}, refcount {refs}: must be 1 and 2 to 4")
        return page - pfn * self._page_size

    def _page_of_file(self, fd: int) -> int:
        """Address of the only page of file `fd` of this process: through its table of open files."""
        files = self._follow(self._reader.current_task(), "task_struct", "files")
        descriptors = self._follow(self._follow(files, "files_struct", "fdt"), "fdtable", "fd")
        mapping = self._follow(self._reader.word(descriptors + fd * 8), "file", "f_mapping")
        return self._follow(mapping, "address_space", "i_pages.xa_head")

    def _follow(self, address: int, type_name: str, path: str) -> int:
        """The pointer in field `path` of the struct at `address`."""
        return self._reader.word(address + self._btf.field(type_name, path).offset)
