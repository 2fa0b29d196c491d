"""rmap IDs that come again, in the model: nobody notices, since an ID goes back only when its MM maps nothing."""

import random
from collections import Counter

import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.trace import Trace

PAGES = 16
SCHEMES = ("truth", "moments-flag", "moments", "packed", "generations-safe", "mm-id", "owner-counter")


def _live(kernel: str, seed: int, *, recycle: bool) -> tuple[ModelMachine, Trace]:
    """Processes fork, write, unmap, exec and end at random on one mTHP; every read is checked for leaks."""
    rng = random.Random(seed)
    machine = ModelMachine(kernel, recycle_ids=recycle)
    first = machine.spawn()
    at = first.mmap(PAGES * PAGE_SIZE, order=4)
    first.write(at, PAGES * PAGE_SIZE)
    family = [first]
    for _ in range(60):
        process, page = rng.choice(family), at + rng.randrange(PAGES) * PAGE_SIZE
        what = rng.choice(("fork", "fork", "write", "write", "unmap", "exit"))
        if what == "fork" and len(family) < 5:
            family.append(process.fork())
        elif what == "write":
            process.write(page, PAGE_SIZE, rng.randrange(256))
        elif what == "unmap":
            process.madvise(page, PAGE_SIZE, "dontneed")
        elif what == "exit" and len(family) > 1:
            family.remove(process)
            process.exit()
        for other in family:
            other.read(at, PAGES * PAGE_SIZE)
    return machine, machine.trace()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_recycled_ids_change_no_answer_and_leak_nothing(scheme: str) -> None:
    for seed in range(6):
        plain, told = _live(f"precise:{scheme}", seed, recycle=False)
        again, reused = _live(f"precise:{scheme}", seed, recycle=True)
        assert again.statistics == plain.statistics
        assert told.events["mm"].max() > 5 >= reused.events["mm"].max()


def test_an_id_that_comes_again_has_no_mapping_left() -> None:
    """Per ID: the events between two of its MMs sum to no mapping, on every folio."""
    machine = ModelMachine(recycle_ids=True)
    parent = machine.spawn()
    at = parent.mmap(PAGES * PAGE_SIZE, order=4)
    parent.write(at, PAGES * PAGE_SIZE)
    for _ in range(4):
        child = parent.fork()
        assert child.mm == 2
        child.write(at, PAGE_SIZE)
        child.exit()
        held: Counter[tuple[int, int]] = Counter()
        for folio, mm, nr in machine.trace().events.select("folio", "mm", "nr").iter_rows():
            held[folio, mm] += nr
        assert {mm for (_, mm), n in held.items() if n} == {1}


def test_shared_address_spaces_give_their_id_back_with_their_last_process() -> None:
    machine = ModelMachine(recycle_ids=True)
    first, second = machine.spawn(), machine.spawn()
    thread = second.clone_vm()
    second.exit()
    assert machine.spawn().mm == 3
    thread.exit()
    assert machine.spawn().mm == second.mm == 2
    first.exec()
    assert first.mm == 1


def test_ksm_does_not_take_a_new_process_for_the_old_one_with_its_id() -> None:
    machine = ModelMachine(recycle_ids=True)
    keep, old = machine.spawn(), machine.spawn()
    for process in (keep, old):
        at = process.mmap(4 * PAGE_SIZE)
        process.write(at, 4 * PAGE_SIZE, 7)
        process.madvise(at, 4 * PAGE_SIZE, "mergeable")
    old.exit()
    new = machine.spawn()
    assert new.mm == old.mm
    at = new.mmap(4 * PAGE_SIZE)
    new.write(at, 4 * PAGE_SIZE, 7)
    machine.merge()
    machine.merge()
    assert new.write(at, 4 * PAGE_SIZE, 8).copied == 0
