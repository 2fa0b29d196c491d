"""Advice that one process gives for another's memory, on the kernel and on the model."""

import pytest

from rmaplab.machine.model import ModelMachine
from rmaplab.machine.protocol import Advice, BadOperation, Machine

PAGE = 4096
BLOCK = 512 * PAGE


def test_another_process_s_memory_is_collapsed_and_not_the_adviser_s(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(BLOCK)
    process.write(address, BLOCK, 7)
    child = process.fork()
    process.madvise(address, BLOCK, "collapse", by=child)
    seen = machine.observe()
    assert seen.filter(seen["mm"] == process.mm)["pmd_mapped"].all()
    assert not seen.filter(seen["mm"] == child.mm)["pmd_mapped"].any()
    assert child.write(address, BLOCK).reused == 512


def test_whether_memory_is_shared_is_asked_for_the_process_that_has_it(machine: Machine) -> None:
    machine.swap(64 << 20)
    process, other = machine.spawn(), machine.spawn()
    address = process.mmap(2 * PAGE)
    process.write(address, 2 * PAGE, 7)
    child = process.fork()
    process.write(address, PAGE, 8)
    process.madvise(address, 2 * PAGE, "pageout", by=other)
    seen = machine.observe()
    assert seen.filter(seen["mm"] == process.mm)["state"].to_list() == ["swap", "present"]
    assert seen.filter(seen["mm"] == child.mm)["state"].to_list() == ["present", "present"]


def test_a_process_that_shares_memory_advises_for_others_too(machine: Machine) -> None:
    process, other = machine.spawn(), machine.spawn()
    address = process.mmap(BLOCK, order=9)
    process.write(address, BLOCK)
    tenant = other.clone_vm()
    process.madvise(address, PAGE, "cold", by=tenant)
    assert not machine.observe()["pmd_mapped"].any()


@pytest.mark.parametrize("advice", ["dontneed", "free", "hugepage", "guard_install"])
def test_other_advice_is_not_for_others_to_give(machine: Machine, advice: Advice) -> None:
    process, other = machine.spawn(), machine.spawn()
    address = process.mmap(PAGE)
    with pytest.raises(BadOperation, match="cold, pageout, collapse only"):
        process.madvise(address, PAGE, advice, by=other)


def test_who_has_ended_or_is_of_another_machine_advises_nobody(machine: Machine) -> None:
    process, other = machine.spawn(), machine.spawn()
    address = process.mmap(PAGE)
    other.exit()
    with pytest.raises(BadOperation, match="ended"):
        process.madvise(address, PAGE, "cold", by=other)
    with ModelMachine("linux-6.18") as elsewhere, pytest.raises(BadOperation, match="not a process of this machine"):
        process.madvise(address, PAGE, "cold", by=elsewhere.spawn())
