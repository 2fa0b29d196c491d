"""The programs: what runs in the kernel when somebody writes to a page that is write-protected.

For `rmaplab.watch.watcher`. A COW fault begins at a tracepoint (exceptions:page_fault_user, _kernel) with *present* and
*write* in its error code, and ends where the kernel accounts for it (memcg:count_memcg_events with PGFAULT, or the
software event page-faults-min/maj). At both ends the thread's page table is walked: another frame at the end is a copy,
the same frame, writable now, a reuse. At its beginning the folio is looked at: would a copy be for nothing?
"""

from typing import Final

from rmaplab.bpf.assembler import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Assembler
from rmaplab.watch.layout import FOLIO_BYTES, FRAME, WRITABLE, Layout
from rmaplab.watch.pagetable import frame_of, walk
from rmaplab.watch.pieces import count, field, lookup, output, scratch, set_open, update
from rmaplab.watch.records import (
    BY_KERNEL,
    BYTES,
    COPY_NS,
    DEPTH,
    EPOCH,
    FAULT,
    HEAD,
    LOST_DETAIL,
    LOST_FAULTS,
    MASK,
    NO_STACK,
    OPENED,
    REUSE_NS,
    SPURIOUS,
    THREAD,
    TOKENS,
    Maps,
    Outcome,
    Target,
    Thread,
)

_NO_WAKEUP: Final = 1


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
    lookup(code, maps.targets, -4)
    code.jump_number(R0, "==", 0, "out")
    code.move(R6, R0)
    code.load(4, R1, R6, Target.FLAGS)
    code.jump_number(R1, "!=", 0, "out")
    _choose(code, maps)
    _thread(code, maps)
    code.load(4, R1, R6, 0)
    code.store(8, R9, Thread.PROCESS, R1)
    code.alu_number(R8, "&=", 4)
    code.alu_number(R8, "^=", 4)
    code.alu_number(R8, "*=", BY_KERNEL // 4)
    code.store(8, R9, Thread.MODE, R8)
    code.store(8, R9, Thread.ADDRESS, R7)
    set_open(code, maps, -1)
    code.call("ktime_get_ns")
    code.store(8, R9, Thread.SINCE, R0)
    walk(code, layout, "spurious")
    code.store(8, R9, Thread.TABLE, R8)
    code.store(8, R9, Thread.LEAF, R1)
    code.store(8, R9, Thread.LEVEL, R2)
    code.alu_number(R1, "&=", WRITABLE)
    code.jump_number(R1, "!=", 0, "spurious")
    set_open(code, maps, 1)
    code.map_value(R1, maps.words, 8 * EPOCH)
    code.load(8, R1, R1, 0)
    code.store(8, R9, Thread.EPOCH, R1)
    code.store_number(8, R9, Thread.SOURCE, Outcome.UNPROVEN)
    _folio(code, layout, maps)
    code.label("spurious")
    count(code, maps, SPURIOUS)
    code.label("out")
    code.exit(0)
    return code.assembled()


def end(layout: Layout, maps: Maps, *, event: bool) -> bytes:
    """At memcg:count_memcg_events (cgroup, item, count), or, if `event`, at a software event of page faults."""
    code = Assembler()
    if not event:
        code.load(4, R2, R1, 8)
        code.jump_number(R2, "!=", layout.page_fault_event, "out")
    code.map_value(R2, maps.words, 8 * OPENED)
    code.load(8, R2, R2, 0)
    code.jump_number(R2, "==", 0, "out")
    code.move(R6, R1)
    code.call("get_current_pid_tgid")
    code.store(4, R10, -8, R0)
    lookup(code, maps.threads, -8)
    code.jump_number(R0, "==", 0, "out")
    code.move(R9, R0)
    code.load(8, R1, R9, Thread.OPEN)
    code.jump_number(R1, "==", 0, "out")
    set_open(code, maps, -1)
    code.map_value(R1, maps.words, 8 * EPOCH)
    code.load(8, R1, R1, 0)
    code.load(8, R2, R9, Thread.EPOCH)
    code.jump(R1, "!=", R2, "lost")
    code.load(8, R7, R9, Thread.ADDRESS)
    walk(code, layout, "unresolved")
    _outcome(code)
    code.label("unresolved")
    code.number(R7, Outcome.UNRESOLVED)
    code.number(R8, 0)
    code.label("known")
    _account(code, maps)
    code.label("out")
    code.exit(0)
    return code.assembled()


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
    code.atomic_add(R6, Target.SKIPPED, R2)
    code.goto("out")
    code.label("chosen")


def _thread(code: Assembler, maps: Maps) -> None:
    """r9 = what is kept of this thread, made if it is new; or the program ends, counted."""
    lookup(code, maps.threads, -8)
    code.jump_number(R0, "!=", 0, "thread")
    for place in range(8, THREAD + 8, 8):
        code.store_number(8, R10, -8 - place, 0)
    update(code, maps.threads, -8, -8 - THREAD)
    lookup(code, maps.threads, -8)
    code.jump_number(R0, "!=", 0, "thread")
    count(code, maps, LOST_FAULTS)
    code.goto("out")
    code.label("thread")
    code.move(R9, R0)


def _folio(code: Assembler, layout: Layout, maps: Maps) -> None:
    """state.source = what a copy of this page would be, an Outcome. Ends with the program's own labels."""
    code.load(8, R1, R9, Thread.LEAF)
    code.load(8, R2, R9, Thread.LEVEL)
    frame_of(code, R8, R1, R2, R3)
    code.move(R6, R8)
    code.alu_number(R8, "*=", layout.page_size)
    code.number(R1, layout.vmemmap)
    code.alu(R8, "+=", R1)
    field(code, R8, layout.at("page.compound_head"), 8, -16)
    code.load(8, R1, R10, -16)
    code.jump_number(R1, "&", 1, "tail")
    code.goto("head")
    code.label("tail")
    code.alu_number(R1, "-=", 1)
    code.move(R8, R1)
    code.label("head")
    code.read_kernel(R9, Thread.FOLIO, FOLIO_BYTES, R8)
    code.jump_number(R0, "!=", 0, "out")
    _kind(code, layout)
    if min(layout.at(f"folio.{name}") for name in ("_mapcount", "_large_mapcount", "_flags_1")) < 0:
        code.goto("out")
    else:
        _counts(code, layout)
        _mappings(code, layout, maps)
        code.label(Outcome.NEEDLESS.name)
        code.store_number(8, R9, Thread.SOURCE, Outcome.NEEDLESS)
        code.goto("out")
    for outcome in (Outcome.NEEDED, Outcome.FROM_FILE, Outcome.FROM_ZERO):
        code.label(outcome.name)
        code.store_number(8, R9, Thread.SOURCE, outcome)
        code.goto("out")


def _kind(code: Assembler, layout: Layout) -> None:
    """Leaves for page cache, zero pages and KSM; r6 is the frame."""
    code.number(R1, layout.zero_frame)
    code.jump(R6, "==", R1, Outcome.FROM_ZERO.name)
    code.load(8, R1, R9, Thread.FOLIO + layout.at("folio.mapping"))
    code.jump_number(R1, "==", 0, Outcome.FROM_ZERO.name)
    code.alu_number(R1, "&=", 3)
    code.jump_number(R1, "==", 0, Outcome.FROM_FILE.name)
    code.jump_number(R1, "==", 3, Outcome.NEEDED.name)


def _counts(code: Assembler, layout: Layout) -> None:
    """Leaves with what mapcount and refcount say alone; else r7 = mapcount of a large folio, equal to its refcount."""
    code.load(4, R5, R9, Thread.FOLIO + layout.at("folio._refcount"))
    code.load(8, R1, R9, Thread.FOLIO + layout.at("folio.flags"))
    code.jump_number(R1, "&", 1 << layout.head_bit, "large")
    code.load(4, R1, R9, Thread.FOLIO + layout.at("folio._mapcount"))
    code.alu_number(R1, "+=", 1, bits=32)
    code.jump(R1, "!=", R5, Outcome.NEEDED.name)
    code.jump_number(R1, "!=", 1, Outcome.NEEDED.name)
    code.goto(Outcome.NEEDLESS.name)
    code.label("large")
    code.load(4, R4, R9, Thread.FOLIO + layout.at("folio._large_mapcount"))
    code.alu_number(R4, "+=", 1, bits=32)
    code.jump(R4, "!=", R5, Outcome.NEEDED.name)
    code.jump_number(R4, "==", 1, Outcome.NEEDLESS.name)
    code.load(8, R1, R9, Thread.LEVEL)
    code.jump_number(R1, "!=", 12, Outcome.NEEDED.name)


def _mappings(code: Assembler, layout: Layout, maps: Maps) -> None:
    """Of a PTE-mapped large folio with r4 mappings, headed by page r8: are they all in the page table at hand?

    Private anonymous memory is mapped once an MM: where all entries that map the folio are ours, no other MM maps it.
    """
    code.load(8, R1, R9, Thread.FOLIO + layout.at("folio._flags_1"))
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
    scratch(code, maps)
    code.jump_number(R0, "==", 0, "out")
    code.move(R6, R0)
    code.load(8, R2, R10, -32)
    code.jump_number(R2, ">", 512, "out")
    code.alu_number(R2, "<<=", 3)
    code.load(8, R3, R9, Thread.TABLE)
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
    """r7 = Outcome, r8 = bytes copied, then goto known; falls through if nothing is writable. From walk's r1, r2."""
    code.move(R3, R1)
    code.alu_number(R3, "&=", WRITABLE)
    code.jump_number(R3, "==", 0, "unresolved")
    frame_of(code, R4, R1, R2, R3)
    code.number(R8, 1)
    code.alu(R8, "<<=", R2)
    code.load(8, R1, R9, Thread.LEAF)
    code.load(8, R2, R9, Thread.LEVEL)
    frame_of(code, R5, R1, R2, R3)
    code.load(8, R7, R9, Thread.SOURCE)
    code.jump(R4, "!=", R5, "known")
    code.number(R8, 0)
    code.move(R1, R7)
    code.number(R7, Outcome.NOTIFIED)
    code.jump_number(R1, "==", Outcome.FROM_FILE, "known")
    code.number(R7, Outcome.REUSED)
    code.goto("known")


def _account(code: Assembler, maps: Maps) -> None:
    """Outcome r7 and bytes r8 go to the process' totals, and with stack, address and time to the ring."""
    low = -16 - HEAD
    code.store(8, R10, low + 32, R8)
    code.call("ktime_get_ns")
    code.load(8, R1, R9, Thread.SINCE)
    code.store(8, R10, low + 16, R1)
    code.move(R8, R0)
    code.alu(R8, "-=", R1)
    code.store(8, R10, low + 40, R8)
    code.load(8, R1, R9, Thread.PROCESS)
    code.store(4, R10, low + 4, R1)
    lookup(code, maps.totals, low + 4)
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
    scratch(code, maps)
    code.jump_number(R0, "==", 0, "lost")
    code.move(R8, R0)
    _stack(code, maps)
    code.store_number(4, R10, low + 8, 0)
    code.load(8, R1, R9, Thread.MODE)
    code.alu(R1, "|=", R7)
    code.store(4, R10, low + 12, R1)
    code.load(8, R1, R9, Thread.ADDRESS)
    code.store(8, R10, low + 24, R1)
    code.store_number(4, R10, low, FAULT)
    output(code, maps, low, _NO_WAKEUP)
    count(code, maps, LOST_DETAIL)
    code.goto("out")
    code.label("lost")
    count(code, maps, LOST_FAULTS)


def _stack(code: Assembler, maps: Maps) -> None:
    """Frames of the user space stack go behind the record's head in the scratch memory r8; r6 the context."""
    code.move(R1, R6)
    code.move(R2, R8)
    code.alu_number(R2, "+=", HEAD)
    code.number(R3, 8 * DEPTH)
    code.number(R4, 1 << 8)
    code.call("get_stack")
    code.jump_number(R0, "s>", 0, "stacked")
    count(code, maps, NO_STACK)
    code.label("stacked")
