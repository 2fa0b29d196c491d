"""A command that is ours: started, signalled as a group, waited for, its exit status known.

For `rmaplab record --around` and `rmaplab watch`. It runs in a session of its own, so that a terminal's ^C reaches us
only. Its leader is not waited for before the last signal has gone out: until then its PID and group are nobody else's.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Final

from rmaplab.errors import RmaplabError
from rmaplab.system.signals import Interrupted, send_to_group

_PATIENCE: Final = 5.0
_POLL: Final = 0.02


class Command:
    """A running command. Raises RmaplabError, which names the `option` it came from, if it cannot be started."""

    def __init__(self, words: Sequence[str], output: int | None = None, option: str = "--around") -> None:
        try:
            self._child = subprocess.Popen(list(words), stdout=output, start_new_session=True)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise RmaplabError(f"{option} {words[0]}: {reason}") from error
        self.pid = self._child.pid
        self._deadline: float | None = None

    def ended(self) -> bool:
        """Whether its first process has ended; it is not waited for."""
        if self._child.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def signal(self, number: int) -> None:
        """To all of its process group; SIGKILL follows after 5 s."""
        if self._child.returncode is None:
            send_to_group(self.pid, number)
            self._deadline = self._deadline or time.monotonic() + _PATIENCE

    def wait(self, *, ending: bool = False) -> int:
        """Until it has ended; its exit code, 128 + N if signal N ended it.

        A signal to us is passed on to it, and then it has 5 s; the next one, or the first if it is `ending`, kills it.
        """
        while not self.ended():
            try:
                if self._deadline and time.monotonic() > self._deadline:
                    send_to_group(self.pid, signal.SIGKILL)
                time.sleep(_POLL)
            except Interrupted as signalled:
                self.signal(signal.SIGKILL if ending else signalled.number)
                ending = True
        code = self._child.wait()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """End it if it still runs: for when we fail."""
        if self._child.returncode is None:
            if not self.ended():
                self.signal(signal.SIGTERM)
            self.wait(ending=True)
