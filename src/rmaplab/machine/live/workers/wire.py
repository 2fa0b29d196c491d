"""The words coordinator, warden and workers exchange: fixed-size requests and answers over a stream socket.

Imported by the worker and the warden scripts too, which start without site-packages: standard library only.
"""

import array
import socket
import struct
from enum import IntEnum

REQUEST = struct.Struct("=I6q")
"""Operation, six arguments."""

ANSWER = struct.Struct("=iqdI")
"""errno (0 fine), value, seconds of the operation proper, bytes of payload that follow."""

PID = struct.Struct("=i")
"""What the nursery answers."""

HELLO = 0x524D4150
"""The value of the answer a worker gives, unasked, once it stands ready."""


class Op(IntEnum):
    """What a worker can be told to do; the arguments stand in `worker.py`, one method each."""

    MMAP = 1
    MUNMAP = 2
    MREMAP = 3
    MPROTECT = 4
    MADVISE = 5
    READ = 6
    WRITE = 7
    FORK = 8
    EXEC = 9
    EXIT = 10
    PIN = 11
    UNPIN = 12
    DIE = 13
    PIN_LONGTERM = 14
    PEEK = 15
    POKE = 16
    MIGRATE = 17
    VFORK = 18
    CLONE_VM = 19
    DIRECT = 20
    MLOCK = 21
    MUNLOCK = 22
    THP_DISABLE = 23
    PROCESS_MADVISE = 24
    UFFD_WP = 25


def receive(channel: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or EOFError if the other side is gone."""
    parts = bytearray()
    while len(parts) < size:
        try:
            part = channel.recv(size - len(parts))
        except ConnectionResetError:
            part = b""
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def send_with_fd(channel: socket.socket, data: bytes, fd: int) -> None:
    """`data` with one file descriptor (-1: none) riding on it."""
    fds = array.array("i", [] if fd < 0 else [fd])
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
    sent = channel.sendmsg([data], extra)
    channel.sendall(data[sent:])


def receive_with_fd(channel: socket.socket, size: int) -> tuple[bytes, int]:
    """Exactly `size` bytes and the descriptor that rode on them, -1 if none. EOFError if the other side is gone."""
    try:
        data, extra, _flags, _address = channel.recvmsg(size, socket.CMSG_SPACE(array.array("i").itemsize))
    except ConnectionResetError:
        raise EOFError from None
    if not data:
        raise EOFError
    fds = array.array("i")
    for _level, _type, body in extra:
        fds.frombytes(body[: len(body) // fds.itemsize * fds.itemsize])
    return data + receive(channel, size - len(data)), fds[0] if fds else -1
