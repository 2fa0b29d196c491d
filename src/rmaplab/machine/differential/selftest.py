"""A program as one C file, in the style of the kernel's selftests: needs a compiler and root, not rmaplab.

For mismatch reports. The model plays the program and says what should come out, step by step: bytes read, pages copied,
refusals; and at the end what pagemap and kpageflags should say of every page. The C program exits with 0 if this kernel
agrees, 1 if it does not, 4 if it cannot be run here. How a page that is part of a large folio is marked AnonExclusive
and what was recorded as a question no C program sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final

import numpy as np

from rmaplab.machine.differential.program import Program, Result, Run, Step, Unnamed
from rmaplab.machine.model import KernelPolicy, ModelMachine
from rmaplab.machine.observation import PRESENT, UNKNOWN, Observation
from rmaplab.machine.protocol import PAGE_SIZE, PMD_ORDER

_PARTS: Final = ("look.h", "world.h")
_UNPRINTABLE: Final = {
    "vfork": "a process in the address space of another",
    "clone_vm": "a process in the address space of another",
    "merge": "the KSM scanner",
    "swap": "a swap device",
    "khugepaged": "khugepaged",
    "thp_disable": "a process that gets no THPs",
    "read_direct": "a file for direct reads",
}
_ADVICE: Final = {
    "mergeable": "MADV_MERGEABLE",
    "unmergeable": "MADV_UNMERGEABLE",
    "dontfork": "MADV_DONTFORK",
    "dofork": "MADV_DOFORK",
    "wipeonfork": "MADV_WIPEONFORK",
    "keeponfork": "MADV_KEEPONFORK",
    "populate_read": "MADV_POPULATE_READ",
    "populate_write": "MADV_POPULATE_WRITE",
    "hugepage": "MADV_HUGEPAGE",
    "nohugepage": "MADV_NOHUGEPAGE",
    "dontneed": "MADV_DONTNEED",
    "free": "MADV_FREE",
    "cold": "MADV_COLD",
    "pageout": "MADV_PAGEOUT",
    "collapse": "MADV_COLLAPSE",
    "guard_install": "MADV_GUARD_INSTALL",
    "guard_remove": "MADV_GUARD_REMOVE",
}
_SYSTEM_CALLS: Final = ("munmap", "mremap", "mprotect", "madvise")
"""Operations whose refusal is the kernel's own."""
_REFUSED_FIRST: Final = ("populate_read", "populate_write", "guard_install")
"""Advice that machines refuse where the kernel would take it, or do a part of it."""
_FAULTING: Final = ("read", "write", "peek", "poke", "pin")
_MARKS: Final = 4096
"""How many pages world.h can compare between processes."""

_HEAD: Final = """/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * {why}
 *
 * Expected is what rmaplab's model of {kernel} says. Build and run as root:
 *	gcc -O2 -o world world.c && ./world
 * Exit code 0: this kernel behaves so; 1: otherwise; 4: it cannot be run here.
 */
"""


class Unprintable(Exception):
    """This program has no C program: says what it needs that has none."""


@dataclass(frozen=True, slots=True)
class _Area:
    """What a process was promised of one of its areas."""

    order: int
    backing: str
    shared: bool
    advised: bool = False

    def faults(self) -> tuple[str, str]:
        """What stands before and behind an access that may fault."""
        if not (self.order or self.advised or self.backing == "disk"):
            return "", ""
        knob = {"anon": "enabled", "shmem": "shmem_enabled", "disk": ""}[self.backing]
        return f'faults("{knob}", {self.order or PMD_ORDER}); ', " faults_over();"


def program_in_c(program: Program, kernel: str | KernelPolicy, why: str) -> str:
    """The text of the C program. Raises Unprintable."""
    with ModelMachine(kernel) as machine:
        printer = _Printer(machine)
        body = [line for step in program for line in printer.step(step)]
        table = list(printer.world())
        name = machine.policy.name
    parts = [files("rmaplab.machine.differential").joinpath("c", part).read_text("utf-8") for part in _PARTS]
    return "\n".join(
        [
            _HEAD.format(why=why.replace("*/", "* /"), kernel=name),
            *parts,
            "static const struct pages expected[] = {",
            *(f"\t{row}," for row in table),
            "\t{ .count = 0 },",
            "};",
            "",
            "int main(int argc, char **argv)",
            "{",
            "\t(void)argc;",
            "\tworld_begin(argv);",
            *(f"\t{line}" for line in (*printer.files, *body)),
            "\tfor (int i = 0; expected[i].count; i++)",
            "\t\tBY(expected[i].process)",
            "\t\t\tlook_at(&expected[i]);",
            "\treturn world_end();",
            "}",
            "",
        ]
    )


class _Printer:
    """Plays a program on the model and says each step in C."""

    def __init__(self, machine: ModelMachine) -> None:
        self._machine, self._run = machine, Run(machine)
        self._areas: dict[tuple[int, int], _Area] = {}
        self._files: dict[int, tuple[str, int]] = {}
        self._locks = False
        self.files: list[str] = []
        """Lines that make the files, for before the first process."""

    def step(self, step: Step) -> Iterator[str]:
        """Do one step on the model; the lines that do it in C."""
        if step.by >= 0:
            raise Unprintable("it needs a process that advises for another")
        if step.do in _UNPRINTABLE:
            raise Unprintable(f"it needs {_UNPRINTABLE[step.do]}")
        before = self._machine.observation()
        whole = self._mapped_whole(step, before)
        try:
            answer = self._run.do(step)
        except Unnamed:
            return
        if answer.refused and not (step.do in _SYSTEM_CALLS and whole and step.advice not in _REFUSED_FIRST):
            return  # by the machine itself, which asks for more than the kernel does
        yield from getattr(self, f"_{step.do}")(step, answer, before)

    def _mapped_whole(self, step: Step, seen: Observation) -> bool:
        """Whether every page of the step's range is mapped."""
        if step.process not in self._run.processes or step.area not in self._run.areas:
            return False
        return len(self._rows(step, seen)) == step.pages

    def _rows(self, step: Step, seen: Observation) -> np.ndarray:
        """Rows of the pages of the step's range."""
        mm, first = self._run.processes[step.process].mm, self._run.areas[step.area] + step.page * PAGE_SIZE
        here = (seen.mm == mm) & (seen.address >= first) & (seen.address < first + step.pages * PAGE_SIZE)
        return np.flatnonzero(here)

    def _at(self, step: Step) -> str:
        return f"{self._run.areas[step.area] + step.page * PAGE_SIZE:#x}"

    def _by(self, step: Step, text: str) -> str:
        return f"BY({step.process}) {text}"

    def _spawn(self, step: Step, *_: object) -> Iterator[str]:
        yield f"BY(0) child({step.makes});"

    def _fork(self, step: Step, *_: object) -> Iterator[str]:
        self._inherit(step.process, step.makes)
        yield self._by(step, f"child({step.makes});")

    def _inherit(self, parent: int, child: int) -> None:
        for (process, area), what in list(self._areas.items()):
            if process == parent:
                self._areas[child, area] = what

    def _exit(self, step: Step, *_: object) -> Iterator[str]:
        yield f"LEAVE({step.process});"

    def _exec(self, step: Step, *_: object) -> Iterator[str]:
        yield self._by(step, "anew();")

    def _file(self, step: Step, *_: object) -> Iterator[str]:
        if step.kind == "file":
            raise Unprintable("it needs files of a disk file system")
        self._files[step.makes] = ("shmem", step.order)
        made = f"world_file({len(self.files)}, {step.pages} * PAGE)"
        self.files.append(f"int file{step.makes} = {made};\n\t(void)file{step.makes};")  # it may be that none maps it
        yield from ()

    def _truncate(self, step: Step, *_: object) -> Iterator[str]:
        yield f'BY(0) agree(ftruncate(file{step.file}, {step.pages} * PAGE) == 0, "ftruncate should not be refused");'

    def _punch_hole(self, step: Step, *_: object) -> Iterator[str]:
        where = f"FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, {step.page} * PAGE, {step.pages} * PAGE"
        yield f'BY(0) agree(fallocate(file{step.file}, {where}) == 0, "fallocate should not be refused");'

    def _mmap(self, step: Step, *_: object) -> Iterator[str]:
        backing, order = self._files.get(step.file, ("shmem" if step.shared else "anon", 0))
        below = self._areas.get((step.process, step.area))
        area = _Area(below.order if below else step.order or order, backing, step.shared)
        self._areas[step.process, step.makes] = area
        flags = "MAP_FIXED" if below else "MAP_FIXED_NOREPLACE"
        flags += " | MAP_SHARED" if step.shared else " | MAP_PRIVATE"
        fd = f"file{step.file}" if step.file >= 0 else "-1"
        flags += "" if step.file >= 0 else " | MAP_ANONYMOUS"
        advice = "MADV_HUGEPAGE" if area.order else "0"
        where = f"{self._run.areas[step.makes]:#x}, {step.pages} * PAGE"
        yield self._by(step, f"map({where}, {flags}, {fd}, {step.page} * PAGE, {advice});")

    def _refusable(self, step: Step, answer: Result, call: str) -> str:
        name = step.advice or step.do
        if answer.refused:
            return self._by(step, f'agree({call} == -1, "{name} should be refused");')
        return self._by(step, f'agree({call} != -1, "{name} should not be refused");')

    def _mlock(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        self._locks = True
        call = self._refusable(step, answer, f"mlock((void *){self._at(step)}, {step.pages} * PAGE)").partition(" ")[2]
        yield self._touch(step, call)

    def _uffd_wp(self, step: Step, *_: object) -> Iterator[str]:
        yield self._by(step, f"track({self._at(step)}, {step.pages} * PAGE, {int(step.protected)});")

    def _munlock(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        yield self._refusable(step, answer, f"munlock((void *){self._at(step)}, {step.pages} * PAGE)")

    def _munmap(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        yield self._refusable(step, answer, f"munmap((void *){self._at(step)}, {step.pages} * PAGE)")

    def _mprotect(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        protection = "PROT_READ | PROT_WRITE" if step.writable else "PROT_READ" if step.readable else "PROT_NONE"
        line = self._refusable(step, answer, f"mprotect((void *){self._at(step)}, {step.pages} * PAGE, {protection})")
        # What is locked and becomes writable is faulted in.
        yield self._touch(step, line.partition(" ")[2]) if self._locks else line

    def _mremap(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        if answer.refused:
            return
        flags = "0, 0"
        if step.makes >= 0 and answer.value is not None:
            self._areas[step.process, step.makes] = self._areas[step.process, step.area]
        if step.move or step.dontunmap or not step.pages:
            words = ["MREMAP_MAYMOVE", "MREMAP_FIXED", *(["MREMAP_DONTUNMAP"] if step.dontunmap else [])]
            flags = f"{' | '.join(words)}, {answer.value:#x}"
        call = f"(long)mremap((void *){self._at(step)}, {step.pages} * PAGE, {step.new_pages} * PAGE, {flags})"
        yield self._refusable(step, answer, call)

    def _madvise(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        area = self._areas[step.process, step.area]
        if step.advice in ("hugepage", "nohugepage"):
            self._areas[step.process, step.area] = replace(area, advised=step.advice == "hugepage")
        ahead, behind = "", ""
        if step.advice in ("populate_read", "populate_write"):
            ahead, behind = area.faults()
        if step.advice == "collapse":
            knob = 'knob("/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled", "inherit"); '
            ahead = 'faults("", 0); ' + (knob if area.backing == "shmem" else "")
            behind = " faults_over();"
        call = f"madvise((void *){self._at(step)}, {step.pages} * PAGE, {_ADVICE[step.advice]})"
        line = self._refusable(step, answer, call).partition(" ")[2]
        yield self._by(step, f"{{ {ahead}{line}{behind} }}")

    def _touch(self, step: Step, call: str) -> str:
        ahead, behind = self._areas[step.process, step.area].faults()
        return self._by(step, f"{{ {ahead}{call}{behind} }}")

    def _read(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        text = "".join(f"\\{value:03o}" for value in answer.value)
        outside = int(step.do == "peek")
        want = f'(const unsigned char *)"{text}"'
        yield self._touch(step, f"read_pages({self._at(step)}, {want}, {step.pages}, {outside});")

    _peek = _read

    def _write(self, step: Step, _: Result, before: Observation) -> Iterator[str]:
        moved = self._moved(step, before, self._machine.observation())
        force = int(step.do == "poke")
        yield self._touch(step, f"write_pages({self._at(step)}, {step.pages}, {step.value}, {force}, {moved});")

    _poke = _write

    def _moved(self, step: Step, before: Observation, after: Observation) -> int:
        """Pages of the step that were there before and are in other frames now."""
        rows = [(seen, self._rows(step, seen)) for seen in (before, after)]
        frames = [np.where(seen.head[here] == UNKNOWN, UNKNOWN, seen.frame[here]) for seen, here in rows]
        return int(((frames[0] != UNKNOWN) & (frames[0] != frames[1])).sum())

    def _pin(self, step: Step, answer: Result, *_: object) -> Iterator[str]:
        call = "hold_longterm" if step.longterm else "hold"
        yield self._touch(step, f"{call}({step.makes % 64}, {self._at(step)}, {step.pages} * PAGE);")

    def _unpin(self, step: Step, *_: object) -> Iterator[str]:
        yield self._by(step, f"let_go({step.pin % 64});")

    def _migrate(self, step: Step, *_: object) -> Iterator[str]:
        yield self._by(step, f"migrate({self._at(step)}, {step.pages} * PAGE, {int(step.shared)});")

    def world(self) -> Iterator[str]:
        """Rows of the table of what every page should be, in runs."""
        seen = self._machine.observation()
        whose = {process.mm: number for number, process in self._run.processes.items() if process.alive}
        marks = _marks(seen)
        columns = (seen.mm, seen.state, seen.order, seen.pmd_mapped, seen.kind, seen.mmap_exclusive, seen.uffd_wp)
        steady = np.ones(len(seen), np.bool_)
        for column in columns:
            steady[1:] &= column[1:] == column[:-1]
        steady[1:] &= seen.address[1:] == seen.address[:-1] + PAGE_SIZE
        steady[1:] &= np.where(marks[1:] < 0, marks[:-1] < 0, marks[1:] == marks[:-1] + 1)
        steady[:1] = False
        starts = np.flatnonzero(~steady)
        for start, after in zip(starts, [*starts[1:], len(seen)][: len(starts)], strict=True):
            mm, state, order, pmd, kind, exclusive, tracked = (int(column[start]) for column in columns)
            if state != PRESENT:
                order = pmd = kind = exclusive = UNKNOWN
            where = f"{whose[mm]}, {int(seen.address[start]):#x}, {after - start}"
            yield f"{{ {where}, {state}, {order}, {pmd}, {kind}, {exclusive}, {tracked}, {int(marks[start])} }}"


def _marks(seen: Observation) -> np.ndarray:
    """Numbers for frames that are mapped more than once, in the order of their first row; -1 for the others."""
    marks = np.full(len(seen), UNKNOWN)
    folio = np.flatnonzero((seen.state == PRESENT) & (seen.head != UNKNOWN))
    _, first, which, times = np.unique(seen.frame[folio], return_index=True, return_inverse=True, return_counts=True)
    several = np.flatnonzero(times > 1)
    numbers = np.full(len(first), UNKNOWN)
    numbers[several[np.argsort(first[several])]] = np.arange(len(several))
    marks[folio] = numbers[which]
    return np.where(marks < _MARKS, marks, UNKNOWN)
