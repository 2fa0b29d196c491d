"""How a coordinator starts wardens: through one `nursery.py` process, which it keeps until it ends.

For `control.Warden`. Starting an interpreter for every machine would cost more than most programs do.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from rmaplab.machine.live.workers.wire import PID, receive, send_with_fd
from rmaplab.machine.protocol import MachineError

_SCRIPT: Final = Path(__file__).resolve().parent / "nursery.py"


class _Nursery:
    """The process and the coordinator's end of its socket; started when first needed, and again if it was killed.

    A forked child of the coordinator starts one of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = -1
        self._channel: socket.socket
        self._process: subprocess.Popen[bytes]

    def start_warden(self, fd: int) -> int:
        """Raises MachineError if the process ends at once."""
        with self._lock:
            for _ in range(2):
                if self._owner != os.getpid():
                    self._open()
                try:
                    send_with_fd(self._channel, b"\0", fd)
                    (pid,) = PID.unpack(receive(self._channel, PID.size))
                    return int(pid)
                except (EOFError, ConnectionError):
                    self.close()
        raise MachineError(f"{_SCRIPT.name}: the process that starts wardens ends at once")

    def _open(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-I", "-S", str(_SCRIPT), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        self._owner = os.getpid()

    def close(self) -> None:
        """End the process, if it is this one's."""
        if self._owner == os.getpid():
            self._channel.close()
            self._process.wait()
            self._owner = -1


_nursery: Final = _Nursery()
atexit.register(_nursery.close)


def start_warden(fd: int) -> int:
    """Start a warden that serves `fd`; returns its pid. Raises MachineError."""
    return _nursery.start_warden(fd)
