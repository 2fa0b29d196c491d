"""What KSM does on the model: which pages merge, what keeps them from it, and what takes them apart."""

import polars as pl
import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.invariants import check
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.protocol import BadOperation
from rmaplab.trace import validate

PAGE, THP = 4096, 2 << 20


def filled(machine: ModelMachine, pages: int, value: int = 7, order: int = 0) -> tuple[ModelProcess, int]:
    """A process with mergeable memory that reads `value` everywhere."""
    process = machine.spawn()
    address = process.mmap(pages * PAGE, order=order)
    process.write(address, pages * PAGE, value)
    process.madvise(address, pages * PAGE, "mergeable")
    return process, address


def kinds(machine: ModelMachine) -> dict[tuple[int, str], int]:
    """Pages by MM and kind of their folio."""
    counts = machine.observe().group_by("mm", "kind").len()
    return {(mm, kind): count for mm, kind, count in counts.iter_rows()}


def frames(machine: ModelMachine) -> int:
    return machine.observe()["frame"].drop_nulls().n_unique()


def test_equal_pages_of_two_processes_become_one_page() -> None:
    with ModelMachine() as machine:
        one, _ = filled(machine, 4)
        two, _ = filled(machine, 4)
        machine.merge()
        check(machine)
        assert kinds(machine) == {(one.mm, "ksm"): 4, (two.mm, "ksm"): 4}
        assert machine.observe()["mapcount"].unique().to_list() == [8]
        assert frames(machine) == 1
        assert machine.statistics.pages == 1


def test_different_contents_stay_apart() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 4)
        for page in range(4):
            one.write(address + page * PAGE, PAGE, page)
        machine.merge()
        assert kinds(machine) == {(one.mm, "anon"): 4}


def test_only_advised_memory_merges_and_shared_mappings_ignore_the_advice() -> None:
    with ModelMachine() as machine:
        one, _ = filled(machine, 1)
        shared = one.mmap(4 * PAGE, shared=True)
        private = one.mmap(4 * PAGE)
        for address in (shared, private):
            one.write(address, 4 * PAGE, 7)
        one.madvise(shared, 4 * PAGE, "mergeable")
        machine.merge()
        assert kinds(machine) == {(one.mm, "anon"): 5, (one.mm, "shmem"): 4}


def test_a_merge_without_mergeable_memory_does_nothing() -> None:
    with ModelMachine() as machine:
        machine.merge()
        machine.spawn()
        machine.merge()
        assert machine.observe().is_empty()


@pytest.mark.parametrize("order", [2, 9])
def test_a_large_folio_is_split_before_its_pages_merge(order: int) -> None:
    with ModelMachine() as machine:
        process, _ = filled(machine, 1 << order, order=order)
        machine.merge()
        check(machine)
        assert kinds(machine) == {(process.mm, "ksm"): 1 << order}
        assert frames(machine) == 1


def test_a_large_folio_without_equals_stays_whole() -> None:
    with ModelMachine() as machine:
        process, address = filled(machine, 4, order=2)
        for page in range(4):
            process.write(address + page * PAGE, PAGE, page + 1)
        machine.merge()
        assert machine.observe()["order"].to_list() == [2] * 4


def test_a_page_shared_by_fork_does_not_merge_with_itself() -> None:
    with ModelMachine() as machine:
        parent, _ = filled(machine, 1)
        child = parent.fork()
        machine.merge()
        assert kinds(machine) == {(parent.mm, "anon"): 1, (child.mm, "anon"): 1}


def test_a_pinned_page_does_not_merge_and_its_partner_is_taken_apart() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 1)
        two, _ = filled(machine, 1)
        pin = one.pin(address, PAGE)
        machine.merge()
        assert kinds(machine) == {(one.mm, "anon"): 1, (two.mm, "anon"): 1}
        assert machine.observe()["anon_exclusive"].to_list() == [True, True]
        one.unpin(pin)
        machine.merge()
        assert kinds(machine) == {(one.mm, "ksm"): 1, (two.mm, "ksm"): 1}
        check(machine)


def test_a_pinned_page_that_is_scanned_first_keeps_its_equals_apart() -> None:
    with ModelMachine() as machine:
        first, address = filled(machine, 1)
        second, _ = filled(machine, 3)
        first.pin(address, PAGE)
        machine.merge()
        assert kinds(machine) == {(first.mm, "anon"): 1, (second.mm, "anon"): 3}


def test_a_copy_nobody_wrote_to_merges_in_spite_of_references_once_it_is_shared() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 1)
        two, _ = filled(machine, 1)
        machine.merge()
        one.peek(address, PAGE)
        child = one.fork()
        one.pin(address, PAGE)
        machine.merge()
        assert kinds(machine) == {(mm, "ksm"): 1 for mm in (one.mm, two.mm, child.mm)}
        check(machine)


def test_a_block_that_maps_one_ksm_page_twice_does_not_collapse() -> None:
    with ModelMachine() as machine:
        process, address = filled(machine, 512)
        process.madvise(address, THP, "hugepage")
        machine.merge()
        with pytest.raises(BadOperation, match="collapse"):
            process.madvise(address, THP, "collapse")
        for page in range(511):
            process.write(address + page * PAGE, PAGE, page % 7)
        process.madvise(address, THP, "collapse")
        assert machine.observe()["pmd_mapped"].all()
        check(machine)


def test_who_shares_the_partner_of_a_pinned_page_keeps_a_ksm_page_that_never_merges() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 1)
        two, other = filled(machine, 1)
        child = two.fork()
        child.madvise(other, PAGE, "unmergeable")
        pin = one.pin(address, PAGE)
        machine.merge()
        assert kinds(machine) == {(one.mm, "anon"): 1, (two.mm, "anon"): 1, (child.mm, "ksm"): 1}
        one.unpin(pin)
        child.madvise(other, PAGE, "mergeable")
        machine.merge()
        merged = machine.observe().filter(pl.col("kind") == "ksm")
        assert dict(zip(merged["mm"], merged["mapcount"], strict=True)) == {one.mm: 2, two.mm: 2, child.mm: 1}
        check(machine)


def test_writing_to_a_ksm_page_copies_even_for_its_last_user() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 1)
        two, _ = filled(machine, 1)
        machine.merge()
        two.exit()
        written = one.write(address, PAGE, 9)
        assert (written.reused, written.copied) == (0, 0)
        assert kinds(machine) == {(one.mm, "anon"): 1}
        assert one.read(address, PAGE).tolist() == [9]


@pytest.mark.parametrize("what", ["unmergeable", "mremap", "peek"])
def test_advice_a_move_and_gup_take_ksm_pages_apart(what: str) -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 2)
        two, _ = filled(machine, 2)
        machine.merge()
        match what:
            case "unmergeable":
                one.madvise(address, 2 * PAGE, "unmergeable")
            case "mremap":
                one.mremap(address, 2 * PAGE, 2 * PAGE, move=True)
            case "peek":
                assert one.peek(address, 2 * PAGE).tolist() == [7, 7]
        check(machine)
        assert kinds(machine) == {(one.mm, "anon"): 2, (two.mm, "ksm"): 2}
        machine.merge()
        assert kinds(machine)[two.mm, "ksm"] == 2
        assert kinds(machine)[one.mm, "anon" if what == "unmergeable" else "ksm"] == 2


def test_a_ksm_page_whose_known_users_left_takes_no_more() -> None:
    with ModelMachine() as machine:
        parent, address = filled(machine, 2)
        other, here = filled(machine, 2)
        pin = other.pin(here, 2 * PAGE)
        machine.merge()
        child = parent.fork()
        parent.exit()
        other.unpin(pin)
        machine.merge()
        assert frames(machine) == 2
        check(machine)
        assert child.read(address, 2 * PAGE).tolist() == [7, 7]


def test_a_ksm_page_migrates_and_new_pages_merge_with_it_where_it_is() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 1)
        two, _ = filled(machine, 1)
        machine.merge()
        before = machine.observe()["frame"][0]
        assert one.migrate(address, PAGE) == 0
        child = two.fork()
        assert one.migrate(address, PAGE, shared=True) == 1
        check(machine)
        three, _ = filled(machine, 1)
        machine.merge()
        assert kinds(machine) == {(p.mm, "ksm"): 1 for p in (one, two, child, three)}
        assert frames(machine) == 1
        assert machine.observe()["frame"][0] != before


def test_a_ksm_page_its_reverse_map_does_not_find_does_not_migrate() -> None:
    with ModelMachine() as machine:
        one, address = filled(machine, 1)
        two, other = filled(machine, 1)
        child = two.fork()
        child.madvise(other, PAGE, "unmergeable")
        one.pin(address, PAGE)
        machine.merge()
        assert kinds(machine)[child.mm, "ksm"] == 1
        assert child.migrate(other, PAGE, shared=True) == 0
        check(machine)


def test_ksm_pages_in_a_private_file_mapping_keep_their_contents() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(4 * PAGE, file=machine.file(4 * PAGE))
        process.write(address, 3 * PAGE, 5)
        process.madvise(address, 4 * PAGE, "mergeable")
        machine.merge()
        process.write(address, PAGE, 6)
        assert process.read(address, 4 * PAGE).tolist() == [6, 5, 5, 0]
        check(machine)


def test_a_merge_is_in_the_trace_as_folios_left_and_entered() -> None:
    with ModelMachine() as machine:
        filled(machine, 2)
        filled(machine, 2)
        machine.merge()
        trace = machine.trace()
        validate(trace)
        left = trace.events.group_by("folio").agg(pl.col("nr").sum()).filter(pl.col("nr") != 0)
        assert trace.folios.join(left, on="folio").select("kind", "nr").rows() == [("ksm", 4)]


def test_a_closed_machine_merges_nothing() -> None:
    machine = ModelMachine()
    machine.close()
    with pytest.raises(BadOperation, match="merge"):
        machine.merge()
