"""A recording's events are the differences between its snapshots; the trace is valid and can be judged."""

import json
import os
import signal
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from inspecting import need_order

from commands import rmaplab
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.recorder import Recorder
from rmaplab.inspect.sharing import reached_folios
from rmaplab.inspect.snapshot import Snapshot, of_pids, take
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.process import LiveProcess
from rmaplab.system.command import Command
from rmaplab.trace import read, validate

record = import_module("rmaplab.cli.record")

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

SIZE = 2 << 20


def add(recorder: Recorder, view: KernelView, *processes: LiveProcess) -> None:
    """Take a snapshot and follow what the processes map."""
    snapshot = take(view)
    mms = of_pids(snapshot.mms, [p.pid for p in processes])
    recorder.add(snapshot, mms, reached_folios(snapshot.sharing, np.isin(snapshot.sharing.owner, mms)))


@pytest.mark.parametrize("order", [4, 9])
def test_events_are_the_differences_between_snapshots(machine: LiveMachine, view: KernelView, order: int) -> None:
    need_order(order)
    parent = machine.spawn()
    at = parent.mmap(SIZE, order=order)
    parent.write(at, SIZE)
    recorder = Recorder(view.reader, view.flag_bit)
    add(recorder, view, parent)
    child = parent.fork()
    add(recorder, view, parent, child)
    child.munmap(at, SIZE // 2)
    add(recorder, view, parent, child)
    child.exit()
    add(recorder, view, parent)
    trace = recorder.trace("test")
    validate(trace)
    assert trace.meta.exactness == "estimate"
    large = trace.folios.filter(pl.col("order") == order)
    assert len(large) == SIZE >> 12 >> order
    events = trace.events.filter(pl.col("folio").is_in(large["folio"].implode()))
    pages = (SIZE >> 12) // len(large)
    mapped = pl.when("entire").then(pages * pl.col("nr")).otherwise("nr").sum().alias("pages")
    steps = events.group_by("step", "mm").agg(mapped).sort("step", "mm")
    first, second = events["mm"].unique(maintain_order=True).to_list()
    half, whole = SIZE >> 13, SIZE >> 12
    assert steps.rows() == [(0, first, whole), (2, second, whole), (4, second, -half), (6, second, -(whole - half))]


def test_questions_hold_the_kernels_answer_and_the_truth(machine: LiveMachine, view: KernelView) -> None:
    need_order(4)
    if view.flag_bit < 0:
        pytest.skip("the kernel's maybe-shared flag is not understood here")
    parent = machine.spawn()
    at = parent.mmap(SIZE, order=4)
    parent.write(at, SIZE)
    one, two = parent.fork(), parent.fork()
    recorder = Recorder(view.reader, view.flag_bit)
    add(recorder, view, two)
    parent.exit()
    one.exit()
    add(recorder, view, two)
    trace = recorder.trace()
    large = trace.folios.filter(pl.col("order") == 4)["folio"].implode()
    asked = trace.questions.filter(pl.col("folio").is_in(large)).group_by("step", "kernel", "truth").len().sort("step")
    assert [row[:3] for row in asked.rows()] == [(1, "shared", "shared"), (3, "shared", "exclusive")]


@pytest.mark.usefixtures("view")
def test_recording_around_a_command_can_be_judged(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    program = "import os,time; print('aloud'); held=bytearray(1<<20); os.fork(); time.sleep(8)"
    around = f'{sys.executable} -S -c "{program}"'
    done = rmaplab("record", str(path), "--around", around, "--every", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    trace = read(path)
    said = json.loads(done.stdout)
    assert (said["folios"], said["events"]) == (len(trace.folios), len(trace.events))
    assert "aloud" in done.stderr
    assert trace.folios["pfn"].null_count() == len(trace.folios)
    assert trace.meta.stats["snapshots"] >= 2
    assert trace.events["mm"].n_unique() >= 2
    judged = rmaplab("run", "--on", "trace", str(path), "--json")
    assert judged.returncode in (0, 1), judged.stderr
    said = json.loads(judged.stdout)
    assert said["kernel"]["copied_pages"] is said["happened"]["cow_faults"] is said["avoidable_copies"]["pages"] is None
    assert len(trace.meta.names) < trace.events["mm"].n_unique()  # others map libc too: they stay without a name
    assert set(trace.meta.names.values()) <= {Path(sys.executable).name[:15], "rmaplab", "python3"}
    assert Path(sys.executable).name[:15] in trace.meta.names.values()
    assert "bytearray" not in (path / "meta.json").read_text()


@pytest.mark.usefixtures("view")
def test_a_command_too_short_to_be_seen_is_unknown_and_says_why(tmp_path: Path) -> None:
    done = rmaplab("record", str(tmp_path / "trace"), "--around", "true", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    if said["events"]:
        pytest.skip("the snapshot was quicker than the command")
    assert said["exactness"] == "unknown"
    assert "ended before" in said["why"]


def test_a_look_that_an_exec_goes_through_is_not_the_end(view: KernelView, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Snapshot] = []

    def without_the_first(view: KernelView) -> Snapshot:
        looks.append(take(view))
        return replace(looks[-1], mms=[]) if len(looks) == 1 else looks[-1]

    monkeypatch.setattr(record, "take", without_the_first)
    command, recorder = Command(["sleep", "60"]), Recorder(view.reader, view.flag_bit)
    try:
        record._follow(recorder, view, {command.pid}, record._Pace(0.01), 2, command)
        os.kill(command.pid, signal.SIGKILL)
        command.wait()
    finally:
        command.close()
    assert len(looks) == 2
    assert len(recorder.trace("record").events)


@pytest.mark.usefixtures("view")
def test_looks_that_came_too_late_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    done = rmaplab("record", str(path), "--around", "sleep 1.5", "--every", "0.01", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["missed"] > 0
    assert said["missed"] + said["snapshots"] > 1.5 / 0.01 * 0.9
    assert "looks were missed" in done.stderr
    assert read(path).meta.stats["missed"] == said["missed"]
    slow = rmaplab(
        "record", str(tmp_path / "slow"), "--pid", str(os.getpid()), "--every", "100", "--snapshots", "1", "--json"
    )
    assert json.loads(slow.stdout)["missed"] == 0
