"""Nothing of a live machine outlives it, however it ends; a process that dies by itself is an error with a name."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.host import knobs
from rmaplab.machine.live.workers import sharing, start
from rmaplab.machine.live.workers.control import WorkerDied
from rmaplab.machine.live.workers.wire import Op
from rmaplab.machine.protocol import PAGE_SIZE, BadOperation, MachineError
from rmaplab.trace.validate import validate

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

COORDINATOR = """
    import sys, threading
    from rmaplab.machine.live import LiveMachine
    from rmaplab.machine.live.workers import sharing, start
    from rmaplab.machine.live.arena import Area
    machine = LiveMachine()
    first = machine.spawn()
    address = first.mmap(1 << 28)
    children = [first, first.fork(), machine.spawn()]
    if sharing.available():
        children += [first.clone_vm(), children[2].vfork()]
    children[1].write(address, 1 << 20)
    print(start._nursery._process.pid, machine._warden.pid, *(child.pid for child in children), flush=True)
    what = sys.argv[1]
    if what == "writing":
        threading.Thread(target=lambda: print("now", flush=True)).start()
        while True:
            children[1].write(address, 1 << 28)
            children[1].madvise(address, 1 << 28, "dontneed")
    if what == "knobs":
        with machine.knobs_for(Area(0, 0, 4, "anon", False)):
            print("now", flush=True)
            sys.stdin.read()
    print("now", flush=True)
    sys.stdin.read()
"""


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """A generous limit for a machine under load; nothing is measured by it."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def all_knobs() -> dict[Path, str]:
    return {path: path.read_text() for path in sorted(knobs.THP.glob("hugepages-*/*enabled"))}


def knobs_at_rest() -> dict[Path, str]:
    """What the knobs say while no live machine on this system has hold of them."""
    directory = os.open(knobs.THP, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_SH)
        return all_knobs()
    finally:
        os.close(directory)


@pytest.mark.parametrize("busy_with", ["waiting", "writing", "knobs"])
def test_killed_coordinator_leaves_no_process_and_no_changed_knob(thp: LiveMachine, busy_with: str) -> None:
    thp.close()
    before = knobs_at_rest()
    command = [sys.executable, "-c", textwrap.dedent(COORDINATOR), busy_with]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        try:
            pids = [int(pid) for pid in coordinator.stdout.readline().split()]
            assert coordinator.stdout.readline() == "now\n"
            assert len(pids) == 5 + 2 * sharing.available()
            assert not any(map(gone, pids))
            assert busy_with != "knobs" or all_knobs() != before
        finally:
            coordinator.send_signal(signal.SIGKILL)
    wait_until(lambda: all(map(gone, pids)), f"one of {pids} is still there")
    assert knobs_at_rest() == before


def test_large_folios_leave_every_knob_as_it_was(thp: LiveMachine) -> None:
    before = knobs_at_rest()
    process = thp.spawn()
    for order in (2, 4, 9):
        process.write(process.mmap(2 << 20, order=order), 2 << 20)
        assert knobs_at_rest() == before
    process.write(process.mmap(2 << 20, order=4, shared=True), 2 << 20)
    assert knobs_at_rest() == before
    assert set(thp.trace().folios["order"]) == {2, 4, 9}


def test_knobs_are_restored_when_the_operation_fails(thp: LiveMachine) -> None:
    before = knobs_at_rest()
    process = thp.spawn()
    address = process.mmap(2 << 20, order=4)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        process.write(address, 2 << 20)
    assert knobs_at_rest() == before


def test_process_that_dies_by_itself_is_an_error_naming_the_operation(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE_SIZE)
    process.write(address, 4 * PAGE_SIZE)
    child = process.fork()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(MachineError, match=r"process with MM 2 \(pid \d+\) died by itself, seen during write"):
        child.write(address, PAGE_SIZE)
    assert not child.alive
    with pytest.raises(BadOperation, match="it has ended"):
        child.read(address, PAGE_SIZE)
    assert process.write(address, 4 * PAGE_SIZE).reused == 4
    trace = machine.trace()
    validate(trace)
    assert trace.events.filter(mm=2)["nr"].sum() == 0
    assert trace.meta.stats["died"] == 1


def test_process_that_dies_in_mid_operation_is_an_error_too(machine: LiveMachine) -> None:
    process = machine.spawn()
    with pytest.raises(WorkerDied, match="during die"):
        process._ask(Op.DIE)
    assert machine.processes() == []
    assert machine.spawn().alive


def test_bystander_that_dies_is_named_by_the_next_operation(machine: LiveMachine) -> None:
    process, other = machine.spawn(), machine.spawn()
    other.write(other.mmap(PAGE_SIZE), PAGE_SIZE)
    os.kill(other.pid, signal.SIGKILL)
    wait_until(lambda: gone(other.pid), "SIGKILL did nothing")
    with pytest.raises(WorkerDied, match=r"MMs \[2\] died by themselves"):
        process.mmap(PAGE_SIZE)
    assert machine.processes() == [process]
    assert machine.trace().events.filter(mm=2)["nr"].to_list() == [1, -1]
    assert machine.trace().meta.stats["background_changes"] == 0


def test_warden_that_dies_takes_the_processes_along_and_is_named(machine: LiveMachine) -> None:
    process = machine.spawn()
    os.kill(machine._warden.pid, signal.SIGKILL)
    with pytest.raises(MachineError, match="the warden process"):
        machine.spawn()
    machine.close()
    wait_until(lambda: gone(process.pid), "the worker outlived its warden")


def test_machines_outlive_the_process_their_wardens_came_from_and_new_ones_get_another(machine: LiveMachine) -> None:
    process = machine.spawn()
    nursery = start._nursery._process.pid
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: start._nursery._process.poll() is not None, "SIGKILL did nothing")
    assert machine.spawn().alive
    with LiveMachine() as other:
        assert other.spawn().alive
        assert start._nursery._process.pid != nursery
    assert process.alive


def test_workers_hold_no_descriptor_of_their_warden(machine: LiveMachine) -> None:
    process = machine.spawn()
    for pid in (process.pid, process.fork().pid):
        held = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if int(path.name) > 2]
        assert len(held) == 1
        assert held[0].startswith("socket:")


def test_ended_processes_are_no_zombies(machine: LiveMachine) -> None:
    process = machine.spawn()
    child = process.fork()
    grandchild = child.fork()
    for one in (process, grandchild, child):
        one.exit()
        wait_until(lambda pid=one.pid: gone(pid), "a zombie stays")


def test_close_ends_every_process_and_may_be_repeated() -> None:
    machine = LiveMachine()
    pids = [machine.spawn().pid, machine._warden.pid]
    machine.close()
    wait_until(lambda: all(map(gone, pids)), "a process outlived its machine")
    machine.close()
    assert machine.processes() == []
    with pytest.raises(BadOperation, match="it is closed"):
        machine.spawn()
    assert machine.trace().meta.stats["spawns"] == 1


def test_exception_in_the_program_ends_every_process() -> None:
    pids = []

    def program() -> None:
        with LiveMachine() as machine:
            pids.append(machine.spawn().pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        program()
    wait_until(lambda: all(map(gone, pids)), "a process outlived its machine")


def test_two_machines_that_want_different_orders_take_turns(thp: LiveMachine) -> None:
    with LiveMachine() as other:
        one, two = thp.spawn(), other.spawn()
        here, there = one.mmap(2 << 20, order=2), two.mmap(2 << 20, order=4)
        for at in range(0, 2 << 20, 1 << 18):
            one.write(here + at, 1 << 18)
            two.write(there + at, 1 << 18)
        assert set(thp.trace().folios["order"]) == {2}
        assert set(other.trace().folios["order"]) == {4}
