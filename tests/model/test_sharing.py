"""Processes in one address space: vfork and clone(CLONE_VM), on the model and on the running kernel."""

import os
import signal
from collections.abc import Iterator

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.choose import open_machine
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.proc.procfs import regions_or_none
from rmaplab.machine.live.workers import sharing
from rmaplab.machine.live.workers.control import WorkerDied
from rmaplab.machine.protocol import BadOperation, Machine, Process
from rmaplab.trace import validate

PAGE, THP = 4096, 2 << 20
built = pytest.mark.skipif(not sharing.available(), reason="tenant.c was not built")
live = [pytest.mark.live, pytest.mark.xdist_group("live"), built]


@pytest.fixture(params=["model", pytest.param("live", marks=live)])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    try:
        with open_machine(request.param, "linux-6.18") as machine:
            yield machine
            validate(machine.trace())
    except NotAvailable as missing:
        pytest.skip(str(missing))


def filled(machine: Machine, order: int = 0) -> tuple[Process, int]:
    process = machine.spawn()
    address = process.mmap(THP, order=order)
    process.write(address, THP, 7)
    return process, address


def test_a_vfork_child_has_the_parents_memory_not_a_copy(machine: Machine) -> None:
    parent, address = filled(machine, 9)
    events = machine.trace().events.height
    child = parent.vfork()
    assert child.mm == parent.mm
    assert machine.trace().events.height == events
    written = child.write(address, THP, 9)
    assert (written.reused, written.copied) == (0, 0)
    child.exit()
    assert set(parent.read(address, THP)) == {9}
    assert machine.observe().height == 512


def test_a_parent_waits_until_its_vfork_child_execs_or_ends(machine: Machine) -> None:
    parent, address = filled(machine)
    for leave in ("exec", "exit"):
        child = parent.vfork()
        for refused in (parent.fork, parent.exit, parent.exec, lambda: parent.read(address, PAGE)):
            with pytest.raises(BadOperation, match="waits for its vfork child"):
                refused()
        getattr(child, leave)()
        assert parent.read(address, PAGE).tolist() == [7]


def test_a_vfork_child_of_a_vfork_child_keeps_both_waiting(machine: Machine) -> None:
    parent, address = filled(machine)
    child = parent.vfork()
    grandchild = child.vfork()
    for process in (parent, child):
        with pytest.raises(BadOperation, match="waits"):
            process.read(address, PAGE)
    grandchild.exec()
    with pytest.raises(BadOperation, match="waits"):
        parent.read(address, PAGE)
    child.exit()
    assert parent.read(address, PAGE).tolist() == [7]


def test_what_one_of_two_maps_protects_and_unmaps_the_other_finds_so(machine: Machine) -> None:
    one, address = filled(machine)
    two = one.clone_vm()
    new = two.mmap(2 * PAGE)
    assert one.write(new, 2 * PAGE, 3).pages == 2
    two.mprotect(new, PAGE, writable=False)
    with pytest.raises(BadOperation, match="write"):
        one.write(new, PAGE)
    one.munmap(address, THP)
    with pytest.raises(BadOperation, match="read"):
        two.read(address, PAGE)
    moved = two.mremap(new, 2 * PAGE, 2 * PAGE, move=True)
    assert one.read(moved, 2 * PAGE).tolist() == [3, 3]


def test_an_address_space_lasts_until_its_last_process_left_it(machine: Machine) -> None:
    one, address = filled(machine)
    two = one.clone_vm()
    three = two.clone_vm()
    one.exit()
    two.exec()
    assert two.mm != three.mm
    assert set(three.read(address, THP)) == {7}
    assert machine.observe().height == 512
    three.exit()
    assert machine.observe().height == 0
    assert machine.processes() == [two]


def test_fork_of_either_copies_the_common_address_space(machine: Machine) -> None:
    one, address = filled(machine)
    two = one.clone_vm()
    extra = one.mmap(PAGE)
    one.write(extra, PAGE, 5)
    child = two.fork()
    assert child.mm not in (one.mm, two.mm)
    assert child.read(extra, PAGE).tolist() == [5]
    assert one.write(address, PAGE, 1).copied == 1
    assert two.read(address, PAGE).tolist() == [1]
    assert child.read(address, PAGE).tolist() == [7]
    grandchild = child.fork()
    child.exit()
    assert grandchild.write(address, PAGE, 2).pages == 1


def test_pins_are_the_process_that_took_thems(machine: Machine) -> None:
    one, address = filled(machine)
    two = one.clone_vm()
    pins = [two.pin(address, PAGE), two.pin(address + PAGE, PAGE, longterm=True)]
    with pytest.raises(BadOperation, match="unpin"):
        one.unpin(pins[0])
    assert one.migrate(address, THP) == 510
    two.unpin(pins[0])
    assert one.migrate(address, THP) == 511
    two.exec()
    assert one.migrate(address, THP) == 512


def test_every_operation_works_in_a_process_that_shares_its_memory(machine: Machine) -> None:
    one, address = filled(machine)
    two = one.clone_vm()
    child = two.fork()
    assert two.peek(address, 2 * PAGE).tolist() == [7, 7]
    assert two.poke(address, PAGE, 4).copied == 0
    two.madvise(address + PAGE, PAGE, "dontneed")
    assert one.read(address, 2 * PAGE).tolist() == [4, 0]
    file = machine.file(PAGE)
    shared = two.mmap(PAGE, file=file, shared=True)
    two.write(shared, PAGE, 6)
    assert one.read(shared, PAGE).tolist() == [6]
    child.exec()
    child.write(child.mmap(PAGE), PAGE, 1)


@built
@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_a_killed_vfork_child_lets_its_parent_go() -> None:
    try:
        machine = LiveMachine()
    except NotAvailable as missing:
        pytest.skip(str(missing))
    with machine:
        parent = machine.spawn()
        address = parent.mmap(PAGE)
        child = parent.vfork()
        assert regions_or_none(parent.pid) == regions_or_none(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="died by itself"):
            child.write(address, PAGE)
        assert not child.alive
        assert parent.write(address, PAGE).pages == 1
