"""Addresses: which ranges a machine has given out, and what each process asked to have where.

For the model's machine and processes. The rules are the protocol's, so that every machine chooses the same addresses.
"""

from dataclasses import dataclass
from typing import Final

from rmaplab.machine.protocol import ARENA_BASE, PAGE_SIZE, PMD_SIZE, BadOperation

ARENA_END: Final = 0x5000_0000_0000


@dataclass(slots=True)
class Area:
    """The addresses [start, end) of one mmap or mremap; operations lie within one."""

    start: int
    end: int


class Arena:
    """Gives out addresses: each range starts at a 2 MiB boundary, one free 2 MiB block after the one before."""

    def __init__(self) -> None:
        self._next = ARENA_BASE

    def take(self, call: str, length: int) -> int:
        """Addresses for `length` bytes."""
        check_length(call, length)
        start = self._next
        if start + length > ARENA_END:
            raise BadOperation(call, f"length {length}", "no addresses are left in the arena")
        self._claim(start + length)
        return start

    def grow(self, call: str, end: int, new_end: int) -> None:
        """Let the range that ends at `end` end at `new_end`, if no later range begins too near."""
        room = _block_up(end)
        if new_end <= room:
            return
        if room + PMD_SIZE < self._next:
            raise BadOperation(call, f"new end {new_end:#x}", "no room to grow in place; use move=True")
        self._claim(new_end)

    def _claim(self, end: int) -> None:
        self._next = max(self._next, _block_up(end) + PMD_SIZE)


def _block_up(address: int) -> int:
    return -(-address // PMD_SIZE) * PMD_SIZE


def check_length(call: str, length: int) -> None:
    """Raise BadOperation unless `length` is a positive number of pages."""
    if length <= 0 or length % PAGE_SIZE:
        raise BadOperation(call, f"length {length}", f"must be a positive multiple of {PAGE_SIZE}")


class Areas:
    """The areas of one process."""

    def __init__(self, areas: dict[int, Area] | None = None) -> None:
        self._areas = areas or {}

    def copy(self) -> "Areas":
        return Areas({start: Area(area.start, area.end) for start, area in self._areas.items()})

    def add(self, start: int, length: int) -> None:
        self._areas[start] = Area(start, start + length)

    def drop(self, area: Area) -> None:
        del self._areas[area.start]

    def around(self, call: str, address: int, length: int) -> Area:
        """The area that holds the whole range, or BadOperation."""
        check_length(call, length)
        if address % PAGE_SIZE:
            raise BadOperation(call, f"address {address:#x}", f"must be a multiple of {PAGE_SIZE}")
        for area in self._areas.values():
            if area.start <= address and address + length <= area.end:
                return area
        raise BadOperation(call, f"[{address:#x}, {address + length:#x})", "must lie within one mapping")
