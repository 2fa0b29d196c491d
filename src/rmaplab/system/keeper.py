"""A helper that outlives us: what we stopped is let go again even if we are killed.

For `rmaplab.inspect.freeze`. Forked before anything is stopped; it holds the same pidfds, hears of every stop before it
happens, and acts when its pipe ends: when we have let everybody go, or are no more.
"""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from rmaplab.system.signals import ENDING

_RECORD: Final = 4


class Keeper:
    """Calls `undo[i]` for every `i` that was held and not released, when this process ends or `close` is called."""

    def __init__(self, undo: Sequence[Callable[[], None]]) -> None:
        reading, self._writing = os.pipe2(os.O_CLOEXEC)
        self._child = os.fork()
        if self._child:
            os.close(reading)
            return
        code = 1
        try:
            os.close(self._writing)
            code = _keep(reading, undo)
        finally:
            os._exit(code)

    def hold(self, index: int) -> None:
        """`undo[index]` is to be called from now on."""
        os.write(self._writing, (index << 1 | 1).to_bytes(_RECORD, "little"))

    def release(self, index: int) -> None:
        """`undo[index]` need not be called any more."""
        os.write(self._writing, (index << 1).to_bytes(_RECORD, "little"))

    def close(self) -> None:
        """Let the helper do what is left, and wait for it."""
        os.close(self._writing)
        os.waitpid(self._child, 0)


def _keep(reading: int, undo: Sequence[Callable[[], None]]) -> int:
    os.setsid()
    for number in (*ENDING, signal.SIGPIPE, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    held: set[int] = set()
    while record := os.read(reading, _RECORD):
        index, holds = divmod(int.from_bytes(record, "little"), 2)
        held = held | {index} if holds else held - {index}
    for index in sorted(held, reverse=True):
        with suppress(OSError):
            undo[index]()
    return 0
