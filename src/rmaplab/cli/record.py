"""`rmaplab record`: snapshots of a running system as a trace that `rmaplab run --on trace` judges."""

import math
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from rmaplab.cli import options
from rmaplab.errors import RmaplabError
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.processes import descendants, process
from rmaplab.inspect.recorder import Recorder
from rmaplab.inspect.saving import save_trace
from rmaplab.inspect.sharing import reached_folios
from rmaplab.inspect.snapshot import of_pids, take
from rmaplab.report.console import emit_json, note
from rmaplab.system.command import Command
from rmaplab.system.pids import checked_pid, find
from rmaplab.system.signals import Interrupted, shielded
from rmaplab.trace import MOST_PARTS, Trace, TraceError, check_place


def record(
    path: Annotated[Path, typer.Argument(help="Directory to write the trace to.")],
    pid: Annotated[
        list[int] | None, typer.Option(parser=checked_pid, help="Follow what this process maps (may be repeated).")
    ] = None,
    around: Annotated[str | None, typer.Option(help="Run this command and follow what it and its children map.")] = None,
    every: Annotated[float, typer.Option(parser=options.seconds(0.01), help="Seconds between snapshots.")] = 1.0,
    snapshots: Annotated[
        int | None, typer.Option(parser=options.count(1), help="Look that often; else until all are gone, or ^C.")
    ] = None,
    addresses: Annotated[bool, typer.Option("--addresses", help="Include PFNs.")] = False,
    parts: Annotated[
        int | None, typer.Option(parser=options.count(1, MOST_PARTS), help="Write it in at most so many parts, by folio.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object about the trace; the command's output goes to stderr.")
    ] = False,
) -> None:
    """Record a running system's mappings into a trace.

    With --around the exit code is the command's (128 + N if signal N ended it), also after --snapshots, which ends the
    looking and not the command. ^C, SIGTERM, SIGHUP and SIGQUIT end the looking and go to the command, which gets SIGKILL
    5 s later, or at the next of them. The trace so far is written. With --pid a signal N ends record with 128 + N.
    """
    if bool(pid) == (around is not None):
        raise RmaplabError("record: --pid and --around: must be one of them")
    words = _words(around) if around is not None else []
    for one in pid or []:
        find(one)
    check_place(path)
    view = probe()
    recorder = Recorder(view.reader, view.flag_bit, pfns=addresses)
    scenario = f"record --around {words[0]}" if words else "record --pid"
    command = None
    pace = _Pace(every)
    ended: Interrupted | None = None
    try:
        try:
            if words:
                command = Command(words, sys.stderr.fileno() if as_json else None)
            pids = {command.pid} if command else set(pid or ())
            _follow(recorder, view, pids, pace, snapshots, command)
        except Interrupted as signalled:
            ended = signalled
            note(f"{signalled}: the trace so far is written")
            if command:
                command.signal(signalled.number)
        finally:
            view.close()
        with shielded():
            _save(recorder.trace(scenario, every=every, missed=float(pace.missed)), path, parts, as_json)
            if pace.missed:
                note(pace.line())
        code = command.wait(ending=ended is not None) if command else int(ended.code or 0) if ended else 0
    finally:
        if command:
            command.close()
    if code:
        sys.exit(code)


@dataclass(slots=True)
class _Pace:
    """A look every `every` seconds; one that takes longer makes us miss the ticks that go by meanwhile."""

    every: float
    looks: int = 0
    missed: int = 0
    spent: float = 0.0
    _began: float = 0.0

    def begin(self) -> None:
        self._began = time.monotonic()

    def rest(self) -> None:
        """Until the next tick that is still to come."""
        took = time.monotonic() - self._began
        ticks = max(1, math.ceil(took / self.every))
        self.looks, self.spent, self.missed = self.looks + 1, self.spent + took, self.missed + ticks - 1
        time.sleep(ticks * self.every - took)

    def line(self) -> str:
        return (
            f"--every {self.every:g}: {self.missed} of {self.missed + self.looks} looks were missed:"
            f" one takes {self.spent / self.looks:.2f} s here"
        )


def _about(trace: Trace, path: Path) -> dict[str, object]:
    return {
        "path": str(path),
        "source": trace.meta.source,
        "exactness": trace.meta.exactness,
        "why": trace.meta.why,
        "folios": len(trace.folios),
        "events": len(trace.events),
        "questions": len(trace.questions),
        **trace.meta.stats,
    }


def _follow(
    recorder: Recorder,
    view: KernelView,
    pids: set[int],
    pace: _Pace,
    limit: int | None,
    command: Command | None = None,
) -> None:
    """Snapshots until the limit, or the end of all `pids` (and one more, which sees them gone).

    Without a `command` all `pids` have to be there at the first. A signal raises Interrupted; no snapshot is half added.
    One that finds nobody's memory counts, and adds nothing, if somebody is alive: an exec went through it.
    """
    taken, seen = 0, False
    while limit is None or taken < limit:
        pace.begin()
        if command is not None:
            pids |= descendants(command.pid)
        snapshot = take(view)
        known = snapshot.mm_of_pid
        if command is None and not taken:
            of_pids(snapshot.mms, pids)
        mms = sorted({known[p] for p in pids if p in known})
        taken += 1
        if not mms and any(process(one) for one in pids):
            pace.rest()
            continue
        if command is not None and not seen and not mms:
            note("the command ended before the first snapshot saw it: nothing of it is recorded")
        with shielded():
            wanted = reached_folios(snapshot.sharing, np.isin(snapshot.sharing.owner, mms))
            recorder.add(snapshot, np.array(mms, np.int64), wanted)
        if not mms:
            break
        seen = True
        pace.rest()


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RmaplabError(f"--around {command!r}: {error}") from error
    if not words:
        raise RmaplabError("--around: must be a command")
    return words


def _save(trace: Trace, path: Path, parts: int | None, as_json: bool) -> None:
    """Write what was gathered; where that fails, to a directory of its own, which is named."""
    try:
        save_trace(trace, path, parts)
    except RmaplabError as error:
        place = Path(tempfile.mkdtemp(prefix="rmaplab-record-"), "trace")
        try:
            save_trace(trace, place, parts)
        except RmaplabError as again:
            place.parent.rmdir()
            raise type(error)(f"{error}; and {again}: the trace is lost") from again
        raise type(error)(f"{error}; the trace is in {place}") if not isinstance(error, TraceError) else error from error
    if as_json:
        emit_json(_about(trace, path))
        return
    note(f"{len(trace.folios)} folios, {len(trace.events)} events, {len(trace.questions)} questions: written to {path}")
