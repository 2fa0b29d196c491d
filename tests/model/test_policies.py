"""A kernel is data: each rule of a policy decides something, and each policy says whether anybody saw a kernel do so."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from rmaplab.kernels.entries import KERNELS
from rmaplab.machine.differential.program import Program, Run, Step
from rmaplab.machine.model import ModelMachine, kernels, policy_of
from rmaplab.machine.model.policy import UNSEEN, Bit56, KernelPolicy, LargeCow
from rmaplab.report.run import kernel_answers
from rmaplab.scenarios import Parameters, find
from rmaplab.schemes import SCHEMES

BEHAVIOUR = {field.name for field in fields(KernelPolicy)} - {"name", "title", "confirmed"}


def mapped(order: int, pages: int = 512, **more: Any) -> Program:
    """A process with memory of this order that it wrote."""
    return (
        Step("spawn", makes=1),
        Step("mmap", 1, makes=2, pages=pages, order=order, **more),
        Step("write", 1, 2, 0, pages, value=7),
    )


def of_file(pages: int, order: int, kind: str, part: int) -> Program:
    """A file, cached, and `part` pages of it mapped by another process."""
    return (
        Step("spawn", makes=1),
        Step("spawn", makes=3),
        Step("file", pages=pages, order=order, makes=4, kind=kind),
        Step("mmap", 1, makes=2, file=4, pages=pages, shared=True, order=order),
        Step("write", 1, 2, 0, pages, value=3),
        Step("mmap", 3, makes=5, file=4, pages=part, shared=True),
    )


def advise(advice: str, page: int = 0, pages: int = 512, process: int = 1, area: int = 2) -> Step:
    return Step("madvise", process, area, page, pages, advice=advice)


FORK, SPLIT = Step("fork", 1, makes=3), Step("mprotect", 1, 2, 0, 1)
PROGRAMS: dict[str, tuple[Any, Program]] = {
    "scheme": (SCHEMES["truth"], (*mapped(4), FORK, Step("fork", 1, makes=6), Step("exit", 1), Step("exit", 3),
                                  Step("write", 6, 2, 0, 512, value=1))),
    "large_cow": (LargeCow.NEVER, (*mapped(4), FORK, Step("exit", 3), Step("write", 1, 2, 0, 512, value=1))),
    "frees_lone_page": (False, (*mapped(4, 16), FORK, advise("dontneed", 1, 15), Step("exit", 3),
                                Step("write", 1, 2, 0, 1, value=1))),
    "huge_zero_cow": (False, (*mapped(9)[:2], Step("read", 1, 2, 0, 512), Step("write", 1, 2, 3, 1, value=1))),
    "unmapped_first_is_shared": (True, (*mapped(4, 16), advise("dontneed", 0, 1), advise("cold", 2, 2))),
    "whole_splits": (True, (*mapped(4), advise("cold"))),
    "shared_ends_walk": (True, (*mapped(4, 32), FORK, advise("dontneed", 16, 16, 3), advise("cold", 1, 30))),
    "split_keeps_zeroes": (True, (*mapped(4, 16), Step("write", 1, 2, 0, 8, value=0), advise("cold", 0, 3))),
    "empties_tables": (False, (*mapped(9), SPLIT, Step("mprotect", 1, 2, 0, 1, writable=True), advise("dontneed"),
                               Step("write", 1, 2, 0, 512, value=1))),
    "guards": (False, (*mapped(0, 4), advise("guard_install", 0, 1))),
    "guards_need_anon_vma": (True, (*mapped(0, 4)[:2], advise("guard_install", 0, 1),
                                    Step("mremap", 1, 2, 0, 4, makes=9, new_pages=4, dontunmap=True),
                                    Step("read", 1, 2, 0, 4), FORK)),
    "collapse_needs_writable": (True, (*mapped(0), Step("mprotect", 1, 2, 0, 512), advise("collapse"))),
    "khugepaged_spares_lazy": (False, (*mapped(0), advise("hugepage"), advise("free", 0, 1), Step("khugepaged"))),
    "mthp": (False, mapped(4)),
    "around_maps_whole": (False, (*of_file(64, 6, "", 64), Step("read", 3, 5, 0, 1))),
    "disk_maps_whole": (False, (*of_file(64, 5, "file", 64), Step("write", 3, 5, 0, 1, value=1))),
    "shmem_maps_whole": (False, (*of_file(64, 5, "", 64), Step("write", 3, 5, 0, 1, value=1))),
    "shmem_swaps_large": (False, (Step("swap", pages=4096), *mapped(4, 16, shared=True), advise("pageout", 0, 16),
                                  Step("read", 1, 2, 0, 1))),
    "pins_disk_files": (True, (*of_file(16, 0, "file", 16), Step("pin", 1, 2, 0, 4, makes=9, longterm=True))),
    "moves_several": (False, (*mapped(0, 8), Step("mprotect", 1, 2, 0, 3),
                              Step("mremap", 1, 2, 0, 8, makes=9, new_pages=8, move=True))),
    "cuts_to_pages": (True, (*of_file(16, 4, "", 16), Step("punch_hole", file=4, page=5, pages=1),
                             Step("read", 1, 2, 0, 16))),
    "dontunmap_splits": (False, (Step("swap", pages=1024), *mapped(0, 8), Step("mlock", 1, 2, 0, 6),
                                 Step("mremap", 1, 2, 3, 1, makes=9, new_pages=1, dontunmap=True),
                                 Step("munlock", 1, 2, 0, 3), advise("pageout", 0, 3))),
    "disk_large": (False, (Step("spawn", makes=1), Step("file", pages=2, makes=3, kind="file"),
                           Step("mmap", 1, pages=2, makes=2, file=3, shared=True), advise("hugepage", 0, 2),
                           Step("write", 1, 2, 0, 2, value=1), advise("pageout", 0, 2), Step("read", 1, 2, 0, 1))),
    "swapin_keeps_folios": (False, (Step("swap", pages=1024), *mapped(4, 16), advise("pageout", 0, 16), FORK,
                                    Step("read", 3, 2, 0, 1))),
    "swap_fills_free": (True, (Step("swap", pages=2048), *mapped(2, 8), advise("cold", 0, 5), advise("pageout", 0, 8),
                               Step("read", 1, 2, 5, 1))),
    "collapses_disk": (False, (*of_file(512, 0, "file", 512), advise("collapse"))),
    "collapse_skips_empty": (False, (*mapped(0), advise("collapse", 3, 1))),
    "collapse_makes_tables": (False, (*of_file(512, 9, "", 512), Step("write", 1, 2, 0, 512, value=1),
                                      advise("collapse", 0, 512, 3, 5))),
    "uffd_wp_async": (False, (*mapped(0, 4), Step("uffd_wp", 1, 2, 0, 2))),
    "bit_56": (Bit56.PAGE, (*mapped(9), FORK, Step("munmap", 3, 2, 0, 1))),
}  # fmt: skip
UNTRIED = {"unknown", "mapping", "unmapping"}
"""What an UNKNOWN counts as, and the order of counters: shown by schemes that say UNKNOWN, and by observers."""


def shown(program: Program, policy: KernelPolicy) -> list[object]:
    """Every answer, and the world at the end."""
    with ModelMachine(policy) as machine:
        run = Run(machine)
        answers: list[object] = [(bool(answer.refused), answer.value) for answer in run.steps(program)]
        seen = machine.observation()
        return [*answers, *(getattr(seen, name).tolist() for name in seen.__slots__)]


@pytest.mark.parametrize("rule", sorted(BEHAVIOUR - UNTRIED))
def test_each_rule_decides_something(rule: str) -> None:
    base = policy_of("linux-7.x")
    other, program = PROGRAMS[rule]
    assert getattr(base, rule) != other
    assert shown(program, base) != shown(program, replace(base, **{rule: other}))


def test_kernels_differ_by_their_rules_alone() -> None:
    """The same rules under another name give the same answers: nobody asks for a name."""
    for policy in kernels.values():
        renamed = replace(policy, name="x", title="y", confirmed="z")
        for _, program in PROGRAMS.values():
            assert shown(program, renamed) == shown(program, policy)


@pytest.mark.parametrize("kernel", kernels)
def test_a_run_says_whether_anybody_booted_the_kernel(kernel: str) -> None:
    with ModelMachine(kernel) as machine:
        trace = find("prefork").play(machine, Parameters(size=1 << 21, order=9, k=1))
    confirmed = policy_of(kernel).confirmed
    assert kernel_answers(trace)["standing"] == (f"held against {confirmed}" if confirmed else UNSEEN)


def test_every_bootable_kernel_has_rules() -> None:
    assert {kernel.policy for kernel in KERNELS.values()} <= set(kernels)
    assert {"linux-6.1", "linux-6.12", "linux-6.18", "linux-7.x", "rfc-2026"} <= set(kernels)


def test_the_rfcs_bit_56_is_one_answer_a_folio() -> None:
    program = (*mapped(9), FORK, Step("munmap", 3, 2, 0, 1))
    with ModelMachine("rfc-2026") as machine:
        run = Run(machine)
        for step in program:
            run.do(step)
        seen = machine.observation()
    assert set(seen.mmap_exclusive[seen.state == 1].tolist()) == {0}
    assert np.count_nonzero(seen.mapcount == 1) == 1
