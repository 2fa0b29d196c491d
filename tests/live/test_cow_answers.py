"""What a write asks and how this kernel (6.15 or later) answers, in cases whose answer follows from their making."""

import polars as pl
import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.protocol import PAGE_SIZE, PMD_SIZE, BadOperation
from rmaplab.trace.validate import validate

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

LARGE = (2, 4, 9)


def questions(machine: LiveMachine) -> pl.DataFrame:
    trace = machine.trace()
    validate(trace)
    return trace.questions.join(trace.folios, on="folio").sort("step", maintain_order=True)


def pte_mapped(machine: LiveMachine, order: int, folios: int = 1) -> tuple[LiveProcess, int, int]:
    """A process with written folios of that order, mapped by PTEs; address and length."""
    process, length = machine.spawn(), folios * (PAGE_SIZE << order)
    address = process.mmap(length, order=order)
    process.write(address, length)
    process.mprotect(address, length, writable=False)
    if order == 9:
        for start in range(address, address + length, PMD_SIZE):
            process.mprotect(start, PAGE_SIZE, writable=True)
    process.mprotect(address, length, writable=True)
    return process, address, length


def test_pmd_mapped_folio_is_reused_whole_once_the_child_left(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(2 * PMD_SIZE, order=9)
    process.write(address, 2 * PMD_SIZE)
    process.fork().exit()
    written = process.write(address + 5 * PAGE_SIZE, 3 * PAGE_SIZE)
    assert (written.pages, written.reused, written.copied) == (3, 512, 0)
    (asked,) = questions(thp).iter_rows(named=True)
    assert (asked["pages"], asked["page"], asked["order"]) == (512, 0, 9)
    assert (asked["kernel"], asked["truth"], asked["outcome"]) == ("exclusive", "exclusive", "reused")


def test_pmd_mapped_folio_shared_with_a_child_is_split_then_copied_page_by_page(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=9)
    process.write(address, PMD_SIZE)
    process.fork()
    written = process.write(address + 5 * PAGE_SIZE, 3 * PAGE_SIZE)
    assert (written.reused, written.copied) == (0, 3)
    asked = questions(thp)
    assert asked["outcome"].to_list() == ["split", "copied", "copied", "copied"]
    assert asked["page"].to_list() == [0, 5, 6, 7]
    assert asked["pages"].to_list() == [512, 1, 1, 1]
    assert set(asked["kernel"]) == set(asked["truth"]) == {"shared"}
    assert asked["step"].is_unique().all()


@pytest.mark.parametrize("order", LARGE)
def test_pte_mapped_folio_is_reused_page_by_page_once_the_child_left(thp: LiveMachine, order: int) -> None:
    process, address, length = pte_mapped(thp, order)
    process.fork().exit()
    written = process.write(address, length)
    assert (written.reused, written.copied) == (1 << order, 0)
    asked = questions(thp)
    assert asked["page"].to_list() == list(range(1 << order))
    assert set(asked["order"]) == {order}
    assert set(asked["kernel"]) == {"exclusive"}


@pytest.mark.parametrize("order", LARGE)
def test_survivor_of_three_that_came_last_copies_although_alone(thp: LiveMachine, order: int) -> None:
    process, address, length = pte_mapped(thp, order)
    second, third = process.fork(), process.fork()
    process.exit()
    second.exit()
    assert third.write(address, length).copied == 1 << order
    asked = questions(thp)
    assert set(asked["truth"]) == {"exclusive"}
    assert asked["kernel"].to_list() == ["shared"] * ((1 << order) - 1) + [None]
    assert asked["extra_refs"].to_list() == [0] * (1 << order)


@pytest.mark.parametrize("order", [0, *LARGE])
def test_pin_forbids_reuse_until_it_is_dropped(thp: LiveMachine, order: int) -> None:
    process, address, length = pte_mapped(thp, order, folios=2)
    half = length // 2
    process.fork().exit()
    pin = process.pin(address, half)
    assert process.write(address, PAGE_SIZE).copied == 1
    assert process.write(address + half, PAGE_SIZE).reused == 1
    process.unpin(pin)
    assert process.write(address + half - PAGE_SIZE, PAGE_SIZE).reused == (1 if order else 0)
    asked = questions(thp)
    assert asked["extra_refs"].to_list() == [1 << order, 0, 0][: len(asked)]
    assert asked["kernel"].to_list() == [None, "exclusive", "exclusive"][: len(asked)]


def test_pins_are_dropped_when_their_process_ends_or_calls_exec(thp: LiveMachine) -> None:
    process, address, length = pte_mapped(thp, 4)
    for end in ("exit", "exec"):
        child = process.fork()
        child.pin(address, length)
        getattr(child, end)()
    assert process.write(address, length).reused == 16
    assert set(questions(thp)["extra_refs"]) == {0}


def test_small_page_is_reused_alone_and_copied_while_shared(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(8 * PAGE_SIZE)
    process.write(address, 8 * PAGE_SIZE)
    child = process.fork()
    assert process.write(address, 2 * PAGE_SIZE).copied == 2
    child.exit()
    written = process.write(address, 8 * PAGE_SIZE)
    assert (written.reused, written.copied) == (6, 0), "the two copies are exclusive already"
    assert questions(machine)["truth"].to_list() == ["shared"] * 2 + ["exclusive"] * 6


def test_page_touched_twice_by_gup_waits_in_no_lru_batch(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(8 * PAGE_SIZE)
    process.write(address, 8 * PAGE_SIZE)
    process.fork().exit()
    for _ in range(2):
        process.madvise(address, PAGE_SIZE, "dontneed")
        process.unpin(process.pin(address, 8 * PAGE_SIZE))
    assert process.write(address, 8 * PAGE_SIZE).reused == 7


def test_last_page_of_a_large_folio_is_copied_and_tells_nothing(thp: LiveMachine) -> None:
    process, address, length = pte_mapped(thp, 4)
    process.fork().exit()
    process.munmap(address + PAGE_SIZE, length - PAGE_SIZE)
    assert process.write(address, PAGE_SIZE).copied == 1
    (asked,) = questions(thp).iter_rows(named=True)
    assert (asked["kernel"], asked["truth"], asked["extra_refs"]) == (None, "exclusive", 0)


def test_child_that_unmapped_part_still_shares(thp: LiveMachine) -> None:
    process, address, length = pte_mapped(thp, 4)
    child = process.fork()
    child.munmap(address, length - PAGE_SIZE)
    assert process.write(address, PAGE_SIZE).copied == 1
    child.munmap(address + length - PAGE_SIZE, PAGE_SIZE)
    assert process.write(address + PAGE_SIZE, length - PAGE_SIZE).reused == 15


def test_folio_reused_page_by_page_asks_no_second_time(thp: LiveMachine) -> None:
    process, address, length = pte_mapped(thp, 4)
    process.fork().exit()
    process.write(address, 7 * PAGE_SIZE)
    assert process.write(address, length).reused == 9
    assert process.write(address, length).reused == 0


def test_page_kept_from_a_fork_by_dontfork_asks_nothing(thp: LiveMachine) -> None:
    process, address, length = pte_mapped(thp, 4)
    process.madvise(address, length, "dontfork")
    process.fork()
    written = process.write(address, length)
    assert (written.reused, written.copied) == (0, 0)
    assert questions(thp).is_empty()


@pytest.mark.parametrize("order", [0, 4, 9])
def test_first_touch_and_zero_page_ask_nothing(thp: LiveMachine, order: int) -> None:
    process = thp.spawn()
    address = process.mmap(2 * PMD_SIZE, order=order)
    assert not process.read(address, PMD_SIZE).any()
    assert thp.trace().folios.is_empty(), "zero pages are no folios"
    written = process.write(address, 2 * PMD_SIZE, 7)
    assert (written.reused, written.copied) == (0, 0)
    assert set(process.read(address, 2 * PMD_SIZE)) == {7}
    assert questions(thp).is_empty()


@pytest.mark.parametrize("kind", ["shmem", "file"])
def test_private_copy_of_a_file_page_asks_nothing_but_its_own_cow_does(machine: LiveMachine, kind: str) -> None:
    process = machine.spawn()
    file = machine.file(8 * PAGE_SIZE, kind=kind)
    address = process.mmap(8 * PAGE_SIZE, file=file)
    process.read(address, 8 * PAGE_SIZE)
    assert process.write(address, 4 * PAGE_SIZE).copied == 0
    process.fork().exit()
    assert process.write(address, 8 * PAGE_SIZE).reused == 4
    trace = machine.trace()
    validate(trace)
    assert set(trace.folios["kind"]) == {kind, "anon"}


def test_populate_write_asks_like_a_write(thp: LiveMachine) -> None:
    process, address, length = pte_mapped(thp, 4)
    process.fork().exit()
    process.madvise(address, length, "populate_write")
    assert questions(thp)["outcome"].to_list() == ["reused"] * 16


def test_write_where_nothing_is_writable_is_refused_and_leaves_the_machine_usable(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE_SIZE)
    process.mprotect(address + PAGE_SIZE, PAGE_SIZE, writable=False)
    with pytest.raises(BadOperation, match=rf"page {address + PAGE_SIZE:#x} is not mapped writable"):
        process.write(address, 4 * PAGE_SIZE)
    process.munmap(address + 2 * PAGE_SIZE, PAGE_SIZE)
    with pytest.raises(BadOperation, match="not mapped readable"):
        process.read(address, 4 * PAGE_SIZE)
    assert process.write(address, PAGE_SIZE).pages == 1
