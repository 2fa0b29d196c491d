"""The oracles catch what they are for: wrong answers leak contents, broken counters contradict the page tables."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import ArrayLike

from rmaplab.machine.model import ContentLeak, ModelMachine, precise
from rmaplab.machine.model.invariants import Broken, check
from rmaplab.machine.model.process import ModelProcess
from rmaplab.machine.model.space.pagetable import W
from rmaplab.schemes import Moments, State, Verdicts
from rmaplab.trace import Verdict

PAGE, THP = 4096, 2 << 20


@dataclass(frozen=True)
class AlwaysExclusive(Moments):
    """Wrong on purpose."""

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        return np.full(len(state), Verdict.EXCLUSIVE, np.uint8)


def forked(machine: ModelMachine) -> tuple[ModelProcess, ModelProcess, int]:
    process = machine.spawn()
    address = process.mmap(THP, order=9)
    process.write(address, THP)
    child = process.fork()
    process.mprotect(address, PAGE, writable=False)
    child.mprotect(address, PAGE, writable=False)
    return process, child, address + PAGE


def test_a_scheme_that_says_exclusive_wrongly_leaks_one_process_writes_into_another() -> None:
    with ModelMachine(precise(AlwaysExclusive())) as machine:
        process, child, address = forked(machine)
        process.write(address, PAGE, 42)
        with pytest.raises(ContentLeak) as leak:
            child.read(address, PAGE)
        assert (leak.value.mm, leak.value.address) == (child.mm, address)


def test_the_invariants_find_the_leak_without_anybody_reading() -> None:
    with ModelMachine(precise(AlwaysExclusive())) as machine:
        process, _, address = forked(machine)
        process.write(address, PAGE, 42)
        with pytest.raises((ContentLeak, Broken)):
            check(machine)


def test_the_same_program_is_clean_under_the_honest_scheme() -> None:
    with ModelMachine(precise(Moments())) as machine:
        process, child, address = forked(machine)
        process.write(address, PAGE, 42)
        assert child.read(address, PAGE).tolist() == [1]
        check(machine)


@pytest.mark.parametrize("column", ["refs", "mapcount", "entire"])
def test_a_counter_that_is_off_by_one_contradicts_the_page_tables(column: str) -> None:
    with ModelMachine() as machine:
        process, _, address = forked(machine)
        check(machine)
        slot = process.space.folios(address // PAGE, address // PAGE + 1)
        machine.memory.folio[column][slot] -= 1 if column != "refs" else machine.memory.folio["refs"][slot] - 1
        with pytest.raises(Broken):
            check(machine)


def test_unknown_counts_as_shared_unless_the_policy_says_otherwise() -> None:
    @dataclass(frozen=True)
    class Clueless(Moments):
        def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
            return np.full(len(state), Verdict.UNKNOWN, np.uint8)

    for unknown, reused in ((Verdict.SHARED, 0), (Verdict.EXCLUSIVE, 1)):
        with ModelMachine(replace(precise(Clueless()), unknown=unknown)) as machine:
            process, child, address = forked(machine)
            child.exit()
            assert process.write(address, PAGE).reused == reused


def merged(machine: ModelMachine) -> tuple[ModelProcess, ModelProcess, int]:
    """Two processes that map one KSM page, and its frame."""
    one, two = machine.spawn(), machine.spawn()
    for process in (one, two):
        address = process.mmap(PAGE)
        process.write(address, PAGE, 7)
        process.madvise(address, PAGE, "mergeable")
    machine.merge()
    check(machine)
    return one, two, int(machine.observe()["frame"][0])


def test_a_ksm_page_that_changes_leaks_into_whoever_maps_it() -> None:
    with ModelMachine() as machine:
        _, _, frame = merged(machine)
        machine.memory.frame["version"][frame] += 1
        with pytest.raises(ContentLeak):
            check(machine)


@pytest.mark.parametrize("what", ["writable", "exclusive", "large"])
def test_a_ksm_page_is_small_shared_and_write_protected(what: str) -> None:
    with ModelMachine() as machine:
        one, _, frame = merged(machine)
        slot = machine.memory.frame["folio"][frame]
        match what:
            case "writable":
                for _, window in one.space.spans(one.space.vmas.within(0, 1 << 40)[0].start, 1 << 40, write=True):
                    window.leaf.flags[window.lo] |= W
            case "exclusive":
                machine.memory.frame["exclusive"][frame] = True
            case "large":
                machine.memory.folio["order"][slot] = 1
        with pytest.raises(Broken):
            check(machine)
