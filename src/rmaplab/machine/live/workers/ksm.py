"""The system's KSM scanner, borrowed: full scans on demand, and everything as it was afterwards.

For the warden, which gives it back whatever happens, and for the machine, which asks first whether it may (`users`).
Standard library only. Borrowed while the machine is alone; the files of /sys/kernel/mm/ksm are those of
Documentation/admin-guide/mm/ksm.rst.
"""

import ctypes
import errno
import mmap
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

KSM = Path("/sys/kernel/mm/ksm")

_STOP, _MERGE, _UNMERGE = "0", "1", "2"

_WANTED = {
    "run": _STOP,
    "advisor_mode": "none",
    "pages_to_scan": "1000000000",
    "sleep_millisecs": "0",
    "smart_scan": "0",
    "use_zero_pages": "0",
    "merge_across_nodes": "1",
    "max_page_sharing": "1000000000",
    "stable_node_chains_prune_millisecs": "0",
}
"""In the order of writing: the advisor forbids pages_to_scan. A batch is then exactly one full scan, pages are skipped
for no reason, and the duplicates of a page are looked through every time. Files a kernel lacks are left out."""

_SCANS = 3
"""Full scans between two looks at the counters: the first sees a checksum, the second that it is stable, the third meets
what the second merged."""

_PATIENCE = 120.0
"""Seconds in which a full scan must end."""

_BUSY = 10.0
"""Seconds to wait for memory that is being freed."""

_MOVE_PAGES = 279
_PR_SET_PDEATHSIG = 1


def users() -> list[int]:
    """Processes whose memory a scan would merge, or has merged; a kernel that cannot tell the first tells the second."""
    return sorted(int(path.parent.name) for path in Path("/proc").glob("[0-9]*/ksm_stat") if _uses(path))


def _uses(path: Path) -> bool:
    try:
        said = dict(line.rsplit(maxsplit=1) for line in path.read_text(encoding="ascii").split("\n") if line)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return said.get("ksm_merging_pages", "0") != "0" or "yes" in (said.get("ksm_mergeable:"), said.get("ksm_merge_any:"))


class Ksm:
    """The scanner, ours between `begin` and `end`. Raises OSError if a file refuses or a scan does not end."""

    def __init__(self) -> None:
        self._original: list[tuple[Path, str]] = []

    def begin(self) -> None:
        """Stop it, forget what it knows of earlier memory, and set it up. Again does nothing."""
        if self._original:
            return
        for name, value in _WANTED.items():
            path = KSM / name
            if not path.exists():
                continue
            self._original.append((path, _chosen(path.read_text())))
            path.write_text(value)
            if name == "run":
                self._forget()

    def merge(self) -> int:
        """Scan until the numbers of merged pages stand still, then stop; returns the full scans that took."""
        start, seen = _full_scans(), None
        # A page it never touches: where no process has mergeable memory, scans are not counted.
        anchor = start_anchor(_mergeable_page)
        try:
            self._scan(start + _SCANS)
            while seen != (seen := _merged()):
                self._scan(_full_scans() + _SCANS)
        finally:
            end_anchor(anchor)
        drain()
        return _full_scans() - start

    def end(self) -> None:
        """Unmerge what is left, which must be nobody's, and write every original value back, latest first. Again does
        nothing. Raises the first OSError, after all were tried."""
        if not self._original:
            return
        self._forget()
        errors = []
        while self._original:
            try:
                self._put_back(*self._original.pop())
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _scan(self, until: int) -> None:
        (KSM / "run").write_text(_MERGE)
        limit = time.monotonic() + _PATIENCE
        try:
            while (scans := _full_scans()) < until:
                if time.monotonic() > limit:
                    raise OSError(errno.ETIMEDOUT, f"full scan {scans + 1} did not end in {_PATIENCE:.0f} s", str(KSM))
                time.sleep(0.001)
        finally:
            (KSM / "run").write_text(_STOP)

    def _put_back(self, path: Path, value: str) -> None:
        """Some files refuse while a merged page is mapped: of a process that ended, somebody may still look at it."""
        limit = time.monotonic() + _BUSY
        while True:
            try:
                path.write_text(value)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > limit:
                    raise
            time.sleep(0.01)
            self._forget()

    @staticmethod
    def _forget() -> None:
        """With the items of processes that ended the counters go that forbid some of the writes."""
        (KSM / "run").write_text(_UNMERGE)
        (KSM / "run").write_text(_STOP)


def _mergeable_page() -> mmap.mmap:
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.madvise(mmap.MADV_MERGEABLE)
    return page


def start_anchor(prepare: Callable[[], object]) -> int:
    """A process that holds what `prepare` gives, and so stands in a scanner's list. Not one of ours: the processes we
    fork would stand there from their start on.
    Returns a pidfd: children are not waited for here, so a PID of one that ended may be a stranger's."""
    ready, say_ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            held = prepare()
            os.write(say_ready, b"1" if held else b"0")
            signal.pause()
        finally:
            os._exit(1)
    handle = os.pidfd_open(pid)
    os.close(say_ready)
    os.read(ready, 1)
    os.close(ready)
    return handle


def end_anchor(anchor: int) -> None:
    """End the process behind this pidfd, and close it."""
    signal.pidfd_send_signal(anchor, signal.SIGKILL)
    os.close(anchor)


def end_group() -> None:
    """Kill every other process of our group, and wait until its memory is gone."""
    while others := _group():
        for pid in others:
            _end_member(pid)
        time.sleep(0.001)


def _end_member(pid: int) -> None:
    """Kill a process of our group. What getpgid() says is of the process behind the handle if that has not ended since:
    a reused PID leads to nobody."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ours = os.getpgid(pid) == os.getpgrp()
        if ours and not select.select([handle], [], [], 0)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _group() -> list[int]:
    """Every process of our group but this one."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.getpgid(int(entry)) == os.getpgrp():
                found.append(int(entry))
        except ProcessLookupError:
            continue
    return found


def _full_scans() -> int:
    return int((KSM / "full_scans").read_text())


def _merged() -> tuple[int, ...]:
    return tuple(int((KSM / name).read_text()) for name in ("pages_shared", "pages_sharing"))


def drain() -> None:
    """Empty the LRU batches of all CPUs: the scanner's hold references on pages it made. A move_pages() of no pages
    does that and nothing else."""
    nothing = ctypes.byref(ctypes.c_long())
    ctypes.CDLL(None).syscall(_MOVE_PAGES, 0, 0, nothing, nothing, nothing, 0)


def _chosen(text: str) -> str:
    return text[text.index("[") + 1 : text.index("]")] if "[" in text else text.strip()
