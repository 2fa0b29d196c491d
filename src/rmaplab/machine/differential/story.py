"""A random program while it is made: what was decided about it, who takes part, and the steps so far.

For the generator, and for `acts`, whose functions add to it. All chance comes from `lots`.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rmaplab.machine.differential.cast import Area, Process
from rmaplab.machine.differential.program import Step
from rmaplab.machine.protocol import PMD_ORDER

MAX_PROCESSES: Final = 6
BLOCK: Final = 1 << PMD_ORDER
SWAPPING: Final = 0.25
"""Share of the programs that have a swap device."""
_KSM_SHARE: Final = 0.2
"""Share of the programs that merge memory: their live machines must be alone on the system, so others wait for them."""
_KHUGEPAGED_SHARE: Final = 0.25
"""Share of the programs that khugepaged visits."""
_FEW_VALUES: Final = 0.3
"""Share of the other programs that write few different values."""


class Story:
    """One program. `orders`: large folio orders the kernel offers. `disk`: there may be files of a disk file system,
    cached in folios of at most `disk_order`; `ksm`: it may merge memory; `swap`: it may have a swap device;
    `khugepaged`: it may collapse memory.

    A fifth of the programs is about large files and what advice does to them.
    """

    def __init__(
        self,
        seed: int,
        orders: Sequence[int],
        *,
        disk: bool = True,
        ksm: bool = True,
        swap: bool = True,
        khugepaged: bool = True,
        disk_order: int = PMD_ORDER,
    ) -> None:
        self.lots = random.Random(seed)
        self.disk_order = disk_order
        self.orders = self.lots.choice(([0], [PMD_ORDER], [0, *orders], [PMD_ORDER, *orders]))
        self.swap = self.lots.random() < (SWAPPING if swap else 0)
        self.cold_advice = ("cold", "collapse", "free", *(("pageout",) * (4 if self.swap else 1)))
        self.has_khugepaged = self.lots.random() < (_KHUGEPAGED_SHARE if khugepaged else 0)
        # Pages merge if their contents are equal: programs that merge write few values.
        self.merges = self.lots.random() < (_KSM_SHARE if ksm else 0)
        # Elsewhere values repeat too in some: a zero, or what was there before, is a case of its own.
        few = self.merges or self.lots.random() < _FEW_VALUES
        self.values = self.lots.choices(range(256), k=3) + [0] * self.lots.randrange(2) if few else range(256)
        self.made = 0
        self.files: list[tuple[int, int, bool]] = []
        self.has_disk = disk
        self.disk = self.lots.choice((0.0, 0.4, 0.8)) if disk else 0.0
        self.about_files = self.lots.random() < 0.2
        self.shares = self.lots.choice((0.0, 0.0, 0.4, 0.8))
        if self.about_files:
            self.shares = 0.9
        self.alive: list[Process] = []
        self.steps: list[Step] = []

    def add(self, step: Step) -> None:
        self.steps.append(step)

    def number(self) -> int:
        self.made += 1
        return self.made

    def process(self) -> Process | None:
        able = self.running()
        return self.lots.choice(able) if able else None

    def running(self) -> list[Process]:
        """Those no vfork child keeps waiting."""
        return [p for p in self.alive if not p.waits]

    def some(self) -> tuple[Process, Area] | None:
        """A process and one of its areas."""
        able = [p for p in self.running() if p.areas]
        if not able:
            return None
        process = self.lots.choice(able)
        return process, self.lots.choice(process.areas)

    def size(self, order: int) -> int:
        order = PMD_ORDER if self.about_files else order
        pages = self.lots.choice((1 << order, 2 << order, 3 << order, self.lots.randint(1, 40)))
        return min(max(pages, 1), 3 * BLOCK) + self.lots.choice((0, 0, 0, 1, 7))

    def value(self) -> int:
        return self.lots.choice(self.values)

    def on_range(self, step: Step) -> None:
        found = self.some()
        if found:
            process, area = found
            page, pages = area.part(self.lots)
            self.add(replace(step, process=process.number, area=area.number, page=page, pages=pages))

    def other(self, process: Process) -> int:
        """The number of another process that can do something, -1 if there is none."""
        able = [other.number for other in self.running() if other is not process]
        return self.lots.choice(able) if able else -1
