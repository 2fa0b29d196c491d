"""The programs: what runs in the kernel when somebody writes to a page that is write-protected.

For `rmaplab.watch.watcher`. A COW fault begins at a tracepoint (exceptions:page_fault_user, _kernel) with *present* and
*write* in its error code, and ends where the kernel accounts for it (memcg:count_memcg_events with PGFAULT, or the
software event page-faults-min/maj). At both ends the thread's page table is walked: another frame at the end is a copy,
the same frame, writable now, a reuse. At its beginning the folio is looked at: would a copy be for nothing?

Records in maps are little structs; their offsets are the constants below. All counters are 64 bits.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rmaplab.bpf.assembler import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Assembler
from rmaplab.watch.layout import FOLIO_BYTES, FRAME, LEAF, PRESENT, WRITABLE, Layout


class Outcome(IntEnum):
    """How a write fault on a present page ended. NEEDED .. UNPROVEN: a copy of an anonymous page."""

    REUSED = 0
    NEEDED = 1
    NEEDLESS = 2
    UNPROVEN = 3
    FROM_FILE = 4
    FROM_ZERO = 5
    UNRESOLVED = 6
    NOTIFIED = 7


OUTCOMES: Final = len(Outcome)
BYTES, COPY_NS, REUSE_NS, SKIPPED = OUTCOMES, OUTCOMES + 1, OUTCOMES + 2, OUTCOMES + 3
TOTALS: Final = OUTCOMES + 4
"""Counters of a process: faults by outcome; bytes copied; time of copies and of reuses, ns; faults not looked at."""

TARGET: Final = 32
"""u32 process, u32 flags, u64 born (0: unknown), u32 parent, u32 unused, u64 faults not looked at."""
_FLAGS, _BORN, _PARENT, _SKIPPED = 4, 8, 16, 24
WAITING, ARMED = 1, 2
"""Flags of a target: not watched before it execs; its children are to be WAITING, and it is not watched itself."""

RECORD: Final = 48
"""FAULT: u32 kind, u32 process, s32 stack, u32 Outcome (| BY_KERNEL), u64 began (ns), u64 address, u64 bytes, u64 ns.
 Others: u32 kind, u32 process, u32 parent, u32 PID, u64 when (ns), char name[16], u64 unused."""
FAULT, FORK, EXEC, EXIT = range(4)
BY_KERNEL: Final = 256

NEXT_PROCESS, LOST_FAULTS, SPURIOUS, LOST_RECORDS, LOST_PROCESSES, LOST_DETAIL, NO_STACK, TOKENS, MASK = range(9)
_OPENED, EPOCH = 9, 10
WORDS: Final = 16
"""What programs and watcher share. TOKENS: faults that may yet be looked at, signed; beyond them one in MASK + 1 is.
_OPENED: faults that began and did not end, so that all others cost one look at it. EPOCH: how often the programs were
attached: a fault ends in the one it began in, or is lost."""

_NO_WAKEUP: Final = 1
_OPEN, _ADDRESS, _SINCE, _LEAF, _LEVEL, _PROCESS, _SOURCE, _TABLE, _MODE, _EPOCH, _FOLIO = (8 * n for n in range(11))
THREAD: Final = 80 + FOLIO_BYTES
SCRATCH: Final = 4096
DEPTH: Final = 32
"""Frames of a stack that are kept."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Descriptors of the maps."""

    words: int
    targets: int
    threads: int
    totals: int
    stacks: int
    ring: int
    scratch: int


def begin(layout: Layout, maps: Maps) -> bytes:
    """At exceptions:page_fault_user and _kernel: (address, registers, error code)."""
    code = Assembler()
    code.load(8, R8, R1, 16)
    code.move(R2, R8)
    code.alu_number(R2, "&=", 0x3B)
    code.jump_number(R2, "!=", 3, "out")
    code.load(8, R7, R1, 0)
    code.jump_number(R7, "s<", 0, "out")
    code.call("get_current_pid_tgid")
    code.store(4, R10, -8, R0)
    code.alu_number(R0, ">>=", 32)
    code.store(4, R10, -4, R0)
    _lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R6, R0)
    code.load(4, R1, R6, _FLAGS)
    code.jump_number(R1, "!=", 0, "out")
    _choose(code, maps)
    _thread(code, maps)
    code.load(4, R1, R6, 0)
    code.store(8, R9, _PROCESS, R1)
    code.alu_number(R8, "&=", 4)
    code.alu_number(R8, "^=", 4)
    code.alu_number(R8, "*=", BY_KERNEL // 4)
    code.store(8, R9, _MODE, R8)
    code.store(8, R9, _ADDRESS, R7)
    _open(code, maps, -1)
    code.call("ktime_get_ns")
    code.store(8, R9, _SINCE, R0)
    _walk(code, layout, "spurious")
    code.store(8, R9, _TABLE, R8)
    code.store(8, R9, _LEAF, R1)
    code.store(8, R9, _LEVEL, R2)
    code.alu_number(R1, "&=", WRITABLE)
    code.jump_number(R1, "!=", 0, "spurious")
    _open(code, maps, 1)
    code.map_value(R1, maps.words, 8 * EPOCH)
    code.load(8, R1, R1, 0)
    code.store(8, R9, _EPOCH, R1)
    code.store_number(8, R9, _SOURCE, Outcome.UNPROVEN)
    _folio(code, layout, maps)
    code.label("spurious")
    _count(code, maps, SPURIOUS)
    code.label("out")
    code.exit(0)
    return code.assembled()


def end(layout: Layout, maps: Maps, *, event: bool) -> bytes:
    """At memcg:count_memcg_events (cgroup, item, count), or, if `event`, at a software event of page faults."""
    code = Assembler()
    if not event:
        code.load(4, R2, R1, 8)
        code.jump_number(R2, "!=", layout.page_fault_event, "out")
    code.map_value(R2, maps.words, 8 * _OPENED)
    code.load(8, R2, R2, 0)
    code.jump_number(R2, "==", 0, "out")
    code.move(R6, R1)
    code.call("get_current_pid_tgid")
    code.store(4, R10, -8, R0)
    _lookup(code, maps.threads, -8)
    code.jump_number(R0, "==", 0, "out")
    code.move(R9, R0)
    code.load(8, R1, R9, _OPEN)
    code.jump_number(R1, "==", 0, "out")
    _open(code, maps, -1)
    code.map_value(R1, maps.words, 8 * EPOCH)
    code.load(8, R1, R1, 0)
    code.load(8, R2, R9, _EPOCH)
    code.jump(R1, "!=", R2, "lost")
    code.load(8, R7, R9, _ADDRESS)
    _walk(code, layout, "unresolved")
    _outcome(code)
    code.label("unresolved")
    code.number(R7, Outcome.UNRESOLVED)
    code.number(R8, 0)
    code.label("known")
    _account(code, maps)
    code.label("out")
    code.exit(0)
    return code.assembled()


def fork(layout: Layout, maps: Maps) -> bytes:
    """At sched:sched_process_fork (parent, child): a child of a target is a target."""
    code = Assembler()
    code.load(8, R6, R1, 8)
    code.load(8, R7, R1, 0)
    for task, name, place in ((R7, "tgid", -4), (R6, "tgid", -8), (R6, "pid", -12)):
        _field(code, task, layout.at(f"task_struct.{name}"), 4, place)
    code.load(4, R1, R10, -8)
    code.load(4, R2, R10, -12)
    code.jump(R1, "!=", R2, "out")
    _lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R9, R0)
    code.load(4, R1, R9, _FLAGS)
    code.alu_number(R1, "&=", ARMED)
    code.alu_number(R1, ">>=", 1)
    code.store(4, R10, -48 + _FLAGS, R1)
    code.load(4, R8, R9, 0)
    code.store(4, R10, -48 + _PARENT, R8)
    code.store_number(4, R10, -48 + _PARENT + 4, 0)
    code.store_number(8, R10, -48 + _SKIPPED, 0)
    code.number(R7, 1)
    code.map_value(R1, maps.words, 8 * NEXT_PROCESS)
    code.fetch_add(R1, 0, R7)
    code.store(4, R10, -48, R7)
    code.call("ktime_get_ns")
    code.store(8, R10, -48 + _BORN, R0)
    for word in range(TOTALS):
        code.store_number(8, R10, -48 - 8 * TOTALS + 8 * word, 0)
    _update(code, maps.totals, -48, -48 - 8 * TOTALS)
    code.jump_number(R0, "!=", 0, "lost")
    _update(code, maps.targets, -8, -48)
    code.jump_number(R0, "==", 0, "added")
    code.label("lost")
    _count(code, maps, LOST_PROCESSES)
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
    _field(code, R6, layout.at("task_struct.tgid"), 4, -4)
    _lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.store_number(4, R0, _FLAGS, 0)
    code.load(4, R7, R0, 0)
    code.load(4, R8, R0, _PARENT)
    code.load(4, R2, R10, -4)
    _record(code, maps, EXEC, process=R7, parent=R8, pid=R2, task=R6, layout=layout)
    code.label("out")
    code.exit(0)
    return code.assembled()


def leave(layout: Layout, maps: Maps) -> bytes:
    """At sched:sched_process_exit (task, ...): of threads their open fault goes, of the last one the target."""
    code = Assembler()
    code.load(8, R6, R1, 0)
    _field(code, R6, layout.at("task_struct.tgid"), 4, -4)
    _field(code, R6, layout.at("task_struct.pid"), 4, -8)
    _lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R9, R0)
    code.load(4, R7, R9, 0)
    code.load(4, R8, R9, _PARENT)
    _lookup(code, maps.threads, -8)
    code.jump_number(R0, "==", 0, "no thread")
    code.store(8, R10, -32, R9)
    code.move(R9, R0)
    _open(code, maps, -1)
    code.load(8, R9, R10, -32)
    _drop(code, maps.threads, -8)
    code.label("no thread")
    _field(code, R6, layout.at("task_struct.signal"), 8, -16)
    code.load(8, R1, R10, -16)
    _field(code, R1, layout.at("signal_struct.live"), 4, -20)
    code.load(4, R1, R10, -20)
    code.jump_number(R1, "!=", 0, "out")
    _keep_skipped(code, maps)
    _drop(code, maps.targets, -4)
    code.load(4, R2, R10, -4)
    _record(code, maps, EXIT, process=R7, parent=R8, pid=R2, task=R6, layout=layout)
    code.label("out")
    code.exit(0)
    return code.assembled()


def _lookup(code: Assembler, descriptor: int, place: int) -> None:
    """r0 = the value of the key on the stack, or 0."""
    code.map(R1, descriptor)
    code.move(R2, R10)
    code.alu_number(R2, "+=", place)
    code.call("map_lookup_elem")


def _update(code: Assembler, descriptor: int, key: int, value: int, flags: int = 0) -> None:
    """map[stack[key]] = stack[value]; r0 = 0 if it could."""
    code.map(R1, descriptor)
    code.move(R2, R10)
    code.alu_number(R2, "+=", key)
    code.move(R3, R10)
    code.alu_number(R3, "+=", value)
    code.number(R4, flags)
    code.call("map_update_elem")


def _drop(code: Assembler, descriptor: int, place: int) -> None:
    code.map(R1, descriptor)
    code.move(R2, R10)
    code.alu_number(R2, "+=", place)
    code.call("map_delete_elem")


def _count(code: Assembler, maps: Maps, word: int) -> None:
    code.map_value(R1, maps.words, 8 * word)
    code.number(R2, 1)
    code.atomic_add(R1, 0, R2)


def _field(code: Assembler, base: int, offset: int, size: int, place: int) -> None:
    """stack[place] = *(base + offset) of the kernel's memory; 0 if unreadable."""
    code.move(R3, base)
    code.alu_number(R3, "+=", offset)
    code.read_kernel(R10, place, size, R3)


def _open(code: Assembler, maps: Maps, change: int) -> None:
    """The fault of thread r9 is open (1), or no longer (-1); nothing if that is so."""
    same = code.fresh("same")
    code.load(8, R1, R9, _OPEN)
    code.jump_number(R1, "==", 1 if change > 0 else 0, same)
    code.store_number(8, R9, _OPEN, 1 if change > 0 else 0)
    code.map_value(R1, maps.words, 8 * _OPENED)
    code.number(R2, change)
    code.atomic_add(R1, 0, R2)
    code.label(same)


def _choose(code: Assembler, maps: Maps) -> None:
    """Go on if there is a token, or by chance; else this fault of target r6 is counted and the program ends."""
    code.map_value(R1, maps.words, 8 * TOKENS)
    code.load(8, R2, R1, 0)
    code.jump_number(R2, "s<=", 0, "spent")
    code.number(R2, -1)
    code.atomic_add(R1, 0, R2)
    code.goto("chosen")
    code.label("spent")
    code.call("get_prandom_u32")
    code.map_value(R1, maps.words, 8 * MASK)
    code.load(8, R2, R1, 0)
    code.alu(R2, "&=", R0)
    code.jump_number(R2, "==", 0, "chosen")
    code.number(R2, 1)
    code.atomic_add(R6, _SKIPPED, R2)
    code.goto("out")
    code.label("chosen")


def _keep_skipped(code: Assembler, maps: Maps) -> None:
    """What target r9, process r7, did not look at goes to its totals: the target goes."""
    code.load(8, R6, R9, _SKIPPED)
    code.store(4, R10, -24, R7)
    _lookup(code, maps.totals, -24)
    code.jump_number(R0, "==", 0, "kept")
    code.atomic_add(R0, 8 * SKIPPED, R6)
    code.label("kept")
    code.call("get_current_task")
    code.move(R6, R0)


def _thread(code: Assembler, maps: Maps) -> None:
    """r9 = what is kept of this thread, made if it is new; or the program ends, counted."""
    _lookup(code, maps.threads, -8)
    code.jump_number(R0, "!=", 0, "thread")
    for place in range(8, THREAD + 8, 8):
        code.store_number(8, R10, -8 - place, 0)
    _update(code, maps.threads, -8, -8 - THREAD)
    _lookup(code, maps.threads, -8)
    code.jump_number(R0, "!=", 0, "thread")
    _count(code, maps, LOST_FAULTS)
    code.goto("out")
    code.label("thread")
    code.move(R9, R0)


def _walk(code: Assembler, layout: Layout, nothing: str) -> None:
    """Of address r7 in this thread's memory: r1 = entry, r2 = its level's shift, r8 = its table; else goto nothing."""
    code.call("get_current_task")
    _field(code, R0, layout.at("task_struct.mm"), 8, -16)
    code.load(8, R8, R10, -16)
    code.jump_number(R8, "==", 0, nothing)
    _field(code, R8, layout.at("mm_struct.pgd"), 8, -16)
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


def _frame(code: Assembler, dst: int, entry: int, shift: int, spare: int) -> None:
    """dst = frame that maps address r7: of `entry` at the level of `shift`; all registers, entry is kept."""
    code.number(dst, 1)
    code.alu(dst, "<<=", shift)
    code.alu_number(dst, "-=", 1)
    code.alu(dst, "&=", R7)
    code.number(spare, FRAME)
    code.alu(spare, "&=", entry)
    code.alu(dst, "|=", spare)
    code.alu_number(dst, ">>=", 12)


def _folio(code: Assembler, layout: Layout, maps: Maps) -> None:
    """state.source = what a copy of this page would be, an Outcome. Ends with the program's own labels."""
    code.load(8, R1, R9, _LEAF)
    code.load(8, R2, R9, _LEVEL)
    _frame(code, R8, R1, R2, R3)
    code.move(R6, R8)
    code.alu_number(R8, "*=", layout.page_size)
    code.number(R1, layout.vmemmap)
    code.alu(R8, "+=", R1)
    _field(code, R8, layout.at("page.compound_head"), 8, -16)
    code.load(8, R1, R10, -16)
    code.jump_number(R1, "&", 1, "tail")
    code.goto("head")
    code.label("tail")
    code.alu_number(R1, "-=", 1)
    code.move(R8, R1)
    code.label("head")
    code.read_kernel(R9, _FOLIO, FOLIO_BYTES, R8)
    code.jump_number(R0, "!=", 0, "out")
    _kind(code, layout)
    if min(layout.at(f"folio.{name}") for name in ("_mapcount", "_large_mapcount", "_flags_1")) < 0:
        code.goto("out")
    else:
        _counts(code, layout)
        _mappings(code, layout, maps)
        code.label(Outcome.NEEDLESS.name)
        code.store_number(8, R9, _SOURCE, Outcome.NEEDLESS)
        code.goto("out")
    for outcome in (Outcome.NEEDED, Outcome.FROM_FILE, Outcome.FROM_ZERO):
        code.label(outcome.name)
        code.store_number(8, R9, _SOURCE, outcome)
        code.goto("out")


def _kind(code: Assembler, layout: Layout) -> None:
    """Leaves for page cache, zero pages and KSM; r6 is the frame."""
    code.number(R1, layout.zero_frame)
    code.jump(R6, "==", R1, Outcome.FROM_ZERO.name)
    code.load(8, R1, R9, _FOLIO + layout.at("folio.mapping"))
    code.jump_number(R1, "==", 0, Outcome.FROM_ZERO.name)
    code.alu_number(R1, "&=", 3)
    code.jump_number(R1, "==", 0, Outcome.FROM_FILE.name)
    code.jump_number(R1, "==", 3, Outcome.NEEDED.name)


def _counts(code: Assembler, layout: Layout) -> None:
    """Leaves with what mapcount and refcount say alone; else r7 = mapcount of a large folio, equal to its refcount."""
    code.load(4, R5, R9, _FOLIO + layout.at("folio._refcount"))
    code.load(8, R1, R9, _FOLIO + layout.at("folio.flags"))
    code.jump_number(R1, "&", 1 << layout.head_bit, "large")
    code.load(4, R1, R9, _FOLIO + layout.at("folio._mapcount"))
    code.alu_number(R1, "+=", 1, bits=32)
    code.jump(R1, "!=", R5, Outcome.NEEDED.name)
    code.jump_number(R1, "!=", 1, Outcome.NEEDED.name)
    code.goto(Outcome.NEEDLESS.name)
    code.label("large")
    code.load(4, R4, R9, _FOLIO + layout.at("folio._large_mapcount"))
    code.alu_number(R4, "+=", 1, bits=32)
    code.jump(R4, "!=", R5, Outcome.NEEDED.name)
    code.jump_number(R4, "==", 1, Outcome.NEEDLESS.name)
    code.load(8, R1, R9, _LEVEL)
    code.jump_number(R1, "!=", 12, Outcome.NEEDED.name)


def _mappings(code: Assembler, layout: Layout, maps: Maps) -> None:
    """Of a PTE-mapped large folio with r4 mappings, headed by page r8: are they all in the page table at hand?

    Private anonymous memory is mapped once an MM: where all entries that map the folio are ours, no other MM maps it.
    """
    code.load(8, R1, R9, _FOLIO + layout.at("folio._flags_1"))
    code.alu_number(R1, "&=", 0xFF)
    code.jump_number(R1, ">", 9, "out")
    code.number(R5, 1)
    code.alu(R5, "<<=", R1)
    code.jump(R4, ">", R5, Outcome.NEEDED.name)
    code.number(R1, layout.vmemmap)
    code.alu(R8, "-=", R1)
    code.alu_number(R8, "/=", layout.page_size)
    code.alu(R6, "-=", R8)
    code.alu_number(R7, ">>=", 12)
    code.alu_number(R7, "&=", 511)
    code.alu(R7, "-=", R6)
    code.jump_number(R7, "s<", 0, "out")
    code.move(R1, R7)
    code.alu(R1, "+=", R5)
    code.jump_number(R1, "s>", 512, "out")
    code.store(8, R10, -24, R4)
    code.store(8, R10, -32, R5)
    code.store_number(4, R10, -4, 0)
    _lookup(code, maps.scratch, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R6, R0)
    code.load(8, R2, R10, -32)
    code.jump_number(R2, ">", 512, "out")
    code.alu_number(R2, "<<=", 3)
    code.load(8, R3, R9, _TABLE)
    code.alu_number(R7, "<<=", 3)
    code.alu(R3, "+=", R7)
    code.move(R1, R6)
    code.call("probe_read_kernel")
    code.jump_number(R0, "!=", 0, "out")
    _ours(code)
    code.load(8, R4, R10, -24)
    code.jump(R7, "==", R4, Outcome.NEEDLESS.name)
    code.goto(Outcome.NEEDED.name)


def _ours(code: Assembler) -> None:
    """r7 = how many of the entries at r6, stack[-32] of them, map frames r8 .. r8 + that: no branch but the loop's."""
    code.load(8, R5, R10, -32)
    code.number(R7, 0)
    code.number(R0, 0)
    code.label("entry")
    code.jump_number(R0, ">=", 512, "counted")
    code.jump(R0, ">=", R5, "counted")
    code.load(8, R1, R6, 0)
    code.number(R2, FRAME)
    code.alu(R2, "&=", R1)
    code.alu_number(R2, ">>=", 12)
    code.alu(R2, "-=", R8)
    code.move(R3, R5)
    code.alu(R3, "-=", R2)
    code.alu_number(R3, "-=", 1)
    code.alu(R3, "|=", R2)
    code.alu_number(R3, ">>=", 63)
    code.alu_number(R3, "^=", 1)
    code.alu(R3, "&=", R1)
    code.alu(R7, "+=", R3)
    code.alu_number(R6, "+=", 8)
    code.alu_number(R0, "+=", 1)
    code.goto("entry")
    code.label("counted")


def _outcome(code: Assembler) -> None:
    """r7 = Outcome, r8 = bytes copied, then goto known; falls through if nothing is writable. From _walk's r1, r2."""
    code.move(R3, R1)
    code.alu_number(R3, "&=", WRITABLE)
    code.jump_number(R3, "==", 0, "unresolved")
    _frame(code, R4, R1, R2, R3)
    code.number(R8, 1)
    code.alu(R8, "<<=", R2)
    code.load(8, R1, R9, _LEAF)
    code.load(8, R2, R9, _LEVEL)
    _frame(code, R5, R1, R2, R3)
    code.load(8, R7, R9, _SOURCE)
    code.jump(R4, "!=", R5, "known")
    code.number(R8, 0)
    code.move(R1, R7)
    code.number(R7, Outcome.NOTIFIED)
    code.jump_number(R1, "==", Outcome.FROM_FILE, "known")
    code.number(R7, Outcome.REUSED)
    code.goto("known")


def _account(code: Assembler, maps: Maps) -> None:
    """Outcome r7 and bytes r8 go to the process' totals, and with stack, address and time to the ring."""
    low = -16 - RECORD
    code.store(8, R10, low + 32, R8)
    code.call("ktime_get_ns")
    code.load(8, R1, R9, _SINCE)
    code.store(8, R10, low + 16, R1)
    code.move(R8, R0)
    code.alu(R8, "-=", R1)
    code.store(8, R10, low + 40, R8)
    code.load(8, R1, R9, _PROCESS)
    code.store(4, R10, low + 4, R1)
    _lookup(code, maps.totals, low + 4)
    code.jump_number(R0, "==", 0, "lost")
    code.jump_number(R7, ">", Outcome.NOTIFIED, "lost")
    code.move(R1, R7)
    code.alu_number(R1, "<<=", 3)
    code.alu(R1, "+=", R0)
    code.number(R2, 1)
    code.atomic_add(R1, 0, R2)
    code.jump_number(R7, "==", Outcome.REUSED, "reused")
    code.jump_number(R7, ">=", Outcome.UNRESOLVED, "out")
    code.load(8, R1, R10, low + 32)
    code.atomic_add(R0, 8 * BYTES, R1)
    code.atomic_add(R0, 8 * COPY_NS, R8)
    code.goto("detail")
    code.label("reused")
    code.atomic_add(R0, 8 * REUSE_NS, R8)
    code.label("detail")
    _stack(code, maps, low + 8)
    code.load(8, R1, R9, _MODE)
    code.alu(R1, "|=", R7)
    code.store(4, R10, low + 12, R1)
    code.load(8, R1, R9, _ADDRESS)
    code.store(8, R10, low + 24, R1)
    code.store_number(4, R10, low, FAULT)
    _output(code, maps, low, _NO_WAKEUP)
    _count(code, maps, LOST_DETAIL)
    code.goto("out")
    code.label("lost")
    _count(code, maps, LOST_FAULTS)


def _stack(code: Assembler, maps: Maps, place: int) -> None:
    """stack[place] = number of the user space stack; r6 the context."""
    code.move(R1, R6)
    code.map(R2, maps.stacks)
    code.number(R3, 1 << 8 | 1 << 9)
    code.call("get_stackid")
    code.store(4, R10, place, R0)
    code.jump_number(R0, "s>=", 0, "stacked")
    _count(code, maps, NO_STACK)
    code.label("stacked")


def _output(code: Assembler, maps: Maps, low: int, flags: int) -> None:
    """The record at stack[low] goes to the ring, and the program to its end, or on if there is no room."""
    code.map(R1, maps.ring)
    code.move(R2, R10)
    code.alu_number(R2, "+=", low)
    code.number(R3, RECORD)
    code.number(R4, flags)
    code.call("ringbuf_output")
    code.jump_number(R0, "==", 0, "out")


def _record(
    code: Assembler, maps: Maps, kind: int, *, process: int, parent: int, pid: int, task: int, layout: Layout
) -> None:
    """A record for the ring; registers of the callers."""
    low = -56 - RECORD
    code.store(4, R10, low + 12, pid)
    code.store_number(4, R10, low, kind)
    code.store(4, R10, low + 4, process)
    code.store(4, R10, low + 8, parent)
    code.store_number(8, R10, low + 40, 0)
    code.call("ktime_get_ns")
    code.store(8, R10, low + 16, R0)
    _field(code, task, layout.at("task_struct.comm"), 16, low + 24)
    _output(code, maps, low, 0)
    _count(code, maps, LOST_RECORDS)
