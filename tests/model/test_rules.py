"""The model's rules, one program each: what COW, fork, mremap and the rest do under which kernel."""

import numpy as np
import pytest

from rmaplab.machine.model import Memory, ModelMachine, kernels, policy_of
from rmaplab.machine.model.invariants import check
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.protocol import BadOperation

PAGE, THP = 4096, 2 << 20


def pte_mapped_thp(machine: ModelMachine) -> tuple[ModelProcess, int]:
    process = machine.spawn()
    address = process.mmap(THP, order=9)
    process.write(address, THP)
    process.mprotect(address, PAGE, writable=False)
    process.mprotect(address, PAGE, writable=True)
    return process, address


@pytest.mark.parametrize(
    ("kernel", "reused"),
    [
        ("linux-6.6", 1),
        ("linux-6.12", 0),
        ("linux-6.18", 512),
        ("series-2023", 512),
        ("precise:moments", 512),
        ("precise:moments@linux-6.12", 512),
    ],
)
def test_last_mm_reuses_a_pte_mapped_thp_only_where_the_kernel_can_tell(kernel: str, reused: int) -> None:
    with ModelMachine(kernel) as machine:
        process, address = pte_mapped_thp(machine)
        process.fork().exit()
        assert process.write(address, THP).reused == reused
        check(machine)


def test_a_kernel_that_wants_the_sole_reference_reuses_the_last_page_of_a_thp() -> None:
    for kernel, reused in (("linux-6.6", 1), ("linux-6.12", 0), ("linux-6.18", 0)):
        with ModelMachine(kernel) as machine:
            process, address = pte_mapped_thp(machine)
            process.fork().exit()
            process.munmap(address + PAGE, THP - PAGE)
            assert process.write(address, PAGE).reused == reused


@pytest.mark.parametrize(("kernel", "reused"), [("linux-6.18", 0), ("precise:moments", 512)])
def test_mm_id_stays_shared_after_a_third_mm_and_a_precise_scheme_does_not(kernel: str, reused: int) -> None:
    with ModelMachine(kernel) as machine:
        process, address = pte_mapped_thp(machine)
        second, third = process.fork(), process.fork()
        process.exit()
        second.exit()
        assert third.write(address, THP).reused == reused


@pytest.mark.parametrize(("kernel", "order"), [("precise:moments", 9), ("precise:moments@linux-6.12", 0)])
def test_a_kernel_asked_by_another_scheme_keeps_its_other_rules(kernel: str, order: int) -> None:
    with ModelMachine(kernel) as machine:
        process = machine.spawn()
        address = process.mmap(THP, order=9)
        process.read(address, PAGE)
        process.write(address, PAGE)
        assert machine.observation().order[0] == order


def test_a_pin_on_one_page_forbids_reuse_of_the_whole_folio() -> None:
    with ModelMachine() as machine:
        process, address = pte_mapped_thp(machine)
        pin = process.pin(address, PAGE)
        process.fork().exit()
        assert process.write(address + PAGE, PAGE).copied == 1
        process.unpin(pin)
        assert process.write(address + 2 * PAGE, PAGE).reused == 1


def test_fork_skips_memory_that_was_only_read() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(PAGE)
        process.read(address, PAGE)
        process.fork()
        assert machine.observe()["state"].to_list() == ["present", "none"]


def test_reading_shows_what_the_own_address_space_wrote_last() -> None:
    with ModelMachine() as machine:
        process, address = pte_mapped_thp(machine)
        child = process.fork()
        process.write(address, 2 * PAGE, 7)
        child.write(address + PAGE, 2 * PAGE, 9)
        assert process.read(address, 4 * PAGE).tolist() == [7, 7, 1, 1]
        assert child.read(address, 4 * PAGE).tolist() == [1, 9, 9, 1]
        check(machine)


def test_events_of_the_trace_sum_up_to_the_map_counts() -> None:
    with ModelMachine() as machine:
        process, address = pte_mapped_thp(machine)
        process.fork().write(address, 64 * PAGE)
        process.munmap(address, 3 * PAGE)
        events = machine.trace().events
        ident = machine.memory.folio.used("ident")[3:]
        total = np.bincount(events["folio"], events["nr"], minlength=int(ident.max()) + 1)
        live = machine.memory.folio.used("refs")[3:] > 0
        assert (total[ident[live]] == machine.memory.folio.used("mapcount")[3:][live]).all()


def test_an_observer_sees_references_come_before_and_go_after_mappings() -> None:
    seen: list[str] = []
    broken: list[str] = []

    def observer(memory: Memory, what: str, slots: np.ndarray) -> None:
        seen.append(what)
        if (memory.folio["refs"][slots] < memory.folio["mapcount"][slots]).any():
            broken.append(what)

    with ModelMachine(observer=observer) as machine:
        process, address = pte_mapped_thp(machine)
        process.fork().write(address, THP)
        process.munmap(address, THP)
    assert {"map refs", "map values", "map mapcount", "unmap values", "unmap mapcount", "unmap refs"} <= set(seen)
    assert not broken


def test_every_kernel_tells_its_statistics_of_the_same_program() -> None:
    copies = {}
    for kernel in (*kernels, "precise:moments"):
        with ModelMachine(kernel) as machine:
            process, address = pte_mapped_thp(machine)
            process.fork().exit()
            process.write(address, THP)
            copies[kernel] = machine.statistics.copies
            assert machine.statistics.reuses + machine.statistics.copies == 512
            assert machine.statistics.splits == 1
            assert machine.statistics.peak_pages >= 512
    assert copies["linux-6.12"] == 512
    assert copies["linux-6.18"] == copies["precise:moments"] == 0


BAD = {
    "unaligned": lambda p, a: p.write(a + 1, PAGE),
    "length": lambda p, a: p.read(a, 100),
    "empty": lambda p, a: p.munmap(a, 0),
    "out of range": lambda p, a: p.write(a, 2 * THP),
    "nowhere": lambda p, a: p.read(a - (1 << 30), PAGE),
    "value": lambda p, a: p.write(a, PAGE, 256),
    "order": lambda p, _: p.mmap(PAGE, order=10),
    "advice": lambda p, a: p.madvise(a, PAGE, "nonsense"),
    "foreign pin": lambda p, _: p.unpin(object()),
    "no room": lambda p, a: (p.mmap(PAGE), p.mremap(a, THP, 2 * THP)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_operation_names_itself_and_leaves_the_machine_usable(name: str) -> None:
    with ModelMachine() as machine:
        process, address = pte_mapped_thp(machine)
        with pytest.raises(BadOperation):
            BAD[name](process, address)
        check(machine)
        assert process.write(address, THP).pages == 512


def test_an_ended_process_refuses_everything() -> None:
    with ModelMachine() as machine:
        process, address = pte_mapped_thp(machine)
        process.exit()
        with pytest.raises(BadOperation, match="it has ended"):
            process.write(address, PAGE)


def test_an_unknown_kernel_is_refused_by_name() -> None:
    for name in ("linux-2.4", "precise:nonsense"):
        with pytest.raises(BadOperation, match=name):
            policy_of(name)


def test_a_mapping_that_shrank_grows_again_empty() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(20 * PAGE)
        process.write(address, 20 * PAGE, 5)
        process.mremap(address, 20 * PAGE, 8 * PAGE)
        process.mremap(address, 8 * PAGE, 12 * PAGE)
        assert process.read(address, 12 * PAGE).tolist() == [5] * 8 + [0] * 4
        check(machine)


def test_collapse_gives_up_at_the_first_block_without_page_table() -> None:
    with ModelMachine() as machine:
        process = machine.spawn()
        address = process.mmap(3 * THP, order=4)
        for block in (0, 2):
            process.write(address + block * THP, PAGE)
        with pytest.raises(BadOperation, match="2 of 3 blocks"):
            process.madvise(address, 3 * THP, "collapse")
        seen = machine.observe()
        assert seen["order"].to_list()[0] == 9
        assert seen["order"].to_list()[1024] == 4
