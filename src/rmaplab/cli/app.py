"""The `rmaplab` command: imports only the command that is asked for, with a handler for whatever comes.

For the shell. A command `do-this` is the function `do_this` of the module `rmaplab.cli.do_this`,
or the group of commands of that name. Loading NumPy, Polars
and the rest costs more than users' patience with `--help`, so the other commands are listed by their line here.
This module loads next to nothing: an interrupt during the other imports finds its handler in place.
"""

import os
import signal
import sys
from contextlib import nullcontext
from typing import Final

from rmaplab.cli.commands import COMMANDS
from rmaplab.cli.ending import end

COMPUTING: Final = frozenset({"schemes", "capacity", "refute", "race", "stress", "bench"})
"""Commands that have nothing to put back: they end soon after an interrupt even while a library computes."""


def main() -> None:
    """Entry point. Exit codes: 0 fine, 1 a finding, 2 usage, 3 not permitted or not available, 128 + N by signal N."""
    with _Starting():
        from rmaplab.cli import exits, quick_help  # noqa: PLC0415  (after the handler that stands for their import)

        if sys.argv[1:] in quick_help.ASKED and "_RMAPLAB_COMPLETE" not in os.environ:
            with exits.reporting():
                quick_help.show(COMMANDS)
            sys.exit(0)
        from rmaplab.cli import build  # noqa: PLC0415
        from rmaplab.system.signals import catching, stubborn_work_ends  # noqa: PLC0415

        wanted = next((word for word in _words() if word in COMMANDS), None)
        with exits.reporting():
            app = build.build(wanted)
    with exits.reporting(), catching(), stubborn_work_ends() if wanted in COMPUTING else nullcontext():
        code = app(standalone_mode=False, prog_name="rmaplab")
        if code == exits.INTERRUPTED:
            raise KeyboardInterrupt
    sys.exit(code)


def _words() -> list[str]:
    """What was typed: the arguments, or what a shell wants completed."""
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")
    return typed.split() if typed and "_RMAPLAB_COMPLETE" in os.environ else sys.argv[1:]


class _Starting:
    """While the rest is imported there is nothing to clean up: an interrupt says so and ends the process."""

    def __enter__(self) -> None:
        self._ours = signal.getsignal(signal.SIGINT) in (signal.default_int_handler, end)
        if self._ours:
            signal.signal(signal.SIGINT, end)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
