"""Faults counted by the kernel's programs are those whose page frames changed, or stayed: pagemap knows."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live import probe as live_probe
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.watch import records
from rmaplab.watch.hooks import Faults, Hooks
from rmaplab.watch.layout import Layout
from rmaplab.watch.records import Outcome
from rmaplab.watch.watcher import sees_faults

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("nothing_stays")]

PMD = 2 << 20
SIZE = 2 * PMD
ANON_EXCLUSIVE = np.uint64(1 << 34)
COPIES = (Outcome.NEEDED, Outcome.NEEDLESS, Outcome.UNPROVEN, Outcome.FROM_FILE, Outcome.FROM_ZERO)


@pytest.fixture(params=["tracepoint", "software event"])
def hooks(request: pytest.FixtureRequest, found: Layout) -> Iterator[Hooks]:
    with Hooks(found, events=request.param == "software event") as made:
        made.set_word(records.TOKENS, 1 << 40)
        yield made


class Truth:
    """Watches live processes, and says of each write what changed."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self.number: dict[int, int] = {}

    def add(self, process: LiveProcess) -> None:
        self.number[process.pid] = self.hooks.add(process.pid)

    def news(self, process: LiveProcess, at: int, length: int) -> Faults:
        """Faults in a range, of one process. Forked children got their numbers from the kernel."""
        news, faults = self.hooks.news()
        self.number |= {one.pid: one.process for one in news if one.kind == records.FORK}
        here = (faults["address"] >= at) & (faults["address"] < at + length)
        return faults[here & (faults["process"] == self.number[process.pid])]

    def written(self, process: LiveProcess, at: int, length: int) -> tuple[Faults, int, int]:
        """Write; the faults, and how many page frames changed, and how many stayed that were not exclusive before."""
        self.news(process, 0, 0) if process.pid in self.number else self._learn()
        before = frames(process, at, length)
        marked = procfs.kpageflags(before) & ANON_EXCLUSIVE != 0
        process.write(at, length)
        after = frames(process, at, length)
        changed = int(np.count_nonzero(before != after))
        return self.news(process, at, length), changed, int(np.count_nonzero((before == after) & ~marked))

    def _learn(self) -> None:
        news, _ = self.hooks.news()
        self.number |= {one.pid: one.process for one in news if one.kind == records.FORK}


def frames(process: LiveProcess, at: int, length: int) -> np.ndarray:
    with procfs.Pagemap(process.pid) as pagemap:
        return pagemap.entries(at, length) & procfs.PM_PFN


def counts(faults: Faults) -> dict[Outcome, int]:
    values = faults["outcome"] & (records.BY_KERNEL - 1)
    return {one: int(np.count_nonzero(values == one)) for one in Outcome}


def copied(faults: Faults) -> int:
    found = counts(faults)
    return sum(found[one] for one in COPIES)


def need_order(order: int) -> None:
    if order and order not in live_probe().anon_orders:
        pytest.skip(f"anonymous folios of order {order} cannot be had here")


def memory(process: LiveProcess, order: int, *, by_ptes: bool = False) -> int:
    """Written memory in folios of an order."""
    at = process.mmap(SIZE, order=order)
    process.write(at, SIZE)
    if by_ptes:
        for block in range(at, at + SIZE, PMD):
            process.mprotect(block, PAGE_SIZE, writable=False)
            process.mprotect(block, PAGE_SIZE, writable=True)
    return at


@pytest.mark.parametrize(("order", "by_ptes"), [(0, False), (2, False), (4, False), (9, True), (9, False)])
@pytest.mark.parametrize("children", [1, 7])
def test_copies_are_the_frames_that_changed(
    hooks: Hooks, machine: LiveMachine, order: int, by_ptes: bool, children: int
) -> None:
    need_order(order)
    parent, truth = machine.spawn(), Truth(hooks)
    at = memory(parent, order, by_ptes=by_ptes)
    truth.add(parent)
    family = [parent, *(parent.fork() for _ in range(children))]
    half, all_changed = SIZE // 2, 0
    for index, process in enumerate(family):
        begin = at + (half if index % 3 == 2 else 0)
        faults, changed, stayed = truth.written(process, begin, half)
        assert copied(faults) == changed
        all_changed += changed
        assert faults["bytes"].sum() == changed * PAGE_SIZE
        if by_ptes or order < 9:
            assert counts(faults)[Outcome.REUSED] == stayed
        if index % 2:
            process.exit()
    assert all_changed >= half // PAGE_SIZE


@pytest.mark.parametrize("order", [2, 4, 9])
def test_a_survivor_of_three_copies_for_nothing(hooks: Hooks, machine: LiveMachine, order: int) -> None:
    """Two slots forget the third MM (docs/inspect.md): every copy of the last one is needless, and so it is counted."""
    need_order(order)
    first, truth = machine.spawn(), Truth(hooks)
    at = memory(first, order, by_ptes=order == 9)
    truth.add(first)
    second, third = first.fork(), first.fork()
    first.exit()
    second.exit()
    faults, changed, _ = truth.written(third, at, SIZE)
    found = counts(faults)
    if changed != SIZE // PAGE_SIZE:
        pytest.skip("this kernel tracks more than two MMs exactly, or copies for other reasons")
    assert (found[Outcome.NEEDLESS], found[Outcome.NEEDED]) == (changed, 0)


@pytest.mark.parametrize("order", [0, 4, 9])
def test_copies_while_another_process_maps_the_folio_are_needed(hooks: Hooks, machine: LiveMachine, order: int) -> None:
    need_order(order)
    parent, truth = machine.spawn(), Truth(hooks)
    at = memory(parent, order)
    truth.add(parent)
    child = parent.fork()
    faults, changed, _ = truth.written(child, at, SIZE)
    assert counts(faults)[Outcome.NEEDED] == changed == SIZE // PAGE_SIZE


def test_a_pinned_page_is_copied_and_that_is_not_for_nothing(hooks: Hooks, machine: LiveMachine) -> None:
    parent, truth = machine.spawn(), Truth(hooks)
    at = memory(parent, 0)
    truth.add(parent)
    child = parent.fork()
    pin = child.pin(at, 8 * PAGE_SIZE)
    parent.exit()
    faults, changed, _ = truth.written(child, at, SIZE)
    assert copied(faults) == changed >= 8
    assert counts(faults)[Outcome.NEEDLESS] == 0
    child.unpin(pin)


def test_page_cache_and_zero_pages_are_told_apart(hooks: Hooks, machine: LiveMachine) -> None:
    process, truth = machine.spawn(), Truth(hooks)
    private = process.mmap(SIZE, file=machine.file(SIZE))
    empty = process.mmap(SIZE)
    for at in (private, empty):
        process.read(at, SIZE)
    truth.add(process)
    for at, kind in ((private, Outcome.FROM_FILE), (empty, Outcome.FROM_ZERO)):
        faults, changed, _ = truth.written(process, at, SIZE)
        assert counts(faults)[kind] == changed == copied(faults) == SIZE // PAGE_SIZE


def test_an_exec_ends_what_is_shared_and_is_told(hooks: Hooks, machine: LiveMachine) -> None:
    parent, truth = machine.spawn(), Truth(hooks)
    at = memory(parent, 0)
    truth.add(parent)
    child = parent.fork()
    truth.written(child, at, PAGE_SIZE)
    child.exec()
    news, _ = hooks.news()
    assert [one.pid for one in news if one.kind == records.EXEC] == [child.pid]
    faults, changed, stayed = truth.written(parent, at, SIZE)
    assert (copied(faults), changed) == (0, 0)
    assert counts(faults)[Outcome.REUSED] == stayed == SIZE // PAGE_SIZE


def test_hooks_that_do_not_see_our_own_fault_are_not_used(hooks: Hooks, found: Layout) -> None:
    """As where memory cgroups are off at boot: the tracepoint is there, and never hit."""
    assert sees_faults(hooks)
    with Hooks(replace(found, page_fault_event=1 << 20)) as blind:
        assert not sees_faults(blind)


def test_faults_beyond_the_tokens_are_counted_and_not_guessed(hooks: Hooks, machine: LiveMachine) -> None:
    parent, truth = machine.spawn(), Truth(hooks)
    at = memory(parent, 0)
    truth.add(parent)
    child = parent.fork()
    truth.written(child, at, PAGE_SIZE)
    hooks.set_word(records.TOKENS, 100)
    hooks.set_word(records.MASK, (1 << 32) - 1)
    totals = hooks.totals()[truth.number[child.pid]].copy()
    faults, changed, _ = truth.written(child, at + PAGE_SIZE, SIZE - PAGE_SIZE)
    new = hooks.totals()[truth.number[child.pid]] - totals
    looked_at = int(new[: records.OUTCOMES].sum())
    assert looked_at <= 101
    assert looked_at + int(new[records.SKIPPED]) >= changed
    assert copied(faults) <= 101


STACKS = """
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile char *memory;
static void even(int bits, int page);
static void odd(int bits, int page);
static void further(int bits, int page)
{
	if (!bits)
		memory[page * 4096L] = 2;
	else if (page >> (bits - 1) & 1)
		odd(bits - 1, page);
	else
		even(bits - 1, page);
}
static void even(int bits, int page) { further(bits, page); __asm__ volatile("" ::: "memory"); }
static void odd(int bits, int page) { further(bits, page); __asm__ volatile("" ::: "memory"); }
int main(int argc, char **argv)
{
	long pages = 1L << atoi(argv[1]);
	memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise((void *)memory, pages * 4096, MADV_NOHUGEPAGE);
	for (long page = 0; page < pages; page++)
		memory[page * 4096] = 1;
	if (!fork()) {
		for (long page = 0; page < pages; page++)
			further(atoi(argv[1]), page);
		_exit(0);
	}
	wait(NULL);
	return argc != 2;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs a C compiler")
def test_no_two_stacks_are_taken_for_one_and_none_is_lost(found: Layout, tmp_path: Path) -> None:
    bits = 12  # a table of stacks of 2^13 places would lose some thousand of them
    (tmp_path / "stacks.c").write_text(STACKS)
    flags = ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline", "-fno-ipa-icf"]
    subprocess.run(["gcc", *flags, "-o", tmp_path / "stacks", tmp_path / "stacks.c"], check=True)
    with Hooks(found) as hooks:
        hooks.set_word(records.TOKENS, 1 << 40)
        hooks.add(os.getpid(), records.ARMED)
        done = subprocess.run([tmp_path / "stacks", str(bits)], check=False)
        hooks.drop(os.getpid())
        _, faults = hooks.news()
        lost = hooks.word(records.NO_STACK), hooks.word(records.LOST_DETAIL)
    assert done.returncode == 0
    assert lost == (0, 0)
    child = faults[faults["process"] == faults["process"].max()]
    sites, times = np.unique(child["frames"][:, 0], return_counts=True)
    there = child[child["frames"][:, 0] == sites[times.argmax()]]
    assert len(there) == len(np.unique(there["frames"], axis=0)) == 1 << bits
