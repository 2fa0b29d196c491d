"""`rmaplab record`: snapshots of a running system as a trace that `rmaplab run --on trace` judges."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from rmaplab.errors import RmaplabError
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.processes import descendants
from rmaplab.inspect.recorder import Recorder
from rmaplab.inspect.saving import save_trace
from rmaplab.inspect.sharing import reached_folios
from rmaplab.inspect.snapshot import of_pids, take
from rmaplab.report.console import emit_json, note
from rmaplab.trace import Trace, check_place


def record(
    path: Annotated[Path, typer.Argument(help="Directory to write the trace to.")],
    pid: Annotated[list[int] | None, typer.Option(help="Follow what this process maps (may be repeated).")] = None,
    around: Annotated[str | None, typer.Option(help="Run this command and follow what it and its children map.")] = None,
    every: Annotated[float, typer.Option(min=0.01, help="Seconds between snapshots.")] = 1.0,
    snapshots: Annotated[
        int | None, typer.Option(min=1, help="Stop after that many; else when all are gone, or ^C.")
    ] = None,
    addresses: Annotated[bool, typer.Option("--addresses", help="Include PFNs.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object about the trace; the command's output goes to stderr.")
    ] = False,
) -> None:
    """Record a running system's mappings into a trace."""
    if bool(pid) == (around is not None):
        raise RmaplabError("record: --pid and --around: must be one of them")
    words = _words(around) if around is not None else []
    check_place(path)
    view = probe()
    try:
        recorder = Recorder(view.reader, view.flag_bit, pfns=addresses)
        if words:
            _around(recorder, view, words, every, snapshots, sys.stderr.fileno() if as_json else None)
        else:
            _follow(recorder, view, set(pid or ()), every, snapshots)
        trace = recorder.trace(f"record --around {words[0]}" if words else "record --pid")
    finally:
        view.close()
    save_trace(trace, path)
    if as_json:
        emit_json(_about(trace, path))
        return
    note(f"{len(trace.folios)} folios, {len(trace.events)} events, {len(trace.questions)} questions: written to {path}")


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
    every: float,
    limit: int | None,
    child: subprocess.Popen[bytes] | None = None,
) -> None:
    """Snapshots until the limit, the end of all `pids` (and one more, which sees them gone), or ^C.

    Without a `child` all `pids` have to be there at the first.
    """
    taken = 0
    try:
        while limit is None or taken < limit:
            began = time.monotonic()
            if child is not None:
                child.poll()
                pids |= descendants(child.pid)
            snapshot = take(view)
            known = snapshot.mm_of_pid
            if child is None and not taken:
                of_pids(snapshot.mms, pids)
            mms = sorted({known[p] for p in pids if p in known})
            recorder.add(snapshot, reached_folios(snapshot.sharing, np.isin(snapshot.sharing.owner, mms)))
            taken += 1
            if not mms:
                break
            time.sleep(max(0.0, every - (time.monotonic() - began)))
    except KeyboardInterrupt:
        note(f"stopped after {taken} snapshots")


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RmaplabError(f"--around {command!r}: {error}") from error
    if not words:
        raise RmaplabError("--around: must be a command")
    return words


def _around(
    recorder: Recorder, view: KernelView, words: list[str], every: float, limit: int | None, output: int | None
) -> None:
    try:
        child = subprocess.Popen(words, stdout=output, start_new_session=True)
    except OSError as error:
        raise RmaplabError(f"--around {words[0]}: {error.strerror}") from error
    try:
        _follow(recorder, view, {child.pid}, every, limit, child)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()
