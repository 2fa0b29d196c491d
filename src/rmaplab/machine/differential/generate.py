"""Random programs over the machine protocol, from a seed.

For the differential test. Each program is one story: up to six processes that map memory of one or a few orders, fork,
write, read, remap, and end. What a program may do comes from what it did; most steps are sensible, a few are refused.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

from rmaplab.machine.base import MOST_DIRECT
from rmaplab.machine.differential.cast import Area, Process
from rmaplab.machine.differential.motifs import MOTIFS, Move
from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.protocol import PMD_ORDER

MAX_PROCESSES: Final = 6
SWAPPING: Final = 0.25
"""Share of the programs that have a swap device."""
_SWAP_PAGES: Final = 1 << 18
"""1 GiB, of which a program never fills half."""
_BLOCK: Final = 1 << PMD_ORDER
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
    "khugepaged": 3,
    "truncate": 3,
    "punch_hole": 4,
    "ksm": 6,
    "vfork": 3,
    "clone_vm": 4,
    "motif": 8,
}
_KSM_SHARE: Final = 0.2
"""Share of the programs that merge memory: their live machines must be alone on the system, so others wait for them."""
_KHUGEPAGED_SHARE: Final = 0.25
"""Share of the programs that khugepaged visits."""
_BY_OTHERS: Final = 0.15
"""Share of the advice on cold memory that another process gives."""
_FEW_VALUES: Final = 0.3
"""Share of the other programs that write few different values."""
_LATE_SWAP: Final = 0.3
"""Share of the programs with a swap device that get it midway."""
_SHARING: Final = ("vfork", "clone_vm")
ALONE: Final = ("ksm", "swap")
"""What programs can go without that the whole system feels."""
_SWAPPING_WEIGHTS: Final = {"cold": 25, "read": 15}
"""What is likelier in a program with a swap device: things go there and come back."""


class Generator:
    """Makes one program. `orders`: large folio orders the kernel offers. `disk`: there may be files of a disk file
    system, cached in folios of at most `disk_order`; `ksm`: it may merge memory; `swap`: it may have a swap device;
    `sharing`: processes may share memory; `khugepaged`: it may collapse memory.

    A fifth of the programs is about large files and what advice does to them.
    """

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
        self._random = random.Random(seed)
        self._disk_order = disk_order
        self._orders = self._random.choice(([0], [PMD_ORDER], [0, *orders], [PMD_ORDER, *orders]))
        self._want = steps
        self._swap = self._random.random() < (SWAPPING if swap else 0)
        self._cold_advice = ("cold", "collapse", "free", *(("pageout",) * (4 if self._swap else 1)))
        self._has_khugepaged = self._random.random() < (_KHUGEPAGED_SHARE if khugepaged else 0)
        # Pages merge if their contents are equal: programs that merge write few values.
        self._merges = self._random.random() < (_KSM_SHARE if ksm else 0)
        # Elsewhere values repeat too in some: a zero, or what was there before, is a case of its own.
        few = self._merges or self._random.random() < _FEW_VALUES
        self._values = self._random.choices(range(256), k=3) + [0] * self._random.randrange(2) if few else range(256)
        self._made = 0
        self._files: list[tuple[int, int, bool]] = []
        self._has_disk = disk
        self._disk = self._random.choice((0.0, 0.4, 0.8)) if disk else 0.0
        chances = {**_WEIGHTS, **(_SWAPPING_WEIGHTS if self._swap else {})}
        self._weights = {name: chance for name, chance in chances.items() if sharing or name not in _SHARING}
        self._about_files = self._random.random() < 0.2
        self._shares = self._random.choice((0.0, 0.0, 0.4, 0.8))
        if self._about_files:
            self._shares = 0.9
            self._weights |= {"cold": 5 * _WEIGHTS["cold"], "advice": 3 * _WEIGHTS["advice"]}
        self._alive: list[Process] = []
        self._steps: list[Step] = []

    @property
    def alone(self) -> bool:
        """Whether the program is likely to need the system for itself: nothing the kernel offers decides it."""
        return self._swap or self._merges

    def program(self) -> Program:
        """The program: `steps` steps, and a read of everything at the end."""
        swap_at = 0
        if self._swap and self._random.random() < _LATE_SWAP:
            swap_at = self._random.randrange(self._want)
        elif self._swap:
            self._add(Step("swap", pages=_SWAP_PAGES))
        self._spawn()
        self._mmap()
        names, weights = list(self._weights), list(self._weights.values())
        while len(self._steps) < self._want:
            name = self._random.choices(names, weights)[0]
            make: Callable[[], None] = getattr(self, f"_{name}")
            make()
            if 0 < swap_at <= len(self._steps):
                self._add(Step("swap", pages=_SWAP_PAGES))
                swap_at = 0
        for process in self._running():
            for area in process.areas:
                self._steps.append(Step("read", process.number, area.number, *area.all))
        return tuple(self._steps)

    def _add(self, step: Step) -> None:
        self._steps.append(step)

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _process(self) -> Process | None:
        able = self._running()
        return self._random.choice(able) if able else None

    def _running(self) -> list[Process]:
        """Those no vfork child keeps waiting."""
        return [p for p in self._alive if not p.waits]

    def _some(self) -> tuple[Process, Area] | None:
        """A process and one of its areas."""
        able = [p for p in self._running() if p.areas]
        if not able:
            return None
        process = self._random.choice(able)
        return process, self._random.choice(process.areas)

    def _spawn(self) -> None:
        if len(self._alive) < MAX_PROCESSES:
            process = Process(self._number())
            self._alive.append(process)
            self._add(Step("spawn", makes=process.number))

    def _mmap(self) -> None:
        process = self._process()
        if process is None:
            self._spawn()
            return
        order = self._random.choice(self._orders)
        if self._random.random() < self._shares:
            self._mmap_file(process, order)
            return
        pages = self._size(order)
        area = Area(self._number(), pages)
        process.areas.append(area)
        self._add(Step("mmap", process.number, pages=pages, makes=area.number, order=order))
        if self._random.random() < 0.7:
            self._add(Step("write", process.number, area.number, 0, pages, value=self._value()))
        if self._merges and self._random.random() < 0.6:
            self._add(Step("madvise", process.number, area.number, 0, pages, advice="mergeable"))

    def _size(self, order: int) -> int:
        order = PMD_ORDER if self._about_files else order
        pages = self._random.choice((1 << order, 2 << order, 3 << order, self._random.randint(1, 40)))
        return min(max(pages, 1), 3 * _BLOCK) + self._random.choice((0, 0, 0, 1, 7))

    def _mmap_file(self, process: Process, order: int) -> None:
        """Shared anonymous memory, or a part of a file, shared or private."""
        area = Area(self._number(), self._size(order), shared=self._random.random() < 0.6, file=True)
        process.areas.append(area)
        step = Step("mmap", process.number, pages=area.pages, makes=area.number, order=order, shared=area.shared)
        if not area.shared or self._random.random() < 0.6:
            if not self._files or self._random.random() < 0.3:
                self._file(order)
            file, length, area.disk = self._random.choice(self._files)
            first = self._random.choice((0, 0, self._random.randrange(length), (length - 1) // _BLOCK * _BLOCK))
            area.pages = min(self._random.choice((area.pages, length)), length - first)
            step = replace(step, file=file, page=first, pages=area.pages)
        self._add(step)
        if self._random.random() < 0.5:
            touch = self._random.choice((Step("read"), Step("write", value=self._value())))
            self._add(replace(touch, process=process.number, area=area.number, pages=area.pages))

    def _mmap_over(self) -> None:
        """Other memory in the place of a part of an area."""
        found = self._some()
        if not found:
            return
        process, area = found
        at, pages = area.part(self._random)
        new = Area(self._number(), pages, shared=self._random.random() < 0.3)
        step = Step("mmap", process.number, area.number, pages=pages, makes=new.number, shared=new.shared, at=at)
        new.file = new.shared
        if self._files and self._random.random() < 0.4:
            file, length, new.disk = self._random.choice(self._files)
            first = self._random.choice((0, at % length, self._random.randrange(length)))
            new.pages, new.file = min(pages, length - first), True
            step = replace(step, file=file, page=first, pages=new.pages)
        self._add(step)
        process.areas.remove(area)
        behind = area.first + area.pages - at - new.pages
        for first, left in ((area.first, at - area.first), (at + new.pages, behind)):
            if left:
                process.areas.append(replace(area, first=first, pages=left))
        process.areas.append(new)
        if self._random.random() < 0.6:
            self._add(Step("write", process.number, new.number, 0, new.pages, value=self._value()))

    def _file(self, order: int) -> None:
        disk = self._random.random() < self._disk
        # Disk files are cached in folios of any order, whatever the kernel offers to anonymous memory.
        if disk:
            order = min(self._random.choice((order, self._random.randrange(PMD_ORDER + 1))), self._disk_order)
        number, pages = self._number(), self._size(order)
        self._files.append((number, pages, disk))
        self._add(Step("file", pages=pages, makes=number, order=order, kind="file" if disk else ""))

    def _truncate(self) -> None:
        """Let a file shrink or grow; most that shrank grow again soon, for what is beyond the end is of no use."""
        if not self._files:
            return
        at = self._random.randrange(len(self._files))
        _, pages, _ = self._files[at]
        block = min(_BLOCK, pages)
        new = self._random.choice((1, pages // 2 or 1, self._random.randint(1, pages), block, pages + 7, pages + block))
        self._resize(at, new)
        if new < pages and self._random.random() < 0.7:
            if self._random.random() < 0.4:
                self._on_range(self._random.choice((Step("read"), Step("madvise", advice="pageout"), Step("mlock"))))
            self._resize(at, self._random.choice((pages, pages, pages + 1)))

    def _resize(self, at: int, pages: int) -> None:
        number, _, disk = self._files[at]
        pages = min(pages, 4 * _BLOCK)
        self._files[at] = number, pages, disk
        self._add(Step("truncate", file=number, pages=pages))

    def _punch_hole(self) -> None:
        if self._files:
            number, pages, _ = self._random.choice(self._files)
            page, size = Area(number, pages).part(self._random)
            self._add(Step("punch_hole", file=number, page=page, pages=size))

    def _value(self) -> int:
        return self._random.choice(self._values)

    def _on_range(self, step: Step) -> None:
        found = self._some()
        if found:
            process, area = found
            page, pages = area.part(self._random)
            self._add(replace(step, process=process.number, area=area.number, page=page, pages=pages))

    def _write(self) -> None:
        self._on_range(Step("write", value=self._value()))

    def _read(self) -> None:
        self._on_range(Step("read"))

    def _peek(self) -> None:
        self._on_range(Step("peek"))

    def _poke(self) -> None:
        self._on_range(Step("poke", value=self._value()))

    def _read_direct(self) -> None:
        found = self._some()
        if found and self._has_disk:
            process, area = found
            page, pages = area.part(self._random)
            step = Step("read_direct", process.number, area.number, page, min(pages, MOST_DIRECT), value=self._value())
            self._add(step)

    def _migrate(self) -> None:
        self._on_range(Step("migrate", shared=self._random.random() < 0.5))

    def _mlock(self) -> None:
        self._on_range(Step("mlock"))

    def _munlock(self) -> None:
        self._on_range(Step("munlock"))

    def _thp_disable(self) -> None:
        if process := self._process():
            self._add(Step("thp_disable", process.number, disabled=self._random.random() < 0.5))

    def _khugepaged(self) -> None:
        if self._has_khugepaged:
            self._add(self._visit())

    def _visit(self) -> Step:
        """khugepaged with limits, seldom the kernel's own."""
        most = self._random.choice
        none, swap, shared = most((511, 511, 0, 255)), most((64, 64, 511, 0)), most((256, 256, 511, 0, 8))
        return Step("khugepaged", max_none=none, max_swap=swap, max_shared=shared)

    def _dontneed(self) -> None:
        self._on_range(Step("madvise", advice="dontneed"))

    def _mprotect(self) -> None:
        roll = self._random.random()
        self._on_range(Step("mprotect", writable=roll < 0.6, readable=roll < 0.9))

    def _ksm(self) -> None:
        if not self._merges:
            return
        match self._random.random():
            case roll if roll < 0.5:
                self._add(Step("merge"))
            case roll if roll < 0.8:
                self._on_range(Step("madvise", advice="mergeable"))
            case _:
                self._on_range(Step("madvise", advice="unmergeable"))

    def _cold(self) -> None:
        found = self._some()
        if found:
            process, area = found
            advice = self._random.choice(self._cold_advice)
            # Whoever collapses wants whole blocks.
            whole = advice == "collapse" and self._random.random() < 0.7
            page, pages = area.all if whole else area.part(self._random)
            step = Step("madvise", process.number, area.number, page, pages, advice=advice)
            self._add(replace(step, by=self._other(process) if self._random.random() < _BY_OTHERS else -1))

    def _other(self, process: Process) -> int:
        """The number of another process that can do something, -1 if there is none."""
        able = [other.number for other in self._running() if other is not process]
        return self._random.choice(able) if able else -1

    def _advice(self) -> None:
        advice = self._random.choice(
            (
                "dontfork",
                "dofork",
                "wipeonfork",
                "keeponfork",
                "populate_read",
                "populate_write",
                "hugepage",
                "nohugepage",
                "guard_install",
                "guard_remove",
            )
        )
        if "hugepage" not in advice:
            self._on_range(Step("madvise", advice=advice))
        elif found := self._some():
            process, area = found
            self._add(Step("madvise", process.number, area.number, *area.all, advice=advice))

    def _munmap(self) -> None:
        found = self._some()
        if found:
            process, area = found
            page, pages = area.part(self._random)
            self._add(Step("munmap", process.number, area.number, page, pages))
            if pages == area.pages:
                process.areas.remove(area)

    def _mremap(self) -> None:
        found = self._some()
        if not found:
            return
        process, area = found
        page, pages = area.part(self._random)
        how = self._random.choice(("move", "move", "dontunmap", "shrink", "grow"))
        step = Step("mremap", process.number, area.number, page, pages, new_pages=pages)
        if how in ("move", "dontunmap"):
            new = Area(self._number(), pages, area.shared, area.file, area.disk)
            if how == "move" and self._random.random() < 0.3:
                new.pages = self._resized(area, pages)
            process.areas.append(new)
            step = replace(step, makes=new.number, new_pages=new.pages)
            self._add(replace(step, move=how == "move", dontunmap=how == "dontunmap"))
            if how == "move" and pages == area.pages:
                process.areas.remove(area)
            if area.shared and self._random.random() < 0.4:
                new.pages = pages
                self._steps[-1] = replace(self._steps[-1], pages=0, new_pages=pages, move=False, dontunmap=False)
        elif how == "shrink" and pages > 1:
            left = self._random.randint(1, pages - 1)
            self._add(replace(step, new_pages=left))
            area.pages -= pages - left if page + pages == area.first + area.pages else 0
        elif how == "grow" and not area.file:
            more = self._random.choice((1, 16, _BLOCK))
            self._add(replace(step, page=area.first, pages=area.pages, new_pages=area.pages + more))
            area.pages += more

    def _resized(self, area: Area, pages: int) -> int:
        """How long `pages` pages of `area` shall be elsewhere: of a file no longer, for what lies beyond its end."""
        if area.file or self._random.random() < 0.5:
            return self._random.randint(1, pages)
        return pages + self._random.choice((1, 16, _BLOCK))

    def _fork(self) -> None:
        parent = self._process()
        if parent:
            self._fork_of(parent)

    def _fork_of(self, parent: Process) -> Process | None:
        if len(self._alive) >= MAX_PROCESSES:
            return None
        child = Process(self._number(), [replace(a) for a in parent.areas])
        self._alive.append(child)
        self._add(Step("fork", parent.number, makes=child.number))
        return child

    def _vfork(self) -> None:
        parent = self._process()
        if parent and len(self._alive) < MAX_PROCESSES:
            self._share(parent, "vfork").vforked = parent
            parent.waits = True
            if self._random.random() < 0.1:
                self._add(Step("exec", parent.number))

    def _clone_vm(self) -> None:
        parent = self._process()
        if parent and len(self._alive) < MAX_PROCESSES:
            self._share(parent, "clone_vm")

    def _share(self, parent: Process, do: Literal["vfork", "clone_vm"]) -> Process:
        child = Process(self._number(), parent.areas)
        self._alive.append(child)
        self._add(Step(do, parent.number, makes=child.number))
        return child

    def _leave(self, process: Process) -> None:
        """Out of the address space: a parent that waits for that goes on."""
        if process.vforked:
            process.vforked.waits, process.vforked = False, None

    def _exec(self) -> None:
        process = self._process()
        if process:
            self._leave(process)
            process.areas = []
            process.pins.clear()
            self._add(Step("exec", process.number))

    def _exit(self) -> None:
        if len(self._alive) > 1:
            self._end(self._random.choice(self._running()))

    def _end(self, process: Process) -> None:
        self._alive.remove(process)
        self._leave(process)
        self._add(Step("exit", process.number))

    def _pin(self) -> None:
        found = self._some()
        if found:
            process, area = found
            page, pages = area.part(self._random)
            number = self._number()
            process.pins.append(number)
            longterm = self._random.random() < 0.5
            size = min(pages, 64)
            self._add(Step("pin", process.number, area.number, page, size, makes=number, longterm=longterm))

    def _motif(self) -> None:
        """All of one motif, by one process and, where the motif forks, its child."""
        found = self._some()
        if not found:
            return
        owner, area = found
        part, child, pins = area.part(self._random), None, list(owner.pins)
        for move in self._random.choice(list(MOTIFS.values())):
            if self._random.random() >= move.chance:
                continue
            process = child if move.who else owner
            if process is None or process not in self._running():
                continue
            if move.do == "fork":
                child = self._fork_of(process) or child
            elif move.do == "exit":
                self._end(process)
            elif move.do == "unpin":
                for pin in [pin for pin in process.pins if pin not in pins]:
                    process.pins.remove(pin)
                    self._add(Step("unpin", process.number, pin=pin))
            elif move.do == "khugepaged":
                self._khugepaged()
            else:
                self._do(move, process, area, part)

    def _do(self, move: Move, process: Process, area: Area, part: tuple[int, int]) -> None:
        rest = (area.first + 1, area.pages - 1) if area.pages > 1 else (area.first, 1)
        page, pages = {"all": area.all, "part": part, "first": (area.first, 1), "rest": rest}[move.where]
        step = Step(move.do, process.number, area.number, page, pages, advice=move.advice, writable=move.writable)
        step = replace(step, shared=move.shared, longterm=move.longterm, readable=move.readable)
        step = replace(step, disabled=move.disabled)
        if move.do in ("write", "poke"):
            step = replace(step, value=self._value())
        if move.do == "pin":
            step = replace(step, makes=self._number(), pages=min(pages, 64))
            process.pins.append(step.makes)
        self._add(step)

    def _unpin(self) -> None:
        able = [p for p in self._running() if p.pins]
        if able:
            process = self._random.choice(able)
            pin = process.pins.pop(self._random.randrange(len(process.pins)))
            self._add(Step("unpin", process.number, pin=pin))
