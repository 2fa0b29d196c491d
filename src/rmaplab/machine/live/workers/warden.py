"""The process between coordinator and workers: starts workers, sets kernel knobs, and cleans up whatever happens.

Forked by `nursery.py` for one machine. It holds the only copies of what must outlive a SIGKILLed coordinator: the
original values of the knobs, the machine's swap device, and the process group of the workers. When its socket closes,
for whatever reason, it writes the values back, takes the device away and kills the group, itself included.

Every worker is forked by the warden, stays in its process group (so that one signal ends all, also those in
mid-operation) and its descendant: it is their subreaper and ignores SIGCHLD, so that nothing stays a zombie.

Requests are lines of JSON, each answered by one; a descriptor may ride on the line that starts a worker.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import khugepaged  # type: ignore[import-not-found]
import worker  # type: ignore[import-not-found]
from ksm import Ksm, end_group  # type: ignore[import-not-found]
from swap import Swap  # type: ignore[import-not-found]
from turn import Turn  # type: ignore[import-not-found]
from wire import receive, receive_with_fd  # type: ignore[import-not-found]

PR_SET_CHILD_SUBREAPER = 36
LENGTH = 4


class Knobs:
    """Files under /sys/kernel/mm, changed for a moment under a machine-wide lock: an flock on their directory. Who
    changes nothing shares it with others who do not."""

    def __init__(self) -> None:
        self.original: list[tuple[Path, str]] = []
        self.lock = -1

    def set(self, directory: str, values: dict[str, list[str]]) -> None:
        """File name: words it may have; if it has none of them, it gets the first."""
        self.restore()
        self.lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self.lock, fcntl.LOCK_EX if values else fcntl.LOCK_SH)
        for name, words in values.items():
            path = Path(directory, name)
            now = chosen(path.read_text())
            if now not in words:
                self.original.append((path, now))
                path.write_text(words[0])

    def restore(self) -> None:
        """Write every original value back, latest first; then let go of the lock. Raises the first OSError."""
        errors = []
        while self.original:
            path, value = self.original.pop()
            try:
                path.write_text(value)
            except OSError as error:
                errors.append(error)
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1
        if errors:
            raise errors[0]


def chosen(text: str) -> str:
    """The bracketed word of `always [madvise] never`; the whole text of a plain value."""
    return text[text.index("[") + 1 : text.index("]")] if "[" in text else text.strip()


def start_worker(fd: int) -> int:
    """Fork a worker that serves `fd`, and holds nothing else of the warden's: locks end with their last descriptor."""
    pid = os.fork()
    if pid == 0:
        try:
            os.closerange(3, fd)
            os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))
            worker.main(fd)
        finally:
            os._exit(127)
    return pid


def handle(request: dict[str, Any], fd: int, knobs: Knobs, turn: Turn, ksm: Ksm, swap: Swap) -> Any:
    match request["do"]:
        case "spawn":
            return start_worker(fd)
        case "set":
            knobs.set(request["directory"], request["values"])
        case "restore":
            knobs.restore()
        case "share":
            turn.share()
        case "alone":
            turn.alone()
            swap.sweep()
        case "ksm":
            ksm.begin()
        case "merge":
            return ksm.merge()
        case "khugepaged":
            khugepaged.scan()
        case "swap":
            swap.on(request["length"])
    return None


def serve(channel: socket.socket, coordinator: int, knobs: Knobs, turn: Turn, ksm: Ksm, swap: Swap) -> None:
    """Until the socket closes, or the coordinator (a pidfd) ends while others hold copies of the socket."""
    while coordinator not in select.select([channel.fileno(), coordinator], [], [])[0]:
        try:
            head, fd = receive_with_fd(channel, LENGTH)
            request = json.loads(receive(channel, int.from_bytes(head, "little")))
        except EOFError:
            return
        try:
            answer = {"value": handle(request, fd, knobs, turn, ksm, swap)}
        except OSError as error:
            answer = {"error": f"{error.filename or request['do']}: {error.strerror}"}
        finally:
            if fd >= 0:
                os.close(fd)
        body = json.dumps(answer).encode()
        channel.sendall(len(body).to_bytes(LENGTH, "little") + body)


def main(fd: int, coordinator: int) -> None:
    """Serve the socket `fd` of the process `coordinator`, on the CPU that is last of the coordinator's, then end.

    The group's signals from a terminal or a shell are the coordinator's to act on.
    """
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    knobs, turn, ksm, swap = Knobs(), Turn(), Ksm(), Swap()
    try:
        alive = os.pidfd_open(coordinator)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(coordinator))})
        serve(socket.socket(fileno=fd), alive, knobs, turn, ksm, swap)
    except (ConnectionError, ProcessLookupError):
        pass
    finally:
        # Whatever fails, the rest of it is still done, from the last line up.
        with ExitStack() as undo:
            undo.callback(os.killpg, 0, signal.SIGKILL)
            undo.callback(swap.off)
            undo.callback(ksm.end)
            undo.callback(end_group)
            undo.callback(knobs.restore)
