"""The programs loaded and attached, the maps read: what is in the kernel while somebody watches.

For `rmaplab.watch.watcher`. Everything lives by descriptors of this object: `close`, or the end of this process however
it comes, detaches and unloads it all.
"""

import os
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from rmaplab.bpf import syscalls
from rmaplab.bpf.maps import Ring, Table, Words
from rmaplab.watch import faults, lives, records
from rmaplab.watch.layout import Layout

_TARGETS, _THREADS, _TOTALS = 1 << 14, 1 << 14, 1 << 15
_RING: Final = 1 << 25
_MINOR, _MAJOR = 5, 6
"""PERF_COUNT_SW_PAGE_FAULTS_MIN, _MAJ."""

FAULT: Final = np.dtype(
    [
        *(("kind", "<u4"), ("process", "<u4"), ("unused", "<u4"), ("outcome", "<u4")),
        *(("began", "<u8"), ("address", "<u8"), ("bytes", "<u8"), ("ns", "<u8")),
        ("frames", "<u8", records.DEPTH),
    ]
)
"""A fault that was looked at; `outcome`: with BY_KERNEL in it where the kernel wrote; `frames`: addresses of its stack,
innermost first, 0 behind the last."""

Faults = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Record:
    """A process began (FORK), executed (EXEC) or ended (EXIT). `process`, `parent`: numbers of the watch's, not PIDs;
    `when`: CLOCK_MONOTONIC, ns; `name`: as bytes, of the task then."""

    kind: int
    process: int
    parent: int
    pid: int
    when: int
    name: bytes


class Hooks:
    """A context manager. Raises BpfError where something is refused; nothing is left behind then."""

    def __init__(self, layout: Layout, *, events: bool = False) -> None:
        """`events`: software events tell the end of a fault, not the memory cgroups' tracepoint."""
        with ExitStack() as owned:
            self._words = owned.enter_context(Words(records.WORDS, "rmaplab_words"))
            self._targets = owned.enter_context(Table(syscalls.HASH, 4, records.TARGET, _TARGETS, "rmaplab_targets"))
            threads = owned.enter_context(Table(syscalls.HASH, 4, records.THREAD, _THREADS, "rmaplab_threads"))
            self._totals = owned.enter_context(Table(syscalls.HASH, 4, 8 * records.TOTALS, _TOTALS, "rmaplab_totals"))
            self._ring = owned.enter_context(Ring(_RING, "rmaplab_ring"))
            scratch = owned.enter_context(
                _Descriptor(syscalls.create_map(syscalls.PERCPU_ARRAY, 4, records.SCRATCH, 1, "rmaplab_scratch"))
            )
            self._words.words[records.NEXT_PROCESS] = 1
            maps = records.Maps(
                self._words.fd,
                self._targets.fd,
                threads.fd,
                self._totals.fd,
                self._ring.fd,
                scratch.fd,
            )
            self._events, self._faults = events, ExitStack()
            self._load(owned, layout, maps)
            self.resume()
            self._owned = owned.pop_all()

    def _load(self, owned: ExitStack, layout: Layout, maps: records.Maps) -> None:
        """Attaches what follows processes; faults begin and end with `resume`."""
        raw = syscalls.RAW_TRACEPOINT_PROGRAM

        def load(kind: int, code: bytes, name: str) -> int:
            return owned.enter_context(_Descriptor(syscalls.load_program(kind, code, name))).fd

        for code, name, tracepoint in (
            (lives.leave(layout, maps), "rmaplab_exit", "sched_process_exit"),
            (lives.execute(layout, maps), "rmaplab_exec", "sched_process_exec"),
            (lives.fork(layout, maps), "rmaplab_fork", "sched_process_fork"),
        ):
            owned.enter_context(_Descriptor(syscalls.attach_raw_tracepoint(load(raw, code, name), tracepoint)))
        kind = syscalls.PERF_EVENT_PROGRAM if self._events else raw
        self._end = load(kind, faults.end(layout, maps, event=self._events), "rmaplab_end")
        self._begin = load(raw, faults.begin(layout, maps), "rmaplab_begin")

    def resume(self) -> None:
        """See faults again: first their ends, then their beginnings, so that each that is seen to begin has its end."""
        self._words.words[records.EPOCH] += np.uint64(1)
        with ExitStack() as owned:
            if self._events:
                for cpu in _online():
                    for event, name in ((_MINOR, "page-faults-min"), (_MAJOR, "page-faults-maj")):
                        link = syscalls.attach_software_event(self._end, event, cpu, name)
                        owned.enter_context(_Descriptor(link))
            else:
                link = syscalls.attach_raw_tracepoint(self._end, "count_memcg_events")
                owned.enter_context(_Descriptor(link))
            for name in ("page_fault_user", "page_fault_kernel"):
                owned.enter_context(_Descriptor(syscalls.attach_raw_tracepoint(self._begin, name)))
            self._faults = owned.pop_all()

    def pause(self) -> None:
        """See no faults, at no cost, until `resume`. Processes are followed."""
        self._faults.close()

    def add(self, pid: int, flags: int = 0, born: int = 0) -> int:
        """Watch a process from now on; returns its number."""
        words = self._words.words
        number = int(words[records.NEXT_PROCESS])
        words[records.NEXT_PROCESS] += np.uint64(1)
        self._totals.set(struct.pack("=I", number), bytes(8 * records.TOTALS))
        self._targets.set(struct.pack("=I", pid), struct.pack("=IIQIIQ", number, flags, born, 0, 0, 0))
        return number

    def drop(self, pid: int) -> None:
        """Watch it no longer."""
        self._targets.drop(struct.pack("=I", pid))

    def watched(self) -> set[int]:
        """PIDs of all that is watched now."""
        return set(self._targets.everything()[0].view(np.uint32)[:, 0].tolist())

    def wait(self, seconds: float) -> None:
        """Until a process begins, executes or ends, or the time is over."""
        self._ring.wait(seconds)

    def news(self) -> tuple[list[Record], Faults]:
        """What came since the last call, oldest first: of processes, and faults, dtype FAULT."""
        rows = self._ring.take(records.RECORD).view(FAULT)[:, 0]
        others = rows["kind"] != records.FAULT
        found = []
        for raw in rows[others]:
            head = raw.tobytes()[: records.HEAD]
            kind, process, parent, pid, when, name = struct.unpack("=IIIIQ16s8x", head)
            found.append(Record(kind, process, parent, pid, when, name.partition(b"\0")[0]))
        return found, rows[~others]

    def totals(self) -> dict[int, NDArray[np.uint64]]:
        """Counters of all processes so far by number, uint64, shape (TOTALS,)."""
        keys, values = self._totals.everything()
        found = dict(zip(keys.view(np.uint32)[:, 0].tolist(), values.view(np.uint64).copy(), strict=True))
        alive = self._targets.everything()[1]
        for number, skipped in zip(
            alive[:, :4].copy().view(np.uint32)[:, 0], alive[:, 24:].copy().view(np.uint64)[:, 0], strict=True
        ):
            if int(number) in found:
                found[int(number)][records.SKIPPED] += skipped
        return found

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop the counters of processes that ended."""
        for number in numbers:
            self._totals.drop(struct.pack("=I", number))

    def word(self, which: int) -> int:
        return int(self._words.words[which])

    def set_word(self, which: int, value: int) -> None:
        self._words.words[which] = value

    def close(self) -> None:
        """Detach and unload. Idempotent."""
        self._faults.close()
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Descriptor:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _online() -> list[int]:
    """CPUs that are online."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        spans = [span.split("-") for span in file.read().strip().split(",")]
    return [cpu for span in spans for cpu in range(int(span[0]), int(span[-1]) + 1)]
