"""The programs at fork, exec and exit: who is watched, and the tree of processes.

For `rmaplab.watch.hooks`.
"""

from rmaplab.bpf.assembler import R0, R1, R2, R6, R7, R8, R9, R10, Assembler
from rmaplab.watch.layout import Layout
from rmaplab.watch.pieces import count, drop, field, lookup, output, scratch, set_open, update
from rmaplab.watch.records import (
    ARMED,
    EXEC,
    EXIT,
    FORK,
    HEAD,
    LOST_PROCESSES,
    LOST_RECORDS,
    NEXT_PROCESS,
    SKIPPED,
    TOTALS,
    Maps,
    Target,
)


def fork(layout: Layout, maps: Maps) -> bytes:
    """At sched:sched_process_fork (parent, child): a child of a target is a target."""
    code = Assembler()
    code.load(8, R6, R1, 8)
    code.load(8, R7, R1, 0)
    for task, name, place in ((R7, "tgid", -4), (R6, "tgid", -8), (R6, "pid", -12)):
        field(code, task, layout.at(f"task_struct.{name}"), 4, place)
    code.load(4, R1, R10, -8)
    code.load(4, R2, R10, -12)
    code.jump(R1, "!=", R2, "out")
    lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R9, R0)
    code.load(4, R1, R9, Target.FLAGS)
    code.alu_number(R1, "&=", ARMED)
    code.alu_number(R1, ">>=", 1)
    code.store(4, R10, -48 + Target.FLAGS, R1)
    code.load(4, R8, R9, 0)
    code.store(4, R10, -48 + Target.PARENT, R8)
    code.store_number(4, R10, -48 + Target.PARENT + 4, 0)
    code.store_number(8, R10, -48 + Target.SKIPPED, 0)
    code.number(R7, 1)
    code.map_value(R1, maps.words, 8 * NEXT_PROCESS)
    code.fetch_add(R1, 0, R7)
    code.store(4, R10, -48, R7)
    code.call("ktime_get_ns")
    code.store(8, R10, -48 + Target.BORN, R0)
    for word in range(TOTALS):
        code.store_number(8, R10, -48 - 8 * TOTALS + 8 * word, 0)
    update(code, maps.totals, -48, -48 - 8 * TOTALS)
    code.jump_number(R0, "!=", 0, "lost")
    update(code, maps.targets, -8, -48)
    code.jump_number(R0, "==", 0, "added")
    code.label("lost")
    count(code, maps, LOST_PROCESSES)
    code.goto("out")
    code.label("added")
    code.load(4, R2, R10, -8)
    _record(code, maps, FORK, process=R7, parent=R8, pid=R2, task=R6, layout=layout)
    code.label("out")
    code.exit(0)
    return code.assembled()


def execute(layout: Layout, maps: Maps) -> bytes:
    """At sched:sched_process_exec (task, ...): what waited is watched from now on."""
    code = Assembler()
    code.load(8, R6, R1, 0)
    field(code, R6, layout.at("task_struct.tgid"), 4, -4)
    lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.store_number(4, R0, Target.FLAGS, 0)
    code.load(4, R7, R0, 0)
    code.load(4, R8, R0, Target.PARENT)
    code.load(4, R2, R10, -4)
    _record(code, maps, EXEC, process=R7, parent=R8, pid=R2, task=R6, layout=layout)
    code.label("out")
    code.exit(0)
    return code.assembled()


def leave(layout: Layout, maps: Maps) -> bytes:
    """At sched:sched_process_exit (task, ...): of threads their open fault goes, of the last one the target."""
    code = Assembler()
    code.load(8, R6, R1, 0)
    field(code, R6, layout.at("task_struct.tgid"), 4, -4)
    field(code, R6, layout.at("task_struct.pid"), 4, -8)
    lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R9, R0)
    code.load(4, R7, R9, 0)
    code.load(4, R8, R9, Target.PARENT)
    lookup(code, maps.threads, -8)
    code.jump_number(R0, "==", 0, "no thread")
    code.store(8, R10, -32, R9)
    code.move(R9, R0)
    set_open(code, maps, -1)
    code.load(8, R9, R10, -32)
    drop(code, maps.threads, -8)
    code.label("no thread")
    field(code, R6, layout.at("task_struct.signal"), 8, -16)
    code.load(8, R1, R10, -16)
    field(code, R1, layout.at("signal_struct.live"), 4, -20)
    code.load(4, R1, R10, -20)
    code.jump_number(R1, "!=", 0, "out")
    _keep_skipped(code, maps)
    drop(code, maps.targets, -4)
    code.load(4, R2, R10, -4)
    _record(code, maps, EXIT, process=R7, parent=R8, pid=R2, task=R6, layout=layout)
    code.label("out")
    code.exit(0)
    return code.assembled()


def _keep_skipped(code: Assembler, maps: Maps) -> None:
    """What target r9, process r7, did not look at goes to its totals: the target goes."""
    code.load(8, R6, R9, Target.SKIPPED)
    code.store(4, R10, -24, R7)
    lookup(code, maps.totals, -24)
    code.jump_number(R0, "==", 0, "kept")
    code.atomic_add(R0, 8 * SKIPPED, R6)
    code.label("kept")
    code.call("get_current_task")
    code.move(R6, R0)


def _record(
    code: Assembler, maps: Maps, kind: int, *, process: int, parent: int, pid: int, task: int, layout: Layout
) -> None:
    """A record for the ring; registers of the callers."""
    low = -56 - HEAD
    code.store(4, R10, low + 12, pid)
    code.store_number(4, R10, low, kind)
    code.store(4, R10, low + 4, process)
    code.store(4, R10, low + 8, parent)
    code.store_number(8, R10, low + 40, 0)
    code.call("ktime_get_ns")
    code.store(8, R10, low + 16, R0)
    field(code, task, layout.at("task_struct.comm"), 16, low + 24)
    scratch(code, maps)
    code.jump_number(R0, "==", 0, "no room")
    code.move(R8, R0)
    output(code, maps, low, 0)
    code.label("no room")
    count(code, maps, LOST_RECORDS)
