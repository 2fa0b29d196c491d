"""userfaultfd's write protection without a handler, on the kernel and on the model: what a tracked write does."""

import numpy as np
import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.choose import open_machine
from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import BadOperation, Machine, Process

PAGE = 4096
BLOCK = 512 * PAGE


def tracked(machine: Machine, process: Process) -> list[int]:
    """Numbers of the pages of `process`, counted over all it maps, whose next write is tracked."""
    seen = machine.observe()
    return np.flatnonzero(seen.filter(seen["mm"] == process.mm)["uffd_wp"].to_numpy()).tolist()


def column(machine: Machine, process: Process, name: str) -> list[object]:
    seen = machine.observe()
    return list(seen.filter(seen["mm"] == process.mm)[name])


def test_a_write_takes_it_from_its_page_and_asks_nobody(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 3 * PAGE)
    process.uffd_wp(address, 4 * PAGE)
    assert tracked(machine, process) == [0, 1, 2, 3]
    assert column(machine, process, "state") == ["present"] * 3 + ["none"]
    written = process.write(address + PAGE, PAGE)
    assert (written.reused, written.copied) == (0, 0)
    process.write(address + 3 * PAGE, PAGE)
    assert tracked(machine, process) == [0, 2]
    process.uffd_wp(address, PAGE, protected=False)
    assert tracked(machine, process) == [2]


def test_a_tracked_thp_is_taken_apart_by_a_write_before_anybody_is_asked(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    process.uffd_wp(address, BLOCK)
    assert all(column(machine, process, "pmd_mapped"))
    child = process.fork()
    written = process.write(address + PAGE, PAGE)
    assert (written.reused, written.copied) == (0, 1)
    assert not any(column(machine, process, "pmd_mapped"))
    assert tracked(machine, process) == [page for page in range(512) if page != 1]
    child.exit()
    questions = machine.trace().questions.filter(machine.trace().questions["what"] == "cow")
    assert questions["pages"].to_list() == [1], "the PMD's question, of 512 pages, was not asked"


def test_no_thp_fits_over_what_is_tracked_and_not_there(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * BLOCK, order=9)
    process.uffd_wp(address, PAGE)
    process.write(address, 2 * BLOCK)
    orders = column(machine, process, "order")
    assert orders == [0] * 512 + [9] * 512


def test_a_child_and_what_moved_are_not_tracked(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, 8 * PAGE)
    process.uffd_wp(address, BLOCK)
    child = process.fork()
    assert tracked(machine, child) == []
    assert len(tracked(machine, process)) == 512
    process.mremap(address, BLOCK, BLOCK, move=True)
    assert tracked(machine, process) == []


def test_swap_keeps_it_and_dontneed_does_not(machine: Machine) -> None:
    machine.swap(4 * BLOCK)
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE)
    process.uffd_wp(address, 4 * PAGE)
    process.madvise(address, 4 * PAGE, "pageout")
    assert column(machine, process, "state") == ["swap"] * 4
    assert tracked(machine, process) == [0, 1, 2, 3]
    process.read(address, 2 * PAGE)
    process.write(address + 2 * PAGE, PAGE)
    assert tracked(machine, process) == [0, 1, 3]
    process.madvise(address, 4 * PAGE, "dontneed")
    assert tracked(machine, process) == []


def test_unsharing_keeps_it(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE)
    process.write(address, 2 * PAGE)
    process.uffd_wp(address, 2 * PAGE)
    process.fork()
    process.peek(address, PAGE)
    assert column(machine, process, "anon_exclusive") == [True, False]
    assert tracked(machine, process) == [0, 1]


def test_marked_pages_do_not_collapse_and_gaps_end_the_call(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * BLOCK)
    process.write(address, 2 * BLOCK)
    process.uffd_wp(address, 2 * BLOCK)
    process.uffd_wp(address + PAGE, 2 * BLOCK - PAGE, protected=False)
    with pytest.raises(BadOperation):
        process.madvise(address, 2 * BLOCK, "collapse")
    assert column(machine, process, "pmd_mapped") == [False] * 512 + [True] * 512
    other = machine.spawn()
    address = other.mmap(2 * BLOCK)
    other.write(address + PAGE, 2 * BLOCK - PAGE)
    other.uffd_wp(address, 2 * BLOCK)
    other.uffd_wp(address, 2 * BLOCK, protected=False)
    with pytest.raises(BadOperation):
        other.madvise(address, 2 * BLOCK, "collapse")
    assert column(machine, other, "pmd_mapped") == [None] + [False] * 1023
    other.write(address, PAGE)
    other.madvise(address, 2 * BLOCK, "collapse")
    assert all(column(machine, other, "pmd_mapped"))


def test_where_it_makes_no_sense_it_is_refused(machine: Machine) -> None:
    process = machine.spawn()
    shared, own = process.mmap(2 * PAGE, shared=True), process.mmap(4 * PAGE)
    with pytest.raises(BadOperation, match="private anonymous"):
        process.uffd_wp(shared, PAGE)
    process.uffd_wp(own, 2 * PAGE)
    for share in (process.vfork, process.clone_vm):
        with pytest.raises(BadOperation, match="not shared"):
            share()
    with pytest.raises(BadOperation, match="one VMA at a time"):
        process.mremap(own, 4 * PAGE, 4 * PAGE, move=True)
    process.fork().clone_vm()


def test_an_address_space_of_several_has_none(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(PAGE)
    tenant = process.clone_vm()
    with pytest.raises(BadOperation, match="several share"):
        tenant.uffd_wp(address, PAGE)
    process.exit()
    tenant.uffd_wp(address, PAGE)
    assert tracked(machine, tenant) == [0]


def test_kernels_before_6_7_have_none() -> None:
    with ModelMachine("linux-6.1") as machine:
        process = machine.spawn()
        address = process.mmap(PAGE)
        with pytest.raises(BadOperation, match="handler"):
            process.uffd_wp(address, PAGE)


@pytest.mark.live
@pytest.mark.xdist_group("live")
def test_nothing_of_a_parents_descriptor_is_left_in_a_child() -> None:
    """The child's copy would keep the parent's memory tracked beyond exec; and its own memory takes one of its own."""
    try:
        with open_machine("live", "linux-6.18") as machine:
            process = machine.spawn()
            address = process.mmap(2 * PAGE)
            process.write(address, 2 * PAGE)
            process.uffd_wp(address, PAGE)
            child = process.fork()
            child.uffd_wp(address + PAGE, PAGE)
            assert (tracked(machine, process), tracked(machine, child)) == ([0], [1])
    except NotAvailable as missing:
        pytest.skip(str(missing))


def test_a_folio_tracked_in_part_counts_as_covered_in_part(machine: Machine) -> None:
    """MADV_COLD goes by runs of alike entries: a folio that has two is split, as if only a part had been meant."""
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    process.uffd_wp(address, BLOCK)
    process.madvise(address, BLOCK, "cold")
    assert column(machine, process, "order") == [9] * 512
    process.uffd_wp(address, PAGE, protected=False)
    process.madvise(address, BLOCK, "cold")
    assert column(machine, process, "order") == [0] * 512


def test_marks_stand_in_tables_where_no_thp_comes(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.uffd_wp(address, BLOCK)
    process.read(address, 2 * PAGE)
    assert len(tracked(machine, process)) == 512
    process.write(address, BLOCK)
    assert column(machine, process, "order") == [0] * 512


def test_faults_bring_single_pages_where_writes_are_tracked(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(16 * PAGE, order=4)
    process.uffd_wp(address, 16 * PAGE)
    process.uffd_wp(address, 16 * PAGE, protected=False)
    process.write(address, 16 * PAGE)
    assert column(machine, process, "order") == [0] * 16


def test_mprotect_leaves_marks_to_the_next_write(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE)
    process.write(address, 2 * PAGE)
    process.uffd_wp(address, 2 * PAGE)
    process.mprotect(address, 2 * PAGE, writable=False)
    process.mprotect(address, 2 * PAGE, writable=True)
    assert tracked(machine, process) == [0, 1]
    process.write(address, PAGE)
    assert tracked(machine, process) == [1]


@pytest.mark.parametrize("how", ["fork", "move"])
def test_a_gap_keeps_nobody_from_collapse_who_is_not_tracked(machine: Machine, how: str) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK)
    process.write(address + PAGE, BLOCK - PAGE)
    process.uffd_wp(address, BLOCK)
    if how == "fork":
        process = process.fork()
    else:
        address = process.mremap(address, BLOCK, BLOCK, move=True)
    process.madvise(address, BLOCK, "collapse")
    assert all(column(machine, process, "pmd_mapped"))


def test_a_tracked_table_stays_where_dontunmap_leaves(machine: Machine) -> None:
    """So no THP fits there; an untracked one moves as a whole, and one does."""
    for uffd, order in ((False, 9), (True, 0)):
        process = machine.spawn()
        address = process.mmap(BLOCK, order=9)
        process.write(address, BLOCK)
        process.madvise(address, PAGE, "dontneed")
        if uffd:
            process.uffd_wp(address, BLOCK)
        process.mremap(address, BLOCK, BLOCK, move=True, dontunmap=True)
        process.write(address, BLOCK)
        assert column(machine, process, "order")[:512] == [order] * 512


def test_what_is_resolved_needs_no_fault_to_be_written(machine: Machine) -> None:
    """Reclaim of a lazily freed folio goes by runs of alike write access: one that was written keeps all of its run."""
    machine.swap(4 * BLOCK)
    process = machine.spawn()
    address = process.mmap(4 * PAGE, order=2)
    process.write(address, 4 * PAGE)
    process.uffd_wp(address, 4 * PAGE)
    process.uffd_wp(address, 4 * PAGE, protected=False)
    process.write(address + PAGE, PAGE)
    process.madvise(address, 4 * PAGE, "free")
    process.write(address + 3 * PAGE, PAGE)
    process.madvise(address, 4 * PAGE, "pageout")
    assert column(machine, process, "state") == ["present"] * 4
