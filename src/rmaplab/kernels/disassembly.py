"""How many instructions a compiled function executes for a small folio: all ways through it, from its disassembly.

For tests and for whoever reviews the patch. The rmap functions test PG_head in the folio's flags and go one way for a
large folio; this follows the other. A call counts as one instruction: what is called has not changed.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError

_LINE: Final = re.compile(r"^\s*([0-9a-f]+):\s+([a-z0-9]+(?: [a-z0-9]+)?)\s*(.*)$")
_LARGE: Final = re.compile(r"\$0x40,")
"""PG_head, bit 6 of the flags: `test $0x40,%al`, `and $0x40,%edx`."""

_ENDS: Final = ("ret", "ud2")
_MOST_WAYS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Ways:
    """Instructions on the shortest and the longest way through a function, loops not counted twice."""

    shortest: int
    longest: int


@dataclass(frozen=True, slots=True)
class _Instruction:
    operation: str
    operands: str
    next: int | None


def small_ways(object_file: Path, function: str) -> Ways:
    """The ways of a small folio through `function`.

    Raises RmaplabError if there is no such function, NotAvailable without objdump.
    """
    code, entry = _disassemble(object_file, function)
    lengths: list[int] = []
    stack: list[tuple[int, int, frozenset[int], bool]] = [(entry, 0, frozenset(), False)]
    while stack:
        at, length, seen, tested = stack.pop()
        instruction = code.get(at)
        if instruction is None or at in seen:  # it leaves by a jump elsewhere, or comes round again
            if instruction is None:
                lengths.append(length)
            continue
        length += 1
        operation = instruction.operation
        if operation.split()[-1] in _ENDS:
            if operation != "ud2":
                lengths.append(length)
            continue
        if len(lengths) > _MOST_WAYS:
            raise RmaplabError(f"{function}: more than {_MOST_WAYS} ways through it")
        ways = seen | {at}
        target = _target(instruction.operands) if operation.startswith("j") else None
        if operation in ("jmp", "jmpq"):
            stack.append((target if target is not None else -1, length, ways, tested))
            continue
        head = tested or (operation.startswith(("test", "and")) and bool(_LARGE.match(instruction.operands)))
        if target is not None and tested:  # the jump that decides: jne is a large folio's, je a small one's
            stack.append((target if operation == "je" else instruction.next or -1, length, ways, False))
            continue
        if target is not None:
            stack.append((target, length, ways, head))
        if instruction.next is not None:
            stack.append((instruction.next, length, ways, head))
    if not lengths:
        raise RmaplabError(f"{object_file}: {function}: no way through it was found")
    return Ways(min(lengths), max(lengths))


def _target(operands: str) -> int | None:
    found = re.match(r"([0-9a-f]+)\b", operands)
    return int(found[1], 16) if found else None


def _disassemble(object_file: Path, function: str) -> tuple[dict[int, _Instruction], int]:
    objdump = shutil.which("objdump")
    if not objdump:
        raise NotAvailable("no objdump: reading the small folio's path needs binutils")
    command = [objdump, "-dr", "--no-show-raw-insn", f"--disassemble={function}", str(object_file)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # A jump with a relocation leaves the function, whatever its displacement says before it is linked.
    text = re.sub(r"^(.*\tj[a-z]+ +)[0-9a-f]+ .*\n\s+[0-9a-f]+: R_", r"\1elsewhere\n R_", text, flags=re.MULTILINE)
    found = [match for line in text.splitlines() if (match := _LINE.match(line)) and not match[2].startswith("R_")]
    if not found:
        raise RmaplabError(f"{object_file}: has no function {function}")
    at = [int(match[1], 16) for match in found]
    following = [*at[1:], None]
    code = {}
    for place, match, then in zip(at, found, following, strict=True):
        words = match[2].split()
        prefixed = words[0] in ("lock", "rep", "repz", "notrack")
        operation = match[2] if prefixed else words[0]
        operands = match[3] if prefixed or len(words) == 1 else f"{words[1]} {match[3]}"
        code[place] = _Instruction(operation, operands.strip(), then)
    return code, at[0]
