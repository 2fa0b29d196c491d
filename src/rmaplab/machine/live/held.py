"""What a live machine and its processes hold, files and pins, and the kernel's numbers for advice.

For `LiveMachine` and `LiveProcess`. Data only.
"""

from dataclasses import dataclass
from typing import Final, Literal

ADVICE: Final[dict[str, int]] = {
    "dontneed": 4,
    "free": 8,
    "dontfork": 10,
    "dofork": 11,
    "mergeable": 12,
    "unmergeable": 13,
    "hugepage": 14,
    "nohugepage": 15,
    "wipeonfork": 18,
    "keeponfork": 19,
    "cold": 20,
    "pageout": 21,
    "populate_read": 22,
    "populate_write": 23,
    "collapse": 25,
    "guard_install": 102,
    "guard_remove": 103,
}
"""MADV_* of each of the protocol's words."""


@dataclass(slots=True, eq=False)
class LiveFile:
    """A memfd or a file of a disk file system (`diskfile`), open as `fd` for as long as its machine is; of the one
    behind shared anonymous memory nobody has a descriptor (-1)."""

    kind: Literal["file", "shmem"]
    length: int
    order: int
    fd: int

    def __repr__(self) -> str:
        return f"<LiveFile {self.kind}, {self.length >> 12} pages, descriptor {self.fd}>"


@dataclass(frozen=True, slots=True)
class LivePin:
    """Pages spliced into pipes of process `owner`; they go with it, at exec too."""

    pages: int
    key: int
    owner: int
