"""The process all wardens of a coordinator come from: it has their scripts loaded, so that a machine starts by fork.

Run as a script by the coordinator (`python -I -S nursery.py FD`), once. Every message on its socket brings the
socket of a new warden; the answer is the warden's pid. It ends when its own socket closes or the coordinator does; the
wardens look after themselves. Standard library only.
"""

import os
import select
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import warden  # type: ignore[import-not-found]
from wire import PID, receive_with_fd  # type: ignore[import-not-found]


def start_warden(channel: socket.socket, fd: int, coordinator: int) -> int:
    """Fork a warden that serves `fd`; returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            channel.close()
            warden.main(fd, coordinator)
        finally:
            os._exit(1)
    return pid


def main() -> None:
    """`FD` is the socket. The coordinator is who started this process."""
    coordinator = os.getppid()
    alive = os.pidfd_open(coordinator)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    while alive not in select.select([channel.fileno(), alive], [], [])[0]:
        try:
            _, fd = receive_with_fd(channel, 1)
            pid = start_warden(channel, fd, coordinator)
            os.close(fd)
            channel.sendall(PID.pack(pid))
        except (EOFError, ConnectionError):
            return


if __name__ == "__main__":
    main()
