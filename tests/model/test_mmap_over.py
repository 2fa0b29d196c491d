"""Memory mapped in the place of other memory (MAP_FIXED), on the kernel and on the model."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.machine.model.space.vma import Vma, VmaList
from rmaplab.machine.protocol import BadOperation, Machine, Process

PAGE = 4096
BLOCK = 512 * PAGE


def kinds(machine: Machine, process: Process) -> list[str | None]:
    seen = machine.observe()
    return list(seen.filter(seen["mm"] == process.mm)["kind"])


def test_what_was_there_is_gone_and_its_neighbours_stay(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(6 * PAGE)
    process.write(address, 6 * PAGE, 5)
    assert process.mmap(2 * PAGE, over=address + 2 * PAGE) == address + 2 * PAGE
    assert kinds(machine, process) == ["anon"] * 2 + [None] * 2 + ["anon"] * 2
    assert process.read(address, 2 * PAGE).tolist() == [5, 5]
    assert process.read(address + 2 * PAGE, 2 * PAGE).tolist() == [0, 0]
    assert process.read(address + 4 * PAGE, 2 * PAGE).tolist() == [5, 5]


def test_parts_are_areas_of_their_own(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(6 * PAGE)
    process.mmap(2 * PAGE, over=address + 2 * PAGE)
    for start, length in ((1, 2), (2, 3), (0, 6)):
        with pytest.raises(BadOperation, match="within one mapping"):
            process.read(address + start * PAGE, length * PAGE)
    with pytest.raises(BadOperation, match="no room"):
        process.mremap(address, 2 * PAGE, 3 * PAGE)
    with pytest.raises(BadOperation, match="order"):
        process.mmap(PAGE, over=address, order=2)


def test_a_file_over_part_of_a_thp_remaps_the_rest_by_ptes(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK, 5)
    process.mmap(2 * PAGE, over=address + PAGE, file=machine.file(2 * PAGE), shared=True)
    process.write(address + PAGE, 2 * PAGE, 6)
    seen = machine.observe()
    assert kinds(machine, process)[:4] == ["anon", "shmem", "shmem", "anon"]
    assert not seen["pmd_mapped"].any()


def test_new_memory_joins_the_vma_before_it_and_is_inherited_with_it(machine: Machine) -> None:
    """One VMA with what was written before has its anon_vma: fork copies the zero pages of both."""
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE)
    process.mmap(2 * PAGE, over=address + 2 * PAGE)
    process.read(address + 2 * PAGE, 2 * PAGE)
    child = process.fork()
    seen = machine.observe()
    assert list(seen.filter(seen["mm"] == child.mm)["state"]) == ["present"] * 4


def test_new_memory_stays_apart_from_what_was_moved_after_it_was_written(machine: Machine) -> None:
    """Moved memory keeps its place in its anon_vma; memory in which nothing was faulted is as good as new."""
    process = machine.spawn()
    for written, states in ((True, ["none"]), (False, ["present"])):
        address = process.mmap(4 * PAGE)
        if written:
            process.write(address, 4 * PAGE)
        address = process.mremap(address, 4 * PAGE, 4 * PAGE, move=True)
        process.mmap(2 * PAGE, over=address + 2 * PAGE)
        process.write(address, PAGE)
        process.read(address + 3 * PAGE, PAGE)
        child = process.fork()
        seen = machine.observe()
        assert list(seen.filter(seen["mm"] == child.mm)["state"])[-1:] == states
        child.exit()
        process.munmap(address, 2 * PAGE)
        process.munmap(address + 2 * PAGE, 2 * PAGE)


def test_memory_can_be_mapped_where_everything_of_the_area_is_gone(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE)
    process.munmap(address, 2 * PAGE)
    process.munmap(address + 2 * PAGE, 2 * PAGE)
    process.mmap(PAGE, over=address + PAGE)
    process.mmap(PAGE, over=address + 3 * PAGE)
    process.mmap(PAGE, over=address + 2 * PAGE)
    for page in (1, 2, 3):
        process.write(address + page * PAGE, PAGE, page)
    child = process.fork()
    assert [int(child.read(address + page * PAGE, PAGE)[0]) for page in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("block", [0, 1])
def test_a_thp_fits_where_a_block_with_a_table_was_unmapped(machine: Machine, block: int) -> None:
    """The table of PTEs goes with the last of its block, however near the neighbours are."""
    process = machine.spawn()
    address = process.mmap(2 * BLOCK, order=9)
    process.write(address, 2 * BLOCK)
    process.madvise(address + block * BLOCK, PAGE, "dontneed")
    process.mmap(BLOCK, over=address + block * BLOCK)
    process.write(address + block * BLOCK, PAGE)
    assert machine.observe()["pmd_mapped"].to_list() == [True] * 1024


@given(st.sets(st.integers(0, 12), max_size=8), st.integers(0, 12), st.integers(0, 12))
def test_the_vmas_of_a_range_are_those_that_have_a_page_of_it(cuts: set[int], start: int, end: int) -> None:
    edges = sorted(cuts)
    vmas = [Vma(low, high, 0) for low, high in pairwise(edges) if (low + high) % 3]
    pages = set(range(start, end))
    assert VmaList(vmas).within(start, end) == [vma for vma in vmas if pages & set(range(vma.start, vma.end))]
