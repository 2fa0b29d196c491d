"""Processes in one address space: how a live process gets a child by vfork or clone(CLONE_VM).

For `LiveProcess`. The child runs `tenant.c`, a loop in C that answers what a worker answers, since the interpreter cannot
run twice in one address space; after exec it is a worker like any other.
"""

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

from rmaplab.machine.live.workers.control import Worker, WorkerDied
from rmaplab.machine.live.workers.wire import ANSWER, HELLO, Op, receive
from rmaplab.machine.protocol import MachineError, NotAvailable

_HERE: Final = Path(__file__).resolve().parent.parent
"""Where the build puts the extension."""
_REMEDY: Final = "install a C compiler, then reinstall rmaplab"


def available() -> bool:
    """Was tenant.c built?"""
    return (_HERE / "_tenant.abi3.so").is_file()


def start(parent: Worker, op: Literal[Op.VFORK, Op.CLONE_VM], name: str) -> Worker:
    """A child called `name` in the address space of `parent`, which answers to `op` by now, or after VFORK once the child
    has called exec or ended. Raises NotAvailable, MachineError, WorkerDied."""
    if not available():
        raise NotAvailable(f"{op.name.lower()}: the routine for processes that share memory is missing; {_REMEDY}")
    ours, theirs = socket.socketpair()
    with ExitStack() as unless_it_lives:
        unless_it_lives.enter_context(ours)
        with theirs:
            parent.tell(op, fd=theirs.fileno())
        if op is Op.CLONE_VM or parent.hears(ours):
            answer = parent.hear(op.name.lower())
            if answer.error or op is Op.VFORK:
                raise MachineError(f"{parent.name}: {op.name.lower()}: {os.strerror(answer.error)}")
        child = Worker(ours, _hello(ours, name), name)
        unless_it_lives.pop_all()
    return child


def _hello(channel: socket.socket, name: str) -> int:
    """The pid a new child gives with its first words."""
    try:
        _, hello, _, size = ANSWER.unpack(receive(channel, ANSWER.size))
        pid = int.from_bytes(receive(channel, size), "little")
    except EOFError:
        raise WorkerDied(f"{name}: died at once") from None
    if hello != HELLO:
        raise MachineError(f"{name}: unexpected answer {hello}")
    return pid
