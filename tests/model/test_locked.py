"""Locked memory, and address spaces without THPs, on the kernel and on the model."""

import numpy as np
import pytest

from kernel import lacking
from rmaplab.machine.base import LOCK_FORBIDS
from rmaplab.machine.differential import runner
from rmaplab.machine.differential.program import Step
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import Advice, BadOperation, Machine, Process

PAGE = 4096
BLOCK = 512 * PAGE


def frames(machine: Machine, process: Process) -> np.ndarray:
    seen = machine.observe()
    return seen.filter(seen["mm"] == process.mm).sort("address")["frame"].to_numpy()


def asked(machine: Machine) -> list[tuple[str, str]]:
    """What was asked so far of COW, and what came of it."""
    rows = machine.trace().questions
    return [(row["what"], row["outcome"]) for row in rows.sort("step").iter_rows(named=True) if row["what"] == "cow"]


def test_locking_writable_memory_ends_cow_before_anybody_writes(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE, 5)
    child = process.fork()
    before = frames(machine, process)
    process.mlock(address + PAGE, 2 * PAGE)
    after = frames(machine, process)
    assert (before != after).tolist() == [False, True, True, False]
    assert (frames(machine, child) == before).all()
    assert asked(machine) == [("cow", "copied")] * 2
    written = process.write(address, 4 * PAGE, 6)
    assert (written.reused, written.copied) == (0, 2)


def test_locking_read_only_memory_leaves_it_shared_until_it_becomes_writable(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE, 5)
    child = process.fork()
    process.mprotect(address, 4 * PAGE, writable=False)
    process.mlock(address, 4 * PAGE)
    assert (frames(machine, process) == frames(machine, child)).all()
    process.mprotect(address, 2 * PAGE, writable=True)
    assert (frames(machine, process) == frames(machine, child)).tolist() == [False, False, True, True]
    assert asked(machine) == [("cow", "copied")] * 2


def test_part_of_a_thp_that_is_locked_and_becomes_writable_asks_page_by_page(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    if not machine.observe()["pmd_mapped"].all():
        pytest.skip("no THP to be had")
    child = process.fork()
    process.mprotect(address, BLOCK, writable=False)
    process.mlock(address, BLOCK)
    assert machine.observe()["pmd_mapped"].all()
    process.mprotect(address, 2 * PAGE, writable=True)
    assert asked(machine) == [("cow", "copied")] * 2
    assert (frames(machine, process) != frames(machine, child)).nonzero()[0].tolist() == [0, 1]
    child.exit()
    process.mprotect(address + 2 * PAGE, 2 * PAGE, writable=True)
    assert asked(machine)[2:] == [("cow", "reused")] * 2


@pytest.mark.parametrize("advice", LOCK_FORBIDS)
def test_locked_memory_refuses_advice_that_takes_it_away(machine: Machine, advice: Advice) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE, 5)
    process.mlock(address + 2 * PAGE, 2 * PAGE)
    with pytest.raises(BadOperation):
        process.madvise(address, 4 * PAGE, advice)
    assert process.read(address + 2 * PAGE, 2 * PAGE).tolist() == [5, 5]
    process.munlock(address, 4 * PAGE)
    process.madvise(address, 4 * PAGE, advice)


def test_what_is_refused_went_as_far_as_the_locked_memory(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE, 5)
    process.mlock(address + 2 * PAGE, PAGE)
    with pytest.raises(BadOperation):
        process.madvise(address, 4 * PAGE, "dontneed")
    assert machine.observe()["state"].to_list() == ["none", "none", "present", "present"]


def test_locked_memory_that_grows_is_there_at_once_and_a_child_s_is_not_locked(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE)
    process.mlock(address, 2 * PAGE)
    process.mremap(address, 2 * PAGE, 4 * PAGE)
    assert machine.observe()["state"].to_list() == ["present"] * 4
    child = process.fork()
    child.madvise(address, 4 * PAGE, "dontneed")
    target = process.mremap(address, 4 * PAGE, 4 * PAGE, dontunmap=True)
    process.madvise(address, 4 * PAGE, "dontneed")
    with pytest.raises(BadOperation):
        process.madvise(target, 4 * PAGE, "dontneed")


def test_moving_part_of_locked_memory_away_and_keeping_the_place_unlocks_all_of_it(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.mlock(address, 4 * PAGE)
    process.mremap(address, 2 * PAGE, 2 * PAGE, dontunmap=True)
    process.madvise(address + 2 * PAGE, 2 * PAGE, "dontneed")
    assert machine.observe()["state"].to_list() == ["none"] * 4 + ["present"] * 2


def test_memory_nobody_may_read_cannot_be_locked(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE)
    process.mprotect(address, PAGE, writable=False, readable=False)
    with pytest.raises(BadOperation, match="readable"):
        process.mlock(address, 2 * PAGE)


def test_without_thps_faults_bring_small_folios_and_nothing_collapses(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.thp_disable()
    child = process.fork()
    process.write(address, BLOCK)
    assert (machine.observe()["order"].drop_nulls() == 0).all()
    for each in (process, child):
        with pytest.raises(BadOperation):
            each.madvise(address, BLOCK, "collapse")
    process.thp_disable(False)
    process.madvise(address, BLOCK, "collapse")
    child.write(address, PAGE)
    seen = machine.observe()
    assert seen.filter(seen["mm"] == process.mm)["pmd_mapped"].all()
    assert seen.filter(seen["mm"] == child.mm)["order"].drop_nulls().to_list() == [0]


def test_a_process_without_thps_has_none_after_exec() -> None:
    with ModelMachine("linux-6.18") as machine:
        process = machine.spawn()
        process.thp_disable()
        process.exec()
        address = process.mmap(BLOCK, order=9)
        process.write(address, PAGE)
        assert machine.observe()["order"].drop_nulls().to_list() == [0]


def test_memory_that_an_advice_does_not_change_joins_nobody(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(16 * PAGE, shared=True)
    process.write(address, 16 * PAGE)
    process.mlock(address + 15 * PAGE, PAGE)
    child = process.fork()
    child.madvise(address + 14 * PAGE, PAGE, "dofork")
    child.read(address, PAGE)
    seen = machine.observe()
    mapped = seen.filter(seen["mm"] == child.mm)["state"].to_list()
    assert mapped == ["present"] * 15 + ["none"]  # fault-around ends with the VMA


def test_shared_locked_memory_that_becomes_writable_is_not_brought_in(machine: Machine) -> None:
    process, other = machine.spawn(), machine.spawn()
    file = machine.file(BLOCK)
    address, theirs = (each.mmap(BLOCK, file=file, shared=True) for each in (process, other))
    other.write(theirs, BLOCK)
    process.mprotect(address, BLOCK, writable=False)
    process.mlock(address, BLOCK)
    other.madvise(theirs, BLOCK, "collapse")  # unmaps the small pages everywhere
    process.mprotect(address, BLOCK, writable=True)
    seen = machine.observe()
    assert set(seen.filter(seen["mm"] == process.mm)["state"]) == {"none"}


def test_a_page_that_comes_back_to_locked_memory_gives_up_its_slot(machine: Machine) -> None:
    machine.swap(64 << 20)
    process = machine.spawn()
    address = process.mmap(PAGE)
    process.write(address, PAGE, 5)
    process.madvise(address, PAGE, "pageout")
    child = process.fork()
    child.read(address, PAGE)
    child.exit()
    process.mprotect(address, PAGE, writable=False)
    process.mlock(address, PAGE)
    process.mprotect(address, PAGE, writable=True)
    assert asked(machine) == []


def test_without_thps_those_of_a_file_are_mapped_by_ptes(machine: Machine) -> None:
    process, other = machine.spawn(), machine.spawn()
    file = machine.file(BLOCK, order=9)
    address, theirs = (each.mmap(BLOCK, file=file, shared=True) for each in (process, other))
    other.write(theirs, BLOCK)
    process.thp_disable()
    process.read(address, BLOCK)
    seen = machine.observe()
    mine = seen.filter(seen["mm"] == process.mm)
    assert not mine["pmd_mapped"].any()
    assert set(mine["order"]) == set(seen.filter(seen["mm"] == other.mm)["order"])


def test_a_locked_page_of_zeroes_stays_when_its_folio_is_split(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(16 * PAGE, order=4)
    process.write(address, PAGE, 1)
    if not (machine.observe()["order"] == 4).all():
        pytest.skip("no folio of order 4 here")
    process.mlock(address + 14 * PAGE, PAGE)
    process.madvise(address, PAGE, "cold")
    assert machine.observe()["order"].is_not_null().arg_true().to_list() == [0, 14]  # the rest is the zero page


@pytest.mark.parametrize("locked", [True, False])
def test_a_folio_that_is_locked_in_one_mapping_is_not_reclaimed_through_another(machine: Machine, locked: bool) -> None:
    machine.swap(64 << 20)
    process = machine.spawn()
    file = machine.file(BLOCK, order=9)
    first = process.mmap(BLOCK, file=file, shared=True)
    process.write(first, PAGE)
    if locked:
        process.mlock(first, PAGE)
    else:
        process.mprotect(first, PAGE, writable=False)
    second = process.mmap(BLOCK, file=file, shared=True)
    process.write(second, PAGE)
    if not machine.observe().filter(machine.observe()["address"] == second)["pmd_mapped"].all():
        pytest.skip("no THP of a file here")
    process.madvise(second, BLOCK, "pageout")
    seen = machine.observe()
    assert set(seen.filter(seen["address"] >= second)["state"]) == ({"present"} if locked else {"none"})


@pytest.mark.parametrize("pages", [512, 177])
def test_reclaim_takes_a_folio_from_the_mappings_before_one_that_locked_a_part_of_it(
    machine: Machine, pages: int
) -> None:
    process = machine.spawn()
    file = machine.file(BLOCK, order=9)
    areas = [process.mmap(size, file=file, shared=True) for size in (BLOCK, pages * PAGE)]
    process.read(areas[0], BLOCK)
    if not machine.observe()["pmd_mapped"].all():
        pytest.skip("no THP of a file here")
    process.read(areas[1], pages * PAGE)
    process.mlock(areas[1], pages * PAGE)
    process.madvise(areas[0], BLOCK, "pageout")
    seen = machine.observe()
    left = seen.filter(seen["state"] == "present")["address"].to_list()
    # What is locked as a whole is unevictable.
    assert len(left) == (2 * 512 if pages == 512 else pages)
    assert set(range(areas[1], areas[1] + pages * PAGE, PAGE)) <= set(left)


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_a_page_that_a_process_unlocked_at_its_end_is_held_by_nobody() -> None:
    program = (
        Step("spawn", makes=1),
        Step("mmap", process=1, pages=1, makes=2),
        Step("fork", process=1, makes=4),
        Step("mlock", process=4, area=2, pages=1),
        Step("fork", process=4, makes=6),
        Step("exit", process=4),
        Step("peek", process=6, area=2, pages=1),
    )
    if lacking():
        pytest.skip(lacking())
    assert runner.settle(program, "linux-6.18").mismatch is None


@pytest.mark.parametrize("share", ["vfork", "clone_vm"])
def test_a_page_unlocked_by_a_processs_end_is_held_by_nobody(machine: Machine, share: str) -> None:
    """Also where the one that writes is no ordinary worker: it shared its memory with another, or descends from one."""
    process = machine.spawn()
    address = process.mmap(8 * PAGE)
    tenant = getattr(process, share)()
    locks = tenant.fork()
    locks.mlock(address, PAGE)
    last = locks.fork()
    locks.exec()
    written = last.write(address, PAGE)
    assert (written.reused, written.copied) == (1, 0)


def test_what_dontunmap_unlocks_is_not_reclaimed(machine: Machine) -> None:
    """The VMA loses VM_LOCKED, its pages keep PG_mlocked; those it never locked are reclaimed."""
    machine.swap(4 * BLOCK)
    process = machine.spawn()
    address = process.mmap(8 * PAGE)
    process.write(address, 8 * PAGE)
    process.mlock(address, 4 * PAGE)
    process.mremap(address + 3 * PAGE, PAGE, PAGE, move=True, dontunmap=True)
    process.madvise(address, 8 * PAGE, "pageout")
    assert states(machine) == ["present"] * 3 + ["none"] + ["swap"] * 4 + ["present"]


def test_a_part_of_a_large_folio_is_not_locked_with_its_vma(machine: Machine) -> None:
    machine.swap(4 * BLOCK)
    process = machine.spawn()
    address = process.mmap(16 * PAGE, order=4)
    process.write(address, 16 * PAGE)
    process.mlock(address, 8 * PAGE)
    process.mremap(address + 7 * PAGE, PAGE, PAGE, move=True, dontunmap=True)
    process.madvise(address, 16 * PAGE, "pageout")
    assert states(machine)[:7] == ["swap"] * 7


def test_a_migrated_page_is_not_locked_any_more(machine: Machine) -> None:
    machine.swap(4 * BLOCK)
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE)
    process.mlock(address, 4 * PAGE)
    process.mremap(address + 3 * PAGE, PAGE, PAGE, move=True, dontunmap=True)
    process.migrate(address, 2 * PAGE)
    process.madvise(address, 3 * PAGE, "pageout")
    assert states(machine) == ["swap"] * 2 + ["present"] + ["none", "present"]


@pytest.mark.parametrize("late", [False, True])
def test_locked_zeroes_stay_for_those_that_the_reverse_map_comes_to_later(machine: Machine, late: bool) -> None:
    """A page of zeroes is PG_mlocked from its first mapping by a locked VMA on; mappings before get the zero page."""
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, PAGE, 0)
    process.mlock(address, BLOCK)
    if late:
        process.madvise(address + PAGE, PAGE, "wipeonfork")
    child = process.fork()
    if late:
        process.madvise(address, 2 * PAGE, "keeponfork")  # joined, and so put into the tree behind the child's
    assert machine.observe()["order"].to_list()[0] == 9
    process.madvise(address, BLOCK, "mergeable")
    machine.merge()
    seen = machine.observe()
    theirs = seen.filter(seen["mm"] == child.mm)
    assert theirs["order"].to_list()[0] == (None if late else 0)


def states(machine: Machine) -> list[str]:
    return [str(state) for state in machine.observe()["state"]]


def test_later_kernels_split_before_dontunmap_unlocks() -> None:
    """What stays is locked, as it was (prep_move_vma() of 7.3, and of 6.12.117)."""
    for kernel in ("linux-6.12", "linux-7.x"):
        with ModelMachine(kernel) as machine:
            machine.swap(4 * BLOCK)
            process = machine.spawn()
            address = process.mmap(8 * PAGE)
            process.write(address, 8 * PAGE)
            process.mlock(address, 6 * PAGE)
            process.mremap(address + 3 * PAGE, PAGE, PAGE, move=True, dontunmap=True)
            with pytest.raises(BadOperation, match="locked"):
                process.madvise(address, 8 * PAGE, "pageout")
            process.munlock(address, 8 * PAGE)
            process.madvise(address, 8 * PAGE, "pageout")
            assert states(machine) == ["swap"] * 3 + ["none"] + ["swap"] * 4 + ["present"]
