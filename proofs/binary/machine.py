"""x86-64 machine code as formulas: what a compiled function leaves in memory and returns, for all inputs at once.

For the checks of proofs/binary. VEX (pyvex, Valgrind's translator) says what each instruction does; here that becomes
z3 bit-vectors, for the few operations that compiled headers use; anything else raises `UnknownError`.
First memory and arguments are given, unknowns as variables; then the function runs, one state for each way a branch
can go; states that meet at one address may be merged into one; the end states are the answer.
Not: concurrency. Between two steps nothing changes; a lock is free and a compare-exchange succeeds.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import archinfo
import pyvex
import z3
from elftools.elf.elffile import ELFFile
from polynomials import multiplies

ARCH = archinfo.ArchAMD64()
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8")
STACK = 0x7FFF_0000_0000
RETURN = 0xDEAD_0000
STEPS = 4000
"""Blocks a function may run through: its loops end, or `UnknownError`."""

_COMPARES = {
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
    "LTU": z3.ULT,
    "LEU": z3.ULE,
    "LTS": lambda a, b: a < b,
    "LES": lambda a, b: a <= b,
}
_ARITHMETIC = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "And": lambda a, b: a & b,
    "Or": lambda a, b: a | b,
    "Xor": lambda a, b: a ^ b,
    "Shl": lambda a, b: a << b,
    "Shr": z3.LShR,
    "Sar": lambda a, b: a >> b,
}


class UnknownError(Exception):
    """An instruction, an address or a loop that this machine does not do."""


@dataclass(frozen=True)
class Binary:
    """A shared object: its bytes as loaded at 0, and where each name of its own is."""

    image: bytes
    names: dict[str, int]

    def table(self, name: str, fields: tuple[str, ...]) -> dict[str, int]:
        """An array of 64-bit numbers, one for each of `fields`."""
        at = self.names[name]
        return {f: int.from_bytes(self.image[at + 8 * i : at + 8 * i + 8], "little") for i, f in enumerate(fields)}


def compiled(source: Path, into: Path, *options: str) -> Binary:
    """`source` compiled by gcc -O2 with `options`; raises CalledProcessError."""
    command = [
        "gcc",
        "-O2",
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-fcf-protection=none",
        *options,
        str(source),
        "-o",
        str(into),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    with into.open("rb") as file:
        elf = ELFFile(file)
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        image = bytearray(max(s["p_vaddr"] + s["p_memsz"] for s in segments))
        for s in segments:
            image[s["p_vaddr"] : s["p_vaddr"] + s["p_filesz"]] = s.data()
        for section in elf.iter_sections():
            if section["sh_type"] == "SHT_RELA":
                for entry in section.iter_relocations():
                    # A pointer into the object itself, as the tables of addresses hold it.
                    symbols = elf.get_section(section["sh_link"])
                    symbol = symbols.get_symbol(entry["r_info_sym"]) if entry["r_info_sym"] else None
                    value = entry["r_addend"] + (symbol["st_value"] if symbol else 0)
                    image[entry["r_offset"] : entry["r_offset"] + 8] = value.to_bytes(8, "little")
        symbols = elf.get_section_by_name(".symtab").iter_symbols()
        return Binary(bytes(image), {s.name: s["st_value"] for s in symbols if s["st_value"]})


Byte = tuple[z3.BitVecRef, int]
"""A byte as part of the value that was written, so that who reads that again gets it whole: the value, and which byte."""


def one(byte: Byte) -> z3.BitVecRef:
    """A byte's own value."""
    return z3.simplify(z3.Extract(8 * byte[1] + 7, 8 * byte[1], byte[0]))


def joined(parts: list[Byte]) -> z3.BitVecRef:
    """Bytes, lowest first, as one value."""
    value, first = parts[0]
    if all(v is value and k == first + i for i, (v, k) in enumerate(parts)):
        if len(parts) * 8 == value.size():
            return value
        return z3.simplify(z3.Extract(8 * (first + len(parts)) - 1, 8 * first, value))
    runs: list[list[Byte]] = [[]]
    for part in parts:
        if runs[-1] and (runs[-1][-1][0] is not part[0] or runs[-1][-1][1] + 1 != part[1]):
            runs.append([])
        runs[-1].append(part)
    return z3.simplify(z3.Concat(*(joined(run) for run in runs[::-1])))


def split(value: z3.BitVecRef) -> list[Byte]:
    """The bytes of a value, lowest first."""
    return [(value, k) for k in range(value.size() // 8)]


def same_byte(a: Byte, b: Byte) -> bool:
    return a == b if a[0] is b[0] else one(a).eq(one(b))


@dataclass
class State:
    """One way through the function: registers and memory byte by byte, and what must hold to come here."""

    at: int
    binary: Binary
    when: list[z3.BoolRef] = field(default_factory=list)
    registers: dict[int, Byte] = field(default_factory=dict)
    memory: dict[int, Byte] = field(default_factory=dict)

    def copy(self, at: int, *when: z3.BoolRef) -> "State":
        return State(at, self.binary, [*self.when, *when], dict(self.registers), dict(self.memory))

    def get(self, offset: int, size: int) -> z3.BitVecRef:
        """`size` bytes of the registers. What nobody wrote is unknown."""
        for at in range(offset, offset + size):
            self.registers.setdefault(at, (z3.BitVec(f"register_{at}", 8), 0))
        return joined([self.registers[at] for at in range(offset, offset + size)])

    def put(self, offset: int, value: z3.BitVecRef) -> None:
        self.registers.update(zip(range(offset, offset + value.size() // 8), split(value), strict=True))

    def load(self, address: int, size: int) -> z3.BitVecRef:
        """`size` bytes at `address`: written, or the object's own."""
        for at in range(address, address + size):
            if at not in self.memory:
                if at >= len(self.binary.image):
                    raise UnknownError(f"reads {at:#x}, which nobody wrote")
                self.memory[at] = (z3.BitVecVal(self.binary.image[at], 8), 0)
        return joined([self.memory[at] for at in range(address, address + size)])

    def store(self, address: int, value: z3.BitVecRef) -> None:
        self.memory.update(zip(range(address, address + value.size() // 8), split(value), strict=True))

    def argument(self, register: str, value: z3.BitVecRef) -> None:
        """An argument; above a 32-bit one the register holds anything, as the ABI has it."""
        if value.size() < 64:
            value = z3.Concat(z3.BitVec(f"above_{register}", 64 - value.size()), value)
        self.put(ARCH.registers[register][0], value)

    @property
    def result(self) -> z3.BitVecRef:
        """What an int function returned."""
        return self.get(ARCH.registers["rax"][0], 4)


def feasible(when: list[z3.BoolRef]) -> bool:
    """Can it be? Where the solver does not know, yes: a state too many is checked for nothing, none is missed."""
    solver = z3.Solver()
    solver.set("rlimit", 1_000_000)
    solver.add(*when)
    return bool(solver.check() != z3.unsat)


def choice(test: z3.BoolRef, yes: z3.BitVecRef, no: z3.BitVecRef) -> z3.BitVecRef:
    """`yes` if `test`, else `no`; plain `no` where they are equal whenever `test` holds.

    So is what a failed compare-exchange hands back, or what one stores that exchanges a value for itself (a 16-byte load
    without vector instructions): the choice would stand in the middle of products.
    """
    test = z3.simplify(test)
    if not any(map(multiplies, (test, yes, no))) and not feasible([test, yes != no]):
        return no
    return z3.If(test, yes, no)


def possible(value: z3.BitVecRef) -> int:
    """The bits of a value that may be 1."""
    size, full = value.size(), (1 << value.size()) - 1
    if z3.is_bv_value(value):
        return int(value.as_long())
    kind = value.decl().kind()
    if kind == z3.Z3_OP_CONCAT:
        bits = 0
        for part in value.children():
            bits = bits << part.size() | possible(part)
        return bits
    if kind == z3.Z3_OP_BSHL and z3.is_bv_value(value.arg(1)):
        return possible(value.arg(0)) << min(value.arg(1).as_long(), size) & full
    if kind == z3.Z3_OP_BOR:
        return possible(value.arg(0)) | possible(value.arg(1))
    return full


def binary_operation(name: str, a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
    """VEX' operations of two arguments."""
    if found := re.fullmatch(r"(Add|Sub|Mul|And|Or|Xor|Shl|Shr|Sar)(8|16|32|64)", name):
        if b.size() < a.size():
            b = z3.ZeroExt(a.size() - b.size(), b)
        if found[1] == "Or" and not possible(z3.simplify(a)) & possible(z3.simplify(b)):
            return a + b  # the same, and what a definition says
        return _ARITHMETIC[found[1]](a, b)
    if found := re.fullmatch(r"(?:Cas)?Cmp(EQ|NE|LT|LE)(?:8|16|32|64)(U|S)?", name):
        test = _COMPARES[found[1] + (found[2] or "")](a, b)
        return z3.If(test, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))
    if found := re.fullmatch(r"Mull(U|S)(32|64)", name):
        wide = z3.ZeroExt if found[1] == "U" else z3.SignExt
        n = int(found[2])
        # The low word as the narrow product, so that who multiplies narrow says the same formula.
        return z3.Concat(z3.Extract(2 * n - 1, n, wide(n, a) * wide(n, b)), a * b)
    if re.fullmatch(r"(8|16|32|64)HLto(16|32|64|128)|64HLtoV128", name):
        return z3.Concat(a, b)
    if name == "DivModU128to64":
        wide = z3.ZeroExt(64, b)
        return z3.Concat(z3.Extract(63, 0, z3.URem(a, wide)), z3.Extract(63, 0, z3.UDiv(a, wide)))
    raise UnknownError(f"operation {name}")


def unary_operation(name: str, a: z3.BitVecRef) -> z3.BitVecRef:
    """VEX' operations of one argument."""
    if re.fullmatch(r"Not(8|16|32|64)", name):
        return ~a
    if found := re.fullmatch(r"(\d+)(U|S)to(\d+)", name):
        wide = z3.ZeroExt if found[2] == "U" else z3.SignExt
        return wide(int(found[3]) - int(found[1]), a)
    if found := re.fullmatch(r"V?(\d+)(HI)?to(\d+)", name):
        size, low = int(found[3]), int(found[1]) // 2 if found[2] else 0
        return z3.Extract(low + size - 1, low, a)
    raise UnknownError(f"operation {name}")


class Block:
    """One VEX block run on one state."""

    def __init__(self, state: State, fresh: Iterable[int]) -> None:
        self.state, self.fresh, self.values = state, fresh, dict[int, z3.BitVecRef]()

    def address(self, expression: pyvex.expr.IRExpr) -> int:
        value = z3.simplify(self.value(expression))
        if not z3.is_bv_value(value):
            raise UnknownError(f"address {value}")
        return int(value.as_long())

    def value(self, e: pyvex.expr.IRExpr) -> z3.BitVecRef:
        return z3.simplify(self._value(e))

    def _value(self, e: pyvex.expr.IRExpr) -> z3.BitVecRef:
        match e:
            case pyvex.expr.RdTmp():
                return self.values[e.tmp]
            case pyvex.expr.Const():
                return z3.BitVecVal(int(e.con.value), pyvex.const.get_type_size(e.con.type))
            case pyvex.expr.Get():
                return self.state.get(e.offset, pyvex.const.get_type_size(e.ty) // 8)
            case pyvex.expr.Load():
                return self.state.load(self.address(e.addr), pyvex.const.get_type_size(e.ty) // 8)
            case pyvex.expr.Binop():
                return binary_operation(e.op.removeprefix("Iop_"), *map(self.value, e.args))
            case pyvex.expr.Unop():
                return unary_operation(e.op.removeprefix("Iop_"), self.value(e.args[0]))
            case pyvex.expr.ITE():
                return choice(self.value(e.cond) == 1, self.value(e.iftrue), self.value(e.iffalse))
            case pyvex.expr.CCall() if e.cee.name == "amd64g_calculate_rflags_all":
                # Flags that cmpxchg16b leaves as they were. Whoever used them would find them unknown.
                return z3.BitVec(f"flags_{next(iter(self.fresh))}", 64)
            case pyvex.expr.CCall() if e.cee.name == "amd64g_calculate_condition":
                return self.condition(*map(self.value, e.args[:4]))
            case _:
                raise UnknownError(f"expression {e}")

    def condition(self, wanted: z3.BitVecRef, what: z3.BitVecRef, a: z3.BitVecRef, b: z3.BitVecRef) -> z3.BitVecRef:
        """Zero or negative, or not, of the last ADD, SUB or logical operation, as VEX numbers them."""
        if not (z3.is_bv_value(wanted) and z3.is_bv_value(what) and wanted.as_long() in (4, 5, 8, 9)):
            raise UnknownError(f"condition {wanted} of {what}")
        family, size = divmod(what.as_long() - 1, 4)
        if family not in (0, 1, 4):
            raise UnknownError(f"condition of {what}")
        result = a + b if family == 0 else a - b if family == 1 else a
        top, asked = (8 << size) - 1, wanted.as_long()
        test = z3.Extract(top, 0, result) == 0 if asked < 8 else z3.Extract(top, top, result) == 1
        return z3.If(z3.Not(test) if asked & 1 else test, z3.BitVecVal(1, 64), z3.BitVecVal(0, 64))

    def compare_exchange(self, s: pyvex.stmt.CAS) -> None:
        address = self.address(s.addr)
        wanted, new = [self.value(s.expdLo)], [self.value(s.dataLo)]
        if s.expdHi is not None:
            wanted.append(self.value(s.expdHi))
            new.append(self.value(s.dataHi))
        size = wanted[0].size() // 8
        old = [self.state.load(address + i * size, size) for i in range(len(wanted))]
        equal = z3.simplify(z3.And(*(a == b for a, b in zip(old, wanted, strict=True))))
        for i, (was, put) in enumerate(zip(old, new, strict=True)):
            self.state.store(address + i * size, z3.simplify(choice(equal, put, was)))
        self.values.update(zip([s.oldLo, s.oldHi], old, strict=False))

    def run(self, block: pyvex.IRSB) -> list[State]:
        """The states after the block, each at its next address."""
        out = []
        for s in block.statements:
            match s:
                case pyvex.stmt.WrTmp():
                    self.values[s.tmp] = self.value(s.data)
                case pyvex.stmt.Put():
                    self.state.put(s.offset, self.value(s.data))
                case pyvex.stmt.Store():
                    self.state.store(self.address(s.addr), self.value(s.data))
                case pyvex.stmt.CAS():
                    self.compare_exchange(s)
                case pyvex.stmt.Exit():
                    guard = z3.simplify(self.value(s.guard) == 1)
                    if z3.is_true(guard):
                        return [*out, self.state.copy(s.dst.value)]
                    if not z3.is_false(guard):
                        if feasible([*self.state.when, guard]):
                            out.append(self.state.copy(s.dst.value, guard))
                        self.state.when.append(z3.Not(guard))
                case pyvex.stmt.IMark() | pyvex.stmt.AbiHint() | pyvex.stmt.MBE() | pyvex.stmt.NoOp():
                    pass
                case _:
                    raise UnknownError(f"statement {s}")
        if block.jumpkind not in ("Ijk_Boring", "Ijk_Ret", "Ijk_Yield", "Ijk_Call"):
            raise UnknownError(f"{block.jumpkind} at {block.addr:#x}")
        if not out or feasible(self.state.when):
            out.append(self.state.copy(self.address(block.next)))
        return out


def merged(states: list[State]) -> list[State]:
    """States that differ in unknowns only, as one. Different constants (a loop's counter) keep two apart."""
    groups: dict[tuple[object, ...], State] = {}
    for s in states:
        constants = frozenset((k, v.as_long(), i) for k, (v, i) in s.registers.items() if z3.is_bv_value(v) and k < 144)
        mine = groups.setdefault((s.at, constants), s)
        if mine is s:
            continue
        here = z3.And(*s.when)
        for a, b in ((mine.registers, s.registers), (mine.memory, s.memory)):
            for key in a.keys() & b.keys():
                if not same_byte(a[key], b[key]):
                    a[key] = (z3.If(here, one(b[key]), one(a[key])), 0)
            for key in b.keys() - a.keys():
                a[key] = b[key]
        mine.when = [z3.simplify(z3.Or(z3.And(*mine.when), here))]
    return list(groups.values())


def run(start: State, function: str, merge: bool = False) -> list[State]:
    """All end states of `function`, called on `start`. `merge`: join what meets, for many branches in a row."""
    fresh = iter(range(1 << 30))
    stack = STACK
    start.store(stack, z3.BitVecVal(RETURN, 64))
    start.put(ARCH.registers["rsp"][0], z3.BitVecVal(stack, 64))
    start.at = start.binary.names[function]
    going, ended = [start], []
    for _ in range(STEPS):
        if not going:
            return ended
        going.sort(key=lambda s: -s.at)
        state = going.pop()
        code = start.binary.image[state.at : state.at + 400]
        block = pyvex.lift(code, state.at, ARCH, opt_level=1)
        for next_state in Block(state, fresh).run(block):
            (ended if next_state.at == RETURN else going).append(next_state)
        if merge:
            going = merged(going)
    raise UnknownError(f"{function}: more than {STEPS} blocks")
