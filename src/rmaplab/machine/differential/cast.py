"""Who takes part in a random program: processes, and the areas they map.

For the generator, which keeps track of what its program has made so far.
"""

import random
from dataclasses import dataclass, field

from rmaplab.machine.protocol import PMD_ORDER

_BLOCK = 1 << PMD_ORDER


@dataclass(slots=True)
class Area:
    """`pages` pages, from page `first` on, of those that a step called `number` made; of a file, which may be on a disk,
    or anonymous."""

    number: int
    pages: int
    shared: bool = False
    file: bool = False
    disk: bool = False
    first: int = 0

    def part(self, lots: random.Random) -> tuple[int, int]:
        """First page and pages of some part: all, one page, a block, or anything."""
        page, pages = self._part(lots)
        return self.first + page, pages

    @property
    def all(self) -> tuple[int, int]:
        """First page and pages."""
        return self.first, self.pages

    def _part(self, lots: random.Random) -> tuple[int, int]:
        roll = lots.random()
        if roll < 0.3:
            return 0, self.pages
        if roll < 0.5:
            return lots.randrange(self.pages), 1
        if roll < 0.6 and self.pages >= _BLOCK:
            return lots.randrange(self.pages // _BLOCK) * _BLOCK, _BLOCK
        if roll < 0.8:
            size = 1 << lots.randrange(self.pages.bit_length())
            return lots.randrange(max(self.pages // size, 1)) * size, min(size, self.pages)
        first = lots.randrange(self.pages)
        return first, lots.randint(1, self.pages - first)


@dataclass(slots=True)
class Process:
    """A process, what it maps, and the pins it holds."""

    number: int
    areas: list[Area] = field(default_factory=list)
    pins: list[int] = field(default_factory=list)
    vforked: "Process | None" = None
    """The parent that waits for this one."""
    waits: bool = False
    uffd: bool = False
    """Whether userfaultfd ever protected memory of its address space: that cannot be shared then."""
