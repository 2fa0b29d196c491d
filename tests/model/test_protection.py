"""Memory nobody may touch: PROT_NONE and guard pages, on the kernel and on the model."""

import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import BadOperation, Machine, Process

PAGE = 4096
BLOCK = 512 * PAGE


def states(machine: Machine, process: Process) -> list[str]:
    seen = machine.observe()
    return list(seen.filter(seen["mm"] == process.mm)["state"])


def touch_all(process: Process, address: int, length: int) -> None:
    """Every access there is, which must be refused."""
    for access in (process.read, process.write, process.peek, process.poke, process.pin):
        with pytest.raises(BadOperation):
            access(address, length)
    for advice in ("populate_read", "populate_write"):
        with pytest.raises(BadOperation):
            process.madvise(address, length, advice)


def test_memory_without_access_keeps_its_pages_and_only_force_reaches_them(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(8 * PAGE)
    process.write(address, 8 * PAGE, 5)
    process.mprotect(address, 4 * PAGE, writable=False, readable=False)
    before = machine.observe()["frame"]
    for access in (process.read, process.write, process.peek, process.pin):
        with pytest.raises(BadOperation):
            access(address, PAGE)
    process.poke(address, PAGE, 9)
    assert machine.observe()["frame"].n_unique() == before.n_unique() == 8
    process.mprotect(address, 4 * PAGE, writable=True)
    assert process.read(address, 8 * PAGE).tolist() == [9, 5, 5, 5, 5, 5, 5, 5]


def test_memory_that_can_be_written_can_be_read(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(PAGE)
    with pytest.raises(BadOperation, match="can be read"):
        process.mprotect(address, PAGE, writable=True, readable=False)


def test_no_access_to_part_of_a_thp_remaps_it_by_ptes(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    assert machine.observe()["pmd_mapped"].all()
    process.mprotect(address, PAGE, writable=False, readable=False)
    seen = machine.observe()
    assert not seen["pmd_mapped"].any()
    assert (seen["order"] == 9).all()


def test_guards_stand_where_pages_were_until_they_are_removed(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(8 * PAGE)
    process.write(address, 8 * PAGE, 5)
    process.madvise(address + 2 * PAGE, 2 * PAGE, "guard_install")
    assert states(machine, process) == ["present"] * 2 + ["guard"] * 2 + ["present"] * 4
    touch_all(process, address, 4 * PAGE)
    process.madvise(address, 8 * PAGE, "dontneed")
    assert states(machine, process) == ["none"] * 2 + ["guard"] * 2 + ["none"] * 4
    process.madvise(address, 8 * PAGE, "guard_remove")
    assert process.read(address, 8 * PAGE).tolist() == [0] * 8


def test_advice_on_a_single_page_leaves_the_guard_that_stands_there(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE)
    process.madvise(address + PAGE, 2 * PAGE, "guard_install")
    for page in range(4):
        process.madvise(address + page * PAGE, PAGE, "dontneed")
    assert states(machine, process) == ["none", "guard", "guard", "none"]


def test_a_child_inherits_guards_and_what_moves_takes_them_along(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.madvise(address, PAGE, "guard_install")
    child = process.fork()
    assert states(machine, child) == ["guard", "none", "none", "none"]
    target = child.mremap(address, 4 * PAGE, 4 * PAGE, move=True)
    touch_all(child, target, PAGE)
    child.write(target + PAGE, PAGE)
    assert states(machine, child) == ["guard", "present", "none", "none"]
    process.munmap(address, 4 * PAGE)
    assert states(machine, process) == []


def test_a_block_with_a_guard_gets_no_thp_before_it_is_gone_with_its_table(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.madvise(address, PAGE, "guard_install")
    process.write(address + PAGE, PAGE)
    process.madvise(address, BLOCK, "dontneed")
    with pytest.raises(BadOperation):
        process.madvise(address, BLOCK, "collapse")
    process.madvise(address, BLOCK, "guard_remove")
    process.write(address, PAGE)
    assert (machine.observe()["order"].drop_nulls() == 0).all()
    process.madvise(address, BLOCK, "dontneed")
    process.write(address, PAGE)
    assert (machine.observe()["order"] == 9).all()


def test_guards_stand_in_private_anonymous_memory_only(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE, file=machine.file(4 * PAGE), shared=True)
    with pytest.raises(BadOperation, match="private anonymous"):
        process.madvise(address, PAGE, "guard_install")


@pytest.mark.parametrize(("kernel", "there"), [("linux-6.12", False), ("linux-6.18", True), ("linux-7.x", True)])
def test_kernels_before_6_13_have_no_guards(kernel: str, there: bool) -> None:
    with ModelMachine(kernel) as machine:
        process = machine.spawn()
        address = process.mmap(2 * PAGE)
        if not there:
            with pytest.raises(BadOperation, match="no guards"):
                process.madvise(address, PAGE, "guard_install")
        else:
            process.madvise(address, PAGE, "guard_install")
            assert states(machine, process.fork()) == ["guard", "none"]


def test_a_guard_in_part_of_a_thp_remaps_the_rest_by_ptes(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    process.madvise(address + PAGE, PAGE, "guard_install")
    seen = machine.observe()
    assert list(seen["state"][:3]) == ["present", "guard", "present"]
    assert not seen["pmd_mapped"].any()
    assert (seen["order"].drop_nulls() == 9).all()


def test_nothing_is_collapsed_after_a_block_with_a_guard(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * BLOCK)
    process.write(address, 2 * BLOCK)
    process.madvise(address, PAGE, "guard_install")
    with pytest.raises(BadOperation):
        process.madvise(address, 2 * BLOCK, "collapse")
    assert (machine.observe()["order"].drop_nulls() == 0).all()
    process.madvise(address + BLOCK, BLOCK, "collapse")
    assert (machine.observe()["order"][512:] == 9).all()


def test_memory_made_readable_again_can_be_read(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE)
    process.write(address, 2 * PAGE, 5)
    process.mprotect(address, PAGE, writable=False, readable=False)
    process.mprotect(address, PAGE, writable=False)
    assert process.read(address, 2 * PAGE).tolist() == [5, 5]


def test_an_anon_vma_is_taken_over_from_memory_without_access(machine: Machine) -> None:
    """Two VMAs that differ in access only share an anon_vma, and are one again once they agree: one VMA can grow."""
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.mprotect(address + 2 * PAGE, 2 * PAGE, writable=False, readable=False)
    process.write(address, 2 * PAGE)
    process.mprotect(address, 2 * PAGE, writable=False, readable=False)
    process.mprotect(address + 2 * PAGE, 2 * PAGE, writable=True)
    process.write(address + 2 * PAGE, 2 * PAGE)
    process.mprotect(address, 2 * PAGE, writable=True)
    process.mremap(address, 4 * PAGE, 6 * PAGE, move=True)
