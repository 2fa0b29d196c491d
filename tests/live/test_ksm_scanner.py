"""The system's KSM scanner in a live machine's hands: it merges, it is exact, and it goes back as it was."""

import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.live import LiveMachine, probe
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.live.workers import ksm
from rmaplab.trace import validate

PAGE = 4096
pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("live"),
    pytest.mark.skipif(not probe().has("ksm"), reason=f"{ksm.KSM} is missing or not writable"),
]

COUNTERS = {"full_scans", "general_profit", "pages_scanned", "pages_shared", "pages_sharing", "pages_skipped"} | {
    *("pages_unshared", "pages_volatile", "stable_node_chains", "stable_node_dups", "ksm_zero_pages")
}


def knobs() -> dict[str, str]:
    return {path.name: path.read_text() for path in ksm.KSM.iterdir() if path.name not in COUNTERS}


def filled(machine: LiveMachine, pages: int, value: int = 7) -> tuple[LiveProcess, int]:
    process = machine.spawn()
    address = process.mmap(pages * PAGE)
    process.write(address, pages * PAGE, value)
    process.madvise(address, pages * PAGE, "mergeable")
    return process, address


def test_equal_pages_merge_and_a_write_takes_them_apart(machine: LiveMachine) -> None:
    one, address = filled(machine, 4)
    two, _ = filled(machine, 4)
    machine.merge()
    seen = machine.observe()
    assert seen["kind"].to_list() == ["ksm"] * 8
    assert seen["frame"].n_unique() == 1
    assert seen["mapcount"].to_list() == [8] * 8
    one.write(address, PAGE, 9)
    assert one.read(address, 2 * PAGE).tolist() == [9, 7]
    assert machine.observe().filter(pl.col("mm") == two.mm)["mapcount"].to_list() == [7] * 4


def test_the_trace_of_a_merge_is_exact_and_nothing_in_it_is_background(machine: LiveMachine) -> None:
    one, address = filled(machine, 4)
    two, _ = filled(machine, 4)
    machine.merge()
    one.madvise(address, 2 * PAGE, "unmergeable")
    two.fork()
    trace = machine.trace()
    validate(trace)
    assert trace.meta.stats["merges"] == 1
    assert trace.meta.stats["background_changes"] == 0
    now = trace.events.group_by("folio").agg(pl.col("nr").sum()).filter(pl.col("nr") != 0)
    counts = trace.folios.join(now, on="folio").group_by("kind").agg(pl.col("nr").sum()).rows()
    assert sorted(counts) == [("anon", 2), ("ksm", 10)]


def test_a_merge_without_mergeable_memory_ends(machine: LiveMachine) -> None:
    machine.merge()
    process = machine.spawn()
    process.write(process.mmap(2 * PAGE), 2 * PAGE)
    machine.merge()
    assert machine.observe()["kind"].to_list() == ["anon", "anon"]


def test_close_puts_every_knob_back() -> None:
    before = knobs()
    with LiveMachine() as machine:
        filled(machine, 2)
        machine.merge()
        assert knobs() != before
    assert knobs() == before


def test_a_killed_coordinator_leaves_every_knob_as_it_was() -> None:
    before = knobs()
    program = (
        "import sys, time\n"
        "from rmaplab.machine.live import LiveMachine\n"
        "machine = LiveMachine()\n"
        "for _ in range(2):\n"
        "    process = machine.spawn()\n"
        "    address = process.mmap(8192)\n"
        "    process.write(address, 8192)\n"
        "    process.madvise(address, 8192, 'mergeable')\n"
        "machine.merge()\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    coordinator = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert coordinator.stdout is not None
    worker = int(coordinator.stdout.readline())
    assert knobs() != before
    coordinator.send_signal(signal.SIGKILL)
    coordinator.wait()
    coordinator.stdout.close()
    # Who is alone next comes after the warden has put everything back.
    with LiveMachine() as machine:
        machine.alone()
        assert knobs() == before
        assert not Path(f"/proc/{worker}").exists()


def test_memory_that_others_merge_is_left_alone(machine: LiveMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ksm, "users", lambda: [42])
    process = machine.spawn()
    with pytest.raises(NotAvailable, match="the first is 42"):
        process.madvise(process.mmap(PAGE), PAGE, "mergeable")
    with pytest.raises(NotAvailable, match="1 processes have mergeable memory"):
        machine.merge()


def test_users_are_the_processes_with_mergeable_memory(machine: LiveMachine) -> None:
    one, address = filled(machine, 2)
    two, _ = filled(machine, 2)
    assert ksm.users() == sorted((one.pid, two.pid))
    one.madvise(address, 2 * PAGE, "unmergeable")
    machine.merge()
    assert ksm.users() == [two.pid]


def test_what_cannot_be_put_back_does_not_keep_the_rest(tmp_path: Path) -> None:
    before = knobs()
    with LiveMachine() as machine:
        machine.alone()
        scanner = ksm.Ksm()
        scanner.begin()
        scanner._original.append((tmp_path / "gone" / "file", "1"))
        with pytest.raises(FileNotFoundError, match="gone"):
            scanner.end()
        assert knobs() == before


def test_a_scan_that_does_not_end_is_given_up_with_the_scanner_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ksm, "_PATIENCE", -1.0)
    monkeypatch.setattr(ksm, "_full_scans", lambda: 0)
    with LiveMachine() as machine:
        machine.alone()
        scanner = ksm.Ksm()
        scanner.begin()
        try:
            with pytest.raises(TimeoutError, match="did not end"):
                scanner.merge()
            assert (ksm.KSM / "run").read_text() == "0\n"
        finally:
            scanner.end()
