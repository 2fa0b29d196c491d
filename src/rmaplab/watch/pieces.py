"""Pieces of code that several programs have: looking up, counting, reading the kernel's memory, sending a record.

For `faults` and `lives`. A piece says which registers it takes and leaves; all others a call destroys are lost.
"""

from rmaplab.bpf.assembler import R0, R1, R2, R3, R4, R8, R9, R10, Assembler
from rmaplab.watch.records import HEAD, OPENED, RECORD, Maps, Thread


def lookup(code: Assembler, descriptor: int, place: int) -> None:
    """r0 = the value of the key on the stack, or 0."""
    code.map(R1, descriptor)
    code.move(R2, R10)
    code.alu_number(R2, "+=", place)
    code.call("map_lookup_elem")


def update(code: Assembler, descriptor: int, key: int, value: int, flags: int = 0) -> None:
    """map[stack[key]] = stack[value]; r0 = 0 if it could."""
    code.map(R1, descriptor)
    code.move(R2, R10)
    code.alu_number(R2, "+=", key)
    code.move(R3, R10)
    code.alu_number(R3, "+=", value)
    code.number(R4, flags)
    code.call("map_update_elem")


def drop(code: Assembler, descriptor: int, place: int) -> None:
    code.map(R1, descriptor)
    code.move(R2, R10)
    code.alu_number(R2, "+=", place)
    code.call("map_delete_elem")


def count(code: Assembler, maps: Maps, word: int) -> None:
    code.map_value(R1, maps.words, 8 * word)
    code.number(R2, 1)
    code.atomic_add(R1, 0, R2)


def field(code: Assembler, base: int, offset: int, size: int, place: int) -> None:
    """stack[place] = *(base + offset) of the kernel's memory; 0 if unreadable."""
    code.move(R3, base)
    code.alu_number(R3, "+=", offset)
    code.read_kernel(R10, place, size, R3)


def set_open(code: Assembler, maps: Maps, change: int) -> None:
    """The fault of thread r9 is open (1), or no longer (-1); nothing if that is so."""
    same = code.fresh("same")
    code.load(8, R1, R9, Thread.OPEN)
    code.jump_number(R1, "==", 1 if change > 0 else 0, same)
    code.store_number(8, R9, Thread.OPEN, 1 if change > 0 else 0)
    code.map_value(R1, maps.words, 8 * OPENED)
    code.number(R2, change)
    code.atomic_add(R1, 0, R2)
    code.label(same)


def scratch(code: Assembler, maps: Maps) -> None:
    """r0 = memory of this CPU, or 0; takes stack[-4]."""
    code.store_number(4, R10, -4, 0)
    lookup(code, maps.scratch, -4)


def output(code: Assembler, maps: Maps, low: int, flags: int) -> None:
    """The record whose head is at stack[low], the rest where it belongs in the scratch memory r8, goes to the ring, and
    the program to its end, or on if there is no room."""
    for offset in range(0, HEAD, 8):
        code.load(8, R1, R10, low + offset)
        code.store(8, R8, offset, R1)
    code.map(R1, maps.ring)
    code.move(R2, R8)
    code.number(R3, RECORD)
    code.number(R4, flags)
    code.call("ringbuf_output")
    code.jump_number(R0, "==", 0, "out")
