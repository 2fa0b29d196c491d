"""Addresses: which ranges a machine has given out, and what each process has mapped where.

For `LiveMachine` and its processes. The arena is one for the whole machine, so that an address means the same
in every process; what is mapped inside an area the kernel knows best (`procfs.regions`), so nobody keeps books here.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from rmaplab.machine.live import procfs
from rmaplab.machine.protocol import ARENA_BASE, PAGE_SIZE, PMD_SIZE, BadOperation

ARENA_END: Final = 0x5000_0000_0000
"""Below where x86-64 puts position-independent programs and their heaps (0x5555...)."""


@dataclass(frozen=True, slots=True)
class Area:
    """One mapping as it was asked for. `backing` says where its folios come from; a private mapping of a file
    has the file's backing. `advised`: MADV_HUGEPAGE was asked for by the program."""

    start: int
    length: int
    order: int
    backing: Literal["anon", "file", "shmem"]
    shared: bool
    advised: bool = False

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def wants_thp(self) -> bool:
        return self.order > 0 or self.advised


class Arena:
    """Gives out addresses: each range starts at a 2 MiB boundary, one free 2 MiB block after the one before."""

    def __init__(self) -> None:
        self._next = ARENA_BASE

    def take(self, call: str, length: int) -> int:
        check_length(call, length)
        start = self._next
        if start + length > ARENA_END:
            raise BadOperation(call, f"length {length}", "no addresses are left in the arena")
        self._claim(start + length)
        return start

    def grow(self, call: str, area: Area, length: int) -> None:
        """Let the range of `area` grow in place, if no later range begins too near."""
        end = area.start + length
        if area.end < end <= (room := -(-area.end // PMD_SIZE) * PMD_SIZE):
            return
        if end > room and room + PMD_SIZE < self._next:
            raise BadOperation(call, f"new length {length}", "no room to grow in place; use move=True")
        self._claim(max(end, area.end))

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
        self._next = max(self._next, (-(-end // PMD_SIZE) + 1) * PMD_SIZE)


def check_length(call: str, length: int) -> None:
    if length <= 0 or length % PAGE_SIZE:
        raise BadOperation(call, f"length {length}", f"must be a positive multiple of {PAGE_SIZE}")


def check_range(call: str, address: int, length: int) -> None:
    check_length(call, length)
    if address % PAGE_SIZE:
        raise BadOperation(call, f"address {address:#x}", f"must be a multiple of {PAGE_SIZE}")


class Areas:
    """The areas of one process, by start address."""

    def __init__(self, areas: Iterable[Area] = ()) -> None:
        self._areas = {area.start: area for area in areas}

    def copy(self) -> "Areas":
        return Areas(self._areas.values())

    def add(self, area: Area) -> None:
        self._areas[area.start] = area

    def replace(self, area: Area, **changes: object) -> None:
        self._areas[area.start] = replace(area, **changes)  # type: ignore[arg-type]

    def drop(self, area: Area) -> None:
        del self._areas[area.start]

    def ranges(self) -> list[tuple[int, int]]:
        return [(area.start, area.length) for _, area in sorted(self._areas.items())]

    def around(self, call: str, address: int, length: int) -> Area:
        """The area that holds the whole range, or BadOperation."""
        check_range(call, address, length)
        for area in self._areas.values():
            if area.start <= address and address + length <= area.end:
                return area
        raise BadOperation(call, f"[{address:#x}, {address + length:#x})", "must lie within one mapping")


def check_mapped(
    call: str, pid: int, address: int, length: int, need: Literal["any", "readable", "writable"] = "any"
) -> None:
    """Raise BadOperation unless every page of the range is mapped, and `need`.

    A process without memory is dying: the operation itself will find that out, and say it better.
    """
    regions = procfs.regions_or_none(pid)
    if not regions:
        return
    at = address
    for region in regions:
        if region.start <= at < region.end and (need == "any" or getattr(region, need)):
            at = region.end
    if at < address + length:
        rule = "mapped" if need == "any" else f"mapped {need}"
        raise BadOperation(call, f"[{address:#x}, {address + length:#x})", f"page {at:#x} is not {rule}")
