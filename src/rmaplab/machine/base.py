"""What every machine and every process is, whatever runs it: whose files, alive or not, who waits for whom.

For the model and the live machine, which add what their worlds are made of. A machine is three things, each knowing only
the one before: the commons its processes share, the processes, and the machine that hands them out.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Generic, Self, TypeVar

import polars as pl

from rmaplab.machine.arena import Area, Areas, Arena, check_length
from rmaplab.machine.observation import Observation
from rmaplab.machine.protocol import MOST_KEPT, PAGE_SIZE, BadOperation, File, Pin, Process

F = TypeVar("F", bound=File)
P = TypeVar("P", bound=Process)
A = TypeVar("A", bound=Area)
N = TypeVar("N", bound=Pin)
M = TypeVar("M", bound="BaseProcess[Any, Any]")

MOST_DIRECT: Final = 64
"""Pages of one direct read."""


class Commons(Generic[F]):
    """What the processes of one machine share: its addresses, its files, its rmap IDs, and whether it is open."""

    def __init__(self) -> None:
        self.arena = Arena()
        self.files: list[F] = []
        self.mms = 0
        """rmap IDs given out."""
        self.open = True

    def check_open(self, call: str) -> None:
        """Raise BadOperation if the machine is closed."""
        if not self.open:
            raise BadOperation(call, "machine", "it is closed")

    def own_file(self, call: str, file: File) -> F:
        """`file`, which must be one of this machine's."""
        for own in self.files:
            if own is file:
                return own
        raise BadOperation(call, file, "not a file of this machine")

    def new_mm(self) -> int:
        """The next rmap ID."""
        self.mms += 1
        return self.mms


class BaseMachine(ABC, Generic[P]):
    """The part of a `Machine` that is the same everywhere. `family`: all its processes, the ended ones too."""

    def __init__(self, family: Sequence[P]) -> None:
        self._family = family

    def processes(self) -> Sequence[P]:
        return [process for process in self._family if process.alive]

    def observe(self) -> pl.DataFrame:
        return self.observation().table()

    def who(self, address: int) -> pl.DataFrame:
        """Who maps the page behind `address`, in whichever process that is mapped: a row of `observe` for every place.

        Address spaces in which another page stands there show who maps that.
        """
        seen = self.observe()
        frames = seen.filter(pl.col("address") == address // PAGE_SIZE * PAGE_SIZE).select("frame").drop_nulls()
        return seen.join(frames.unique(), on="frame", how="semi").sort("frame", "mm", "address")

    def __repr__(self) -> str:
        running = len(self.processes())
        return f"<{type(self).__name__} {self.name}: {running} process{'es' * (running != 1)}>"

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def observation(self) -> Observation:
        """What `observe` shows, as arrays."""

    @abstractmethod
    def close(self) -> None:
        """End all processes and undo every change to the system. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BaseProcess(ABC, Generic[A, N]):
    """The part of a `Process` that is the same everywhere: what it asked to have where, its pins, and whether it runs."""

    def __init__(self, commons: Commons[F], areas: Areas[A]) -> None:
        self._check_open = commons.check_open
        self._areas = areas
        self._pins: list[N] = []
        self._alive = True
        self._vforked: BaseProcess[A, N] | None = None
        """The parent that waits for this process to exec or end."""
        self._waits = False

    @property
    @abstractmethod
    def mm(self) -> int:
        """rmap ID of the current address space."""

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def waits(self) -> bool:
        """Whether its vfork child keeps it waiting."""
        return self._waits

    def __repr__(self) -> str:
        if not self._alive:
            return f"<{type(self).__name__} MM {self.mm}, ended>"
        ranges = self._areas.ranges()
        size = sum(length for _, length in ranges) >> 10
        return f"<{type(self).__name__} MM {self.mm}: {len(ranges)} area{'s' * (len(ranges) != 1)}, {size} KiB>"

    def _lend_to(self, child: "BaseProcess[A, N]") -> None:
        """vfork: wait until `child` leaves the address space it was lent."""
        self._waits, child._vforked = True, self

    def _give_back(self) -> None:
        """Leave the address space that vfork lent, if it did: the parent goes on."""
        parent, self._vforked = self._vforked, None
        if parent is not None:
            parent._go_on()

    def _go_on(self) -> None:
        """The vfork child is gone."""
        self._waits = False

    def _check_alive(self, call: str) -> None:
        """Raise BadOperation unless the process can do something."""
        if not self._alive:
            raise BadOperation(call, f"process with MM {self.mm}", "it has ended")
        if self._waits:
            raise BadOperation(call, f"process with MM {self.mm}", "it waits for its vfork child to exec or end")
        self._check_open(call)

    def check_able(self, call: str) -> None:
        """Raise BadOperation unless the process can do something."""
        self._check_alive(call)

    def _own_pin(self, pin: Pin) -> N:
        """`pin`, which this process, able to do something, must hold."""
        self._check_alive("unpin")
        for own in self._pins:
            if own is pin:
                return own
        raise BadOperation("unpin", pin, f"not a pin that the process with MM {self.mm} holds")


def check_offset(offset: int, length: int, file: File | None) -> None:
    """Raise BadOperation unless mmap may map `length` bytes from `offset` on of `file`, or of no file from nowhere on."""
    if file is None:
        if offset:
            raise BadOperation("mmap", f"offset {offset}", "only a file has offsets")
    elif offset < 0 or offset % PAGE_SIZE or offset + length > file.length:
        raise BadOperation("mmap", f"offset {offset}", f"must be in pages, within {file.length} bytes")


def check_hole(offset: int, length: int, file: File) -> None:
    """Raise BadOperation unless [offset, offset + length) is one or more whole pages of `file`."""
    check_length("punch_hole", length, MOST_KEPT)
    if offset < 0 or offset % PAGE_SIZE or offset + length > file.length:
        raise BadOperation("punch_hole", f"offset {offset}", f"must be in pages, within {file.length} bytes")


def check_direct(length: int) -> None:
    """Raise BadOperation for more than one request to a device can hold pinned at a time, whatever the device."""
    if length > MOST_DIRECT * PAGE_SIZE:
        raise BadOperation("read_direct", f"length {length}", f"must be at most {MOST_DIRECT} pages")


def check_over(area: Area, order: int) -> None:
    """Raise BadOperation if mmap is given an order for memory in the place of a part of `area`."""
    if order:
        raise BadOperation("mmap", f"order {order}", f"memory over an area gets that area's order, {area.order} here")


def check_protection(*, writable: bool, readable: bool) -> None:
    """Raise BadOperation for memory that could be written and not read: x86-64 has none."""
    if writable and not readable:
        raise BadOperation("mprotect", "readable False", "memory that can be written can be read")


def check_guards(advice: str, *, ordinary: bool) -> None:
    """Raise BadOperation where guards are to stand in memory that is not `ordinary`, private and anonymous."""
    if advice == "guard_install" and not ordinary:
        raise BadOperation("madvise", advice, "guards stand in private anonymous memory only")


def check_uffd(call: str, *, ordinary: bool, users: int) -> None:
    """Raise BadOperation where userfaultfd is to protect memory that is not `ordinary`, private and anonymous, or in an
    address space of more than one of `users`: whose descriptor it is decides how long it lasts."""
    if not ordinary:
        raise BadOperation(call, "protected", "only private anonymous memory can be protected")
    if users > 1:
        raise BadOperation(call, f"{users} processes", "several share the address space")


def check_uffd_alone(call: str, *, uffd: bool) -> None:
    """Raise BadOperation where an address space with userfaultfd is to be shared."""
    if uffd:
        raise BadOperation(call, "userfaultfd", "an address space with it is not shared")


def check_uffd_moves(vmas: int, *, tracked: bool) -> None:
    """Raise BadOperation where mremap would move several VMAs, some of them `tracked` by userfaultfd: the kernel moves
    those before it, then refuses (vma_multi_allowed())."""
    if vmas > 1 and tracked:
        raise BadOperation("mremap", f"{vmas} VMAs", "what userfaultfd tracks moves one VMA at a time")


LOCK_FORBIDS: Final = ("dontneed", "free", "cold", "pageout", "guard_install")
"""Advice that locked memory refuses (can_madv_lru_vma(), madvise_dontneed_free_valid_vma(), is_valid_guard_vma())."""


BY_OTHERS: Final = ("cold", "pageout", "collapse")
"""Advice one process may give for another's memory (process_madvise_remote_valid())."""


def check_adviser(family: Sequence[M], by: object, advice: str) -> M:
    """`by`, which must be one of these processes, able to give this advice for the memory of another."""
    if advice not in BY_OTHERS:
        raise BadOperation("madvise", advice, f"another process may advise {', '.join(BY_OTHERS)} only")
    for process in family:
        if process is by:
            process.check_able("madvise")
            return process
    raise BadOperation("madvise", by, "not a process of this machine")


def check_used(call: str, unreadable: int | None) -> None:
    """Raise BadOperation if khugepaged would find memory, at `unreadable`, that may not be read: whether that counts as
    used is a matter of its past."""
    if unreadable is not None:
        raise BadOperation(call, f"page {unreadable:#x}", "khugepaged would look at it, and it may not be read")


def check_mremap(old_length: int, new_length: int, *, shared: bool, dontunmap: bool) -> None:
    """Raise BadOperation where mremap's lengths contradict what it is to do, with a mapping that is `shared` or not."""
    if not old_length and not shared:
        raise BadOperation("mremap", "old_length 0", "only a shared mapping can be mapped a second time")
    if dontunmap and old_length != new_length:
        raise BadOperation("mremap", f"new_length {new_length}", "dontunmap keeps the length")
