"""Programs against the machine protocol, as data: what the differential test generates, runs, shrinks and prints.

For the differential test and its tests. Processes, areas, files and pins are named by numbers that the step that makes
them gives, so that a program stays meaningful when steps are taken out of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rmaplab.machine.protocol import PAGE_SIZE, BadOperation, File, Machine, Pin, Process

Do = Literal[
    "spawn",
    "file",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "read",
    "write",
    "fork",
    "exec",
    "exit",
    "pin",
    "unpin",
    "peek",
    "poke",
    "read_direct",
    "migrate",
    "merge",
    "vfork",
    "clone_vm",
    "swap",
    "mlock",
    "munlock",
    "uffd_wp",
    "thp_disable",
    "khugepaged",
    "truncate",
    "punch_hole",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. `process` does it to pages [page, page + pages) of `area`; `makes` is the number of the process
    (spawn, fork, vfork, clone_vm), area (mmap, mremap), file or pin that comes of it. An mmap with an `area` is one over
    that, from its page `at` on; `by` is the process that advises, if another one does. Lengths are in pages."""

    do: Do
    process: int = -1
    area: int = -1
    page: int = 0
    pages: int = 0
    makes: int = -1
    order: int = 0
    file: int = -1
    value: int = 0
    new_pages: int = 0
    advice: str = ""
    shared: bool = False
    writable: bool = False
    readable: bool = True
    move: bool = False
    dontunmap: bool = False
    kind: str = ""
    pin: int = -1
    longterm: bool = False
    at: int = 0
    disabled: bool = True
    protected: bool = True
    by: int = -1
    max_none: int = 511
    max_swap: int = 64
    max_shared: int = 256


Program = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a machine answered to one step: `refused` if it raised BadOperation, else whatever `value` is comparable."""

    refused: str = ""
    value: Any = None


class Unnamed(KeyError):
    """A step names something no step before it made (a shrunk program)."""


class Run:
    """One program on one machine, step by step."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.processes: dict[int, Process] = {}
        self.areas: dict[int, int] = {}
        self.files: dict[int, File] = {}
        self.pins: dict[int, Pin] = {}

    def steps(self, program: Sequence[Step]) -> Iterator[Result]:
        """Do the steps, yielding after each."""
        for step in program:
            yield self.do(step)

    def do(self, step: Step) -> Result:
        """Do one step. Raises Unnamed."""
        try:
            return Result(value=getattr(self, f"_{step.do}")(step))
        except BadOperation as bad:
            return Result(refused=bad.call)

    def _process(self, step: Step) -> Process:
        if step.process not in self.processes:
            raise Unnamed(f"{step.do}: process {step.process}")
        return self.processes[step.process]

    def _address(self, step: Step) -> int:
        if step.area not in self.areas:
            raise Unnamed(f"{step.do}: area {step.area}")
        return self.areas[step.area] + step.page * PAGE_SIZE

    def _spawn(self, step: Step) -> None:
        self.processes[step.makes] = self.machine.spawn()

    def _swap(self, step: Step) -> None:
        self.machine.swap(step.pages * PAGE_SIZE)

    def _file(self, step: Step) -> None:
        kind: Literal["file", "shmem"] = "file" if step.kind == "file" else "shmem"
        self.files[step.makes] = self.machine.file(step.pages * PAGE_SIZE, kind=kind, order=step.order)

    def _mmap(self, step: Step) -> int:
        process, file = self._process(step), self._own_file(step) if step.file >= 0 else None
        over = self._address(replace(step, page=step.at)) if step.area >= 0 else None
        about = {"order": step.order, "file": file, "offset": step.page * PAGE_SIZE, "shared": step.shared, "over": over}
        self.areas[step.makes] = process.mmap(step.pages * PAGE_SIZE, **about)  # type: ignore[arg-type]
        return self.areas[step.makes]

    def _munmap(self, step: Step) -> None:
        self._process(step).munmap(self._address(step), step.pages * PAGE_SIZE)

    def _mremap(self, step: Step) -> int:
        address = self._process(step).mremap(
            self._address(step),
            step.pages * PAGE_SIZE,
            step.new_pages * PAGE_SIZE,
            move=step.move,
            dontunmap=step.dontunmap,
        )
        if step.makes >= 0:
            self.areas[step.makes] = address
        return address

    def _mprotect(self, step: Step) -> None:
        self._process(step).mprotect(
            self._address(step), step.pages * PAGE_SIZE, writable=step.writable, readable=step.readable
        )

    def _madvise(self, step: Step) -> None:
        by = self._process(replace(step, process=step.by)) if step.by >= 0 else None
        advice: Any = step.advice
        self._process(step).madvise(self._address(step), step.pages * PAGE_SIZE, advice, by=by)

    def _read(self, step: Step) -> list[int]:
        values: list[int] = self._process(step).read(self._address(step), step.pages * PAGE_SIZE).tolist()
        return values

    def _write(self, step: Step) -> tuple[int, int]:
        written = self._process(step).write(self._address(step), step.pages * PAGE_SIZE, step.value)
        return written.reused, written.copied

    def _peek(self, step: Step) -> list[int]:
        values: list[int] = self._process(step).peek(self._address(step), step.pages * PAGE_SIZE).tolist()
        return values

    def _poke(self, step: Step) -> tuple[int, int]:
        written = self._process(step).poke(self._address(step), step.pages * PAGE_SIZE, step.value)
        return written.reused, written.copied

    def _read_direct(self, step: Step) -> tuple[int, int]:
        written = self._process(step).read_direct(self._address(step), step.pages * PAGE_SIZE, step.value)
        return written.reused, written.copied

    def _khugepaged(self, step: Step) -> None:
        self.machine.khugepaged(max_none=step.max_none, max_swap=step.max_swap, max_shared=step.max_shared)

    def _mlock(self, step: Step) -> None:
        self._process(step).mlock(self._address(step), step.pages * PAGE_SIZE)

    def _munlock(self, step: Step) -> None:
        self._process(step).munlock(self._address(step), step.pages * PAGE_SIZE)

    def _uffd_wp(self, step: Step) -> None:
        self._process(step).uffd_wp(self._address(step), step.pages * PAGE_SIZE, protected=step.protected)

    def _thp_disable(self, step: Step) -> None:
        self._process(step).thp_disable(step.disabled)

    def _migrate(self, step: Step) -> int:
        return self._process(step).migrate(self._address(step), step.pages * PAGE_SIZE, shared=step.shared)

    def _fork(self, step: Step) -> None:
        self.processes[step.makes] = self._process(step).fork()

    def _vfork(self, step: Step) -> None:
        self.processes[step.makes] = self._process(step).vfork()

    def _clone_vm(self, step: Step) -> None:
        self.processes[step.makes] = self._process(step).clone_vm()

    def _exec(self, step: Step) -> None:
        self._process(step).exec()

    def _exit(self, step: Step) -> None:
        self._process(step).exit()

    def _pin(self, step: Step) -> None:
        self.pins[step.makes] = self._process(step).pin(
            self._address(step), step.pages * PAGE_SIZE, longterm=step.longterm
        )

    def _truncate(self, step: Step) -> None:
        self.machine.truncate(self._own_file(step), step.pages * PAGE_SIZE)

    def _punch_hole(self, step: Step) -> None:
        self.machine.punch_hole(self._own_file(step), step.page * PAGE_SIZE, step.pages * PAGE_SIZE)

    def _own_file(self, step: Step) -> File:
        if step.file not in self.files:
            raise Unnamed(f"{step.do}: file {step.file}")
        return self.files[step.file]

    def _merge(self, _step: Step) -> None:
        self.machine.merge()

    def _unpin(self, step: Step) -> None:
        if step.pin not in self.pins:
            raise Unnamed(f"unpin: pin {step.pin}")
        self._process(step).unpin(self.pins[step.pin])
