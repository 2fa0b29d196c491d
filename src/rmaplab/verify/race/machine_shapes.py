"""The well-known shapes in the machines' own words: as assembly for herd7, and as threads for the engine.

For tests/race, `make litmus` and whoever wants to hold models.py against a published model: what the engine says of the
threads is what herd7 says of the assembly with its own cat file. Both are made from one list of accesses and links. A
link is what orders a thread's second access behind its first, if anything does.
"""

import itertools
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rmaplab.verify.race.engine import Row
from rmaplab.verify.race.herd import observed
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.shapes import SHAPES, Access
from rmaplab.verify.race.threads import Operation, Outcome, Registers, explore

_PLACES: Final = ("x", "y", "z")


@dataclass(frozen=True)
class Machine:
    """How one model's machine is written.

    `header`, `cat`: herd7's name of the assembly, and its file of the model. `links` by the kinds of the two accesses.
    `fences`: instructions of links that stand between. `marked`: links that change an access, with its side (0 or 1) and
    its word; `rows`: what the engine makes of a word, `atomic`: words that exchange. `address`, `register`: of the k-th
    location and the i-th read. `write` and `read` are given the word, and whether the zero that `zero` has computed from
    the first read is to be part of address or value. `branch`: to the next line, by the first read.
    """

    model: str
    header: str
    cat: str
    links: Mapping[str, tuple[str, ...]]
    fences: Mapping[str, str]
    marked: Mapping[str, tuple[tuple[int, str], ...]]
    rows: Mapping[str, Row]
    address: Callable[[int], str]
    register: Callable[[int], str]
    write: Callable[[str, str, str, int], list[str]]
    read: Callable[[str, str, str, str], list[str]]
    zero: Callable[[str], list[str]]
    branch: tuple[str, ...]
    atomic: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MachineShape:
    """A shape with its links: its name, the text for herd7, and what the engine runs."""

    name: str
    machine: Machine
    threads: tuple[tuple[Access, ...], ...]
    links: tuple[str, ...]
    finals: tuple[tuple[str, int], ...]

    def allowed(self) -> bool:
        """Can the outcome be, by our model?"""
        tags = MODELS[self.machine.model].tags
        fences = {link: Row(before=(link,) if link in tags else ()) for link in self.machine.fences}
        rows = {**self.machine.rows, **fences}
        bodies = [_running(self.machine, *pair) for pair in zip(self.threads, self.links, strict=True)]
        found = explore(MODELS[self.machine.model], rows, (0,) * len(_PLACES), bodies, self._is_outcome)
        if found.error or found.timed_out:
            raise RuntimeError(f"{self.name}: {found.error or 'out of time'}")
        return found.broken[0] > 0

    def _is_outcome(self, outcome: Outcome) -> bool:
        reads = all(
            registers.get(f"r{i}", access[2]) == access[2]
            for thread, registers in zip(self.threads, outcome.registers, strict=True)
            for i, access in enumerate(thread)
        )
        return reads and all(outcome.memory[_PLACES.index(place)] == value for place, value in self.finals)

    def text(self) -> str:
        """The litmus file."""
        m = self.machine
        columns = [_assembly(m, n, *pair) for n, pair in enumerate(zip(self.threads, self.links, strict=True))]
        height = max(map(len, columns))
        rows = [[f"P{n}", *column, *[""] * (height - len(column))] for n, column in enumerate(columns)]
        width = max(len(cell) for row in rows for cell in row)
        lines = [" " + " | ".join(cell.ljust(width) for cell in cells) + " ;" for cells in zip(*rows, strict=True)]
        start = [
            f"{n}:{m.address(k)}={p};"
            for n in range(len(columns))
            for k, p in enumerate(_PLACES)
            if m.address(k)[0] != "["
        ]
        wanted = [
            f"{n}:{m.register(i).replace('W', 'X')}={access[2]}"  # Armv8: a condition names the whole register
            for n, thread in enumerate(self.threads)
            for i, access in enumerate(thread)
            if access[0] == "R"
        ]
        wanted += [f"{place}={value}" for place, value in self.finals]
        condition = " /\\ ".join(wanted)
        return "\n".join((f"{m.header} {self.name}", f"{{ {' '.join(start)} }}", *lines, f"exists ({condition})", ""))


def _word(machine: Machine, link: str, side: int, kind: str) -> str:
    """The word in `rows` of an access."""
    return dict(machine.marked.get(link, ())).get(side, {"R": "load", "W": "store"}[kind])


def _running(
    machine: Machine, accesses: Sequence[Access], link: str
) -> Callable[[], Generator[Operation, int | None, Registers]]:
    def thread() -> Generator[Operation, int | None, Registers]:
        registers: dict[str, int] = {}
        before: frozenset[int] = frozenset()
        for i, (kind, place, value) in enumerate(accesses):
            word, how = _word(machine, link, i, kind), link.split("-", maxsplit=1)[0] if i else ""
            addr, data, ctrl = (before if how == name else frozenset() for name in ("addr", "data", "ctrl"))
            if i and (fence := link.removeprefix("ctrl-")) in machine.fences:
                yield Operation("fence", fence, ctrl=ctrl)
            what = {"R": "read", "W": "rmw" if word in machine.atomic else "write"}[kind]
            stored = value if kind == "W" else 0
            got = yield Operation(what, word, _PLACES.index(place), stored, 0, "put", addr, data, ctrl)
            if kind == "R":
                assert got is not None
                registers[f"r{i}"] = got
                before = frozenset({0})
        return registers

    return thread


def _assembly(machine: Machine, number: int, accesses: Sequence[Access], link: str) -> list[str]:
    lines: list[str] = []
    for i, (kind, place, value) in enumerate(accesses):
        address, index, number_from = machine.address(_PLACES.index(place)), "", ""
        if i and link.startswith("ctrl"):
            lines += [line.format(r=machine.register(0), n=number) for line in machine.branch]
        if i and (fence := link.removeprefix("ctrl-")) in machine.fences:
            lines.append(machine.fences[fence])
        if i and link in ("addr", "data"):
            lines += machine.zero(machine.register(0))
            index, number_from = ("zero", "") if link == "addr" else ("", "zero")
        word = _word(machine, link, i, kind)
        if kind == "R":
            lines += machine.read(word, machine.register(i), address, index)
        else:
            lines += machine.write(word, address, index or (number_from and f"+{number_from}"), value)
    return lines


# Armv8. Addresses in X10 on, reads in W0 and W1; W5 is a number to store, W6 the zero.
def _arm_write(word: str, address: str, extra: str, value: int) -> list[str]:
    number = f"ADD W5,W6,#{value}" if extra == "+zero" else f"MOV W5,#{value}"
    place = f"[{address},W6,SXTW]" if extra == "zero" else f"[{address}]"
    return [number, f"{'STLR' if word == 'stlr' else 'STR'} W5,{place}"]


def _arm_read(word: str, register: str, address: str, index: str) -> list[str]:
    place = f"[{address},W6,SXTW]" if index else f"[{address}]"
    instruction = {"load": "LDR", "ldar": "LDAR", "ldapr": "LDAPR"}[word]
    return [f"{instruction} {register},{place}"]


# RISC-V. Addresses in x10 on, reads in x5 and x6; x7 is a number, x28 the zero, x29 an address with it.
def _riscv_write(word: str, address: str, extra: str, value: int) -> list[str]:
    number = f"ori x7,{'x28' if extra == '+zero' else 'x0'},{value}"
    if extra == "zero":
        return [number, f"add x29,x28,{address}", "sw x7,0(x29)"]
    return [number, f"amoswap.w.rl x0,x7,({address})" if word == "amo.rl" else f"sw x7,0({address})"]


def _riscv_read(_word: str, register: str, address: str, index: str) -> list[str]:
    return [f"add x29,x28,{address}", f"lw {register},0(x29)"] if index else [f"lw {register},0({address})"]


# Power. Addresses in r10 on, reads in r1 and r2; r5 is a number, r6 the zero.
def _power_write(_word: str, address: str, extra: str, value: int) -> list[str]:
    number = f"addi r5,r6,{value}" if extra == "+zero" else f"li r5,{value}"
    return [number, f"stwx r5,r6,{address}" if extra == "zero" else f"stw r5,0({address})"]


def _power_read(_word: str, register: str, address: str, index: str) -> list[str]:
    return [f"lwzx {register},r6,{address}" if index else f"lwz {register},0({address})"]


# x86. Reads in EAX and EBX; ECX is a number, EDX the zero.
def _x86_write(word: str, address: str, extra: str, value: int) -> list[str]:
    number = ["MOV ECX,EDX", f"ADD ECX,${value}"] if extra == "+zero" else [f"MOV ECX,${value}"]
    if word == "xchg":
        return [*number, f"XCHG {address},ECX"]
    return [*number, f"MOV {address},ECX"] if extra == "+zero" else [f"MOV {address},${value}"]


def _x86_read(_word: str, register: str, address: str, _index: str) -> list[str]:
    return [f"MOV {register},{address}"]


_X86: Final = Machine(
    "tso",
    "X86",
    "x86tso.cat",
    {
        "WW": ("po", "MFENCE", "xchg-first", "xchg-second", "xchg-both"),
        "WR": ("po", "MFENCE", "xchg-first"),
        "RW": ("po", "MFENCE", "xchg-second", "data", "ctrl"),
        "RR": ("po", "MFENCE", "ctrl"),
    },
    {"MFENCE": "MFENCE"},
    {"xchg-first": ((0, "xchg"),), "xchg-second": ((1, "xchg"),), "xchg-both": ((0, "xchg"), (1, "xchg"))},
    {"load": Row(), "store": Row(), "xchg": Row()},
    lambda k: f"[{_PLACES[k]}]",
    lambda i: ("EAX", "EBX")[i],
    _x86_write,
    _x86_read,
    lambda register: [f"MOV EDX,{register}", f"XOR EDX,{register}"],
    ("CMP {r},$1", "JNE LC{n}", "LC{n}:"),
    frozenset({"xchg"}),
)
_ARM: Final = Machine(
    "armv8",
    "AArch64",
    "aarch64.cat",
    {
        "WW": ("po", "DMB", "DMB.ST", "DMB.LD", "stlr"),
        "WR": ("po", "DMB", "DMB.ST", "DMB.LD", "stlr-ldar"),
        "RW": ("po", "DMB", "DMB.LD", "stlr", "ldar", "data", "addr", "ctrl"),
        "RR": ("po", "DMB", "DMB.LD", "ldar", "ldapr", "addr", "ctrl", "ctrl-ISB"),
    },
    {"DMB": "DMB SY", "DMB.ST": "DMB ST", "DMB.LD": "DMB LD", "ISB": "ISB"},
    {"stlr": ((1, "stlr"),), "stlr-ldar": ((0, "stlr"), (1, "ldar")), "ldar": ((0, "ldar"),), "ldapr": ((0, "ldapr"),)},
    {"load": Row(), "store": Row(), "ldar": Row(("A",)), "ldapr": Row(("Q",)), "stlr": Row((), ("L",))},
    lambda k: f"X{10 + k}",
    lambda i: f"W{i}",
    _arm_write,
    _arm_read,
    lambda register: [f"EOR W6,{register},{register}"],
    ("CBNZ {r},LC{n}", "LC{n}:"),
)
_RISCV: Final = Machine(
    "riscv",
    "RISCV",
    "riscv.cat",
    {
        "WW": ("po", "Fence.rw.rw", "Fence.w.w", "Fence.rw.w", "Fence.tso", "amo.rl"),
        "WR": ("po", "Fence.rw.rw", "Fence.tso"),
        "RW": ("po", "Fence.rw.rw", "Fence.rw.w", "Fence.r.rw", "Fence.tso", "amo.rl", "data", "addr", "ctrl"),
        "RR": ("po", "Fence.rw.rw", "Fence.r.rw", "Fence.r.r", "Fence.tso", "addr", "ctrl"),
    },
    {
        **{
            f"Fence.{before}.{behind}": f"fence {before},{behind}"
            for before, behind in itertools.product(("rw", "r", "w"), repeat=2)
        },
        "Fence.tso": "fence.tso",
    },
    {"amo.rl": ((1, "amo.rl"),)},
    {"load": Row(), "store": Row(), "amo.rl": Row(("AMO",), ("AMO", "Rel"))},
    lambda k: f"x{10 + k}",
    lambda i: f"x{5 + i}",
    _riscv_write,
    _riscv_read,
    lambda register: [f"xor x28,{register},{register}"],
    ("bne {r},x0,LC{n}", "LC{n}:"),
    frozenset({"amo.rl"}),
)
_POWER: Final = Machine(
    "power",
    "PPC",
    "ppc.cat",
    {
        "WW": ("po", "SYNC", "LWSYNC"),
        "WR": ("po", "SYNC", "LWSYNC"),
        "RW": ("po", "SYNC", "LWSYNC", "data", "addr", "ctrl"),
        "RR": ("po", "SYNC", "LWSYNC", "addr", "ctrl", "ctrl-ISYNC"),
    },
    {"SYNC": "sync", "LWSYNC": "lwsync", "ISYNC": "isync"},
    {},
    {"load": Row(), "store": Row()},
    lambda k: f"r{10 + k}",
    lambda i: f"r{1 + i}",
    _power_write,
    _power_read,
    lambda register: [f"xor r6,{register},{register}"],
    ("cmpw {r},{r}", "beq LC{n}", "LC{n}:"),
)
_SC: Final = Machine(**{**_X86.__dict__, "model": "sc", "cat": "sc.cat"})
MACHINES: Final[Mapping[str, Machine]] = MappingProxyType({m.model: m for m in (_SC, _X86, _ARM, _RISCV, _POWER)})


def machine_shapes(machine: Machine) -> Iterator[MachineShape]:
    """All shapes with all links, in a fixed order."""
    for name, (threads, finals) in SHAPES.items():
        kinds = ("".join(access[0] for access in thread) for thread in threads)
        for links in itertools.product(*(machine.links.get(kind, ("",)) for kind in kinds)):
            full = "+".join((name, *(link for link in links if link)))
            yield MachineShape(full, machine, threads, links, finals)


def main(words: Sequence[str]) -> int:
    """`python -m rmaplab.verify.race.machine_shapes DIR`: write the files there, ask herd7. 1 if it differs on one."""
    if len(words) != 1:
        print("python -m rmaplab.verify.race.machine_shapes DIR", file=sys.stderr)
        return 2
    differ = 0
    for name, machine in MACHINES.items():
        folder = Path(words[0]) / name
        folder.mkdir(parents=True, exist_ok=True)
        ours = {shape.name: shape.allowed() for shape in machine_shapes(machine)}
        for shape in machine_shapes(machine):
            (folder / f"{shape.name}.litmus").write_text(shape.text())
        theirs = observed(("-model", machine.cat), sorted(folder.glob("*.litmus")))
        if theirs is None:
            print("herd7: is not installed (Debian: herdtools7)", file=sys.stderr)
            return 3
        wrong = [
            shape
            for shape, allowed in ours.items()
            if theirs.get(shape) not in ({"Sometimes", "Always"} if allowed else {"Never"})
        ]
        print(f"{name}: {len(ours)} shapes, {sum(ours.values())} allowed, {len(wrong)} differ {' '.join(wrong[:5])}")
        differ += len(wrong)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
