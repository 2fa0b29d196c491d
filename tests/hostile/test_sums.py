"""Sums say what they leave out: hugetlb, swap, guard regions, markers, zero pages; prices know what each class costs."""

import ctypes
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from looking import apart, area, inspect, look_at, shows_every_time
from places import HERE, Place
from tenants import (
    ANONYMOUS,
    FIXED,
    GUARD,
    HUGETLB,
    NOHUGEPAGE,
    PAGE,
    PAGEOUT,
    PMD,
    PRIVATE,
    READ,
    SHARED,
    WRITE,
    Household,
    Tenant,
)

from rmaplab.errors import NotAvailable
from rmaplab.inspect.extents import ABSENT
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.runs import what_is_not_present
from rmaplab.inspect.views import rows
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.proc import procfs
from rmaplab.report.inspect_table import footer

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("frames")]

SIZE = 64 * PAGE
HUGE = 4 * PMD
OWN = 16 * PAGE
"""At most so much of its own stack and data does a tenant write while it obeys."""
POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


@pytest.fixture(scope="module")
def view() -> Iterator[KernelView]:
    made = probe()
    yield made
    made.close()


@pytest.fixture
def pool() -> Iterator[None]:
    """Room for HUGE bytes of hugetlb, and as much again for copies."""
    if not os.access(POOL, os.W_OK):
        pytest.skip("no hugetlb pages of 2 MiB here")
    with locked(POOL.parent):
        before = int(POOL.read_text()) - int((POOL.parent / "surplus_hugepages").read_text())
        wanted = before + 2 * HUGE // PMD
        try:
            POOL.write_text(str(wanted))
            if int(POOL.read_text()) < wanted:
                pytest.skip("memory is too fragmented for hugetlb pages")
            yield
        finally:
            limit = time.monotonic() + 10
            POOL.write_text(str(before))
            # Pages of processes that are just ending are still counted, as surplus.
            while int(POOL.read_text()) > before and time.monotonic() < limit:
                time.sleep(0.01)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else changes a knob there meanwhile, if he asks."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def small(tenant: Tenant, length: int = SIZE) -> int:
    """Small pages in a VMA of their own, each of other contents."""
    at = tenant.map(length, flags=PRIVATE | ANONYMOUS | FIXED, at=apart(tenant, length))
    tenant.do("advise", at, length, NOHUGEPAGE)
    for number in range(length // PAGE):
        tenant.write(at + number * PAGE, PAGE, number + 1)
    return at


def frames_of(tenant: Tenant, at: int, length: int) -> np.ndarray:
    with procfs.Pagemap(tenant.pid) as pagemap:
        return np.asarray(pagemap.entries(at, length) & procfs.PM_PFN)


def copied_by(tenant: Tenant, at: int, length: int, step: int = PAGE) -> int:
    """Bytes whose page frames a write to every page changes: really copied."""
    before = frames_of(tenant, at, length)
    for place in range(at, at + length, step):
        tenant.write(place, PAGE, 99)
    return int((before != frames_of(tenant, at, length)).sum()) * PAGE


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("kept", ["child stays", "child leaves"])
def test_private_hugetlb_is_priced_as_it_is_copied(view: KernelView, tenants: Household, kept: str) -> None:
    parent = tenants.start()
    at = parent.map(HUGE, flags=PRIVATE | ANONYMOUS | HUGETLB)
    parent.write(at, HUGE)
    child = parent.fork()
    if kept == "child leaves":
        child.end()
    before = look_at(view, parent, write=True).prices[parent.pid]
    copied = copied_by(parent, at, HUGE)
    after = look_at(view, parent, write=True).prices[parent.pid]
    assert copied == (HUGE if kept == "child stays" else 0)
    assert before.kernel - after.kernel == before.precise - after.precise
    assert 0 <= before.kernel - after.kernel - copied <= OWN
    assert before.hugetlb == HUGE
    assert before.written >= HUGE


@pytest.mark.usefixtures("pool")
def test_in_sequence_the_last_one_keeps_its_hugetlb(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = parent.map(HUGE, flags=PRIVATE | ANONYMOUS | HUGETLB)
    parent.write(at, HUGE)
    members = sorted((parent, parent.fork()), key=lambda one: one.pid)
    price = look_at(view, *members, write=True, family=True).sequence
    assert price is not None
    copied = [copied_by(one, at, HUGE) for one in members]
    assert copied == [HUGE, 0]
    for turn, truth in zip(price.turns, copied, strict=True):
        assert truth <= turn.precise <= truth + OWN
        assert turn.most <= OWN


@pytest.mark.usefixtures("pool")
def test_hugetlb_that_the_pool_has_no_page_for_has_no_price_but_bounds(view: KernelView, tenants: Household) -> None:
    parent, other = tenants.start(), tenants.start()
    at = parent.map(HUGE, flags=PRIVATE | ANONYMOUS | HUGETLB)
    parent.write(at, HUGE)
    parent.fork()
    left = 2
    taken = int((POOL.parent / "free_hugepages").read_text()) - left
    other.write(other.map(taken * PMD, flags=PRIVATE | ANONYMOUS | HUGETLB), taken * PMD)
    price = look_at(view, parent, write=True).prices[parent.pid]
    copied = copied_by(parent, at, HUGE)
    assert copied == left * PMD
    assert price.kernel <= copied + OWN
    assert price.kernel_most >= HUGE
    assert (price.as_json()["kernel"], price.exactness.label) == (None, "estimate")
    assert f"{HUGE - left * PMD} bytes of hugetlb" in price.exactness.why


@pytest.mark.usefixtures("pool")
def test_shared_hugetlb_is_not_in_the_price(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = parent.map(HUGE, flags=SHARED | ANONYMOUS | HUGETLB)
    parent.write(at, HUGE)
    parent.fork().do("read", at, HUGE)
    found = look_at(view, parent, write=True)
    assert (found.prices[parent.pid].hugetlb, found.apart["hugetlb"]) == (0, HUGE)


@pytest.mark.usefixtures("pool")
def test_hugetlb_is_in_every_table(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = parent.map(HUGE, flags=PRIVATE | ANONYMOUS | HUGETLB)
    parent.write(at, HUGE)
    child = parent.fork()
    for by in ("process", "vma", "cgroup", "order", "folio"):
        shown = HERE.rmaplab("inspect", parent.pid, "--by", by, "--top", 1000, env={"COLUMNS": "250"})
        assert b"hugetlb" in shown.stdout
        assert b"hugetlb 8M" in shown.stdout.partition(b"in none of these sums: ")[2]
    found = look_at(view, parent, child)
    folios = [r for r in rows(found.scope, "folio") if r["kind"] == "hugetlb"]
    assert [(r["resident"], r["owners"], r["mapcount"]) for r in folios] == [(PMD, 2, 2)] * (HUGE // PMD)
    order = next(r for r in rows(found.scope, "order") if r["order"] == 9)
    assert (order["hugetlb"], order["resident"]) == (HUGE, 0)
    assert area(found, parent, at)["exactness"] == "exact"


@pytest.mark.usefixtures("pool")
def test_hugetlb_that_somebody_unseen_maps_too_is_noticed(
    view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = tenants.start()
    at = parent.map(HUGE, flags=PRIVATE | ANONYMOUS | HUGETLB)
    parent.write(at, HUGE)
    child = parent.fork()
    shown = __import__("rmaplab.inspect.snapshot", fromlist=["processes"]).processes
    monkeypatch.setattr("rmaplab.inspect.snapshot.processes", lambda: [p for p in shown() if p.pid != child.pid])
    found = look_at(view, parent, write=True)
    price = found.prices[parent.pid]
    assert found.exactness.label == price.exactness.label == "estimate"
    assert price.kernel_most >= HUGE
    assert price.precise_most >= HUGE


def test_guard_regions_are_not_in_swap(view: KernelView, tenants: Household) -> None:
    alone = tenants.start()
    at = small(alone)
    try:
        alone.do("advise", at, SIZE // 2, GUARD)
    except OSError as error:
        pytest.skip(f"MADV_GUARD_INSTALL: {error}")
    found = look_at(view, alone)
    row = area(found, alone, at)
    assert (row["swapped"], row["guard"] + row["markers"], row["resident"]) == (0, SIZE // 2, SIZE // 2)
    assert found.apart.get("swapped", 0) == 0


def test_markers_of_userfaultfd_are_not_in_swap(view: KernelView) -> None:
    with marked(SIZE) as at:
        me = SimpleNamespace(pid=os.getpid())
        row = area(look_at(view, me), me, at)  # type: ignore[arg-type]
        assert (row["swapped"], row["markers"], row["resident"]) == (0, SIZE, 0)


@contextmanager
def marked(length: int) -> Iterator[int]:
    """Memory of ours that userfaultfd protects although nothing is there: PTE markers only."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(323, os.O_CLOEXEC | 1)
    if fd < 0:
        pytest.skip(f"userfaultfd: {os.strerror(ctypes.get_errno())}")
    try:
        with mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            at = int(np.frombuffer(memory, np.uint8).ctypes.data)
            try:
                fcntl.ioctl(fd, 0xC018AA3F, struct.pack("=QQQ", 0xAA, 1 << 13, 0))
                fcntl.ioctl(fd, 0xC020AA00, struct.pack("=QQQQ", at, length, 2, 0))
                fcntl.ioctl(fd, 0xC018AA06, struct.pack("=QQQ", at, length, 1))
            except OSError as error:
                pytest.skip(f"userfaultfd's write protection of empty memory: {error}")
            yield at
    finally:
        os.close(fd)


def test_only_a_swap_devices_type_is_swap() -> None:
    kinds = {0: "swapped", 22: "swapped", 23: "elsewhere", 27: "elsewhere", 30: "elsewhere", 31: "markers"}
    entries = np.array([int(procfs.PM_SWAP) | 77 << 5 | kind for kind in kinds], np.uint64)
    assert [ABSENT[i] for i in what_is_not_present(entries).tolist()] == list(kinds.values())
    assert [ABSENT[i] for i in what_is_not_present(entries | procfs.PM_GUARD).tolist()] == ["guard"] * len(kinds)


def test_zero_pages_small_and_huge_cost_no_copy_and_are_named(view: KernelView, tenants: Household) -> None:
    alone = tenants.start()
    at = alone.map(SIZE, flags=PRIVATE | ANONYMOUS | FIXED, at=apart(alone, SIZE))
    alone.do("advise", at, SIZE, NOHUGEPAGE)
    alone.do("read", at, SIZE)
    wide = alone.map_aligned(PMD)
    alone.do("advise", wide, PMD, 14)
    alone.do("read", wide, PMD)
    found = look_at(view, alone, write=True)
    row, big = area(found, alone, at), area(found, alone, wide)
    assert (row["zero"], row["resident"], big["zero"], big["resident"]) == (SIZE, 0, PMD, 0)
    assert 0 <= found.prices[alone.pid].zero - SIZE - PMD <= OWN
    assert 0 <= found.apart["zero"] - SIZE - PMD <= OWN
    assert any("of zero pages: allocated, not copied" in line for line in footer(found))


@pytest.fixture
def swap() -> Iterator[None]:
    """A swap device that nobody else uses."""
    try:
        with LiveMachine() as machine:
            machine.swap(64 << 20)
            yield
    except NotAvailable as reason:
        pytest.skip(str(reason))


def paged_out(view: KernelView, tenant: Tenant) -> int:
    """Small memory of the tenant, all of it in swap."""
    at = small(tenant)
    for _ in range(20):
        tenant.do("advise", at, SIZE, PAGEOUT)
        if area(look_at(view, tenant), tenant, at)["swapped"] == SIZE:
            return at
    pytest.skip("the kernel did not write the pages out")


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("ending", ["child keeps the slots", "child wrote half", "child is gone"])
def test_swap_cache_keeps_its_reference_while_a_page_table_has_the_slot(
    view: KernelView, tenants: Household, ending: str
) -> None:
    def check() -> None:
        parent = tenants.start()
        at = paged_out(view, parent)
        child = parent.fork()
        parent.do("read", at, SIZE)
        if ending == "child wrote half":
            child.write(at, SIZE // 2, 5)
        elif ending == "child is gone":
            child.end()
        found = look_at(view, parent, write=True)
        before = found.prices[parent.pid]
        assert before.exactness.label == found.exactness.label
        copied = copied_by(parent, at, SIZE)
        after = look_at(view, parent, write=True).prices[parent.pid]
        assert 0 <= before.kernel - after.kernel - copied <= OWN
        assert 0 <= before.precise - after.precise - copied <= OWN
        assert copied == {"child keeps the slots": SIZE, "child wrote half": SIZE // 2, "child is gone": 0}[ending]

    shows_every_time(check)


@pytest.mark.usefixtures("swap")
def test_pages_in_swap_are_named_and_priced_by_who_else_has_the_slot(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = paged_out(view, parent)
    child = parent.fork()
    child.write(at, SIZE // 4, 3)
    found = look_at(view, parent, write=True)
    price = found.prices[parent.pid]
    assert (price.swapped, price.swapped_shared) == (SIZE, SIZE * 3 // 4)
    assert any("in swap: read back, of which 192K copied" in line for line in footer(found))
    assert found.apart["swapped"] == SIZE
    assert area(found, parent, at)["swapped"] == SIZE


@pytest.mark.usefixtures("swap")
def test_page_in_swap_that_another_maps_from_the_swap_cache_is_no_exact_price(
    view: KernelView, tenants: Household
) -> None:
    parent = tenants.start()
    at = paged_out(view, parent)
    child = parent.fork()
    child.do("read", at, SIZE)
    price = look_at(view, parent, write=True).prices[parent.pid]
    assert price.swapped == SIZE
    assert price.exactness.label == "estimate"
    assert "swap cache" in price.exactness.why


def test_shared_page_cache_taken_for_shared_is_not_said_to_be_copied(view: KernelView) -> None:
    """A large folio of shmem that a third process is left alone with: the flag stays, and no write ever copies it."""
    try:
        with LiveMachine() as machine:
            file = machine.file(PMD, kind="shmem", order=9)
            first = machine.spawn()
            at = first.mmap(PMD, file=file, shared=True)
            first.write(at, PMD)
            second, third = first.fork(), first.fork()
            for one in (second, third):
                one.read(at, PMD)
            first.exit()
            second.exit()
            found = look_at(view, third, write=True)  # type: ignore[arg-type]
            large = found.scope.large
            assert large is not None
            chosen = large.false_shared & (found.snapshot.sharing.folios.kind[large.row] != 0)
            assert int(large.needless[chosen].sum()) == 0
            if not chosen.any():
                pytest.skip("the kernel does not take it for shared here")
            assert any(d.what == "folios one MM maps, taken for shared" for d in found.disagreements)
    except NotAvailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("mapped", ["by PMD", "by PTEs"])
def test_what_is_said_to_be_copied_needlessly_is_what_the_price_says(
    view: KernelView, tenants: Household, mapped: str
) -> None:
    def check() -> None:
        first = tenants.start()
        at = first.thp(HUGE)
        if mapped == "by PTEs":
            for block in range(at, at + HUGE, PMD):
                first.do("protect", block, PAGE, READ)
                first.do("protect", block, PAGE, READ | WRITE)
        second, third = first.fork(), first.fork()
        first.end()
        second.end()
        found = look_at(view, third, write=True)
        said = {d.what: d.bytes for d in found.disagreements}
        price = found.prices[third.pid]
        assert said.get("folios one MM maps, taken for shared", 0) >= HUGE
        needless = said.get("of these folios a write copies, needlessly", 0)
        assert needless == price.kernel - price.precise == (HUGE if mapped == "by PTEs" else 0)
        assert copied_by(third, at, HUGE) == needless

    shows_every_time(check)


@pytest.mark.usefixtures("pool")
def test_hugetlb_whose_page_tables_somebody_unseen_may_share_is_an_estimate(view: KernelView, tenants: Household) -> None:
    """The kernel counts a shared page table once: a folio's count is the same with and without the second process."""
    whole, noreserve, hugetlb = 1 << 30, 0x4000, 4
    inside = tenants.start(Place(own_pids=True))
    outside = tenants.start()
    files = [inside.do("memfd", hugetlb, text=b"shared tables")]
    inside.do("size", files[0], whole)
    files.append(outside.do("open", text=f"/proc/{inside.pid}/fd/{files[0]}".encode()))
    at = 0
    for tenant, file in zip((inside, outside), files, strict=True):
        room = tenant.map(2 * whole, prot=0, flags=PRIVATE | ANONYMOUS | noreserve)
        at = -(-room // whole) * whole
        tenant.map(whole, flags=SHARED | FIXED | noreserve, fd=file, at=at)
        tenant.write(at, HUGE)
    seen = look_at(view, outside)
    row = area(seen, outside, at)
    assert (row["hugetlb"], row["exactness"]) == (HUGE, "exact" if seen.snapshot.notes.exact else "estimate")
    said = inspect(1, "--by", "vma", "--addresses", place=Place(pids_of=inside.pid))
    assert said["exactness"] == "estimate"
    (row,) = [r for r in said["rows"] if r["hugetlb"]]
    assert row["exactness"] == "estimate"
    assert any("page tables that several share are counted once" in reason["why"] for reason in said["reasons"])


def test_of_large_folios_that_do_not_add_up_it_is_not_said_that_nothing_is_needless(
    view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = tenants.start()
    parent.thp(PMD)
    child = parent.fork()
    shown = __import__("rmaplab.inspect.snapshot", fromlist=["processes"]).processes
    monkeypatch.setattr("rmaplab.inspect.snapshot.processes", lambda: [p for p in shown() if p.pid != child.pid])
    found = look_at(view, parent)
    if found.needless is None or found.scope.large is None or not len(found.scope.large.row):
        pytest.skip("no THP, or no flag to be read")
    assert found.scope.large.untold > 0
    (line,) = [line for line in footer(found) if line.startswith("needless because")]
    assert f"of {found.scope.large.untold} large folios it is not known" in line
