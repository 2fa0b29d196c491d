"""Rules that random programs seldom show: planted faults in them had stayed alive. On the kernel and on the model."""

import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import BadOperation, Machine, Process

PAGE = 4096
BLOCK = 512 * PAGE


def orders(machine: Machine, process: Process) -> list[int | None]:
    seen = machine.observe()
    return seen.filter(seen["mm"] == process.mm).sort("address")["order"].to_list()


def states(machine: Machine, process: Process) -> set[str]:
    seen = machine.observe()
    return set(seen.filter(seen["mm"] == process.mm)["state"])


def mthp(machine: Machine) -> tuple[Process, int]:
    """A process with a folio of order 4, written to."""
    process = machine.spawn()
    address = process.mmap(16 * PAGE, order=4)
    process.write(address, 16 * PAGE, 7)
    if orders(machine, process) != [4] * 16:
        pytest.skip("no folio of order 4 here")
    return process, address


def test_what_a_pmd_maps_of_a_file_is_not_inherited(machine: Machine) -> None:
    parent, file = machine.spawn(), machine.file(2 * BLOCK, order=9)
    address = parent.mmap(2 * BLOCK, file=file)
    parent.read(address, PAGE)
    if not machine.observe()["pmd_mapped"].any():
        pytest.skip("no THP of a file here")
    parent.write(address + BLOCK, PAGE)
    child = parent.fork()
    seen = machine.who(address)
    assert seen.filter(seen["mm"] == child.mm)["state"].to_list() in (["none"], [])
    assert len(machine.who(address + BLOCK).filter(machine.who(address + BLOCK)["state"] == "present")) == 2


@pytest.mark.parametrize("zeroes", [0, 4, 16])
def test_small_folios_come_back_as_a_large_one_if_all_or_none_of_them_were_zeroes(machine: Machine, zeroes: int) -> None:
    machine.swap(64 << 20)
    process, address = mthp(machine)
    process.madvise(address, PAGE, "cold")
    assert orders(machine, process) == [0] * 16
    before = process.mmap(15 * PAGE)
    process.write(before, 15 * PAGE, 1)
    process.madvise(before, 15 * PAGE, "pageout")  # after the header: what follows begins at slot 16
    if zeroes:
        process.write(address, zeroes * PAGE, 0)
    process.madvise(address, 16 * PAGE, "pageout")
    assert states(machine, process) == {"swap"}
    process.read(address + 8 * PAGE, PAGE)
    assert orders(machine, process)[8] == (0 if zeroes == 4 else 4)


def test_a_large_folio_does_not_come_back_as_one_if_only_a_part_of_it_was_exclusive(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, address = mthp(machine)
    process.fork().exit()
    process.write(address, 8 * PAGE, 8)
    process.madvise(address, 16 * PAGE, "pageout")
    assert states(machine, process) == {"swap"}
    process.read(address + 8 * PAGE, PAGE)
    assert orders(machine, process)[8] == 0


def test_a_lazily_freed_thp_loses_its_pmd_although_somebody_holds_it(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    process.madvise(address, BLOCK, "free")
    process.pin(address, PAGE)
    assert machine.observe()["pmd_mapped"].all()
    process.madvise(address, BLOCK, "pageout")
    assert not machine.observe()["pmd_mapped"].any()
    assert orders(machine, process) == [9] * 512


def test_a_dirty_folio_that_others_map_is_not_freed_lazily(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, address = mthp(machine)
    process.migrate(address, 16 * PAGE)  # what its mappings wrote is noted in the folio
    child = process.fork()
    process.madvise(address, 16 * PAGE, "free")
    child.exit()
    process.madvise(address, 16 * PAGE, "pageout")
    assert process.read(address, 16 * PAGE).tolist() == [7] * 16


def test_a_folio_mapped_once_is_not_shared_whatever_the_flag_says(machine: Machine) -> None:
    first, address = mthp(machine)
    second = first.fork()
    third = second.fork()
    first.exit()
    second.exit()
    third.munmap(address + PAGE, 15 * PAGE)
    third.madvise(address, PAGE, "cold")
    assert orders(machine, third) == [0]


def test_a_vma_whose_anon_vma_came_by_fork_joins_no_neighbour_nobody_touched() -> None:
    with ModelMachine() as machine:
        parent = machine.spawn()
        address = parent.mmap(4 * PAGE)
        parent.write(address, 4 * PAGE)
        child = parent.fork()
        for process, vmas in ((parent, 1), (child, 2)):
            process.mmap(2 * PAGE, over=address + 2 * PAGE)
            assert len(process.vmas) == vmas


def test_pages_of_a_folio_for_which_swap_has_no_place_in_a_row_go_out_from_behind(machine: Machine) -> None:
    machine.swap(2 << 20)  # a single cluster, which is of small folios since the header is there
    process, address = mthp(machine)
    process.madvise(address, 16 * PAGE, "pageout")
    assert states(machine, process) == {"swap"}
    slots = machine.observe().sort("address")["slot"].to_list()
    assert slots == [min(slots), *sorted(set(slots) - {min(slots)}, reverse=True)]


def test_lazily_freed_pages_go_by_runs_of_equal_write_access_up_to_the_first_that_was_written(machine: Machine) -> None:
    process, address = mthp(machine)
    process.fork().exit()
    process.madvise(address, 16 * PAGE, "free")
    assert process.write(address + 8 * PAGE, 4 * PAGE, 9).copied == 0
    process.madvise(address, 16 * PAGE, "pageout")
    assert process.read(address, 16 * PAGE).tolist() == [0] * 8 + [9] * 4 + [7] * 4


def test_a_copy_made_for_reading_takes_a_fault_when_it_is_written() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(4 * PAGE)
        process.write(address, 4 * PAGE)
        process.fork()
        process.peek(address, 4 * PAGE)
        before = machine.statistics.faults
        assert process.write(address, 4 * PAGE).copied == 0
        assert machine.statistics.faults == before + 4


def test_a_large_folio_is_asked_about_again_after_every_page_that_was_copied() -> None:
    """A kernel that went by the first page's map count would copy that page, and take the others for its own."""
    with ModelMachine("precise:estimated-sharers") as machine:
        process, address = mthp(machine)
        process.fork()
        written = process.write(address, 16 * PAGE)
        assert (written.copied, written.reused) == (1, 15)


def test_memory_made_read_only_before_anybody_wrote_joins_no_read_only_neighbour_that_was_written() -> None:
    """It is not accounted any more (VM_ACCOUNT), the other is."""
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(4 * PAGE)
        process.mprotect(address + 2 * PAGE, 2 * PAGE, writable=False)
        process.write(address, PAGE)
        process.mprotect(address, 2 * PAGE, writable=False)
        assert len(process.vmas) == 2
        process.mprotect(address, 4 * PAGE, writable=True)
        assert len(process.vmas) == 1


def test_a_shared_page_of_a_disk_file_takes_a_fault_when_it_is_first_written() -> None:
    with ModelMachine() as machine:
        process, file = machine.spawn(), machine.file(4 * PAGE, kind="file")
        address = process.mmap(4 * PAGE, file=file, shared=True)
        process.read(address, 4 * PAGE)
        before = machine.statistics.faults
        for _ in range(2):
            process.write(address, PAGE)
            assert machine.statistics.faults == before + 1


def test_no_large_folio_of_shmem_comes_where_a_page_is_in_swap(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, file = machine.spawn(), machine.file(16 * PAGE)
    small = process.mmap(16 * PAGE, file=file, shared=True)
    process.write(small + 3 * PAGE, PAGE, 5)
    process.madvise(small, 16 * PAGE, "pageout")
    large = process.mmap(16 * PAGE, file=file, shared=True, order=4)
    process.write(large, PAGE)
    assert machine.who(large)["order"].to_list() == [0]
    assert process.read(large + 3 * PAGE, PAGE).tolist() == [5]


def test_a_block_that_was_collapsed_has_no_table_of_ptes_so_that_a_thp_fits_again() -> None:
    """On 6.12: later kernels free the table of an emptied block in any case."""
    with ModelMachine("linux-6.12") as machine:
        process = machine.spawn()
        address = process.mmap(BLOCK, order=9)
        process.write(address, BLOCK)
        process.mprotect(address, PAGE, writable=False)
        process.mprotect(address, PAGE, writable=True)
        process.madvise(address, BLOCK, "collapse")
        process.madvise(address, BLOCK, "dontneed")
        process.write(address, PAGE)
        assert machine.observe()["pmd_mapped"].sum() == 512


def test_memory_that_was_only_read_is_not_collapsed(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK)
    process.read(address, BLOCK)
    process.madvise(address, BLOCK, "hugepage")
    with pytest.raises(BadOperation):
        process.madvise(address, BLOCK, "collapse")
    process.write(address, PAGE)
    process.madvise(address, BLOCK, "collapse")
    assert machine.observe()["pmd_mapped"].all()


def test_memory_that_shall_have_no_thp_is_not_collapsed(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK)
    process.write(address, BLOCK)
    process.madvise(address, BLOCK, "nohugepage")
    with pytest.raises(BadOperation):
        process.madvise(address, BLOCK, "collapse")
    process.madvise(address, BLOCK, "hugepage")
    process.madvise(address, BLOCK, "collapse")
    assert machine.observe()["pmd_mapped"].all()


def test_what_a_read_brought_back_from_swap_needs_no_fault_to_be_written(machine: Machine) -> None:
    """Reclaim of a lazily freed folio goes by runs of alike write access: one that was written keeps all of its run."""
    machine.swap(4 * BLOCK)
    process = machine.spawn()
    address = process.mmap(4 * PAGE, order=2)
    process.write(address, 4 * PAGE)
    process.madvise(address, 4 * PAGE, "pageout")
    process.read(address, 4 * PAGE)
    assert machine.observe()["order"].to_list() == [2] * 4
    process.write(address + PAGE, PAGE)
    process.madvise(address, 4 * PAGE, "free")
    process.write(address + 3 * PAGE, PAGE)
    process.madvise(address, 4 * PAGE, "pageout")
    assert machine.observe()["state"].to_list() == ["present"] * 4
