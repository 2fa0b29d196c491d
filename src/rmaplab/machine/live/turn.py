"""Whose turn it is on this system: many live machines side by side, or one alone.

For the warden, which holds the turn as long as it lives, so that it outlasts a coordinator that was killed and whatever
must be undone is undone first. Standard library only. A live machine shares the system with others until it does what
the whole system feels: a swap device, a KSM scan, moving memory.
"""

import fcntl
import os
import time

WORLD = "/sys/kernel/mm"
"""Its flock: shared by machines side by side, exclusive for one alone."""

QUEUE = "/sys/kernel"
"""Its flock is taken before that of WORLD and let go after, so that newcomers stand behind one who waits to be alone."""

PATIENCE = 300.0
"""Seconds to wait for other machines."""

_STEP = 0.002


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
            _wait_for(queue, fcntl.LOCK_EX, until)
            _wait_for(self._world, how, until)
        finally:
            os.close(queue)


def _wait_for(fd: int, how: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise BlockingIOError(error.errno, f"other live machines kept the system for {PATIENCE:.0f} s") from None
        time.sleep(_STEP)
