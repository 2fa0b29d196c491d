"""`rmaplab watch`: copy-on-write of a command, of processes or of a cgroup, as it happens."""

import json
import sys
import time
from typing import Annotated, Any

import typer

from rmaplab.cli import options
from rmaplab.errors import RmaplabError
from rmaplab.inspect.cgroups import cgroup_pids
from rmaplab.report.console import note
from rmaplab.report.watch import show_sum
from rmaplab.system.command import Command
from rmaplab.system.pids import checked_pid
from rmaplab.system.signals import Interrupted, shielded
from rmaplab.text import plain
from rmaplab.watch import answer
from rmaplab.watch.budget import USUAL
from rmaplab.watch.watcher import Watch

_POLL = 0.05


def watch(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="Run this command and watch it.")
    ] = None,
    pid: Annotated[
        list[int] | None, typer.Option(parser=checked_pid, help="Watch this process and its children (may be repeated).")
    ] = None,
    cgroup: Annotated[str | None, typer.Option(help="Watch the processes of this cgroup.")] = None,
    seconds: Annotated[
        float | None, typer.Option(parser=options.seconds(0.1), help="End the watch then; else when all ended, or ^C.")
    ] = None,
    every: Annotated[float, typer.Option(parser=options.seconds(0.1), help="Seconds between lines.")] = 1.0,
    top: Annotated[int, typer.Option(parser=options.count(1), help="Stacks to show.")] = 20,
    budget: Annotated[
        float, typer.Option(parser=options.share(), help="Share of one CPU that watching may cost; 0: no limit.")
    ] = USUAL,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines, the last one the sum; the command's output goes to stderr.")
    ] = False,
) -> None:
    """Watch who copies memory on write, where, and whether that was needed.

    With a command the exit code is the command's (128 + N if signal N ended it). ^C, SIGTERM, SIGHUP and SIGQUIT end the
    watch and go to the command, which gets SIGKILL 5 s later, or at the next of them. The sum is printed all the same.
    """
    if [bool(command), bool(pid), cgroup is not None].count(True) != 1:
        raise RmaplabError("watch: --pid, --cgroup and -- COMMAND: must be one of them")
    running: Command | None = None
    ended: Interrupted | None = None
    try:
        with Watch(budget or None) as watched:
            try:
                if command:
                    running = watched.launch(command, sys.stderr.fileno() if as_json else None)
                else:
                    watched.add(pid or cgroup_pids(cgroup or ""))
                _follow(watched, running, cgroup, every if as_json else None, seconds)
            except Interrupted as signalled:
                ended = signalled
                note(f"{signalled}: the sum so far")
                if running:
                    running.signal(signalled.number)
            with shielded():
                watched.poll()
                found = answer.summary(watched, top)
                watched.close()
                if as_json:
                    _emit(found)
                else:
                    show_sum(found)
        code = running.wait(ending=ended is not None) if running else int(ended.code or 0) if ended else 0
    finally:
        if running:
            running.close()
    if code:
        sys.exit(code)


def _follow(
    watched: Watch, running: Command | None, cgroup: str | None, every: float | None, seconds: float | None
) -> None:
    """Poll until the time is over, or everybody has ended."""
    began = time.monotonic()
    last = began
    while True:
        ended = running is not None and running.ended()
        with shielded():
            if cgroup is not None:
                watched.add(cgroup_pids(cgroup))
            watched.poll()
        now = time.monotonic()
        if every is not None and now - last >= every:
            last = now
            _emit(answer.line(watched))
        if ended or (seconds is not None and now - began >= seconds) or not watched.alive():
            return
        watched.wait(_POLL)


def _emit(row: dict[str, Any]) -> None:
    json.dump(plain(row), sys.stdout, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()
