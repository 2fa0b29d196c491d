"""What the inspector says of processes whose sharing is known by construction."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from inspecting import area, look_at, need_order

from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.processes import Notes, group, process, same_by_stack
from rmaplab.inspect.views import rows
from rmaplab.machine.live import LiveMachine

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

SIZE = 4 << 20
FEW = 64 << 12
"""Fewer equal pages than one KSM page may stand for (max_page_sharing, 256)."""


@pytest.mark.parametrize("order", [0, 2, 4, 9])
def test_fork_shares_everything_and_writes_make_it_exclusive(machine: LiveMachine, view: KernelView, order: int) -> None:
    need_order(order)
    parent = machine.spawn()
    at = parent.mmap(SIZE, order=order)
    parent.write(at, SIZE)
    child = parent.fork()
    found = look_at(view, parent, child)
    for one in (parent, child):
        row = area(found, one, at)
        assert (row["resident"], row["exclusive"], row["shared"], row["uss"]) == (SIZE, 0, SIZE, 0)
        assert row["pss"] == SIZE // 2
        assert row["pmd"] == (SIZE if order == 9 else 0)
    child.write(at, SIZE)
    parent.write(at, SIZE)
    found = look_at(view, parent, child)
    for one in (parent, child):
        row = area(found, one, at)
        assert (row["resident"], row["exclusive"], row["shared"], row["uss"], row["pss"]) == (SIZE, SIZE, 0, SIZE, SIZE)


def test_eight_processes_share_one_eighth_each(machine: LiveMachine, view: KernelView) -> None:
    parent = machine.spawn()
    at = parent.mmap(SIZE, order=0)
    parent.write(at, SIZE)
    family = [parent, *(parent.fork() for _ in range(7))]
    found = look_at(view, *family)
    assert {area(found, one, at)["pss"] for one in family} == {SIZE // 8}
    pids = sorted(p.pid for p in family)
    shared = [r for r in rows(found.scope, "folio") if r["owners"] == 8 and sorted(r["pids"]) == pids]
    assert sum(r["resident"] for r in shared) >= SIZE


def test_partly_unmapped_thp_holds_memory_nobody_maps(machine: LiveMachine, view: KernelView) -> None:
    need_order(9)
    one = machine.spawn()
    at = one.mmap(SIZE, order=9)
    one.write(at, SIZE)
    one.munmap(at + SIZE // 4, SIZE // 4)
    found = look_at(view, one)
    torn = next(r for r in rows(found.scope, "order") if r["order"] == 9)
    assert (torn["folios"], torn["resident"], torn["partial"]) == (2, SIZE * 3 // 4, SIZE // 4)
    assert torn["unmapped"] == SIZE // 4
    assert any("mapped in part" in d.what and d.bytes == SIZE // 4 for d in found.disagreements)


def test_folio_shared_in_part_is_shared_but_its_other_pages_are_unique(machine: LiveMachine, view: KernelView) -> None:
    need_order(9)
    parent = machine.spawn()
    at = parent.mmap(2 << 20, order=9)
    parent.write(at, 2 << 20)
    child = parent.fork()
    child.munmap(at + (1 << 20), 1 << 20)
    row = area(look_at(view, parent, child), parent, at)
    assert (row["exclusive"], row["shared"]) == (0, 2 << 20)
    assert (row["uss"], row["pss"]) == (1 << 20, (1 << 20) + (1 << 19))


def test_moved_mapping_stays_exclusive(machine: LiveMachine, view: KernelView) -> None:
    one = machine.spawn()
    at = one.mmap(SIZE, order=0)
    one.write(at, SIZE)
    there = one.mremap(at, SIZE, SIZE, move=True)
    row = area(look_at(view, one), one, there)
    assert (row["resident"], row["exclusive"], row["uss"]) == (SIZE, SIZE, SIZE)


@pytest.mark.parametrize("kind", ["shmem", "file"])
def test_page_mapped_twice_by_one_process_is_exclusive_though_the_kernel_says_shared(
    machine: LiveMachine, view: KernelView, kind: str
) -> None:
    one = machine.spawn()
    file = machine.file(SIZE, kind=kind)  # type: ignore[arg-type]
    at, there = one.mmap(SIZE, file=file, shared=True), one.mmap(SIZE, file=file, shared=True)
    one.write(at, SIZE)
    one.read(there, SIZE)
    found = look_at(view, one)
    first, second = area(found, one, at), area(found, one, there)
    assert (first["exclusive"], second["exclusive"]) == (SIZE, SIZE)
    assert first["uss"] + second["uss"] == SIZE
    assert (first["kernel_uss"], second["kernel_uss"]) == (0, 0)
    other = machine.spawn()
    elsewhere = other.mmap(SIZE, file=file, shared=True)
    other.read(elsewhere, SIZE)
    assert area(look_at(view, one, other), one, at)["shared"] == SIZE


def test_zero_pages_stand_apart(machine: LiveMachine, view: KernelView) -> None:
    one = machine.spawn()
    at = one.mmap(SIZE, order=0)
    one.read(at, SIZE)
    one.write(at, SIZE // 4)
    row = area(look_at(view, one), one, at)
    assert (row["resident"], row["zero"], row["uss"]) == (SIZE // 4, SIZE * 3 // 4, SIZE // 4)


def test_merged_pages_are_ksm_and_shared(machine: LiveMachine, view: KernelView) -> None:
    one, two = machine.spawn(), machine.spawn()
    places = []
    for process_ in (one, two):
        at = process_.mmap(FEW, order=0)
        process_.write(at, FEW, 7)
        process_.madvise(at, FEW, "mergeable")
        places.append(at)
    with _ksm_running():
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            found = look_at(view, one, two)
            merged = [r for r in rows(found.scope, "folio") if r["kind"] == "ksm"]
            if merged and area(found, one, places[0])["shared"] == FEW:
                break
            time.sleep(0.2)
        else:
            pytest.skip("ksmd merged nothing within 20 s")
    assert all({one.pid, two.pid} <= set(r["pids"]) for r in merged)
    assert area(found, two, places[1])["uss"] == 0


@contextmanager
def _ksm_running() -> Iterator[None]:
    directory = Path("/sys/kernel/mm/ksm")
    if not os.access(directory / "run", os.W_OK):
        pytest.skip("KSM cannot be switched on here")
    lock = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    before = {name: (directory / name).read_text() for name in ("pages_to_scan", "sleep_millisecs", "run")}
    try:
        (directory / "pages_to_scan").write_text("20000")
        (directory / "sleep_millisecs").write_text("10")
        (directory / "run").write_text("1")
        yield
    finally:
        for name, value in before.items():
            (directory / name).write_text(value)
        os.close(lock)


SHARED_MM = """
import ctypes, os, signal, sys
CLONE_VM, CLONE_VFORK = 0x100, 0x4000
libc = ctypes.CDLL(None)
stack = ctypes.create_string_buffer(1 << 16)
pause = ctypes.cast(libc.pause, ctypes.c_void_p)
top = ctypes.c_void_p((ctypes.addressof(stack) + (1 << 16)) & -16)
pid = libc.clone(pause, top, CLONE_VM | signal.SIGCHLD, None)
print(pid, flush=True)
sys.stdin.read()
os.kill(pid, signal.SIGKILL)
"""


@contextmanager
def _two_processes_one_mm() -> Iterator[tuple[int, int]]:
    with subprocess.Popen(
        [sys.executable, "-c", SHARED_MM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        yield child.pid, int(child.stdout.readline())
        child.communicate()


@pytest.mark.usefixtures("view")
def test_processes_that_share_an_mm_count_once() -> None:
    with _two_processes_one_mm() as (first, second):
        found = group([p for p in (process(first), process(second)) if p], Notes())
        assert [mm.pids for mm in found] == [(first, second)]


@pytest.mark.usefixtures("view")
def test_mm_is_told_without_kcmp() -> None:
    with _two_processes_one_mm() as (first, second):
        one, two = process(first), process(second)
        assert one
        assert two
        assert same_by_stack(one, two)
        forked = os.fork()
        if forked == 0:
            signal.pause()
        try:
            me, child = process(os.getpid()), process(forked)
            assert me
            assert child
            assert not same_by_stack(me, child)
        finally:
            os.kill(forked, signal.SIGKILL)
            os.waitpid(forked, 0)


def test_swapped_pages_are_counted(machine: LiveMachine, view: KernelView) -> None:
    if len(Path("/proc/swaps").read_text().splitlines()) < 2:
        pytest.skip("no swap here")
    one = machine.spawn()
    at = one.mmap(SIZE, order=0)
    one.write(at, SIZE)
    one.madvise(at, SIZE, "pageout")
    row = area(look_at(view, one), one, at)
    assert row["swapped"] + row["resident"] == SIZE


def test_hugetlb_pages_stand_apart(view: KernelView) -> None:
    knob = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    if not os.access(knob, os.W_OK):
        pytest.skip("no hugetlb pages of 2 MiB here")
    before = knob.read_text()
    try:
        knob.write_text(str(int(before) + 1))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        at = libc.mmap(None, ctypes.c_size_t(2 << 20), 3, 0x40022, -1, ctypes.c_long(0))
        if at == ctypes.c_void_p(-1).value:
            pytest.skip("no hugetlb page to be had")
        ctypes.memset(at, 1, 1)

        class Me:
            pid = os.getpid()

        row = area(look_at(view, Me()), Me(), at)  # type: ignore[arg-type]
        assert (row["hugetlb"], row["resident"], row["uss"]) == (2 << 20, 0, 0)
        libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(2 << 20))
    finally:
        knob.write_text(before)


def test_what_tells_equal_neighbours_apart_is_counted_for_each_of_them(machine: LiveMachine, view: KernelView) -> None:
    """Small folios with the same mappers stand as one row, unless something is asked of them that they do not share."""
    one = machine.spawn()
    one.write(one.mmap(16 * SIZE), 16 * SIZE)
    sharing = look_at(view, one).scope.snapshot.sharing
    marks = np.arange(len(sharing.folios)) % 3 == 0
    counted = np.zeros(int(sharing.owner.max()) + 1, np.int64)
    for part in sharing.rows(marks):
        chosen = marks[part.folio]
        np.add.at(counted, sharing.owner[part.extent[chosen]], part.pages[chosen])
    each = sharing.mappings()
    truth = np.zeros_like(counted)
    np.add.at(truth, each.owner, np.where(marks[each.folio], each.ptes + 512 * each.pmds, 0))
    assert counted.tolist() == truth.tolist()
    assert truth.any()
