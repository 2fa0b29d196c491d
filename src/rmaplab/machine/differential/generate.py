"""Random programs over the machine protocol, from a seed.

For the differential test. Each program is one story: up to six processes that map memory of one or a few orders, fork,
write, read, remap, and end. What a program may do comes from what it did; most steps are sensible, a few are refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rmaplab.machine.differential.acts import memory, pages, processes
from rmaplab.machine.differential.acts.motif import motif
from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.differential.story import Story
from rmaplab.machine.protocol import PMD_ORDER

_SWAP_PAGES: Final = 1 << 18
"""1 GiB, of which a program never fills half."""
_WEIGHTS: Final = {
    "mmap": 6,
    "write": 30,
    "read": 10,
    "fork": 12,
    "exit": 6,
    "exec": 2,
    "munmap": 5,
    "mprotect": 6,
    "mremap": 6,
    "dontneed": 6,
    "advice": 3,
    "cold": 4,
    "pin": 3,
    "unpin": 3,
    "spawn": 1,
    "peek": 4,
    "poke": 3,
    "migrate": 4,
    "mmap_over": 3,
    "read_direct": 3,
    "mlock": 4,
    "munlock": 2,
    "thp_disable": 1,
    "uffd_wp": 4,
    "khugepaged": 3,
    "truncate": 3,
    "punch_hole": 4,
    "ksm": 6,
    "vfork": 3,
    "clone_vm": 4,
    "motif": 8,
}
_ACTS: Final[Mapping[str, Callable[[Story], None]]] = {
    "mmap": memory.mmap,
    "write": pages.write,
    "read": pages.read,
    "fork": processes.fork,
    "exit": processes.exit_,
    "exec": processes.exec_,
    "munmap": memory.munmap,
    "mprotect": pages.mprotect,
    "mremap": memory.mremap,
    "dontneed": pages.dontneed,
    "advice": pages.advice,
    "cold": pages.cold,
    "pin": pages.pin,
    "unpin": pages.unpin,
    "spawn": processes.spawn,
    "peek": pages.peek,
    "poke": pages.poke,
    "migrate": pages.migrate,
    "mmap_over": memory.mmap_over,
    "read_direct": pages.read_direct,
    "mlock": pages.mlock,
    "munlock": pages.munlock,
    "thp_disable": processes.thp_disable,
    "uffd_wp": pages.uffd_wp,
    "khugepaged": pages.khugepaged,
    "truncate": memory.truncate,
    "punch_hole": memory.punch_hole,
    "ksm": pages.ksm,
    "vfork": processes.vfork,
    "clone_vm": processes.clone_vm,
    "motif": motif,
}
_LATE_SWAP: Final = 0.3
"""Share of the programs with a swap device that get it midway."""
_SHARING: Final = ("vfork", "clone_vm")
ALONE: Final = ("ksm", "swap")
"""What programs can go without that the whole system feels."""
_SWAPPING_WEIGHTS: Final = {"cold": 25, "read": 15}
"""What is likelier in a program with a swap device: things go there and come back."""


class Generator:
    """Makes one program of `steps` steps; `sharing`: processes may share memory. The rest is the story's."""

    def __init__(
        self,
        seed: int,
        orders: Sequence[int],
        steps: int,
        *,
        disk: bool = True,
        ksm: bool = True,
        swap: bool = True,
        sharing: bool = True,
        khugepaged: bool = True,
        disk_order: int = PMD_ORDER,
    ) -> None:
        self._story = Story(seed, orders, disk=disk, ksm=ksm, swap=swap, khugepaged=khugepaged, disk_order=disk_order)
        self._want = steps
        chances = {**_WEIGHTS, **(_SWAPPING_WEIGHTS if self._story.swap else {})}
        self._weights = {name: chance for name, chance in chances.items() if sharing or name not in _SHARING}
        if self._story.about_files:
            self._weights |= {"cold": 5 * _WEIGHTS["cold"], "advice": 3 * _WEIGHTS["advice"]}

    @property
    def alone(self) -> bool:
        """Whether the program is likely to need the system for itself: nothing the kernel offers decides it."""
        return self._story.swap or self._story.merges

    def program(self) -> Program:
        """The program: `steps` steps, and a read of everything at the end."""
        story, swap_at = self._story, 0
        if story.swap and story.lots.random() < _LATE_SWAP:
            swap_at = story.lots.randrange(self._want)
        elif story.swap:
            story.add(Step("swap", pages=_SWAP_PAGES))
        processes.spawn(story)
        memory.mmap(story)
        names, weights = list(self._weights), list(self._weights.values())
        while len(story.steps) < self._want:
            _ACTS[story.lots.choices(names, weights)[0]](story)
            if 0 < swap_at <= len(story.steps):
                story.add(Step("swap", pages=_SWAP_PAGES))
                swap_at = 0
        for process in story.running():
            for area in process.areas:
                story.add(Step("read", process.number, area.number, *area.all))
        return tuple(story.steps)
