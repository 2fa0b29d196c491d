"""Whose turn it is on this system: many live machines side by side, or one alone.

For the warden, which holds the turn as long as it lives, so that it outlasts a coordinator that was killed and whatever
must be undone is undone first. Standard library only. A live machine shares the system with others until it does what
the whole system feels: a swap device, a KSM scan, moving memory.
"""

import errno
import fcntl
import os
import time

WORLD = "/sys/kernel/mm"
"""Its flock: shared by machines side by side, exclusive for one alone."""

QUEUE = "/sys/kernel"
"""Its flock is taken before that of WORLD and let go after, so that newcomers stand behind one who waits to be alone."""

PATIENCE = 300.0
"""Seconds to wait for other machines."""

_AT_THE_HEAD = 2.0
"""Seconds at the head of the queue before giving way: whoever has a machine and waits in the queue for another one would
otherwise be waited for by who stands before it."""

_STEP = 0.002
_GIVE_WAY = 25 * _STEP


class Turn:
    """The place of one machine. Raises BlockingIOError after PATIENCE."""

    def __init__(self) -> None:
        self._world = os.open(WORLD, os.O_RDONLY | os.O_CLOEXEC)

    def share(self) -> None:
        """Side by side with other machines."""
        self._take(fcntl.LOCK_SH)

    def alone(self) -> None:
        """Without them. Those that run finish first, so the machine itself must stand still meanwhile."""
        self._take(fcntl.LOCK_EX)

    def end(self) -> None:
        """Let go."""
        os.close(self._world)

    def _take(self, how: int) -> None:
        fcntl.flock(self._world, fcntl.LOCK_UN)
        queue = os.open(QUEUE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            until = time.monotonic() + PATIENCE
            while _locked(queue, fcntl.LOCK_EX, until):
                if _locked(self._world, how, min(until, time.monotonic() + _AT_THE_HEAD)):
                    return
                fcntl.flock(queue, fcntl.LOCK_UN)
                if time.monotonic() > until:  # else a free queue would be taken for ever
                    break
                time.sleep(_GIVE_WAY)
        finally:
            os.close(queue)
        raise BlockingIOError(errno.EAGAIN, f"other live machines kept the system for {PATIENCE:.0f} s")


def _locked(fd: int, how: int, until: float) -> bool:
    """Whether the lock could be had before `until`; it is tried once at least."""
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_STEP)
        else:
            return True
