"""Programs are assembled as the instruction set says; wrong operands are refused by name, the verifier by its log."""

import struct
from collections.abc import Callable

import pytest

from rmaplab.bpf import syscalls
from rmaplab.bpf.assembler import R0, R1, R2, R10, Assembler, AssemblyError
from rmaplab.bpf.syscalls import BpfError


def test_labels_are_resolved_forwards_and_backwards() -> None:
    code = Assembler()
    code.label("again")
    code.jump_number(R1, "==", 7, "end")
    code.goto("again")
    code.label("end")
    code.exit(0)
    offsets = [struct.unpack_from("=BBhi", code.assembled(), 8 * i)[2] for i in range(4)]
    assert offsets == [1, -2, 0, 0]


def test_numbers_of_64_bits_take_two_instructions() -> None:
    code = Assembler()
    code.number(R2, 0xFFFF_8000_1234_5678)
    code.exit(0)
    low, high = (struct.unpack_from("=BBhi", code.assembled(), at) for at in (0, 8))
    assert low[0] == 0x18
    assert (low[3] & 0xFFFFFFFF) | (high[3] & 0xFFFFFFFF) << 32 == 0xFFFF_8000_1234_5678


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda code: code.alu(R1, "**=", R2), "operator"),
        (lambda code: code.alu_number(R10, "+=", 1), "r10"),
        (lambda code: code.move(11, R1), "register 11"),
        (lambda code: code.load(3, R1, R2), "size 3"),
        (lambda code: code.store(8, R10, -516, R1), "stack offset"),
        (lambda code: code.store(8, R10, -4, R1), "stack offset"),
        (lambda code: code.load(8, R1, R2, 1 << 15), "offset"),
        (lambda code: code.alu_number(R1, "+=", 1 << 31), "number"),
        (lambda code: code.jump_number(R1, "<>", 0, "x"), "condition"),
        (lambda code: code.call("trace_printk"), "helper"),
        (lambda code: (code.label("x"), code.label("x")), "label x"),
    ],
)
def test_what_the_table_does_not_have_is_refused(write: Callable[[Assembler], object], words: str) -> None:
    with pytest.raises(AssemblyError, match=words):
        write(Assembler())


def test_a_program_ends_and_goes_where_there_is_something() -> None:
    code = Assembler()
    code.move(R0, R1)
    with pytest.raises(AssemblyError, match="must end"):
        code.assembled()
    code.goto("nowhere")
    with pytest.raises(AssemblyError, match="label nowhere"):
        code.assembled()


@pytest.mark.live
def test_a_refusal_shows_what_the_verifier_said() -> None:
    try:
        syscalls.loaded()
    except BpfError as error:
        pytest.skip(str(error))
    code = Assembler()
    code.move(R0, R2)
    code.exit()
    with pytest.raises(BpfError, match=r"loading bad: .*R2 !read_ok"):
        syscalls.load_program(syscalls.SYSCALL_PROGRAM, code.assembled(), "bad", syscalls.SLEEPABLE)
