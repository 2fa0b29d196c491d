"""Stop the processes one looks at, and let them go again on every way out.

For `rmaplab inspect --freeze`. A cgroup is frozen by its freezer, processes by SIGSTOP. Signals that can be caught end
the block through an exception, so that the thaw runs; processes that were stopped before stay stopped.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rmaplab import proctext
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.machine.live import procfs

_PATIENCE: Final = 5.0
_POLL: Final = 0.001
_CAUGHT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(SystemExit):
    """A signal asked us to end: exit code 128 + its number, as shells expect."""


@contextmanager
def frozen(pids: Sequence[int], cgroup: Path | None = None) -> Iterator[None]:
    """Within the block the processes (or the cgroup's) do not run. Raises NotAvailable, RmaplabError.

    Main thread only: it takes over the signals that end a program.
    """
    if pids and (own := _ancestors() & set(pids)):
        raise RmaplabError(f"--freeze: PID {min(own)}: must not be this program or an ancestor of it")
    with ExitStack() as undo:
        _catch_signals(undo)
        if cgroup is not None and _freeze_cgroup(cgroup, undo):
            yield
            return
        for pid in pids:
            _stop(pid, undo)
        yield


def _catch_signals(undo: ExitStack) -> None:
    def leave(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(128 + number)

    for number in _CAUGHT:
        undo.callback(signal.signal, number, signal.signal(number, leave))


def _freeze_cgroup(cgroup: Path, undo: ExitStack) -> bool:
    """Freeze by cgroup v2's or v1's freezer; False if it has neither."""
    modern, old = cgroup / "cgroup.freeze", cgroup / "freezer.state"
    if modern.exists():
        _switch(modern, "1", modern.read_text().strip(), undo)
        _await(lambda: "frozen 1" in (cgroup / "cgroup.events").read_text(), str(cgroup))
        return True
    if old.exists():
        _switch(old, "FROZEN", old.read_text().replace("FREEZING", "FROZEN").strip(), undo)
        _await(lambda: old.read_text().strip() == "FROZEN", str(cgroup))
        return True
    return False


def _switch(knob: Path, value: str, before: str, undo: ExitStack) -> None:
    undo.callback(knob.write_text, before)
    knob.write_text(value)


def _stop(pid: int, undo: ExitStack) -> None:
    if _state(pid) in "Tt":
        return
    undo.callback(_continue, pid)
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise NotAvailable(f"--freeze: PID {pid}: {error.strerror}") from error
    _await(lambda: _state(pid) in "TtZX", f"PID {pid}")


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def _await(done: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > limit:
            raise NotAvailable(f"--freeze: {what} did not stop within {_PATIENCE:.0f} s")
        time.sleep(_POLL)


def _state(pid: int) -> str:
    """The letter of /proc/PID/stat; X if gone."""
    try:
        return proctext.stat((procfs.PROC / str(pid) / "stat").read_bytes()).fields[0]
    except OSError:
        return "X"


def _ancestors() -> set[int]:
    """Our own PID, and those of our parents up to init."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            pid = int(proctext.stat((procfs.PROC / str(pid) / "stat").read_bytes()).fields[1])
        except OSError:
            break
    return found
