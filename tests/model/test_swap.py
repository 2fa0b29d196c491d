"""Swap in the model, one rule each: who reuses, who copies, what is dropped, where slots go."""

import numpy as np
import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.backing.swapdevice import CLUSTER, SwapSlots
from rmaplab.machine.model.invariants import Broken, check
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.model.space.addressspace import ContentLeak
from rmaplab.machine.protocol import PAGE_SIZE, PMD_SIZE, BadOperation
from rmaplab.trace.validate import validate

LENGTH = 64 << 20


def swapped(machine: ModelMachine, pages: int, order: int = 0) -> tuple[ModelProcess, int]:
    """A process whose `pages` pages of value 5 went to swap."""
    machine.swap(LENGTH)
    process = machine.spawn()
    address = process.mmap(pages * PAGE_SIZE, order=order)
    process.write(address, pages * PAGE_SIZE, 5)
    process.madvise(address, pages * PAGE_SIZE, "pageout")
    assert states(machine) == ["swap"] * pages
    return process, address


def states(machine: ModelMachine) -> list[str]:
    return machine.observe()["state"].to_list()


@pytest.mark.parametrize(("order", "pages"), [(0, 3), (4, 32), (9, 512)])
def test_contents_survive_swap_and_fork(order: int, pages: int) -> None:
    with ModelMachine() as machine:
        parent, address = swapped(machine, pages, order)
        child = parent.fork()
        child.write(address, PAGE_SIZE, 7)
        assert parent.read(address, pages * PAGE_SIZE).tolist() == [5] * pages
        assert child.read(address, pages * PAGE_SIZE).tolist() == [7] + [5] * (pages - 1)
        check(machine)
        parent.exit()
        child.exit()
        assert machine.world.swap.device is not None
        assert not machine.world.swap.device.used.any()
        validate(machine.trace())


def test_a_slot_with_one_entry_comes_back_exclusive_and_writable_after_a_read() -> None:
    with ModelMachine() as machine:
        parent, address = swapped(machine, 1)
        parent.fork().exit()
        parent.read(address, PAGE_SIZE)
        assert machine.observe()["anon_exclusive"].to_list() == [True]
        written = parent.write(address, PAGE_SIZE, 6)
        assert (written.reused, written.copied) == (0, 0)


def test_a_page_read_back_by_both_is_copied_by_the_first_writer_and_reused_by_the_second() -> None:
    with ModelMachine() as machine:
        parent, address = swapped(machine, 1)
        child = parent.fork()
        parent.read(address, PAGE_SIZE)
        child.read(address, PAGE_SIZE)
        assert machine.observe()["frame"].n_unique() == 1
        assert child.write(address, PAGE_SIZE, 6).copied == 1
        assert parent.write(address, PAGE_SIZE, 7).reused == 1
        check(machine)


def test_a_page_of_the_swap_cache_is_copied_while_another_entry_waits_for_it() -> None:
    with ModelMachine() as machine:
        parent, address = swapped(machine, 1)
        child = parent.fork()
        parent.read(address, PAGE_SIZE)
        assert parent.write(address, PAGE_SIZE, 6).copied == 1
        assert child.read(address, PAGE_SIZE).tolist() == [5]


def test_a_write_that_finds_the_slot_shared_copies_without_a_question() -> None:
    with ModelMachine() as machine:
        parent, address = swapped(machine, 1)
        child = parent.fork()
        written = child.write(address, PAGE_SIZE, 6)
        assert (written.reused, written.copied) == (0, 0)
        assert parent.read(address, PAGE_SIZE).tolist() == [5]


@pytest.mark.parametrize("longterm", [False, True])
def test_a_reference_keeps_a_large_folio_in_memory(longterm: bool) -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        process = machine.spawn()
        address = process.mmap(PMD_SIZE, order=9)
        process.write(address, PMD_SIZE)
        process.pin(address, PAGE_SIZE, longterm=longterm)
        process.madvise(address, PMD_SIZE, "pageout")
        assert set(states(machine)) == {"present"}


def test_a_held_small_page_is_unmapped_and_comes_back_as_the_same_page() -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        process = machine.spawn()
        address = process.mmap(PAGE_SIZE)
        process.write(address, PAGE_SIZE, 5)
        frame = machine.observe()["frame"].to_list()
        process.pin(address, PAGE_SIZE)
        process.madvise(address, PAGE_SIZE, "pageout")
        assert states(machine) == ["swap"]
        process.read(address, PAGE_SIZE)
        assert machine.observe()["frame"].to_list() == frame


def test_pageout_leaves_what_another_process_maps() -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        process = machine.spawn()
        address = process.mmap(4 * PAGE_SIZE)
        process.write(address, 4 * PAGE_SIZE)
        child = process.fork()
        process.madvise(address, 4 * PAGE_SIZE, "pageout")
        assert set(states(machine)) == {"present"}
        child.exit()
        process.madvise(address, 4 * PAGE_SIZE, "pageout")
        assert set(states(machine)) == {"swap"}


def test_part_of_a_large_folio_goes_out_as_small_ones() -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        process = machine.spawn()
        address = process.mmap(16 * PAGE_SIZE, order=4)
        process.write(address, 16 * PAGE_SIZE)
        process.madvise(address, 4 * PAGE_SIZE, "pageout")
        assert states(machine) == ["swap"] * 4 + ["present"] * 12
        assert set(machine.observe()["order"].drop_nulls()) == {0}


def test_a_large_folio_comes_back_large_if_its_slots_lie_right_and_small_if_not() -> None:
    with ModelMachine() as machine:
        process, address = swapped(machine, 16, order=4)
        process.read(address, PAGE_SIZE)
        assert machine.observe()["order"].to_list() == [4] * 16
        process.madvise(address, 16 * PAGE_SIZE, "pageout")
        process.fork().write(address, PAGE_SIZE)
        process.read(address + PAGE_SIZE, PAGE_SIZE)
        assert set(machine.observe()["order"].drop_nulls()) == {0}


@pytest.mark.parametrize(("between", "left"), [("nothing", 0), ("write", 5), ("pin", 5)])
def test_lazily_freed_pages_are_dropped_unless_written_or_held(between: str, left: int) -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(PAGE_SIZE)
        process.write(address, PAGE_SIZE, 5)
        process.madvise(address, PAGE_SIZE, "free")
        if between == "write":
            process.write(address, PAGE_SIZE, 5)
        elif between == "pin":
            process.pin(address, PAGE_SIZE)
        process.madvise(address, PAGE_SIZE, "pageout")
        assert states(machine) == ["present" if left else "none"]
        assert process.read(address, PAGE_SIZE).tolist() == [left]


def test_lazily_freed_swap_entries_are_gone_at_once() -> None:
    with ModelMachine() as machine:
        process, address = swapped(machine, 4)
        process.madvise(address, 4 * PAGE_SIZE, "free")
        assert states(machine) == ["none"] * 4


def test_the_oracle_sees_contents_that_changed_in_swap() -> None:
    with ModelMachine() as machine:
        swapped(machine, 4)
        assert machine.world.swap.device is not None
        machine.world.swap.device.version[machine.world.swap.device.count > 0] += 1
        with pytest.raises(ContentLeak):
            check(machine)


def test_the_invariants_see_a_slot_that_counts_wrongly() -> None:
    with ModelMachine() as machine:
        swapped(machine, 4)
        assert machine.world.swap.device is not None
        machine.world.swap.device.count[1] += 1
        with pytest.raises(Broken, match="swap slot"):
            check(machine)


def test_small_slots_follow_the_header_and_large_ones_are_aligned_in_clusters_of_their_own() -> None:
    slots = SwapSlots(4 * CLUSTER)
    small = [slots.take(0) for _ in range(3)]
    assert small == [1, 2, 3]
    assert [slots.take(4) % CLUSTER for _ in range(2)] == [0, 16]
    assert slots.take(9) % CLUSTER == 0
    slots.get(np.array(small))
    slots.put(np.array(small[:1]))
    assert slots.take(0) == 4


def test_a_full_device_gives_nothing() -> None:
    slots = SwapSlots(CLUSTER)
    assert [slots.take(0) for _ in range(CLUSTER)] == [*range(1, CLUSTER), 0]


def swapped_file(machine: ModelMachine, pages: int, order: int = 0) -> tuple[ModelProcess, ModelFile, int]:
    """A process that maps a shmem file of `pages` pages of value 5, all of them in swap."""
    if machine.world.swap.device is None:
        machine.swap(LENGTH)
    process, file = machine.spawn(), machine.file(pages * PAGE_SIZE, order=order)
    address = process.mmap(pages * PAGE_SIZE, file=file, shared=True)
    process.write(address, pages * PAGE_SIZE, 5)
    process.madvise(address, pages * PAGE_SIZE, "pageout")
    assert set(states(machine)) == {"none"}
    assert file.swap[:pages].all()
    return process, file, address


@pytest.mark.parametrize(("order", "pages"), [(0, 40), (4, 32), (9, 1024)])
def test_shmem_comes_back_from_swap_in_the_folios_it_left_in(order: int, pages: int) -> None:
    with ModelMachine() as machine:
        process, file, address = swapped_file(machine, pages, order)
        assert process.read(address, PAGE_SIZE).tolist() == [5]
        assert np.count_nonzero(file.frame) == 1 << order
        assert process.read(address, pages * PAGE_SIZE).tolist() == [5] * pages
        assert set(machine.observe()["order"].to_list()) == {order}
        assert machine.world.swap.device is not None
        assert not machine.world.swap.device.used.any()
        check(machine)


def test_shmem_that_came_back_goes_to_swap_again_though_nobody_wrote_to_it() -> None:
    with ModelMachine() as machine:
        process, file, address = swapped_file(machine, 4)
        process.read(address, 4 * PAGE_SIZE)
        process.madvise(address, 4 * PAGE_SIZE, "pageout")
        assert file.swap[:4].all()


def test_shmem_that_nobody_wrote_to_is_dropped_and_takes_no_slot() -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        process, file = machine.spawn(), machine.file(4 * PAGE_SIZE)
        address = process.mmap(4 * PAGE_SIZE, file=file, shared=True)
        process.read(address, 4 * PAGE_SIZE)
        process.madvise(address, 4 * PAGE_SIZE, "pageout")
        assert not file.frame.any()
        assert not file.swap.any()


@pytest.mark.parametrize("order", [0, 4])
def test_shmem_that_somebody_holds_is_unmapped_and_stays_in_the_cache(order: int) -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        process, file = machine.spawn(), machine.file(16 * PAGE_SIZE, order=order)
        address = process.mmap(16 * PAGE_SIZE, file=file, shared=True)
        process.write(address, 16 * PAGE_SIZE, 5)
        process.pin(address, PAGE_SIZE)
        process.madvise(address, 16 * PAGE_SIZE, "pageout")
        assert states(machine) == ["none"] * 16
        assert np.count_nonzero(file.frame) == 1 << order


def test_a_private_mapping_copies_what_it_writes_from_swap_and_the_file_keeps_its_own() -> None:
    with ModelMachine() as machine:
        process, file, address = swapped_file(machine, 2)
        private = process.mmap(2 * PAGE_SIZE, file=file)
        process.write(private, PAGE_SIZE, 6)
        assert process.read(private, 2 * PAGE_SIZE).tolist() == [6, 5]
        assert process.read(address, 2 * PAGE_SIZE).tolist() == [5, 5]


def test_slots_of_shared_anonymous_memory_live_as_long_as_its_last_mapping_those_of_a_file_longer() -> None:
    with ModelMachine() as machine:
        process, file, address = swapped_file(machine, 4)
        swap = machine.world.swap.device
        assert swap is not None
        process.munmap(address, 4 * PAGE_SIZE)
        shared = process.mmap(4 * PAGE_SIZE, shared=True)
        process.write(shared, 4 * PAGE_SIZE, 5)
        process.madvise(shared, 4 * PAGE_SIZE, "pageout")
        child = process.fork()
        process.munmap(shared, 4 * PAGE_SIZE)
        assert swap.used.sum() == 8
        child.exit()
        assert swap.used.sum() == 4
        check(machine)
        assert process.read(process.mmap(4 * PAGE_SIZE, file=file), 4 * PAGE_SIZE).tolist() == [5] * 4


def test_collapse_reads_shmem_back_first() -> None:
    with ModelMachine() as machine:
        process, _, address = swapped_file(machine, 512)
        process.madvise(address, PMD_SIZE, "collapse")
        assert machine.observe()["pmd_mapped"].all()
        assert process.read(address, PMD_SIZE).tolist() == [5] * 512
        check(machine)


def test_a_large_shmem_folio_without_slots_in_a_row_goes_page_by_page() -> None:
    with ModelMachine() as machine:
        machine.swap(2 * PMD_SIZE)
        swapped_file(machine, 512, 9)
        process = machine.spawn()
        address = process.mmap(PMD_SIZE, order=9, shared=True)
        process.write(address, PMD_SIZE, 6)
        process.madvise(address, PMD_SIZE, "pageout")
        # Beside the first THP the device has a header and 511 slots.
        assert np.count_nonzero(machine.world.swap.files[1].swap) == 511
        assert process.read(address, PMD_SIZE).tolist() == [6] * 512
        assert set(machine.observe()["order"].drop_nulls()) == {0}
        check(machine)


def test_the_invariants_see_a_file_page_that_changed_in_swap() -> None:
    with ModelMachine() as machine:
        _, file, _ = swapped_file(machine, 4)
        assert machine.world.swap.device is not None
        machine.world.swap.device.version[file.swap] += 1
        with pytest.raises(Broken, match="last write"):
            check(machine)


@pytest.mark.parametrize("length", [0, -PMD_SIZE, PAGE_SIZE, PMD_SIZE + PAGE_SIZE])
def test_a_swap_device_has_a_positive_multiple_of_two_mebibytes(length: int) -> None:
    with ModelMachine() as machine, pytest.raises(BadOperation, match=f"swap: length {length}"):
        machine.swap(length)


def test_a_second_swap_device_is_refused() -> None:
    with ModelMachine() as machine:
        machine.swap(LENGTH)
        with pytest.raises(BadOperation, match="already"):
            machine.swap(LENGTH)


def test_slots_beyond_all_frames_disturb_nobody_who_looks_for_a_folio() -> None:
    with ModelMachine() as machine:
        machine.swap(1 << 30)
        process = machine.spawn()
        out, stays = process.mmap(PMD_SIZE, order=9), process.mmap(PMD_SIZE, order=9)
        for value in range(1, 120):
            process.write(out, PMD_SIZE, value)
            process.madvise(out, PMD_SIZE, "pageout")
        process.write(stays, PMD_SIZE, 1)
        process.madvise(stays, PAGE_SIZE, "cold")
        process.migrate(stays, PMD_SIZE)
        check(machine)
        assert process.read(out, PMD_SIZE).tolist() == [119] * 512
