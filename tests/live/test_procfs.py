"""The /proc readers agree with what this process knows of its own memory, and say what they cannot read."""

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.protocol import PAGE_SIZE, PMD_SIZE

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]


@pytest.fixture
def pages() -> Iterator[tuple[mmap.mmap, int]]:
    """Sixteen private pages of this process, of which the first four are written; and their address."""
    with mmap.mmap(-1, 16 * PAGE_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        memory[: 4 * PAGE_SIZE] = b"x" * 4 * PAGE_SIZE
        held = ctypes.c_char.from_buffer(memory)
        yield memory, ctypes.addressof(held)
        del held


def test_pagemap_shows_written_pages_and_nothing_else(pages: tuple[mmap.mmap, int]) -> None:
    with procfs.Pagemap(os.getpid()) as pagemap:
        entries = pagemap.entries(pages[1], 16 * PAGE_SIZE)
    assert ((entries & procfs.PM_PRESENT) != 0).tolist() == [True] * 4 + [False] * 12
    assert not entries[4:].any()


def test_region_of_a_mapping_has_its_bounds_and_permissions(pages: tuple[mmap.mmap, int]) -> None:
    (region,) = [r for r in procfs.regions(os.getpid()) if r.start <= pages[1] < r.end]
    assert region.end >= pages[1] + 16 * PAGE_SIZE
    assert (region.readable, region.writable, region.shared) == (True, True, False)


def test_regions_up_to_an_address_are_the_first_of_all_and_one_more() -> None:
    every = procfs.regions(os.getpid())
    assert every == sorted(every, key=lambda region: region.start)
    for limit in (0, every[3].start, every[3].start + 1):
        some = procfs.regions(os.getpid(), limit)
        assert some == every[: len(some)]
        assert [region.start >= limit for region in some] == [False] * (len(some) - 1) + [True]


def test_page_of_its_own_is_a_small_exclusive_anonymous_folio(machine: LiveMachine, pages: tuple[mmap.mmap, int]) -> None:
    assert machine.processes() == [], "the fixture says whether PFNs can be seen"
    with procfs.Pagemap(os.getpid()) as pagemap:
        pfns = np.unique(pagemap.entries(pages[1], 4 * PAGE_SIZE) & procfs.PM_PFN)
    found = procfs.folios(pfns)
    assert found.head.tolist() == pfns.tolist()
    assert found.order.tolist() == [0] * 4
    assert ((found.flags & procfs.KPF_ANON) != 0).all()
    assert ((found.flags & procfs.KPF_ANON_EXCLUSIVE) != 0).all()
    assert procfs.kpagecount(pfns).tolist() == [1] * 4


def test_words_come_back_in_the_order_asked_for(machine: LiveMachine) -> None:
    process = machine.spawn()
    process.write(process.mmap(300 * PAGE_SIZE), 300 * PAGE_SIZE)
    pfns = machine.recorder.state.pages.pfn
    shuffled = np.random.default_rng(1).permutation(np.concatenate([pfns, pfns[:7]]))
    one_by_one = [int(procfs.kpageflags(np.array([pfn]))[0]) for pfn in shuffled]
    assert (procfs.kpageflags(shuffled) & procfs.KPF_ANON).tolist() == [w & int(procfs.KPF_ANON) for w in one_by_one]


@pytest.mark.parametrize("order", [2, 4, 9])
def test_every_page_of_a_folio_has_its_head_and_order(thp: LiveMachine, order: int) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=order)
    process.write(address, PMD_SIZE)
    pages = thp.recorder.state.pages
    found = procfs.folios(pages.pfn[1::3])
    assert set(found.order.tolist()) == {order}
    assert (found.head == pages.pfn[1::3] & ~np.uint64((1 << order) - 1)).all()
    with procfs.Pagemap(process.pid) as pagemap:
        ranges = pagemap.pmd_mapped(address, PMD_SIZE).tolist()
    assert ranges == ([[address, address + PMD_SIZE]] if order == 9 else [])


def test_many_pmd_ranges_are_all_found(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(8 * PMD_SIZE, order=9)
    process.write(address, 8 * PMD_SIZE)
    for at in range(address, address + 8 * PMD_SIZE, 2 * PMD_SIZE):
        process.mprotect(at, PAGE_SIZE, writable=False)
    with procfs.Pagemap(process.pid) as pagemap:
        found = pagemap.pmd_mapped(address, 8 * PMD_SIZE)
    starts = [address + at * PMD_SIZE for at in (1, 3, 5, 7)]
    assert found.tolist() == [[start, start + PMD_SIZE] for start in starts]


def test_ended_process_is_gone_not_empty() -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "pass"]) as child:
        child.wait()
        with pytest.raises(procfs.ProcessGone, match=str(child.pid)):
            procfs.regions(child.pid)
        with pytest.raises(procfs.ProcessGone, match=str(child.pid)):
            procfs.Pagemap(child.pid)


def test_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    with pytest.raises(procfs.Missing, match="kpageflags: No such file"):
        procfs.kpageflags(np.array([1], np.uint64))
