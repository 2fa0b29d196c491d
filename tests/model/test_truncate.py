"""Files that shrink, grow and get holes, on the kernel and on the model: who maps what then, and in which folios."""

from typing import Literal

import pytest

from kernel import lacking
from rmaplab.machine.differential import runner
from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.model.calls import truncate
from rmaplab.machine.model.invariants import Broken, check
from rmaplab.machine.model.space.addressspace import AddressSpace, ContentLeak
from rmaplab.machine.protocol import BadOperation, File, Machine, Process

PAGE, THP = 4096, 2 << 20
Kind = Literal["file", "shmem"]
KINDS: tuple[Kind, ...] = ("shmem", "file")


def mapping(machine: Machine, kind: Kind, pages: int, order: int, *, shared: bool = True) -> tuple[File, Process, int]:
    """A file of folios of `order`, and a process that maps all of it and has written 7 to every page."""
    file = machine.file(pages * PAGE, kind=kind, order=order)
    process = machine.spawn()
    address = process.mmap(pages * PAGE, file=file, shared=shared)
    process.write(address, pages * PAGE, 7)
    orders = machine.observe()["order"].unique().to_list()
    if shared and orders != [order]:
        pytest.skip(f"no folios of order {order} to be had: {orders}")
    return file, process, address


def states(machine: Machine) -> list[str]:
    return [str(state) for state in machine.observe().sort("mm", "address")["state"]]


def orders(machine: Machine, process: Process, address: int, pages: int) -> list[int]:
    """Orders of the folios behind these pages, once all are mapped."""
    process.madvise(address, pages * PAGE, "populate_read")
    seen = machine.observe().filter(machine.observe()["mm"] == process.mm).sort("address")
    return [int(order) for order in seen["order"].drop_nulls()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_beyond_the_new_end_is_not_mapped_and_not_touched_until_it_is_the_files_again(
    machine: Machine, kind: Kind
) -> None:
    file, process, address = mapping(machine, kind, 16, 0)
    machine.truncate(file, 10 * PAGE)
    assert file.length == 10 * PAGE
    assert states(machine) == ["present"] * 10 + ["none"] * 6
    for touch in (process.read, process.write, process.peek, process.poke, process.mlock):
        with pytest.raises(BadOperation, match="beyond the end"):
            touch(address + 9 * PAGE, 2 * PAGE)
    machine.truncate(file, 16 * PAGE)
    assert process.read(address, 16 * PAGE).tolist() == [7] * 10 + [0] * 6


def test_a_file_that_grew_can_be_mapped_as_far_as_it_goes_and_one_that_shrank_no_further(machine: Machine) -> None:
    file, process, _ = mapping(machine, "shmem", 4, 0)
    machine.truncate(file, 8 * PAGE)
    assert process.read(process.mmap(8 * PAGE, file=file, shared=True), 8 * PAGE).tolist() == [7] * 4 + [0] * 4
    machine.truncate(file, 2 * PAGE)
    with pytest.raises(BadOperation, match="within 8192 bytes"):
        process.mmap(4 * PAGE, file=file)


@pytest.mark.parametrize("kind", KINDS)
def test_private_copies_go_with_the_end_of_the_file_and_stay_in_a_hole(machine: Machine, kind: Kind) -> None:
    file, process, address = mapping(machine, kind, 16, 0, shared=False)
    machine.punch_hole(file, 4 * PAGE, 8 * PAGE)
    assert process.read(address, 16 * PAGE).tolist() == [7] * 16
    machine.truncate(file, 12 * PAGE)
    machine.truncate(file, 16 * PAGE)
    assert process.read(address, 16 * PAGE).tolist() == [7] * 12 + [0] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_splits_a_large_folio_into_the_largest_that_leave_it_out(machine: Machine, kind: Kind) -> None:
    file, process, address = mapping(machine, kind, 16, 4)
    machine.punch_hole(file, 5 * PAGE, PAGE)
    assert states(machine) == ["none"] * 16
    assert process.read(address, 16 * PAGE).tolist() == [7] * 5 + [0] + [7] * 10
    assert orders(machine, process, address, 16) == [2] * 4 + [0] * 4 + [3] * 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_at_the_beginning_of_a_large_folio_leaves_its_rest(machine: Machine, kind: Kind) -> None:
    file, process, address = mapping(machine, kind, 16, 4)
    machine.punch_hole(file, 0, 3 * PAGE)
    assert process.read(address, 16 * PAGE).tolist() == [0] * 3 + [7] * 13
    assert orders(machine, process, address, 16) == [0] * 4 + [2] * 4 + [3] * 8


@pytest.mark.parametrize("kind", KINDS)
def test_the_new_end_splits_the_folio_it_cuts(machine: Machine, kind: Kind) -> None:
    file, process, address = mapping(machine, kind, 16, 4)
    machine.truncate(file, 6 * PAGE)
    assert states(machine) == ["none"] * 16
    assert process.read(address, 6 * PAGE).tolist() == [7] * 6
    assert orders(machine, process, address, 6) == [2] * 4 + [1] * 2


def test_a_held_folio_of_shmem_is_filled_with_zeroes_and_stays_mapped_around_the_hole(machine: Machine) -> None:
    file, process, address = mapping(machine, "shmem", 16, 4)
    pin = process.pin(address, PAGE)
    machine.punch_hole(file, 5 * PAGE, 3 * PAGE)
    assert states(machine) == ["present"] * 5 + ["none"] * 3 + ["present"] * 8
    assert process.read(address, 16 * PAGE).tolist() == [7] * 5 + [0] * 3 + [7] * 8
    assert orders(machine, process, address, 16) == [4] * 16
    process.unpin(pin)


def test_a_held_folio_of_a_disk_file_leaves_the_cache_whole(machine: Machine) -> None:
    file, process, address = mapping(machine, "file", 16, 4)
    process.pin(address, PAGE)
    machine.punch_hole(file, 5 * PAGE, 3 * PAGE)
    assert states(machine) == ["none"] * 16
    assert process.read(address, 16 * PAGE).tolist() == [7] * 5 + [0] * 3 + [7] * 8
    assert orders(machine, process, address, 16) == [0] * 16


def test_a_hole_unmaps_the_pmds_that_it_covers_in_part_for_everybody(machine: Machine) -> None:
    file, process, address = mapping(machine, "shmem", 512, 9)
    child = process.fork()
    child.read(address, THP)
    if not machine.observe()["pmd_mapped"].all():
        pytest.skip("no THP to be had")
    machine.punch_hole(file, 100 * PAGE, PAGE)
    assert set(states(machine)) == {"none"}
    assert child.read(address, THP).tolist() == [7] * 100 + [0] + [7] * 411


def test_a_held_thp_stays_whole_but_no_pmd_maps_it(machine: Machine) -> None:
    file, process, address = mapping(machine, "shmem", 512, 9)
    if not machine.observe()["pmd_mapped"].all():
        pytest.skip("no THP to be had")
    process.pin(address, PAGE)
    machine.punch_hole(file, 100 * PAGE, PAGE)
    assert set(states(machine)) == {"none"}
    process.read(address, PAGE)
    assert set(machine.observe()["order"].drop_nulls()) == {9}


def test_locked_memory_is_no_protection(machine: Machine) -> None:
    file, process, address = mapping(machine, "shmem", 8, 0)
    process.mlock(address, 8 * PAGE)
    machine.punch_hole(file, 0, 4 * PAGE)
    machine.truncate(file, 6 * PAGE)
    assert states(machine) == ["none"] * 4 + ["present"] * 2 + ["none"] * 2


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (0, -PAGE), (PAGE // 2, PAGE), (0, 100), (3 * PAGE, 2 * PAGE), (-PAGE, PAGE)]
)
def test_a_hole_must_be_pages_of_the_file(machine: Machine, offset: int, length: int) -> None:
    file = machine.file(4 * PAGE)
    with pytest.raises(BadOperation, match="punch_hole"):
        machine.punch_hole(file, offset, length)


@pytest.mark.parametrize("length", [0, -PAGE, 100])
def test_a_file_has_whole_pages_and_one_at_least(machine: Machine, length: int) -> None:
    file = machine.file(4 * PAGE)
    with pytest.raises(BadOperation, match="truncate"):
        machine.truncate(file, length)
    assert file.length == 4 * PAGE


def test_files_of_another_machine_are_refused(machine: Machine) -> None:
    with ModelMachine() as other:
        file = other.file(PAGE)
        with pytest.raises(BadOperation, match="not a file of this machine"):
            machine.truncate(file, PAGE)
        with pytest.raises(BadOperation, match="not a file of this machine"):
            machine.punch_hole(file, 0, PAGE)


@pytest.mark.parametrize(("kernel", "left"), [("linux-6.18", {0, 2, 3}), ("linux-6.12", {0})])
def test_older_kernels_cut_a_folio_into_pages(kernel: str, left: set[int]) -> None:
    with ModelMachine(kernel) as machine:
        file, process, address = mapping(machine, "shmem", 16, 4)
        machine.punch_hole(file, 5 * PAGE, PAGE)
        assert process.read(address, 16 * PAGE).tolist() == [7] * 5 + [0] + [7] * 10
        assert set(orders(machine, process, address, 16)) == left
        check(machine)


def used(machine: ModelMachine) -> int:
    """Swap slots in use."""
    assert machine.world.swap.device is not None
    return int(machine.world.swap.device.used.sum())


def test_what_is_in_swap_goes_too_and_its_slots_are_free() -> None:
    with ModelMachine() as machine:
        machine.swap(8 << 20)
        file, process, address = mapping(machine, "shmem", 32, 4)
        process.madvise(address, 32 * PAGE, "pageout")
        assert used(machine) == 32
        machine.punch_hole(file, 0, 16 * PAGE)
        assert used(machine) == 16
        machine.punch_hole(file, 20 * PAGE, PAGE)
        assert used(machine) == 0, "the folio that the hole cuts is back"
        assert orders(machine, process, address, 32) == [4] * 16 + [2] * 4 + [0] * 2 + [1] * 2 + [3] * 8
        assert process.read(address, 32 * PAGE).tolist() == [0] * 16 + [7] * 4 + [0] + [7] * 11
        check(machine)


def test_what_a_hole_leaves_of_a_folio_is_dirty_and_what_comes_in_the_hole_is_not() -> None:
    with ModelMachine() as machine:
        machine.swap(8 << 20)
        file = machine.file(16 * PAGE, order=4)
        process = machine.spawn()
        address = process.mmap(16 * PAGE, file=file, shared=True)
        process.read(address, 16 * PAGE)
        machine.punch_hole(file, 0, 4 * PAGE)
        process.read(address, 16 * PAGE)
        process.madvise(address, 16 * PAGE, "pageout")
        assert used(machine) == 12
        process.write(address, 16 * PAGE)
        machine.punch_hole(file, 0, 16 * PAGE)
        process.read(address, 16 * PAGE)
        process.madvise(address, 16 * PAGE, "pageout")
        assert used(machine) == 0
        check(machine)


def test_a_large_folio_of_shmem_may_reach_beyond_the_end_of_its_file() -> None:
    with ModelMachine() as machine:
        file, process, address = mapping(machine, "shmem", 16, 4)
        machine.truncate(file, 5 * PAGE)
        machine.punch_hole(file, 0, 5 * PAGE)
        process.read(address, PAGE)
        assert machine.observe()["order"].to_list() == [4] * 16
        check(machine)


P, FILE, A, Q = 1, 2, 3, 4


def of_shmem(pages: int, order: int, *more: Step, swap: bool = False) -> Program:
    """Shmem that P maps shared as A and wrote to; then `more`."""
    return (
        *([Step("swap", pages=1 << 14)] if swap else []),
        Step("spawn", makes=P),
        Step("file", pages=pages, order=order, makes=FILE),
        Step("mmap", P, file=FILE, pages=pages, makes=A, shared=True),
        Step("write", P, A, 0, pages, value=7),
        *more,
        Step("read", P, A, 0, 4),
    )


PROGRAMS: dict[str, Program] = {
    "a large folio in swap is cut by the new end": of_shmem(
        64,
        4,
        Step("madvise", P, A, 0, 64, advice="pageout"),
        Step("truncate", file=FILE, pages=24),
        Step("read", P, A, 0, 24),
        Step("truncate", file=FILE, pages=64),
        Step("read", P, A, 0, 64),
        swap=True,
    ),
    "holes in large folios in swap": of_shmem(
        64,
        4,
        Step("madvise", P, A, 0, 64, advice="pageout"),
        Step("punch_hole", file=FILE, page=8, pages=30),
        Step("read", P, A, 0, 64),
        swap=True,
    ),
    "a held folio across the new end is paged out later": of_shmem(
        32,
        4,
        Step("pin", P, A, 16, 1, makes=9),
        Step("truncate", file=FILE, pages=20),
        Step("unpin", P, pin=9),
        Step("madvise", P, A, 0, 32, advice="pageout"),
        Step("truncate", file=FILE, pages=24),
        Step("read", P, A, 0, 24),
        Step("truncate", file=FILE, pages=18),
        Step("truncate", file=FILE, pages=32),
        Step("read", P, A, 0, 32),
        swap=True,
    ),
    "a large folio may reach beyond the end": of_shmem(
        40,
        4,
        Step("truncate", file=FILE, pages=35),
        Step("punch_hole", file=FILE, page=32, pages=3),
        Step("read", P, A, 0, 35),
        Step("write", P, A, 0, 35, value=9),
        Step("truncate", file=FILE, pages=40),
        Step("read", P, A, 0, 40),
    ),
    "a THP of shmem with a hole is collapsed again": of_shmem(
        512,
        9,
        Step("punch_hole", file=FILE, page=3, pages=200),
        Step("read", P, A, 0, 512),
        Step("madvise", P, A, 0, 512, advice="collapse"),
        Step("read", P, A, 0, 512),
    ),
    "what a hole leaves of a folio that was only read goes to swap": (
        Step("swap", pages=1 << 14),
        Step("spawn", makes=P),
        Step("file", pages=16, order=4, makes=FILE),
        Step("mmap", P, file=FILE, pages=16, makes=A, shared=True),
        Step("read", P, A, 0, 16),
        Step("punch_hole", file=FILE, page=0, pages=4),
        Step("read", P, A, 0, 16),
        Step("madvise", P, A, 0, 16, advice="pageout"),
        Step("read", P, A, 0, 16),
    ),
    "an emptied file has nothing to collapse": of_shmem(
        512,
        9,
        Step("punch_hole", file=FILE, page=0, pages=512),
        Step("madvise", P, A, 0, 512, advice="collapse"),
    ),
}


@pytest.mark.live
@pytest.mark.xdist_group("differential")
@pytest.mark.skipif(bool(lacking()), reason=lacking())
@pytest.mark.parametrize("name", PROGRAMS)
def test_kernel_and_model_agree_on(name: str) -> None:
    program = PROGRAMS[name]
    outcome = runner.settle(program, "linux-6.18")
    if outcome.why:
        pytest.skip(outcome.why)
    assert outcome.mismatch is None
    assert outcome.compared == len(program)


def test_a_mapping_forgotten_by_a_hole_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelMachine() as machine:
        file, _, _ = mapping(machine, "shmem", 16, 4)
        monkeypatch.setattr(AddressSpace, "zap_file", lambda *_: None)
        monkeypatch.setattr(truncate, "unmap_everywhere", lambda *_: None)
        machine.punch_hole(file, 0, PAGE)
        with pytest.raises((ContentLeak, Broken)):
            check(machine)
