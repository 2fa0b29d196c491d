"""Every signal the package sends, and every one it catches.

For `freeze`, `record`, the live machine and the command line. Sent is only to a process that was seen, through a pidfd:
a PID that was reused meanwhile cannot lead to a stranger. Caught signals end what is at work by an exception, so that
every `finally` runs; where that must not be cut off (`shielded`), they wait.
"""

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.system.pids import Seen, checked_pid, find, start_time, stat_fields
from rmaplab.system.reading import content

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that ask a program to end."""
PATIENCE: Final = 5.0
"""Seconds that a library may go on computing after such a signal."""
_STOPPING: Final = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_STOPPED: Final = frozenset(b"Tt")
_DEAD: Final = frozenset(b"ZXx")


class Gone(RmaplabError):
    """The process that was seen has ended, or its PID is another's by now."""


class Interrupted(SystemExit):
    """A signal asked us to end: exit code 128 + its number, as shells expect."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return "interrupted" if self.number == signal.SIGINT else f"ended by {signal.Signals(self.number).name}"


class Target:
    """One process, held by a pidfd: whatever happens to its PID, what is sent goes to it or to nobody.

    Also a context manager, which lets it go. Raises Gone, RmaplabError (no PID, a thread's), NotAvailable (no pidfds).
    """

    def __init__(self, process: Seen | int) -> None:
        seen = find(process) if not isinstance(process, Seen) else process
        self.pid = checked_pid(seen.pid)
        try:
            self.handle = os.pidfd_open(self.pid)
        except ProcessLookupError as error:
            raise Gone(f"PID {self.pid}: must be a running process") from error
        except OSError as error:
            raise NotAvailable(f"PID {self.pid}: pidfd_open(2): {error.strerror}: no signal is sent") from error
        # What stat says is of the process behind the handle if that has not ended afterwards.
        start = start_time(self.pid)
        if start != seen.start or self.ended():
            self.close()
            raise Gone(f"PID {self.pid}: must be a running process: the one that was seen is gone")

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the handle go. Again does nothing."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def ended(self, seconds: float = 0.0) -> bool:
        """Whether it has ended; waits so long for that."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def send(self, number: int) -> bool:
        """Send a signal; False if it has ended. Raises NotAvailable if that is not permitted."""
        try:
            signal.pidfd_send_signal(self.handle, number)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise NotAvailable(f"PID {self.pid}: {signal.Signals(number).name}: {error.strerror}") from error
        return True

    def stopped(self) -> bool:
        """Whether no thread of it can run: all are stopped, or it has ended."""
        states = self._thread_states()
        return self.ended() or not any(s not in _STOPPED and s not in _DEAD for s in states)

    def held(self) -> bool:
        """Whether it is alive and stopped."""
        return not self.ended() and self.stopped() and any(s in _STOPPED for s in self._thread_states())

    def stop_waits(self) -> bool:
        """Whether a stop that somebody sent waits for a stopped process: it came after the one that stopped it."""
        waiting = deaf = 0
        try:
            for line in content(f"/proc/{self.pid}/status").split(b"\n"):
                name, _, value = line.partition(b":")
                if name in (b"ShdPnd", b"SigPnd"):
                    waiting |= int(value, 16)
                elif name in (b"SigIgn", b"SigCgt", b"SigBlk"):
                    deaf |= int(value, 16)
        except (OSError, ValueError):
            return False
        return any(waiting & ~deaf & 1 << number - 1 for number in _STOPPING)

    def _thread_states(self) -> list[int]:
        try:
            threads = os.listdir(f"/proc/{self.pid}/task")
        except OSError:
            return []
        found = [stat_fields(self.pid, int(thread)) for thread in threads]
        return [fields[0][0] for fields in found if fields]


def end_child(pid: int) -> None:
    """SIGKILL to a child of ours that nobody has waited for yet: until then its PID is nobody else's."""
    with suppress(ProcessLookupError):
        os.kill(checked_pid(pid), signal.SIGKILL)


def send_to_group(leader: int, number: int) -> bool:
    """A signal to the process group of a child of ours that nobody has waited for yet; False if none is left.

    Until it is waited for, its PID is no other process' or group's.
    """
    try:
        os.killpg(checked_pid(leader), number)
    except ProcessLookupError:
        return False
    except PermissionError as error:  # all that is left of the group has become another user's
        raise NotAvailable(f"process group {leader}: {signal.Signals(number).name}: {error.strerror}") from error
    return True


class _Catcher:
    """What our handler knows: how deep in `shielded` we are, and which signal waits for its end."""

    depth = 0
    waiting = 0


def _leave(number: int, _frame: FrameType | None) -> None:
    if _Catcher.depth:
        _Catcher.waiting = _Catcher.waiting or number
        return
    raise Interrupted(number)


@contextmanager
def catching() -> Iterator[None]:
    """Signals of `ENDING` raise `Interrupted`; those ignored before stay so. Off the main thread this does nothing."""
    with ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None, _leave):
                    undo.callback(signal.signal, number, before)
                    signal.signal(number, _leave)
        yield


@contextmanager
def stubborn_work_ends(seconds: float = PATIENCE) -> Iterator[None]:
    """Within the block a signal of `ENDING` ends the program at the latest `seconds` after it came.

    For work that has nothing to put back: Python runs no handler while a library computes, and z3 takes a second for an
    answer. A thread hears of the signal at once, and waits for the block to end. Off the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, said = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    ended = threading.Event()
    before = signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    threading.Thread(target=_end_late, args=(heard, ended, seconds), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(said)


def _end_late(heard: int, ended: threading.Event, seconds: float) -> None:
    poll = select.poll()
    poll.register(heard, select.POLLIN)
    while True:
        poll.poll()
        numbers = os.read(heard, 64)
        asked = [n for n in numbers if n in ENDING and signal.getsignal(n) is _leave]
        if not numbers or (asked and not ended.wait(seconds)):
            break
        if asked:
            return
    os.close(heard)
    if numbers:
        os.write(2, f"rmaplab: {Interrupted(asked[0])}\n".encode())
        os._exit(128 + asked[0])


@contextmanager
def shielded() -> Iterator[None]:
    """Within the block signals of `ENDING` wait; at its end the first that came raises `Interrupted`."""
    _Catcher.depth += 1
    try:
        yield
    finally:
        _Catcher.depth -= 1
        if not _Catcher.depth and _Catcher.waiting:
            number, _Catcher.waiting = _Catcher.waiting, 0
            raise Interrupted(number)


def waiting_signal() -> int:
    """The signal that waits for the end of `shielded`, 0 if none; it waits no longer."""
    number, _Catcher.waiting = _Catcher.waiting, 0
    return number
