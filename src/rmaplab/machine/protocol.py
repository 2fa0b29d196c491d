"""What a scenario may ask of a machine: the `Machine` and `Process` protocols.

For scenarios (which import nothing else of `rmaplab.machine`) and for the machines that implement it. A program
against the protocol runs unchanged on the running kernel (`rmaplab.machine.live`) and on the executable model.

Rules every machine keeps:

- Operations happen one at a time, in program order; between two of them the whole world stands still.
- Addresses are the machine's to choose: each `mmap` but those `over` others gets fresh addresses, aligned to 2 MiB, never
  reused and equal on all machines for the same program, so that a forked child finds its parent's mappings where they
  were.
- `write` touches one byte of every page in ascending order; so does `read`.
- Whatever an operation did to page-table mappings of large or small folios is in the trace as exact events,
  every COW fault as a question with a step of its own.
- A bad argument raises `BadOperation` (call, value, rule) and leaves the machine usable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.trace import KIND, Trace

__all__ = [
    "ARENA_BASE",
    "MOST_KEPT",
    "MOST_LENGTH",
    "OBSERVATION",
    "PAGE_SIZE",
    "PMD_ORDER",
    "PMD_SIZE",
    "Advice",
    "BadOperation",
    "File",
    "Kind",
    "Machine",
    "MachineError",
    "NotAvailable",
    "Pin",
    "Process",
    "Written",
]

PAGE_SIZE: Final = 4096
PMD_ORDER: Final = 9
PMD_SIZE: Final = PAGE_SIZE << PMD_ORDER
ARENA_BASE: Final = 0x1000_0000_0000
"""Where machines place the first mapping. Each next one starts at the following 2 MiB boundary, one free 2 MiB
block in between, so that the kernel never merges two mappings or spans a THP over both."""
MOST_LENGTH: Final = 1 << 42
"""Bytes of the longest mapping: 4 TiB. What nobody touched of it costs nothing."""
MOST_KEPT: Final = 1 << 34
"""Bytes of the longest file, shared memory or swap device: 16 GiB. Of each page of it a machine keeps some 20 bytes."""

Advice = Literal[
    "hugepage",
    "nohugepage",
    "dontneed",
    "free",
    "cold",
    "pageout",
    "collapse",
    "mergeable",
    "unmergeable",
    "dontfork",
    "dofork",
    "wipeonfork",
    "keeponfork",
    "populate_read",
    "populate_write",
    "guard_install",
    "guard_remove",
]
Kind = Literal["anon", "file", "shmem"]

_OBSERVATION: Final[Mapping[str, Any]] = {
    "mm": pl.UInt32,
    "address": pl.UInt64,
    "state": pl.Enum(["none", "present", "swap", "guard"]),
    "frame": pl.UInt64,
    "head": pl.UInt64,
    "order": pl.UInt8,
    "mapcount": pl.UInt32,
    "mmap_exclusive": pl.Boolean,
    "anon_exclusive": pl.Boolean,
    "pmd_mapped": pl.Boolean,
    "kind": KIND,
    "slot": pl.UInt64,
    "uffd_wp": pl.Boolean,
}
OBSERVATION: Final = pl.Schema(_OBSERVATION)
"""`Machine.observe()`: one row per virtual page of every mapping of every address space. `frame` names the physical page
(PFN on a live kernel; comparable up to renaming), `head` its folio's first frame, `slot` the swap slot that holds a
page of state "swap" (comparable up to renaming too). A page of state "guard" may not be touched. `uffd_wp`: whether
userfaultfd tracks the next write, also to a page of state "none". Null where the machine cannot tell or it does not
apply."""


class MachineError(RmaplabError):
    """The machine could not do what the program asked, through no fault of the program."""


class BadOperation(RmaplabError, ValueError):
    """The program asked for something that makes no sense: names call, value and rule. CLI exit code 2."""

    def __init__(self, call: str, value: object, rule: str) -> None:
        super().__init__(f"{call}: {value}: {rule}")
        self.call, self.value, self.rule = call, value, rule


@dataclass(frozen=True, slots=True)
class Written:
    """What one `write` did: pages touched, of these reused or copied by COW faults, and the seconds it took.

    `reused` counts pages whose COW fault kept the physical page (all pages of a PMD mapping reused whole),
    `copied` those that got another one. Pages written without a COW question count in neither.
    """

    pages: int
    reused: int
    copied: int
    seconds: float


class Pin(Protocol):
    """Extra references on the folios behind some pages, held until `Process.unpin`."""

    @property
    def pages(self) -> int: ...


class File(Protocol):
    """A file of page-cache or shmem folios that processes can map. Lives as long as its machine."""

    @property
    def kind(self) -> Literal["file", "shmem"]: ...

    @property
    def length(self) -> int:
        """Bytes, as they are now (`Machine.truncate`)."""


class Process(Protocol):
    """One process; several may share an address space (`vfork`, `clone_vm`).

    Lengths and addresses are in bytes and page-aligned, unless stated.
    """

    @property
    def mm(self) -> int:
        """rmap ID of the current address space: dense from 1; `exec` gives a new one."""

    @property
    def alive(self) -> bool: ...

    def mmap(
        self,
        length: int,
        *,
        order: int = 0,
        file: File | None = None,
        offset: int = 0,
        shared: bool = False,
        over: int | None = None,
    ) -> int:
        """Map anonymous memory, or `file` from `offset` on; returns the address. Nothing is faulted in yet.

        `over`: at this address, in the place of what the process has there within one area (MAP_FIXED). That area's
        order is the new one's too, and may not be given; what is before and behind are areas of their own from then on.

        `order`: folios that faults in this mapping shall get (0 small, 9 THP, between: mTHP), as far as the
        machine can: what it got is in the trace. Without meaning for a `file` of kind "file".
        """

    def munmap(self, address: int, length: int) -> None: ...

    def mremap(
        self,
        address: int,
        old_length: int,
        new_length: int,
        *,
        move: bool = False,
        dontunmap: bool = False,
    ) -> int:
        """Resize, with `move` to a fresh address (the pages move, mapcounts stay). `old_length` 0 on a shared
        mapping maps the same pages a second time. Returns the address of the result."""

    def mprotect(self, address: int, length: int, *, writable: bool, readable: bool = True) -> None:
        """On part of a PMD-mapped folio this remaps it by PTEs. Memory that is not `readable` (PROT_NONE) keeps its
        pages; only `poke` reaches them, and what needs no access: advice, moves, fork, migration."""

    def madvise(self, address: int, length: int, advice: Advice, *, by: "Process | None" = None) -> None:
        """`by`: another process advises (process_madvise(2)), to which "cold", "pageout" and "collapse" are open.

        Before "cold" and "pageout" files of kind "file" are written back: what these do to dirty pages is chance.

        "guard_install" (Linux 6.13) takes the pages of private anonymous memory away and puts guards in their place,
        which nothing but "guard_remove" and unmapping takes away again; whatever touches one is refused.
        """

    def mlock(self, address: int, length: int) -> None:
        """Keep the pages in memory, as mlock(2) does: all are faulted in, those of private memory that is writable by
        write faults, so that COW is over for them (`what` "cow" asks).

        Locked memory refuses the advice "dontneed", "free", "cold", "pageout" and "guard_install". What makes it writable
        later, or larger, faults in that too. A child's memory is not locked, nor what `dontunmap` leaves.
        """

    def munlock(self, address: int, length: int) -> None: ...

    def uffd_wp(self, address: int, length: int, *, protected: bool = True) -> None:
        """Write-protect private anonymous memory by userfaultfd, or take that away again, without a handler
        (UFFD_FEATURE_WP_ASYNC, Linux 6.7): how checkpointing and live migration learn what was written.

        A write takes it away from its page and goes on as it would have, with its COW question if it has one; a PMD
        mapping is remapped by PTEs for it. Pages that are not there are marked too, in tables of PTEs. A child's memory
        is not protected, nor what mremap moved, which moves one VMA at a time. Refused in an address space that several
        processes share, and once it was used `vfork` and `clone_vm` are. `observe` shows it (`uffd_wp`).
        """

    def thp_disable(self, disabled: bool = True) -> None:
        """PR_SET_THP_DISABLE: while it holds, this address space gets no large folios by faults or collapse, and maps
        none by a PMD; what is there stays. Children inherit it, and it outlives exec."""

    def read(self, address: int, length: int) -> NDArray[np.uint8]:
        """First byte of every page, faulting it in: uint8, one element a page."""

    def write(self, address: int, length: int, value: int = 1) -> Written:
        """Store `value` (0..255) into the first byte of every page, ascending."""

    def peek(self, address: int, length: int) -> NDArray[np.uint8]:
        """First byte of every page, ascending, read from outside as process_vm_readv(2) does: uint8, one element a page.

        The kernel takes a FOLL_PIN for reading on each page in turn and gives it back. An anonymous page that is not
        AnonExclusive is unshared first (Linux 5.19 and later): copied, or kept if nobody else has it: one question
        (`what` "unshare") with a step of its own each. Nothing becomes writable by it.
        """

    def poke(self, address: int, length: int, value: int = 1) -> Written:
        """Store `value` (0..255) into the first byte of every page, ascending, from outside and by force, as a debugger
        does through /proc/PID/mem (FOLL_FORCE).

        Private memory may be read-only: it is copied where a write would copy it (`what` "cow") and stays read-only.
        Raises NotAvailable where the kernel lets only debuggers do that (proc_mem.force_override, Linux 6.12).
        """

    def read_direct(self, address: int, length: int, value: int = 1) -> Written:
        """Fill the range from a disk file by direct I/O (read(2), O_DIRECT), every page beginning with `value` (0..255).

        The kernel takes a FOLL_PIN for writing on one page after the other, which must be writable, and gives all back
        when the device has written them: a page pinned already is an extra reference where the next one of its folio
        asks. At most 64 pages. Raises NotAvailable where there is no place for a disk file.
        """

    def migrate(self, address: int, length: int, *, shared: bool = False) -> int:
        """Move the folios behind the range to other physical memory; returns how many pages of the range moved.

        As mbind(2) does with MPOL_MF_MOVE: folios that other processes may map stay (one question a folio, `what`
        "migrate"), with `shared` (MPOL_MF_MOVE_ALL) they move too. Folios somebody holds extra references on stay;
        of those that move nothing else changes, but a partially mapped one is split first.
        """

    def ask(self, address: int, length: int) -> None:
        """Ask about every folio this process maps in the range whether it maps it exclusively. Changes nothing:
        adds one question a folio (`what` "stat") to the trace, with the truth."""

    def fork(self) -> "Process": ...

    def vfork(self) -> "Process":
        """A child in the same address space: `mm` is equal, areas are common, and no page table is copied. Until the
        child calls exec or ends, any operation of this process is refused."""

    def clone_vm(self) -> "Process":
        """As `vfork`, but both go on (CLONE_VM without CLONE_THREAD): what one maps, protects or unmaps, the other
        finds so.

        The address space lasts until its last process left it. Pins are a process's own.
        """

    def exec(self) -> None:
        """Replace the address space: every mapping of the program is gone, `mm` is a new rmap ID. Processes this one
        shared its address space with keep that."""

    def exit(self) -> None: ...

    def pin(self, address: int, length: int, *, longterm: bool = False) -> Pin:
        """Take one extra reference on the folio of every page in the range (they are faulted in, for reading).

        `longterm`: as DMA does (FOLL_PIN | FOLL_LONGTERM for writing): they are faulted in for writing, and fork gives
        a child copies of them.
        """

    def unpin(self, pin: Pin) -> None: ...


class Machine(Protocol):
    """A world of processes, and the trace of what happened in it. Use as a context manager."""

    @property
    def name(self) -> str: ...

    def spawn(self) -> Process:
        """A fresh process that shares nothing."""

    def file(self, length: int, *, kind: Literal["file", "shmem"] = "shmem", order: int = 0) -> File:
        """A file to map. `shmem` holds nothing yet, `order` is that of mappings which ask for none.

        A `file` of a disk file system is all in the page cache, in folios of `order`, smaller ones at its end; the
        first byte of page i is 1 + i % 255. A page that left the cache comes back as a small folio.
        """

    def truncate(self, file: File, length: int) -> None:
        """Let the file end after `length` bytes, one page at least, as ftruncate(2) does.

        Where it shrinks nobody maps what is beyond any more, private copies of it included, and whatever touches that is
        refused. Where it grows it holds zeroes. Before, a `file` of kind "file" is written back; of shmem the folio that
        the new end cuts comes back from swap.
        """

    def punch_hole(self, file: File, offset: int, length: int) -> None:
        """Take the memory of a part of the file away, as fallocate(2) does with FALLOC_FL_PUNCH_HOLE: it holds zeroes.

        Nobody maps the file's pages there any more; private copies of them stay. A large folio of which the hole has a
        part is split, and nobody maps its other pages either, unless somebody holds extra references on it: shmem then
        stays as it is, with zeroes. Before, a `file` of kind "file" is written back.
        """

    def merge(self) -> None:
        """Let KSM scan until nothing more merges, and stop it.

        Only pages advised "mergeable" merge: with pages of equal contents, within a process and across. Raises
        NotAvailable where the system has no KSM or others use it, as the advice itself does.
        """

    def khugepaged(self, *, max_none: int = 511, max_swap: int = 64, max_shared: int = 256) -> None:
        """Let khugepaged visit every process until nothing more is collapsed, and stop it.

        It collapses blocks of private anonymous memory under MADV_HUGEPAGE (a mapping with an order has that) of which at
        most so many pages are missing or zero, in swap, or of folios that are maybe shared: the kernel's limits and their
        defaults, 0..511 each. First every process reads what is there of such memory, for khugepaged wants it used.
        Raises BadOperation where some of it may not be read, NotAvailable where there is no khugepaged.
        """

    def swap(self, length: int) -> None:
        """Give the world a swap device of its own, of `length` bytes (a multiple of 2 MiB; its first page holds no
        data), until `close`. Only MADV_PAGEOUT writes to it. At any time, but only once. Swap-in reads no pages ahead.

        Raises NotAvailable where the system has no place for one.
        """

    def processes(self) -> Sequence[Process]:
        """Those alive, in the order they were made."""

    def observe(self) -> pl.DataFrame:
        """The state of every mapping now; schema `OBSERVATION`."""

    def trace(self) -> Trace:
        """Everything so far."""

    def close(self) -> None:
        """End all processes and undo every change to the system. Idempotent."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
