"""khugepaged on the kernel and on the model: what it collapses, and that it asks whether memory is maybe shared."""

import numpy as np
import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import BadOperation, Machine, Process

PAGE = 4096
BLOCK = 512 * PAGE


def small_pages(machine: Machine, blocks: int = 1) -> tuple[Process, int]:
    """A process with blocks of small pages, all written, in memory under MADV_HUGEPAGE."""
    process = machine.spawn()
    address = process.mmap(blocks * BLOCK)
    process.write(address, blocks * BLOCK, 7)
    process.madvise(address, blocks * BLOCK, "hugepage")
    return process, address


def collapsed(machine: Machine, process: Process) -> bool:
    seen = machine.observe()
    mine = seen.filter(seen["mm"] == process.mm)
    return bool(mine["pmd_mapped"].fill_null(False).all())


def test_a_block_of_small_pages_becomes_a_thp_with_the_same_contents(machine: Machine) -> None:
    process, address = small_pages(machine)
    machine.khugepaged()
    assert collapsed(machine, process)
    assert (process.read(address, BLOCK) == 7).all()
    written = process.write(address, BLOCK)
    assert (written.reused, written.copied) == (0, 0)


def test_memory_nobody_advised_and_processes_without_thps_are_left_alone(machine: Machine) -> None:
    process, address = small_pages(machine)
    child = process.fork()
    process.madvise(address, BLOCK, "nohugepage")
    child.thp_disable()
    machine.khugepaged(max_shared=511)
    assert not collapsed(machine, process)
    assert not collapsed(machine, child)


@pytest.mark.parametrize("shared", [8, 9])
def test_pages_others_map_count_against_max_ptes_shared(machine: Machine, shared: int) -> None:
    process, address = small_pages(machine)
    child = process.fork()
    child.madvise(address, BLOCK, "nohugepage")
    process.write(address + shared * PAGE, BLOCK - shared * PAGE, 9)
    machine.khugepaged(max_shared=8)
    assert collapsed(machine, process) == (shared == 8)
    assert not collapsed(machine, child)


def test_what_a_process_gives_up_is_shared_by_one_less_for_the_next(machine: Machine) -> None:
    process, address = small_pages(machine)
    child = process.fork()
    child.write(address, BLOCK // 2, 9)
    process.write(address + BLOCK // 2, BLOCK // 2, 9)
    machine.khugepaged(max_shared=0)
    assert collapsed(machine, process)
    assert collapsed(machine, child)


def test_a_large_folio_that_counts_as_shared_counts_with_each_of_its_pages(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=4)
    process.write(address, BLOCK, 7)
    if not (machine.observe()["order"] == 4).all():
        pytest.skip("no folios of order 4 here")
    child = process.fork()
    child.madvise(address, BLOCK, "nohugepage")
    child.madvise(address, 15 * PAGE, "dontneed")
    child.madvise(address + 16 * PAGE, BLOCK - 16 * PAGE, "dontneed")
    machine.khugepaged(max_shared=15)
    assert not collapsed(machine, process)
    machine.khugepaged(max_shared=16)
    assert collapsed(machine, process)


@pytest.mark.parametrize("missing", [3, 4])
def test_missing_pages_count_against_max_ptes_none(machine: Machine, missing: int) -> None:
    process, address = small_pages(machine)
    process.madvise(address + PAGE, missing * PAGE, "dontneed")
    process.read(address + PAGE, PAGE)
    machine.khugepaged(max_none=3)
    assert collapsed(machine, process) == (missing == 3)


def test_memory_that_is_read_only_is_collapsed_and_stays_read_only(machine: Machine) -> None:
    process, address = small_pages(machine)
    process.mprotect(address, BLOCK, writable=False)
    machine.khugepaged()
    assert collapsed(machine, process)
    with pytest.raises(BadOperation):
        process.write(address, PAGE)


def test_a_held_page_keeps_its_block_from_being_collapsed(machine: Machine) -> None:
    process, address = small_pages(machine, blocks=2)
    pin = process.pin(address, PAGE)
    machine.khugepaged()
    assert machine.observe()["pmd_mapped"].to_list() == [False] * 512 + [True] * 512
    process.unpin(pin)
    machine.khugepaged()
    assert collapsed(machine, process)


def test_memory_nobody_may_read_stands_in_the_way(machine: Machine) -> None:
    process, address = small_pages(machine)
    process.mprotect(address, BLOCK, writable=False, readable=False)
    with pytest.raises(BadOperation, match="may not be read"):
        machine.khugepaged()
    process.thp_disable()
    machine.khugepaged()


@pytest.mark.parametrize("limit", ["max_none", "max_swap", "max_shared"])
def test_limits_are_pages_of_a_block(limit: str) -> None:
    with ModelMachine("linux-6.18") as machine, pytest.raises(BadOperation, match=limit):
        machine.khugepaged(**{limit: 512})


def test_swapped_pages_come_back_where_half_of_the_block_is_used(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, address = small_pages(machine, blocks=2)
    process.madvise(address, 64 * PAGE, "pageout")
    process.madvise(address + BLOCK, 65 * PAGE, "pageout")
    machine.khugepaged()
    seen = machine.observe()
    assert np.array_equal(seen["pmd_mapped"].fill_null(False), [True] * 512 + [False] * 512)


def test_what_is_shared_too_much_reads_nothing_back(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, address = small_pages(machine)
    process.madvise(address, 8 * PAGE, "pageout")
    child = process.fork()
    child.madvise(address, BLOCK, "nohugepage")
    machine.khugepaged()
    assert machine.observe()["state"].to_list() == (["swap"] * 8 + ["present"] * 504) * 2


def test_kernels_up_to_6_12_collapse_nothing_that_nobody_may_write() -> None:
    with ModelMachine("linux-6.12") as machine:
        process, address = small_pages(machine)
        process.mprotect(address, BLOCK, writable=False)
        machine.khugepaged()
        with pytest.raises(BadOperation):
            process.madvise(address, BLOCK, "collapse")
        assert not collapsed(machine, process)


def test_memory_that_was_never_advised_is_not_collapsed(machine: Machine) -> None:
    process = machine.spawn()
    process.write(process.mmap(BLOCK), BLOCK)
    machine.khugepaged()
    assert not collapsed(machine, process)


def test_who_shared_too_much_is_collapsed_once_others_gave_up_their_part(machine: Machine) -> None:
    process, address = small_pages(machine)
    child = process.fork()
    child.write(address + 8 * PAGE, BLOCK - 8 * PAGE, 9)
    third = process.fork()
    third.madvise(address, BLOCK, "nohugepage")
    third.madvise(address, 8 * PAGE, "dontneed")
    process.write(address + 16 * PAGE, BLOCK - 16 * PAGE, 9)
    machine.khugepaged(max_shared=8)
    assert collapsed(machine, child)
    assert collapsed(machine, process)


def test_little_that_is_used_reads_nothing_back(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, address = small_pages(machine)
    process.madvise(address, 8 * PAGE, "pageout")
    process.madvise(address + 8 * PAGE, 300 * PAGE, "dontneed")
    machine.khugepaged()
    assert not collapsed(machine, process)


def test_what_comes_back_shared_counts_too(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, address = small_pages(machine)
    process.madvise(address, 8 * PAGE, "pageout")
    child = process.fork()
    child.madvise(address, BLOCK, "nohugepage")
    child.read(address, 8 * PAGE)
    process.write(address + 8 * PAGE, BLOCK - 8 * PAGE, 9)
    machine.khugepaged(max_shared=7)
    assert not collapsed(machine, process)
    machine.khugepaged(max_shared=8)
    assert collapsed(machine, process)
