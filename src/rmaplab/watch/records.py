"""What the programs in the kernel and the watcher share: little structs in maps, by their offsets.

For `faults`, `lives` and whoever reads what they left. All counters are 64 bits.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rmaplab.watch.layout import FOLIO_BYTES


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


class Target(IntEnum):
    """Offsets: u32 process, u32 flags, u64 born (0: unknown), u32 parent, u32 unused, u64 faults not looked at."""

    FLAGS = 4
    BORN = 8
    PARENT = 16
    SKIPPED = 24


WAITING, ARMED = 1, 2
"""Flags of a target: not watched before it execs; its children are to be WAITING, and it is not watched itself."""

DEPTH: Final = 32
"""Frames of a stack that are kept."""
HEAD: Final = 48
RECORD: Final = HEAD + 8 * DEPTH
"""FAULT: u32 kind, u32 process, u32 unused, u32 Outcome (| BY_KERNEL), u64 began (ns), u64 address, u64 bytes, u64 ns,
u64 frames[DEPTH], innermost first, 0 behind the last. A stack travels with its fault: a table of stacks (stackid) keeps
one of those that share a bucket, and loses the others.
Others: u32 kind, u32 process, u32 parent, u32 PID, u64 when (ns), char name[16], u64 unused, the rest anything."""
FAULT, FORK, EXEC, EXIT = range(4)
BY_KERNEL: Final = 256

NEXT_PROCESS, LOST_FAULTS, SPURIOUS, LOST_RECORDS, LOST_PROCESSES, LOST_DETAIL, NO_STACK, TOKENS, MASK = range(9)
OPENED, EPOCH = 9, 10
WORDS: Final = 16
"""What programs and watcher share. TOKENS: faults that may yet be looked at, signed; beyond them one in MASK + 1 is.
OPENED: faults that began and did not end, so that all others cost one look at it. EPOCH: how often the programs were
attached: a fault ends in the one it began in, or is lost."""


class Thread(IntEnum):
    """Offsets of what is kept of a thread: u64 each, then the first bytes of its folio."""

    OPEN = 0
    ADDRESS = 8
    SINCE = 16
    LEAF = 24
    LEVEL = 32
    PROCESS = 40
    SOURCE = 48
    TABLE = 56
    MODE = 64
    EPOCH = 72
    FOLIO = 80


THREAD: Final = Thread.FOLIO + FOLIO_BYTES
SCRATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class Maps:
    """Descriptors of the maps."""

    words: int
    targets: int
    threads: int
    totals: int
    ring: int
    scratch: int
