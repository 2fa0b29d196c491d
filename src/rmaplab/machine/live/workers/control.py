"""The coordinator's ends of the sockets: `Warden` for the machine, `Worker` for one process.

For `LiveMachine`. Knows how to start, ask and end processes; not what the operations mean.
"""

import errno
import json
import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rmaplab.machine.live.workers.start import start_warden
from rmaplab.machine.live.workers.wire import ANSWER, HELLO, REQUEST, Op, receive, send_with_fd
from rmaplab.machine.protocol import MachineError

_THP: Final = 1 << 31
_SECONDS_TO_END: Final = 30.0


class WorkerDied(MachineError):
    """A process ended without being told to: names the process and the operation."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker said: errno (0: done), value, seconds the operation itself took, payload."""

    error: int
    value: int
    seconds: float
    payload: bytes


class Worker:
    """One process under control: its socket, its pid and a pidfd, which stays its own even if the pid is reused."""

    def __init__(self, channel: socket.socket, pid: int, name: str) -> None:
        self._channel = channel
        self.pid, self.name = pid, name
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as error:
            channel.close()
            raise WorkerDied(f"{name} (pid {pid}): died at once") from error

    def ask(self, op: Op, *args: int, thp: bool = False, fd: int = -1) -> Answer:
        """Have the operation done. Raises WorkerDied if the process ends instead of answering."""
        self.tell(op, *args, thp=thp, fd=fd)
        return self.hear(op.name.lower())

    def tell(self, op: Op, *args: int, thp: bool = False, fd: int = -1) -> None:
        """Send the operation; `hear` waits until it is done."""
        request = REQUEST.pack(op | (_THP if thp else 0), *args, *(0,) * (6 - len(args)))
        try:
            send_with_fd(self._channel, request, fd)
        except (BrokenPipeError, ConnectionResetError):
            self.reap(op.name.lower())

    def hears(self, other: socket.socket) -> bool:
        """Wait until this process answers, or somebody on `other` does: is it this one?"""
        ready = select.select([self._channel, other], [], [])[0]
        return other not in ready

    def hear(self, doing: str) -> Answer:
        """Wait for an answer to `doing`."""
        try:
            error, value, seconds, size = ANSWER.unpack(receive(self._channel, ANSWER.size))
            return Answer(error, value, seconds, receive(self._channel, size))
        except EOFError:
            self.reap(doing)
            raise AssertionError("unreachable") from None

    def greet(self, doing: str) -> None:
        """Wait until a new process, or one after exec, stands ready."""
        hello = self.hear(doing)
        if hello.value != HELLO:
            raise MachineError(f"{self.name}: {doing}: unexpected answer {hello}")

    def end(self, op: Op = Op.EXIT) -> None:
        """Tell the process to end, and wait until its memory and files are gone."""
        with suppress(BrokenPipeError, ConnectionResetError):
            send_with_fd(self._channel, REQUEST.pack(op, *(0,) * 6), -1)
        self.wait()

    def wait(self) -> None:
        """Until the process is gone (a zombie has no memory any more). Raises MachineError after 30 s."""
        if self._pidfd < 0:
            return
        if not select.select([self._pidfd], [], [], _SECONDS_TO_END)[0]:
            raise MachineError(f"{self.name} (pid {self.pid}): still there {_SECONDS_TO_END:.0f} s after its end")
        os.close(self._pidfd)
        self._pidfd = -1
        self._channel.close()

    def kill(self) -> None:
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def dead(self) -> bool:
        """Whether the process has ended; waits for nothing."""
        return self._pidfd < 0 or bool(select.select([self._pidfd], [], [], 0)[0])

    def reap(self, doing: str) -> None:
        """The process is gone, or its socket broke: see it off, and say during what it died."""
        self.kill()
        self.wait()
        raise WorkerDied(f"{self.name} (pid {self.pid}) died by itself, seen during {doing}")


class Warden:
    """The helper process that outlives a killed coordinator; see `warden.py`."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self.pid = start_warden(theirs.fileno())
        self._pidfd = _pidfd(self.pid)
        try:
            self._ask({"do": "share"})
        except MachineError:
            self.close()
            raise

    def start_worker(self, name: str) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self._ask({"do": "spawn"}, theirs.fileno())
        worker = Worker(ours, pid, name)
        worker.greet("spawn")
        return worker

    def set_knobs(self, directory: Path, words: Mapping[str, Sequence[str]]) -> None:
        """Take the machine-wide lock; files below `directory` that hold none of their `words` get the first."""
        self._ask({"do": "set", "directory": str(directory), "values": dict(words)})

    def restore_knobs(self) -> None:
        self._ask({"do": "restore"})

    def alone(self) -> None:
        """Wait until no other live machine is at work on this system, and keep it so until `close`."""
        self._ask({"do": "alone"})

    def borrow_ksm(self) -> None:
        """Stop and set up the system's KSM scanner until `close`; the machine is alone."""
        self._ask({"do": "ksm"})

    def merge(self) -> None:
        """Have KSM scan until nothing more merges; `borrow_ksm` went before."""
        self._ask({"do": "merge"})

    def khugepaged(self) -> None:
        """Wait until khugepaged collapses nothing more; the machine is alone, its knobs set."""
        self._ask({"do": "khugepaged"})

    def swap(self, length: int) -> None:
        """Swap to a device of `length` bytes until `close`; the machine is alone. Raises MachineError."""
        self._ask({"do": "swap", "length": length})

    def close(self) -> None:
        """End all workers; knobs are restored by then. Idempotent."""
        self._channel.close()
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [])
            os.close(self._pidfd)
            self._pidfd = -1

    def _ask(self, request: Mapping[str, object], fd: int = -1) -> Any:
        body = json.dumps(request).encode()
        try:
            send_with_fd(self._channel, len(body).to_bytes(4, "little"), fd)
            self._channel.sendall(body)
            answer = json.loads(receive(self._channel, int.from_bytes(receive(self._channel, 4), "little")))
        except (EOFError, BrokenPipeError, ConnectionResetError) as gone:
            raise MachineError(f"the warden process (pid {self.pid}) died; all workers with it") from gone
        if "error" in answer:
            raise MachineError(answer["error"])
        return answer["value"]


def _pidfd(pid: int) -> int:
    """-1 if the process is gone already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def fork_worker(parent: Worker, name: str, *, thp: bool = False) -> tuple[Worker, float]:
    """Fork `parent`; returns the child and the seconds the fork took. Raises MachineError, WorkerDied."""
    ours, theirs = socket.socketpair()
    with theirs:
        answer = parent.ask(Op.FORK, thp=thp, fd=theirs.fileno())
    if answer.error:
        ours.close()
        raise MachineError(f"{parent.name}: fork: {errno.errorcode.get(answer.error, answer.error)}")
    child = Worker(ours, answer.value, name)
    child.greet("fork")
    return child, answer.seconds
