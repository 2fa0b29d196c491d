"""The page table of the thread at hand, walked in a program of the kernel's.

For `faults`.
"""

from rmaplab.bpf.assembler import R0, R1, R2, R3, R7, R8, R10, Assembler
from rmaplab.watch.layout import FRAME, LEAF, PRESENT, Layout
from rmaplab.watch.pieces import field


def walk(code: Assembler, layout: Layout, nothing: str) -> None:
    """Of address r7 in this thread's memory: r1 = entry, r2 = its level's shift, r8 = its table; else goto nothing."""
    code.call("get_current_task")
    field(code, R0, layout.at("task_struct.mm"), 8, -16)
    code.load(8, R8, R10, -16)
    code.jump_number(R8, "==", 0, nothing)
    field(code, R8, layout.at("mm_struct.pgd"), 8, -16)
    code.load(8, R8, R10, -16)
    leaf = code.fresh("leaf")
    for level in range(layout.depth - 1, -1, -1):
        shift = 12 + 9 * level
        code.move(R3, R7)
        code.alu_number(R3, ">>=", shift)
        code.alu_number(R3, "&=", 511)
        code.alu_number(R3, "<<=", 3)
        code.alu(R3, "+=", R8)
        code.read_kernel(R10, -16, 8, R3)
        code.load(8, R1, R10, -16)
        code.move(R2, R1)
        code.alu_number(R2, "&=", PRESENT)
        code.jump_number(R2, "==", 0, nothing)
        if level == 0:
            code.number(R2, shift)
        else:
            if level <= 2:
                code.number(R2, shift)
                code.jump_number(R1, "&", LEAF, leaf)
            code.number(R8, FRAME)
            code.alu(R8, "&=", R1)
            code.number(R2, layout.page_offset)
            code.alu(R8, "+=", R2)
    code.label(leaf)


def frame_of(code: Assembler, dst: int, entry: int, shift: int, spare: int) -> None:
    """dst = frame that maps address r7: of `entry` at the level of `shift`; all registers, entry is kept."""
    code.number(dst, 1)
    code.alu(dst, "<<=", shift)
    code.alu_number(dst, "-=", 1)
    code.alu(dst, "&=", R7)
    code.number(spare, FRAME)
    code.alu(spare, "&=", entry)
    code.alu(dst, "|=", spare)
    code.alu_number(dst, ">>=", 12)
