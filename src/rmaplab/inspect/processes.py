"""Who there is: the processes of this machine, grouped into address spaces (MMs).

For the scan. Threads are one process here; vfork children and other CLONE_VM processes are one MM with their parent,
told by kcmp(2) or, where that is refused, by a page both map at one address and the kernel calls mapped exclusively.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Final

import numpy as np

from rmaplab import proctext
from rmaplab.errors import NotAvailable
from rmaplab.machine.live.proc import procfs
from rmaplab.system.pids import find
from rmaplab.system.reading import beginning, content

_KCMP: Final = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "s390x": 343, "ppc64le": 354}
_KCMP_VM: Final = 1
_MOST_OF_A_COMMAND: Final = 1 << 17
"""Bytes, of a command line: as many as Linux takes for one argument (MAX_ARG_STRLEN)."""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_STACK_PAGES: Final = 64

_STATE, _START, _VSIZE, _RESIDENT, _STACK, _IDENTITY = 0, 19, 20, 21, 25, (*range(23, 26), *range(42, 49))
_FIELDS: Final = 49
"""Fields of /proc/PID/stat after the name: state, start time, size of the address space, pages resident, bottom of the
stack; what exec sets."""

_INIT_PID_NAMESPACE: Final = 0xEFFF_FFFC
"""Inode number of the initial PID namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h, since Linux 3.8)."""
_CAP_SYS_PTRACE: Final = 19


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `start` (clock ticks after boot) tells a reused PID; `identity` is equal for equal MMs.

    `thread`: a thread that still has the memory where the first one has ended, else 0. `resident`: pages, roughly.
    """

    pid: int
    start: int
    name: str
    stack: int
    identity: tuple[str, ...]
    thread: int = 0
    resident: int = 0

    @property
    def tid(self) -> int:
        """Where in /proc its memory is to be read."""
        return self.thread or self.pid


@dataclass(frozen=True, slots=True)
class Mm:
    """One address space and the processes that run in it, `leader` first."""

    processes: tuple[Process, ...]

    @property
    def leader(self) -> Process:
        return self.processes[0]

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(p.pid for p in self.processes)


@dataclass(slots=True)
class Notes:
    """What was left out, and why: each kind once, with how often.

    `exact` turns False if somebody's mappings were not seen, `blind` True if not even whose; `unread`: PIDs of those that
    are known; `torn` names processes whose own page table was not read whole.
    """

    counts: dict[str, int] = field(default_factory=dict)
    exact: bool = True
    blind: bool = False
    unread: set[int] = field(default_factory=set)
    torn: dict[int, str] = field(default_factory=dict)

    def add(self, text: str, *, hurts: bool = False) -> None:
        self.counts[text] = self.counts.get(text, 0) + 1
        self.exact = self.exact and not hurts

    def hide(self, text: str) -> None:
        """There may be processes that are not shown."""
        self.blind = True
        self.add(text, hurts=True)

    def refuse(self, pid: int, text: str) -> None:
        """The page table of `pid` may not be read."""
        self.unread.add(pid)
        self.add(text, hurts=True)

    def tear(self, pid: int, text: str) -> None:
        """The page table of `pid` was not read whole."""
        self.torn.setdefault(pid, text)
        self.add(f"PID {pid}: {text}", hurts=True)

    def lines(self) -> list[str]:
        """One line a note."""
        return [text if count == 1 else f"{text} ({count} times)" for text, count in self.counts.items()]


def process(pid: int) -> Process | None:
    """The process `pid`, or None if it is gone, has no memory (a kernel thread, a zombie), or is hidden.

    A process whose first thread has ended lives on in its others: they have the memory that /proc/PID has no more.
    """
    first = _stat(str(pid))
    if first is None:
        return None
    name, fields = first
    if fields[_VSIZE] != "0":
        return _process(pid, name, fields, fields)
    if fields[_STATE] not in ("Z", "X"):
        return None
    for thread in threads(pid):
        other = _stat(f"{pid}/task/{thread}")
        if other is not None and other[1][_VSIZE] != "0":
            return _process(pid, name, fields, other[1], thread)
    return None


def with_memory(value: object) -> int:
    """The PID that `value` names. Raises RmaplabError if it is nobody's, NotAvailable if its owner has no memory."""
    pid = find(value).pid
    if process(pid) is None:
        raise NotAvailable(f"PID {pid}: has no address space that could be read")
    return pid


def threads(pid: int) -> list[int]:
    """The threads of a process, by TID; none if it is gone or hidden."""
    try:
        return sorted(int(name) for name in os.listdir(f"{procfs.PROC}/{pid}/task"))
    except OSError:
        return []


def _process(pid: int, name: str, own: Sequence[str], memory: Sequence[str], thread: int = 0) -> Process:
    identity = tuple(memory[i] for i in _IDENTITY)
    return Process(pid, int(own[_START]), name, int(memory[_STACK]), identity, thread, int(memory[_RESIDENT]))


def _stat(where: str) -> tuple[str, tuple[str, ...]] | None:
    """Name and fields after it of /proc/`where`/stat."""
    try:
        name, fields = proctext.stat(content(procfs.PROC / where / "stat"))
    except OSError:
        return None
    return (name, fields) if len(fields) >= _FIELDS else None


def processes() -> list[Process]:
    """Everyone with an address space that /proc shows us, by PID."""
    pids = sorted(int(name) for name in os.listdir(procfs.PROC) if name.isdigit())
    return [found for pid in pids if (found := process(pid))]


def unseen() -> list[str]:
    """Whose processes /proc does not show us, one line a reason; empty if it shows everybody's."""
    found = []
    try:
        own = os.stat(procfs.PROC / "self/ns/pid").st_ino
    except OSError:
        found.append("/proc is not of this program's PID namespace: processes outside of it are not seen")
    else:
        if own != _INIT_PID_NAMESPACE:
            found.append("/proc shows one PID namespace: processes outside of it are not seen")
    if hidden_processes():
        found.append("/proc hides processes of others (hidepid): their mappings are not counted")
    return found


def hidden_processes() -> bool:
    """Whether /proc hides others' processes from us (mount option hidepid).

    Not from CAP_SYS_PTRACE; nor from the group of the option gid, root's if there is none, unless the option says
    "ptraceable" (has_pid_permissions, fs/proc/base.c; hidepid=4 since Linux 5.8).
    """
    try:
        mounts = proctext.mounts(content(procfs.PROC / "self/mounts"))
        status = proctext.fields(content(procfs.PROC / "self/status"))
    except OSError:
        return False
    options = next((m.options for m in reversed(mounts) if m.point == str(procfs.PROC)), ())
    values = dict(option.partition("=")[::2] for option in options)
    hides = values.get("hidepid", "off")
    if hides in ("0", "off") or _may_trace(status.get("CapEff", "0")):
        return False
    groups = {*status.get("Gid", "").split()[3:], *status.get("Groups", "").split()}
    return hides in ("4", "ptraceable") or values.get("gid", "0") not in groups


def _may_trace(capabilities: str) -> bool:
    try:
        return bool(int(capabilities, 16) >> _CAP_SYS_PTRACE & 1)
    except ValueError:
        return False


def swaps(pid: int) -> bool:
    """Whether a process has pages in swap, or had when it was last asked about: everybody may read that."""
    try:
        said = proctext.fields(content(procfs.PROC / str(pid) / "status")).get("VmSwap", "0 kB")
    except OSError:
        return False
    return said.split()[:1] != ["0"]


def command_line(pid: int) -> str:
    """The arguments, space-separated; empty if gone. A process may say that they are all of its memory: of more than
    `_MOST_OF_A_COMMAND` bytes the rest becomes three dots."""
    try:
        raw = beginning(procfs.PROC / str(pid) / "cmdline", _MOST_OF_A_COMMAND + 1)
    except OSError:
        return ""
    more = "..." if len(raw) > _MOST_OF_A_COMMAND else ""
    return " ".join(proctext.arguments(raw[:_MOST_OF_A_COMMAND])) + more


def cgroup_of(pid: int) -> str:
    """The process' cgroup: in the v2 tree if that is used for memory, else in v1's memory hierarchy; "?" if gone."""
    try:
        paths = proctext.cgroups(content(procfs.PROC / str(pid) / "cgroup"))
    except OSError:
        return "?"
    named = [path for controllers, path in paths.items() if "memory" in controllers.split(",")]
    return named[0] if named else paths.get("", "?")


def group(found: Iterable[Process], notes: Notes) -> list[Mm]:
    """One `Mm` per address space, in the order of their lowest PIDs."""
    alike: dict[tuple[str, ...], list[Process]] = {}
    for one in found:
        alike.setdefault(one.identity, []).append(one)
    mms: list[Mm] = []
    for members in alike.values():
        mms += [Mm((members[0],))] if len(members) == 1 else _split(members, notes)
    return sorted(mms, key=lambda mm: mm.leader.pid)


def _split(members: list[Process], notes: Notes) -> list[Mm]:
    """Equal MMs among processes that look alike. O(n log n) system calls."""
    try:
        return _gather(sorted(members, key=cmp_to_key(_compare)))
    except ProcessLookupError:
        alive = [p for p in members if os.path.exists(f"{procfs.PROC}/{p.tid}")]
        return _split(alive, notes) if alive and len(alive) < len(members) else [Mm((p,)) for p in members]
    except OSError as error:
        notes.add(f"kcmp(2): {error.strerror}; MMs told by pages mapped exclusively by both")
        return _pairwise(members)


def _compare(a: Process, b: Process) -> int:
    return _kcmp(a.tid, b.tid)


def _gather(members: list[Process]) -> list[Mm]:
    """Runs of equals in a list sorted by MM."""
    runs: list[list[Process]] = []
    for one in members:
        if runs and _compare(runs[-1][0], one) == 0:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [Mm(tuple(sorted(run, key=lambda p: p.pid))) for run in runs]


def _pairwise(members: list[Process]) -> list[Mm]:
    runs: list[list[Process]] = []
    for one in members:
        home = next((run for run in runs if same_by_stack(run[0], one)), None)
        if home is None:
            runs.append([one])
        else:
            home.append(one)
    return [Mm(tuple(run)) for run in runs]


def _kcmp(a: int, b: int) -> int:
    """-1, 0 or 1: the kernel's order of the two processes' MMs. Raises OSError, ProcessLookupError if one is gone."""
    number = _KCMP.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "system call number unknown here")
    result = _LIBC.syscall(
        ctypes.c_long(number), ctypes.c_int(a), ctypes.c_int(b), ctypes.c_int(_KCMP_VM), ctypes.c_ulong(0),
        ctypes.c_ulong(0),
    )  # fmt: skip
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return (0, -1, 1, 0)[result]


def same_by_stack(a: Process, b: Process) -> bool:
    """Whether both map one page of the stack, at one address, that the kernel says is mapped exactly once.

    A page with two mappings (after fork) is not marked so; a page of two MMs can therefore not pass.
    """
    if a.stack != b.stack:
        return False
    start = (a.stack & -procfs.PAGE_SIZE) - (_STACK_PAGES - 1) * procfs.PAGE_SIZE
    words = []
    for one in (a, b):
        try:
            with procfs.Pagemap(one.tid) as pagemap:
                words.append(pagemap.entries(start, _STACK_PAGES * procfs.PAGE_SIZE))
        except procfs.ProcfsError:
            return False
    wanted = procfs.PM_PRESENT | procfs.PM_MMAP_EXCLUSIVE
    once = (words[0] & words[1] & wanted) == wanted
    frames = [w & procfs.PM_PFN for w in words]
    return bool(np.any(once & (frames[0] == frames[1]) & (frames[0] != 0)))


def descendants(pid: int) -> set[int]:
    """`pid` and all its children, theirs, and so on, that are alive."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(procfs.PROC):
        if name.isdigit():
            try:
                parent = int(proctext.stat(content(procfs.PROC / name / "stat")).fields[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found, waiting = set(), [pid]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += children.get(one, [])
    return found
