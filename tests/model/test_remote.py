"""Reads and writes from outside (GUP): what unshares, what FOLL_FORCE may, on the model and on the running kernel."""

import polars as pl
import pytest

from rmaplab.machine.protocol import BadOperation, Machine, Process

PAGE, THP = 4096, 2 << 20


def forked(machine: Machine, order: int) -> tuple[Process, Process, int]:
    parent = machine.spawn()
    address = parent.mmap(THP, order=order)
    parent.write(address, THP, 7)
    return parent, parent.fork(), address


def asked(machine: Machine, what: str) -> list[str]:
    return machine.trace().questions.filter(pl.col("what") == what)["outcome"].to_list()


@pytest.mark.parametrize("order", [0, 4])
def test_a_reader_from_outside_copies_what_a_fork_shares_and_the_owners_own_reader_does_not(
    machine: Machine, order: int
) -> None:
    parent, child, address = forked(machine, order)
    before = machine.observe()
    parent.read(address, THP)
    assert machine.observe().equals(before)
    assert parent.peek(address, 3 * PAGE).tolist() == [7, 7, 7]
    world = machine.observe().filter(pl.col("mm") == parent.mm)
    assert world["anon_exclusive"].to_list() == [True] * 3 + [False] * 509
    assert asked(machine, "unshare") == ["copied"] * 3
    assert child.read(address, PAGE).tolist() == [7]


def test_a_page_unshared_for_a_reader_is_written_without_a_question(machine: Machine) -> None:
    parent, child, address = forked(machine, 0)
    parent.peek(address, THP)
    written = parent.write(address, THP, 9)
    assert (written.reused, written.copied) == (0, 0)
    assert child.read(address, 2 * PAGE).tolist() == [7, 7]


def test_a_reader_keeps_a_pmd_mapping_nobody_shares_and_splits_one_that_is_shared(machine: Machine) -> None:
    parent, child, address = forked(machine, 9)
    parent.peek(address, PAGE)
    assert asked(machine, "unshare") == ["split", "copied"]
    parent.exit()
    child.peek(address, PAGE)
    world = machine.observe()
    assert world["pmd_mapped"].all()
    assert world["anon_exclusive"].all()


def test_zero_pages_and_shared_memory_are_not_unshared(machine: Machine) -> None:
    process = machine.spawn()
    private, shared = process.mmap(THP), process.mmap(THP, shared=True)
    process.read(private, THP)
    process.write(shared, THP, 3)
    process.fork()
    before = machine.observe()
    assert process.peek(private, THP).sum() == 0
    assert set(process.peek(shared, THP)) == {3}
    assert machine.observe().equals(before)
    assert not asked(machine, "unshare")


def test_force_breaks_cow_in_a_read_only_mapping_that_stays_read_only(machine: Machine) -> None:
    parent, child, address = forked(machine, 0)
    parent.mprotect(address, THP, writable=False)
    written = parent.poke(address, 2 * PAGE, 9)
    assert (written.reused, written.copied) == (0, 2)
    again = parent.poke(address, 2 * PAGE, 8)
    assert (again.reused, again.copied) == (0, 0)
    assert parent.read(address, 3 * PAGE).tolist() == [8, 8, 7]
    assert child.read(address, 3 * PAGE).tolist() == [7, 7, 7]
    with pytest.raises(BadOperation, match="writable"):
        parent.write(address, PAGE)


def test_force_does_not_write_to_a_shared_mapping_that_is_read_only(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(THP, shared=True)
    process.mprotect(address, PAGE, writable=False)
    with pytest.raises(BadOperation, match="poke"):
        process.poke(address, PAGE)
    with pytest.raises(BadOperation, match="256"):
        process.poke(address + PAGE, PAGE, 256)
    process.poke(address + PAGE, PAGE, 255)
    assert process.peek(address, 2 * PAGE).tolist() == [0, 255]
