"""Migration by mbind(2): who moves, what stays as it was, on the model and on the running kernel."""

import polars as pl
import pytest

from rmaplab.machine.protocol import OBSERVATION, BadOperation, Machine, Process

PAGE, THP = 4096, 2 << 20
STRUCTURE = [name for name in OBSERVATION if name not in ("frame", "head")]


def filled(machine: Machine, order: int) -> tuple[Process, int]:
    process = machine.spawn()
    address = process.mmap(THP, order=order)
    process.write(address, THP, 7)
    return process, address


def structure(machine: Machine) -> pl.DataFrame:
    return machine.observe().select(STRUCTURE)


@pytest.mark.parametrize("order", [0, 4, 9])
def test_every_page_moves_and_nothing_but_its_frame_changes(machine: Machine, order: int) -> None:
    process, address = filled(machine, order)
    before, frames = structure(machine), machine.observe()["frame"]
    assert process.migrate(address, THP) == 512
    assert structure(machine).equals(before)
    assert not (frames == machine.observe()["frame"]).any()
    assert set(process.read(address, THP)) == {7}


@pytest.mark.parametrize("order", [0, 4, 9])
def test_what_others_map_moves_only_when_asked_to(machine: Machine, order: int) -> None:
    process, address = filled(machine, order)
    child = process.fork()
    before = structure(machine)
    assert process.migrate(address, THP) == 0
    questions = machine.trace().questions.filter(pl.col("what") == "migrate")
    assert set(questions["kernel"]) == {"shared"}
    assert process.migrate(address, THP, shared=True) == 512
    assert structure(machine).equals(before)
    assert set(child.read(address, THP)) == {7}


def test_a_pte_mapped_thp_moves_whole_though_one_page_was_asked_for(machine: Machine) -> None:
    process, address = filled(machine, 9)
    process.mprotect(address, PAGE, writable=False)
    process.mprotect(address, PAGE, writable=True)
    before = structure(machine)
    assert process.migrate(address, PAGE) == 1
    assert structure(machine).equals(before)
    assert process.write(address, THP, 9).copied == 0


@pytest.mark.parametrize("longterm", [False, True])
def test_held_pages_stay_where_they_are(machine: Machine, longterm: bool) -> None:
    process, address = filled(machine, 0)
    pin = process.pin(address, 2 * PAGE, longterm=longterm)
    assert process.migrate(address, THP) == 510
    process.unpin(pin)
    assert process.migrate(address, THP) == 512


def test_a_partially_mapped_folio_is_split_before_it_moves(machine: Machine) -> None:
    process, address = filled(machine, 4)
    process.munmap(address, PAGE)
    assert process.migrate(address + PAGE, 16 * PAGE - PAGE) == 15
    world = machine.observe()
    assert world["order"].to_list() == [0] * 15 + [4] * 496


def test_a_folio_that_could_not_move_counts_as_partially_mapped(machine: Machine) -> None:
    process, address = filled(machine, 4)
    pin = process.pin(address, PAGE)
    assert process.migrate(address, 16 * PAGE) == 0
    process.unpin(pin)
    assert process.migrate(address, 16 * PAGE) == 16
    assert machine.observe()["order"].to_list() == [0] * 16 + [4] * 496


def test_a_pte_mapped_large_folio_counts_as_partially_mapped_once_it_moved(machine: Machine) -> None:
    process, address = filled(machine, 4)
    orders = []
    for _ in range(2):
        assert process.migrate(address, THP) == 512
        orders.append(set(machine.observe()["order"]))
    assert orders == [{4}, {0}]


def test_a_pmd_mapped_thp_may_move_as_often_as_one_likes(machine: Machine) -> None:
    process, address = filled(machine, 9)
    for _ in range(3):
        assert process.migrate(address, THP) == 512
    assert set(machine.observe()["order"]) == {9}


def test_moving_a_file_moves_what_it_caches(machine: Machine) -> None:
    file = machine.file(THP)
    writer, reader = machine.spawn(), machine.spawn()
    address = writer.mmap(THP, file=file, shared=True)
    writer.write(address, THP, 5)
    assert writer.migrate(address, THP) == 512
    other = reader.mmap(THP, file=file, shared=True)
    assert set(reader.read(other, THP)) == {5}
    world = machine.observe()
    assert world.filter(pl.col("mm") == 1)["frame"].to_list() == world.filter(pl.col("mm") == 2)["frame"].to_list()


def test_migration_makes_mm_id_forget_a_third_mm_that_left(machine: Machine) -> None:
    process, address = filled(machine, 4)
    process.fork().exit()
    second, third = process.fork(), process.fork()
    process.exit()
    second.exit()
    assert third.migrate(address, THP) == 0
    assert third.migrate(address, THP, shared=True) == 512
    assert third.migrate(address, THP) == 512
    assert third.write(address, THP).reused == 512


def test_what_is_not_mapped_cannot_be_moved(machine: Machine) -> None:
    process, address = filled(machine, 0)
    process.munmap(address, PAGE)
    with pytest.raises(BadOperation, match="migrate"):
        process.migrate(address, 2 * PAGE)
