"""Addresses: which ranges a machine has given out, and what each process asked to have where.

For every machine: the protocol has all of them choose the same addresses for the same program, so they choose by this
module. What is mapped inside an area each machine knows by itself; nobody keeps books about that here.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Generic, NoReturn, TypeVar

from rmaplab.machine.protocol import ARENA_BASE, MOST_KEPT, MOST_LENGTH, PAGE_SIZE, PMD_SIZE, BadOperation

__all__ = ["Area", "Areas", "Arena", "check_length", "check_range", "check_swap", "refuse_beyond", "refuse_guard"]

_ARENA_END: Final = 0x5000_0000_0000
"""Below where x86-64 puts position-independent programs and their heaps (0x5555...)."""


@dataclass(frozen=True, slots=True)
class Area:
    """The addresses of one mmap or mremap, as it was asked for, and the order of folios; operations lie within one."""

    start: int
    length: int
    order: int

    @property
    def end(self) -> int:
        return self.start + self.length


class Arena:
    """Gives out addresses: each range starts at a 2 MiB boundary, one free 2 MiB block after the one before."""

    def __init__(self) -> None:
        self._next = ARENA_BASE

    def take(self, call: str, length: int) -> int:
        """Addresses for `length` bytes."""
        check_length(call, length)
        start = self._next
        if start + length > _ARENA_END:
            raise BadOperation(call, f"length {length}", "no addresses are left in the arena")
        self._claim(start + length)
        return start

    def grow(self, call: str, area: Area, length: int) -> None:
        """Let the range of `area` grow in place to `length`, if no later range begins too near."""
        end, room = area.start + length, _block_up(area.end)
        if end <= room:
            return
        if room + PMD_SIZE < self._next:
            raise BadOperation(call, f"new length {length}", "no room to grow in place; use move=True")
        self._claim(end)

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Addresses given out in here are taken back if the operation they are for is refused."""
        before = self._next
        try:
            yield
        except BadOperation:
            self._next = before
            raise

    def _claim(self, end: int) -> None:
        self._next = max(self._next, _block_up(end) + PMD_SIZE)


def _block_up(address: int) -> int:
    return -(-address // PMD_SIZE) * PMD_SIZE


def check_length(call: str, length: int, most: int = MOST_LENGTH) -> None:
    """Raise BadOperation unless `length` is a positive number of whole pages, `most` at most."""
    if length <= 0 or length % PAGE_SIZE:
        raise BadOperation(call, f"length {length}", f"must be a positive multiple of {PAGE_SIZE}")
    if length > most:
        raise BadOperation(call, f"length {length}", f"must be at most {most}")


def check_swap(length: int, *, again: bool) -> None:
    """Raise BadOperation unless a machine may get a swap device of `length` bytes; `again`: it has one."""
    if again:
        raise BadOperation("swap", f"length {length}", "the machine has a swap device already")
    if length <= 0 or length % PMD_SIZE:
        raise BadOperation("swap", f"length {length}", f"must be a positive multiple of {PMD_SIZE}")
    check_length("swap", length, MOST_KEPT)


def check_range(call: str, address: int, length: int) -> None:
    """Raise BadOperation unless the range is one or more whole pages."""
    check_length(call, length)
    if address % PAGE_SIZE:
        raise BadOperation(call, f"address {address:#x}", f"must be a multiple of {PAGE_SIZE}")


def refuse_beyond(call: str, start: int, end: int, page: int) -> NoReturn:
    """Raise the BadOperation of an access to [start, end) whose page at `page` lies beyond the end of its file."""
    raise BadOperation(call, f"[{start:#x}, {end:#x})", f"page {page:#x} lies beyond the end of its file")


def refuse_guard(call: str, start: int, end: int, page: int) -> NoReturn:
    """Raise the BadOperation of an access to [start, end) whose page at `page` is a guard."""
    raise BadOperation(call, f"[{start:#x}, {end:#x})", f"page {page:#x} is a guard")


A = TypeVar("A", bound=Area)


class Areas(Generic[A]):
    """The areas of one address space; a machine may know more of each than its addresses."""

    def __init__(self, areas: Iterable[A] = (), *, thp_disabled: bool = False) -> None:
        self._areas = {area.start: area for area in areas}
        self.thp_disabled = thp_disabled
        """Of the whole address space: no THPs (PR_SET_THP_DISABLE)."""
        self.uffd = False
        """Some of it is, or was, write-protected by userfaultfd."""

    def copy(self) -> "Areas[A]":
        return Areas(self._areas.values(), thp_disabled=self.thp_disabled)

    def add(self, area: A) -> None:
        self._areas[area.start] = area

    def replace(self, area: A, **changes: object) -> None:
        """Change what is known of `area`; its start stays."""
        self._areas[area.start] = replace(area, **changes)  # type: ignore[arg-type]

    def drop(self, area: A) -> None:
        del self._areas[area.start]

    def cut_out(self, area: A, start: int, length: int) -> None:
        """Take [start, start + length) from `area`: what is before and behind are areas of their own."""
        self.drop(area)
        for first, end in ((area.start, start), (start + length, area.end)):
            if first < end:
                self.add(replace(area, start=first, length=end - first))

    def run(self, area: A) -> tuple[int, int]:
        """Start and length of the longest stretch of areas without a gap that has `area` in it."""
        start, end = area.start, area.end
        ends = {other.end: other.start for other in self._areas.values()}
        while start in ends:
            start = ends[start]
        while end in self._areas:
            end = self._areas[end].end
        return start, end - start

    def check_room(self, call: str, area: A, end: int) -> None:
        """Raise BadOperation unless `area` may grow up to `end` as far as other areas are concerned."""
        if any(area.end <= other.start < end for other in self._areas.values()):
            raise BadOperation(call, f"end {end:#x}", "no room to grow in place; use move=True")

    def ranges(self) -> list[tuple[int, int]]:
        """Start and length of every area, ascending."""
        return [(area.start, area.length) for _, area in sorted(self._areas.items())]

    def around(self, call: str, address: int, length: int) -> A:
        """The area that holds the whole range, or BadOperation."""
        check_range(call, address, length)
        for area in self._areas.values():
            if area.start <= address and address + length <= area.end:
                return area
        raise BadOperation(call, f"[{address:#x}, {address + length:#x})", "must lie within one mapping")
