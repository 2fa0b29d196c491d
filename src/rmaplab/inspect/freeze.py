"""Stop the processes one looks at, and let them go again on every way out, our own violent death included.

For `rmaplab inspect --freeze`. A cgroup is frozen by its freezer, processes by SIGSTOP through pidfds. What others
stopped, before or meanwhile, stays stopped; a cgroup that was frozen stays frozen.
"""

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.system.keeper import Keeper
from rmaplab.system.pids import Seen, ancestors, find, stat_fields
from rmaplab.system.signals import Interrupted, Target, catching, shielded

__all__ = ["Interrupted", "frozen"]

_PATIENCE: Final = 5.0
_POLL: Final = 0.001
_FLAGS, _KERNEL_THREAD = 6, 0x00200000
_GONE: Final = (errno.ENOENT, errno.ENODEV)


@dataclass(slots=True)
class _Stop:
    """One process that is to be stopped. `seen_stopped`: our SIGSTOP has had its effect, a further one waits."""

    target: Target
    seen_stopped: bool = False

    def do(self) -> None:
        self.target.send(SIGSTOP)
        _await(self.target.stopped, f"PID {self.target.pid}")
        self.seen_stopped = True

    def undo(self) -> None:
        """Let it go, unless somebody else has sent a stop meanwhile: SIGCONT would take that back too."""
        if not (self.seen_stopped and self.target.stop_waits()):
            self.target.send(SIGCONT)


@dataclass(slots=True)
class _Knob:
    """A cgroup's freezer: the file, what freezes, what it said before, and whether all are frozen."""

    path: Path
    freeze: str
    before: str
    done: Callable[[], bool]

    def do(self) -> None:
        try:
            self.path.write_text(self.freeze)
            _await(self.done, str(self.path.parent))
        except OSError as error:
            raise NotAvailable(f"--freeze: cgroup {self.path.parent}: {error.strerror}") from error

    def undo(self) -> None:
        try:
            self.path.write_text(self.before)
        except OSError as error:
            if error.errno not in _GONE:
                raise


@contextmanager
def frozen(pids: Sequence[int], cgroup: Path | None = None) -> Iterator[None]:
    """Within the block the processes (or the cgroup's) do not run. Raises NotAvailable, RmaplabError.

    Signals that end a program raise `Interrupted` within the block. `pids` must be processes; with a cgroup they are its
    members, and may have ended.
    """
    with ExitStack() as handles:
        handles.enter_context(catching())
        actions = _actions(pids, cgroup, handles)
        keeper = Keeper([action.undo for action in actions])
        held: list[int] = []
        try:
            try:
                for index, action in enumerate(actions):
                    keeper.hold(index)
                    held.append(index)
                    action.do()
                yield
            finally:
                _let_go(keeper, actions, held)
        finally:
            keeper.close()


def _let_go(keeper: Keeper, actions: "Sequence[_Stop | _Knob]", held: list[int]) -> None:
    """Undo, latest first. Whatever is interrupted or fails here is left to the keeper."""
    with shielded(), ExitStack() as undo:
        for index in held:
            undo.callback(keeper.release, index)
            undo.callback(actions[index].undo)


def _actions(pids: Sequence[int], cgroup: Path | None, handles: ExitStack) -> "list[_Stop | _Knob]":
    """What has to be stopped: nothing that is stopped already, nothing that is ours."""
    if own := ancestors() & set(pids):
        raise RmaplabError(f"--freeze: PID {min(own)}: must not be this program or an ancestor of it")
    knob = None if cgroup is None else _knob(cgroup)
    if knob is not None:
        return [] if knob.before == knob.freeze and knob.done() else [knob]
    found: list[_Stop | _Knob] = []
    for pid in pids:
        try:
            seen = find(pid)
            _refuse_kernel_thread(seen)
            target = handles.enter_context(Target(seen))
        except RmaplabError:
            if cgroup is None:
                raise
            continue
        if not target.held():
            found.append(_Stop(target))
    return found


def _refuse_kernel_thread(seen: Seen) -> None:
    fields = stat_fields(seen.pid)
    if fields and int(fields[_FLAGS]) & _KERNEL_THREAD:
        raise NotAvailable(f"PID {seen.pid}: has no address space, is a thread of the kernel")


def _knob(cgroup: Path) -> _Knob | None:
    """The freezer of cgroup v2 or v1; None if it has none, or would stop single threads only."""
    try:
        return _modern(cgroup) or _old(cgroup)
    except OSError as error:
        raise NotAvailable(f"--freeze: cgroup {cgroup}: {error.strerror}") from error


def _modern(cgroup: Path) -> _Knob | None:
    path, kind = cgroup / "cgroup.freeze", cgroup / "cgroup.type"
    if not path.exists() or (kind.exists() and kind.read_text().strip() == "threaded"):
        return None
    return _Knob(path, "1", path.read_text().strip(), lambda: "frozen 1" in (cgroup / "cgroup.events").read_text())


def _old(cgroup: Path) -> _Knob | None:
    path = cgroup / "freezer.state"
    if not path.exists():
        return None
    itself = (cgroup / "freezer.self_freezing").read_text().strip() == "1"
    return _Knob(path, "FROZEN", "FROZEN" if itself else "THAWED", lambda: path.read_text().strip() == "FROZEN")


def _await(done: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > limit:
            raise NotAvailable(f"--freeze: {what} did not stop within {_PATIENCE:.0f} s")
        time.sleep(_POLL)
