"""Mappings of files on the model: what the page cache holds, what faults map of it, what advice takes out of it."""

import numpy as np
import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.pagecache import contents, layout
from rmaplab.machine.protocol import Advice, BadOperation

PAGE, THP = 4096, 2 << 20


def orders(machine: ModelMachine) -> list[int | None]:
    return machine.observe()["order"].to_list()


def mapped(machine: ModelMachine) -> int:
    return machine.observe()["order"].count()


def of_disk(machine: ModelMachine, pages: int, order: int) -> tuple[ModelProcess, int]:
    """A process that maps all of a disk file, shared."""
    process = machine.spawn()
    return process, process.mmap(pages * PAGE, file=machine.file(pages * PAGE, kind="file", order=order), shared=True)


def test_the_layout_of_a_file_covers_it_with_aligned_folios_no_larger_than_asked() -> None:
    for pages in (1, 7, 512, 600):
        for order in range(10):
            end = 0
            for page, size in layout(pages, order):
                assert page == end
                assert page % (1 << size) == 0
                assert size <= order
                end += 1 << size
            assert end == pages


def test_a_disk_file_is_cached_in_folios_of_its_order_and_smaller_ones_at_its_end() -> None:
    with ModelMachine() as machine:
        process, address = of_disk(machine, 23, 3)
        assert process.read(address, 23 * PAGE).tolist() == contents(23).tolist()
        assert orders(machine) == [3] * 16 + [2] * 4 + [1] * 2 + [0]
        check(machine)


def test_only_a_mapping_aligned_as_the_file_maps_a_thp_of_its_cache_by_a_pmd() -> None:
    with ModelMachine() as machine:
        file = machine.file(2 * THP, kind="file", order=9)
        for offset, pmd in ((0, True), (PAGE, False)):
            process = machine.spawn()
            process.read(process.mmap(THP, file=file, offset=offset), PAGE)
            assert machine.observe()["pmd_mapped"].any() is pmd
            process.exit()


def test_reading_beside_the_end_of_a_disk_file_maps_one_page_and_in_front_of_it_sixteen() -> None:
    with ModelMachine() as machine:
        file = machine.file(32 * PAGE, kind="file", order=4)
        for offset, found in ((0, 8), (16, 1)):
            process = machine.spawn()
            process.read(process.mmap(8 * PAGE, file=file, offset=offset * PAGE), PAGE)
            assert mapped(machine) == found
            process.exit()


def test_a_paged_out_file_comes_back_page_by_page_with_what_was_written() -> None:
    with ModelMachine() as machine:
        process, address = of_disk(machine, 64, 4)
        process.write(address + 20 * PAGE, PAGE, 200)
        process.madvise(address, 64 * PAGE, "populate_read")
        process.madvise(address, 64 * PAGE, "pageout")
        assert mapped(machine) == 0
        assert process.read(address + 20 * PAGE, PAGE).tolist() == [200]
        assert mapped(machine) == 1
        assert process.read(address, 64 * PAGE).tolist() == [*contents(20), 200, *contents(64)[21:]]
        assert orders(machine) == [0] * 64
        check(machine)


def test_under_hugepage_advice_a_miss_brings_the_two_megabytes_around_it() -> None:
    with ModelMachine() as machine:
        process, address = of_disk(machine, 1200, 0)
        process.madvise(address, 1200 * PAGE, "populate_read")
        process.madvise(address, 1200 * PAGE, "pageout")
        process.madvise(address, 1200 * PAGE, "hugepage")
        process.read(address + 700 * PAGE, PAGE)
        assert orders(machine) == [None] * 512 + [9] * 512 + [None] * 176
        process.read(address + 1100 * PAGE, PAGE)
        assert orders(machine)[1024:] == [7] * 128 + [None] * 48
        check(machine)


@pytest.mark.parametrize("advice", ["cold", "pageout"])
@pytest.mark.parametrize("order", [4, 9])
def test_advice_on_part_of_a_cached_folio_splits_it_and_unmaps_it_everywhere(order: int, advice: Advice) -> None:
    with ModelMachine() as machine:
        process, address = of_disk(machine, 1024, order)
        process.read(address, 1024 * PAGE)
        twice = process.mremap(address, 0, 1024 * PAGE, move=True)
        process.read(twice, PAGE)
        process.madvise(address + 3 * PAGE, PAGE, advice)
        size = 1 << order
        assert orders(machine) == [None] * size + [order] * (1024 - size) + [None] * 1024
        process.read(address, PAGE)
        assert orders(machine)[:16] == [0] * 16
        check(machine)


@pytest.mark.parametrize("why", ["another MM maps it", "a pin holds it"])
def test_advice_leaves_a_cached_folio_whole_that_somebody_else_needs(why: str) -> None:
    with ModelMachine() as machine:
        process, address = of_disk(machine, 512, 9)
        process.read(address, PAGE)
        if why == "a pin holds it":
            process.pin(address, PAGE)
        else:
            process.fork().read(address, PAGE)
        before = mapped(machine)
        process.madvise(address, PAGE, "cold")
        assert mapped(machine) == before
        assert set(orders(machine)) == {9}


def test_paged_out_shmem_keeps_what_was_written_and_forgets_pages_only_read() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(2 * PAGE, shared=True)
        process.write(address, PAGE, 7)
        process.read(address, 2 * PAGE)
        frames = machine.statistics.pages
        process.madvise(address, 2 * PAGE, "pageout")
        assert mapped(machine) == 0
        assert machine.statistics.pages == frames - 1
        assert process.read(address, 2 * PAGE).tolist() == [7, 0]
        check(machine)


def test_writing_through_a_private_mapping_leaves_the_file_as_it_was() -> None:
    with ModelMachine() as machine:
        file = machine.file(4 * PAGE, kind="file", order=2)
        process = machine.spawn()
        private, shared = (process.mmap(4 * PAGE, file=file, shared=s) for s in (False, True))
        process.write(private, PAGE, 99)
        assert process.read(private, 4 * PAGE).tolist() == [99, 2, 3, 4]
        assert process.read(shared, 4 * PAGE).tolist() == [1, 2, 3, 4]
        assert machine.observe()["anon_exclusive"].sum() == 1
        check(machine)


@pytest.mark.parametrize("advice", ["free", "collapse", "wipeonfork"])
def test_advice_for_anonymous_memory_is_refused_on_a_disk_file(advice: Advice) -> None:
    with ModelMachine() as machine:
        process, address = of_disk(machine, 1024, 0)
        before = process.read(address, 1024 * PAGE)
        with pytest.raises(BadOperation, match="madvise"):
            process.madvise(address, 1024 * PAGE, advice)
        assert np.array_equal(process.read(address, 1024 * PAGE), before)


def of_shmem(machine: ModelMachine, *, shared: bool) -> tuple[ModelProcess, int, ModelProcess, int]:
    """Two processes that map 2 MiB of one memfd, the first shared or private, the second shared. Pages 3, 40 hold 5."""
    file = machine.file(THP, kind="shmem")
    first, second = machine.spawn(), machine.spawn()
    here, there = first.mmap(THP, file=file, shared=shared), second.mmap(THP, file=file, shared=True)
    for page in (3, 40):
        second.write(there + page * PAGE, PAGE, 5)
    return first, here, second, there


@pytest.mark.parametrize("shared", [True, False])
def test_collapse_of_shmem_copies_what_is_cached_into_a_thp_fills_the_holes_and_maps_it(shared: bool) -> None:
    with ModelMachine() as machine:
        first, here, second, there = of_shmem(machine, shared=shared)
        first.madvise(here, THP, "collapse")
        seen = machine.observe()
        assert seen["pmd_mapped"].to_list() == [True] * 512 + [None] * 512
        values = [5 if page in (3, 40) else 0 for page in range(512)]
        for process, address in ((first, here), (second, there)):
            assert process.read(address, THP).tolist() == values
        check(machine)


@pytest.mark.parametrize("why", ["a page of it is held", "nothing is cached", "it is mapped out of line"])
def test_collapse_of_shmem_is_refused_and_changes_nothing(why: str) -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        file = machine.file(2 * THP, kind="shmem")
        offset = PAGE if why == "it is mapped out of line" else 0
        address = process.mmap(THP, file=file, offset=offset, shared=True)
        if why != "nothing is cached":
            process.write(address, 20 * PAGE, 5)
        if why == "a page of it is held":
            process.pin(address, PAGE)
        before = machine.observe()
        with pytest.raises(BadOperation, match="collapse"):
            process.madvise(address, THP, "collapse")
        assert machine.observe().equals(before)


def test_a_private_copy_forbids_the_pmd_but_not_the_thp_behind_it() -> None:
    with ModelMachine() as machine:
        first, here, second, there = of_shmem(machine, shared=False)
        first.write(here, PAGE, 9)
        with pytest.raises(BadOperation, match="collapse"):
            first.madvise(here, THP, "collapse")
        assert second.read(there, PAGE).tolist() == [0]
        assert first.read(here, 4 * PAGE).tolist() == [9, 0, 0, 5]
        assert machine.observe()["order"].drop_nulls().unique().to_list() == [0, 9]
        check(machine)
