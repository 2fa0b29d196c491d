"""Instructions of the BPF machine, assembled: a table of what there is, labels, and operands that are checked.

For the programs of `rmaplab.inspect.bpf` and `rmaplab.watch`. What the table does not have cannot be written; what an
operand may be is checked here, by name, before the kernel's verifier sees a number. Encoding:
Documentation/bpf/standardization/instruction-set.rst.
"""

import struct
from dataclasses import dataclass
from typing import Final

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)
"""Registers. r0: result; r1 .. r5: arguments, lost in a call; r6 .. r9: kept; r10: end of the 512 bytes of stack."""

_SIZES: Final = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_ALU: Final = {
    "+=": 0x00,
    "-=": 0x10,
    "*=": 0x20,
    "/=": 0x30,
    "|=": 0x40,
    "&=": 0x50,
    "<<=": 0x60,
    ">>=": 0x70,
    "^=": 0xA0,
    "=": 0xB0,
    "s>>=": 0xC0,
}
_JUMPS: Final = {
    "==": 0x10,
    ">": 0x20,
    ">=": 0x30,
    "&": 0x40,
    "!=": 0x50,
    "s>": 0x60,
    "s>=": 0x70,
    "<": 0xA0,
    "<=": 0xB0,
    "s<": 0xC0,
    "s<=": 0xD0,
}
_ALU64, _ALU32, _JMP, _REGISTER = 0x07, 0x04, 0x05, 0x08
_LOAD, _STORE, _STORE_IMMEDIATE, _ATOMIC, _WIDE = 0x61, 0x63, 0x62, 0xC3, 0x18
_FETCH: Final = 0x01
_GOTO, _CALL, _EXIT = 0x05, 0x85, 0x95
_MAP_FD, _MAP_VALUE = 1, 2
STACK: Final = 512

HELPERS: Final = {
    "map_lookup_elem": 1,
    "map_update_elem": 2,
    "map_delete_elem": 3,
    "ktime_get_ns": 5,
    "get_prandom_u32": 7,
    "get_current_pid_tgid": 14,
    "get_current_task": 35,
    "get_stack": 67,
    "probe_read_kernel": 113,
    "ringbuf_output": 130,
}
"""Helpers by name and number (include/uapi/linux/bpf.h); what is not here is not called."""


class AssemblyError(Exception):
    """A program that is none: names the instruction, the operand and the rule."""


@dataclass(slots=True)
class _Instruction:
    code: int
    dst: int = 0
    src: int = 0
    offset: int = 0
    immediate: int = 0
    target: str = ""

    def encoded(self) -> bytes:
        return struct.pack("=BBhi", self.code, self.dst | self.src << 4, self.offset, self.immediate)


class Assembler:
    """One program, written from top to bottom; `assembled` gives its bytes. Raises AssemblyError where it is written."""

    def __init__(self) -> None:
        self._code: list[_Instruction] = []
        self._labels: dict[str, int] = {}
        self._made = 0

    def fresh(self, stem: str) -> str:
        """A label's name that nobody else has."""
        self._made += 1
        return f"{stem}.{self._made}"

    def label(self, name: str) -> None:
        """The next instruction's name."""
        if name in self._labels:
            raise AssemblyError(f"label {name}: must be defined once")
        self._labels[name] = len(self._code)

    def alu(self, dst: int, operator: str, src: int, *, bits: int = 64) -> None:
        """dst OP src, both registers. Operators: those of C, "=" moves, "s>>=" keeps the sign."""
        self._arithmetic(dst, operator, bits, _REGISTER, src=src)

    def alu_number(self, dst: int, operator: str, number: int, *, bits: int = 64) -> None:
        """dst OP number, a signed one of 32 bits."""
        self._arithmetic(dst, operator, bits, 0, immediate=number)

    def move(self, dst: int, src: int) -> None:
        """dst = src."""
        self.alu(dst, "=", src)

    def read_kernel(self, dst: int, dst_offset: int, size: int, address: int) -> None:
        """Copy `size` bytes of the kernel's memory at `address` (a register) to dst + dst_offset; r0 = 0 if it could."""
        if address != R3:
            self.move(R3, address)
        self.move(R1, dst)
        self.alu_number(R1, "+=", dst_offset)
        self.number(R2, size)
        self.call("probe_read_kernel")

    def number(self, dst: int, value: int) -> None:
        """dst = value, any of 64 bits."""
        if -(1 << 31) <= value < 1 << 31:
            self.alu_number(dst, "=", value)
        else:
            self._wide(dst, 0, value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)

    def load(self, size: int, dst: int, base: int, offset: int = 0) -> None:
        """dst = *(size bytes *)(base + offset), zero-extended."""
        self._memory(_LOAD, size, dst, base, offset)

    def store(self, size: int, base: int, offset: int, src: int) -> None:
        """*(size bytes *)(base + offset) = src."""
        self._memory(_STORE, size, base, src, offset)

    def store_number(self, size: int, base: int, offset: int, number: int) -> None:
        """*(size bytes *)(base + offset) = number."""
        self._memory(_STORE_IMMEDIATE, size, base, 0, offset, number)

    def atomic_add(self, base: int, offset: int, src: int) -> None:
        """*(8 bytes *)(base + offset) += src, at once."""
        self._memory(_ATOMIC, 8, base, src, offset)

    def fetch_add(self, base: int, offset: int, src: int) -> None:
        """The same, and src = what was there before."""
        self._memory(_ATOMIC, 8, base, src, offset, _FETCH)

    def jump(self, left: int, condition: str, right: int, target: str) -> None:
        """if (left CONDITION right) goto target; both are registers, 64 bits."""
        self._branch(left, condition, target, _REGISTER, src=right)

    def jump_number(self, left: int, condition: str, number: int, target: str) -> None:
        """if (left CONDITION number) goto target."""
        self._branch(left, condition, target, 0, immediate=number)

    def goto(self, target: str) -> None:
        self._add(_Instruction(_GOTO, target=target))

    def call(self, helper: str) -> None:
        """r0 = helper(r1 .. r5)."""
        if helper not in HELPERS:
            raise AssemblyError(f"helper {helper}: must be one of {', '.join(HELPERS)}")
        self._add(_Instruction(_CALL, immediate=HELPERS[helper]))

    def map(self, dst: int, descriptor: int) -> None:
        """dst = the map behind a descriptor of this process."""
        self._wide(dst, _MAP_FD, descriptor, 0)

    def map_value(self, dst: int, descriptor: int, offset: int = 0) -> None:
        """dst = address of byte `offset` of the only element of an array map."""
        self._wide(dst, _MAP_VALUE, descriptor, offset)

    def exit(self, value: int | None = None) -> None:
        """Return r0, or `value`."""
        if value is not None:
            self.number(R0, value)
        self._add(_Instruction(_EXIT))

    def assembled(self) -> bytes:
        """The instructions, 8 bytes each, jumps resolved."""
        if not self._code or self._code[-1].code not in (_EXIT, _GOTO):
            raise AssemblyError("program: must end with exit or goto")
        for place, instruction in enumerate(self._code):
            if instruction.target:
                if instruction.target not in self._labels:
                    raise AssemblyError(f"label {instruction.target}: must be defined")
                instruction.offset = _within(self._labels[instruction.target] - place - 1, 16, "jump")
        return b"".join(instruction.encoded() for instruction in self._code)

    def _arithmetic(self, dst: int, operator: str, bits: int, kind: int, src: int = 0, immediate: int = 0) -> None:
        if operator not in _ALU:
            raise AssemblyError(f"operator {operator}: must be one of {' '.join(_ALU)}")
        if bits not in (32, 64):
            raise AssemblyError(f"width {bits}: must be 32 or 64 bits")
        if _register(dst) == R10:
            raise AssemblyError("r10: must not be written")
        code = _ALU[operator] | kind | (_ALU64 if bits == 64 else _ALU32)
        self._add(_Instruction(code, dst, _register(src), immediate=_within(immediate, 32, "number")))

    def _memory(self, code: int, size: int, dst: int, src: int, offset: int, immediate: int = 0) -> None:
        if size not in _SIZES:
            raise AssemblyError(f"size {size}: must be 1, 2, 4 or 8 bytes")
        base = src if code == _LOAD else dst
        if base == R10 and not -STACK <= offset <= -size:
            raise AssemblyError(f"stack offset {offset}: must be within -{STACK} .. -{size}")
        if code == _LOAD and dst == R10:
            raise AssemblyError("r10: must not be written")
        _within(offset, 16, "offset")
        _within(immediate, 32, "number")
        self._add(_Instruction(code | _SIZES[size], _register(dst), _register(src), offset, immediate))

    def _branch(self, left: int, condition: str, target: str, kind: int, src: int = 0, immediate: int = 0) -> None:
        if condition not in _JUMPS:
            raise AssemblyError(f"condition {condition}: must be one of {' '.join(_JUMPS)}")
        code = _JUMPS[condition] | kind | _JMP
        number = _within(immediate, 32, "number")
        self._add(_Instruction(code, _register(left), _register(src), immediate=number, target=target))

    def _wide(self, dst: int, kind: int, low: int, high: int) -> None:
        for half, source, word in ((low, kind, _WIDE), (high, 0, 0)):
            value = half - (1 << 32) if half >= 1 << 31 else half
            self._add(_Instruction(word, _register(dst) if word else 0, source, immediate=_within(value, 32, "number")))

    def _add(self, instruction: _Instruction) -> None:
        self._code.append(instruction)


def _register(number: int) -> int:
    if not R0 <= number <= R10:
        raise AssemblyError(f"register {number}: must be within r0 .. r10")
    return number


def _within(value: int, bits: int, what: str) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise AssemblyError(f"{what} {value}: must fit {bits} bits, signed")
    return value
