"""Our terminal joined to one of a guest: keys go there as they are typed, and what it writes is shown.

For `rmaplab kernel boot --shell`. The guest's end is a virtio console (hvc0), a terminal like any: job control, editors
and pagers work in it. Its size is that of ours when the guest boots.
"""

import os
import selectors
import socket
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LEAVE: Final = b"\x1d"
"""Ctrl-]: typed, it ends the guest, whatever that is doing."""
_LOOK: Final = 0.2


@contextmanager
def raw(keys: int) -> Iterator[None]:
    """The terminal `keys` passes every key on, also Ctrl-C; as it was before, on any way out."""
    before = termios.tcgetattr(keys)
    try:
        tty.setraw(keys)
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


def join(channel: socket.socket, keys: int, show: Callable[[bytes], object], over: Callable[[], bool]) -> bool:
    """Pass keys to the channel and what it sends to `show`, until `over`, or nobody is there; False if somebody left."""
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(keys, selectors.EVENT_READ)
        while not over():
            for key, _ in selector.select(_LOOK):
                if key.fileobj is channel:
                    if not (data := channel.recv(1 << 16)):
                        return True
                    show(data)
                    continue
                typed, left, _ = os.read(keys, 1 << 12).partition(LEAVE)
                channel.sendall(typed)
                if left:
                    return False
                if not typed:
                    selector.unregister(keys)
    return True
