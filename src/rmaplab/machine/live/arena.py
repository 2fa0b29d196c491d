"""What a live process asked to have where, beyond the addresses, and what the kernel says of them.

For `LiveMachine` and its processes. What is mapped inside an area the kernel knows best (`procfs.regions`), so nobody
keeps books here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmaplab.machine import arena
from rmaplab.machine.live.held import LiveFile
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.protocol import BadOperation

Backing = Literal["anon", "file", "shmem"]


@dataclass(frozen=True, slots=True)
class Area(arena.Area):
    """One mapping as it was asked for. `backing` says where its folios come from; a private mapping of a file
    has the file's backing. `advised`: MADV_HUGEPAGE was asked for by the program."""

    backing: Backing
    shared: bool
    advised: bool = False
    file: LiveFile | None = None

    @property
    def limit(self) -> int | None:
        """Bytes that the file behind has now."""
        return self.file.length if self.file is not None else None

    @property
    def wants_thp(self) -> bool:
        """Whether faults here may map or make THPs at all. The folios of a file are as large as it was made."""
        return self.order > 0 or self.advised or self.backing == "file"


def check_mapped(
    call: str,
    pid: int,
    address: int,
    length: int,
    need: Literal["any", "readable", "writable"] = "any",
    limit: int | None = None,
) -> None:
    """Raise BadOperation unless every page of the range is mapped, and `need`, below byte `limit` of its file: a fault
    beyond is a SIGBUS.

    A process without memory is dying: the operation itself will find that out, and say it better.
    """
    regions = procfs.regions_or_none(pid, address + length)
    if not regions:
        return
    at = address
    for region in regions:
        if region.start <= at < region.end and (need == "any" or getattr(region, need)):
            at = region.end
    if at < address + length:
        rule = "mapped" if need == "any" else f"mapped {need}"
        raise BadOperation(call, f"[{address:#x}, {address + length:#x})", f"page {at:#x} is not {rule}")
    for region in regions if limit is not None else []:
        last = region.start + limit - region.offset if limit is not None else region.end
        if address < region.end and region.start < address + length and last < min(region.end, address + length):
            arena.refuse_beyond(call, address, address + length, max(address, last))


def check_unguarded(call: str, pid: int, address: int, length: int) -> None:
    """Raise BadOperation if a page of the range is a guard: an access there is a SIGSEGV."""
    with procfs.Pagemap(pid) as pagemap:
        guarded = np.flatnonzero(pagemap.entries(address, length) & procfs.PM_GUARD)
    if len(guarded):
        arena.refuse_guard(call, address, address + length, address + int(guarded[0]) * procfs.PAGE_SIZE)
