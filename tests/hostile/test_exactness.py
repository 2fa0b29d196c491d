"""Exact is earned: whoever cannot be seen, and whatever happens meanwhile, no shared memory is called exclusive."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from looking import apart, area, areas, inspect, look_at
from places import Place
from tenants import ANONYMOUS, FIXED, NOHUGEPAGE, PAGE, PMD, PRIVATE, Household, Tenant

from rmaplab.inspect import fast
from rmaplab.inspect import snapshot as snapshot_module
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.processes import hidden_processes, process
from rmaplab.inspect.snapshot import Snapshot, of_pids, take
from rmaplab.machine.live.proc import procfs

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("frames")]

SIZE = 64 * PAGE
NEW_PIDS = 0x20000000
WAIT_READY = 5.0

MEMORY: dict[str, Callable[[Tenant], tuple[int, int]]] = {
    "small": lambda t: (small(t), SIZE),
    "huge": lambda t: (t.thp(PMD), PMD),
    "memfd": lambda t: (t.memfd(b"shared", SIZE), SIZE),
}


def small(tenant: Tenant) -> int:
    """Small pages in a VMA of their own."""
    at = tenant.map(SIZE, flags=PRIVATE | ANONYMOUS | FIXED, at=apart(tenant, SIZE))
    tenant.do("advise", at, SIZE, NOHUGEPAGE)
    tenant.write(at, SIZE)
    return at


kinds = pytest.mark.parametrize("kind", MEMORY)


@pytest.fixture(scope="module")
def view() -> Iterator[KernelView]:
    made = probe()
    yield made
    made.close()


def shared_by_fork(parent: Tenant, kind: str) -> tuple[int, int]:
    """Memory of the parent, of that kind: address and size."""
    return MEMORY[kind](parent)


@kinds
def test_processes_outside_of_a_pid_namespace_share_unseen(tenants: Household, kind: str) -> None:
    outside = tenants.start()
    at, size = shared_by_fork(outside, kind)
    outside.do("unshare", NEW_PIDS)
    inside = outside.fork()
    if kind == "memfd":
        inside.do("read", at, size)
    said = inspect(1, "--what-if", "write", "--by", "vma", "--addresses", place=Place(pids_of=inside.pid))
    assert said["exactness"] == "estimate"
    assert any("PID namespace" in line for line in said["left_out"])
    row = areas(said, at)
    assert (row["exclusive"], row["uss"], row["shared"]) == (0, 0, size)
    assert (row["unseen"], row["exactness"], row["pss"]) == (size, "estimate", size // 2)
    price = said["what_if_write"]["1"]
    assert price["exactness"] == "estimate"
    assert price["precise_bounds"][0] >= (0 if kind == "memfd" else size)


def test_counts_that_add_up_make_exact_what_a_pid_namespace_shows(tenants: Household) -> None:
    alone = tenants.start(Place(own_pids=True))
    at = small(alone)
    child = alone.fork()
    child.write(at, SIZE // 2)
    said = inspect(1, "--what-if", "write", "--by", "vma", "--addresses", place=Place(pids_of=alone.pid))
    assert any("PID namespace" in line for line in said["left_out"])
    assert (said["exactness"], said["what_if_write"]["1"]["exactness"]) == ("exact", "exact"), said["why"]
    row = areas(said, at)
    assert (row["exclusive"], row["shared"], row["exactness"]) == (SIZE // 2, SIZE // 2, "exact")


@pytest.mark.parametrize(
    ("option", "status", "hides"),
    [
        ("", "CapEff:\t0\nGid:\t5 5 5 5\nGroups:\t5", False),
        (",hidepid=off", "CapEff:\t0\nGid:\t5 5 5 5\nGroups:\t5", False),
        (",hidepid=invisible", "CapEff:\t0\nGid:\t5 5 5 5\nGroups:\t5", True),
        (",hidepid=2", "CapEff:\t80000\nGid:\t5 5 5 5\nGroups:\t5", False),
        (",hidepid=noaccess", "CapEff:\t0\nGid:\t0 0 0 0\nGroups:\t", False),
        (",hidepid=invisible,gid=7", "CapEff:\t0\nGid:\t0 0 0 0\nGroups:\t0", True),
        (",hidepid=invisible,gid=7", "CapEff:\t0\nGid:\t0 0 0 0\nGroups:\t0 7", False),
        (",hidepid=ptraceable", "CapEff:\t0\nGid:\t0 0 0 0\nGroups:\t0", True),
        (",hidepid=4", "CapEff:\t80000\nGid:\t0 0 0 0\nGroups:\t0", False),
    ],
)
def test_hidepid_is_understood_as_the_kernel_does(
    option: str, status: str, hides: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "self").mkdir()
    lines = f"proc /proc proc rw 0 0\nproc {tmp_path} proc rw,hidepid=2 0 0\nproc {tmp_path} proc rw{option} 0 0\n"
    (tmp_path / "self/mounts").write_text(lines)
    (tmp_path / "self/status").write_text(status + "\n")
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    assert hidden_processes() is hides


def root_without_ptrace(hidepid: str = "") -> Place:
    return Place(hidepid=hidepid, without=("SYS_PTRACE",))


@kinds
def test_hidepid_hides_from_root_without_ptrace(tenants: Household, kind: str) -> None:
    """hidepid=4 does; 1 and 2 let root's group see everybody."""
    parent = tenants.start(root_without_ptrace())
    at, size = shared_by_fork(parent, kind)
    child = parent.fork()
    child.do("become", 65534)
    child.do("read", at, size)
    place = root_without_ptrace("4")
    said = inspect(parent.pid, "--by", "vma", "--addresses", place=place)
    assert said["exactness"] == "estimate"
    assert any("hidepid" in line for line in said["left_out"])
    row = areas(said, at)
    assert (row["exclusive"], row["shared"], row["exactness"]) == (0, size, "estimate")


def test_hidepid_hides_nothing_from_root(tenants: Household) -> None:
    parent = tenants.start()
    at = small(parent)
    child = parent.fork()
    child.do("become", 65534)
    said = inspect(parent.pid, "--by", "vma", "--addresses", place=Place(hidepid="2"))
    assert not any("hidepid" in line for line in said["left_out"])
    assert (areas(said, at)["shared"], areas(said, at)["exactness"]) == (SIZE, "exact")


def test_process_that_forbids_reading_is_read_or_named_and_its_share_noticed(tenants: Household) -> None:
    """Who may see page frames may read everybody's since Linux 6.14 (CAP_PERFMON); before, it takes CAP_SYS_PTRACE."""
    parent = tenants.start(root_without_ptrace())
    at = small(parent)
    child = parent.fork()
    child.do("dumpable", 0)
    said = inspect(parent.pid, "--by", "vma", "--addresses", place=root_without_ptrace())
    named = any(f"/proc/{child.pid}/" in line for line in said["left_out"])
    row = areas(said, at)
    assert (row["exclusive"], row["shared"], row["exactness"]) == (0, SIZE, "estimate" if named else "exact")


@kinds
def test_mm_lives_on_after_its_first_thread(view: KernelView, tenants: Household, kind: str) -> None:
    parent = tenants.start()
    at, size = shared_by_fork(parent, kind)
    child = parent.fork()
    child.do("read", at, size)
    child.do("leave")
    found = look_at(view, parent, child)
    for one in (parent, child):
        row = area(found, one, at)
        assert (row["exclusive"], row["shared"], row["unseen"], row["exactness"]) == (0, size, 0, "exact")
    assert found.snapshot.mm_of_pid[parent.pid] != found.snapshot.mm_of_pid[child.pid]


def test_process_whose_first_thread_is_gone_can_be_asked_for(tenants: Household) -> None:
    alone = tenants.start()
    at = small(alone)
    alone.do("leave")
    said = inspect(alone.pid, "--by", "vma", "--addresses", "--what-if", "write")
    row = areas(said, at)
    assert (row["exclusive"], row["kernel_uss"]) == (SIZE, SIZE)
    assert said["what_if_write"][str(alone.pid)]["unasked"] >= SIZE


def test_processes_in_one_mm_are_one_owner_also_after_a_first_thread_left(view: KernelView, tenants: Household) -> None:
    one = tenants.start()
    at = small(one)
    other = one.do("share", 0, 1)
    try:
        for leave in (False, True):
            if leave:
                one.do("leave")
            found = look_at(view, one)
            assert sorted(found.snapshot.mms[found.snapshot.targets[0]].pids) == sorted((one.pid, other))
            row = area(found, one, at)
            assert (row["exclusive"], row["uss"], row["exactness"]) == (SIZE, SIZE, "exact")
    finally:
        os.kill(other, signal.SIGKILL)


def test_mm_lives_on_in_another_process(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = small(parent)
    first = parent.fork()
    other = first.do("share", 0, 1)
    first.end()
    try:
        row = area(look_at(view, parent), parent, at)
        assert (row["exclusive"], row["shared"], row["unseen"], row["exactness"]) == (0, SIZE, 0, "exact")
    finally:
        os.kill(other, signal.SIGKILL)


def test_child_of_vfork_that_has_not_called_exec_is_no_other_owner(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = small(parent)
    parent.do("vfork")
    row = area(look_at(view, parent), parent, at)
    assert (row["exclusive"], row["exactness"]) == (SIZE, "exact")


def test_zombie_maps_nothing(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = small(parent)
    child = parent.fork()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises((EOFError, OSError)):
        child.do("tid")
    row = area(look_at(view, parent), parent, at)
    assert (row["exclusive"], row["exactness"]) == (SIZE, "exact")


def test_pins_are_no_mappings(view: KernelView, tenants: Household) -> None:
    parent = tenants.start()
    at = small(parent)
    try:
        parent.do("pin", at, SIZE)
    except OSError as error:
        pytest.skip(f"io_uring: {error}")
    row = area(look_at(view, parent), parent, at)
    assert (row["exclusive"], row["exactness"]) == (SIZE, "exact")


@kinds
def test_mms_that_nobody_shows_are_noticed_by_the_kernels_counts(
    view: KernelView, tenants: Household, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds the MM (a fork in progress, a kernel thread, a process that is dying): no process shows it."""
    parent = tenants.start()
    at, size = shared_by_fork(parent, kind)
    hidden = parent.fork()
    hidden.do("read", at, size)
    shown = snapshot_module.processes
    monkeypatch.setattr(snapshot_module, "processes", lambda: [p for p in shown() if p.pid != hidden.pid])
    for bpf in (True, False):
        seeing = view if bpf else probe(bpf=False)
        found = look_at(seeing, parent, write=True)
        assert found.exactness.label == found.prices[parent.pid].exactness.label == "estimate"
        row = area(found, parent, at)
        assert (row["exclusive"], row["shared"], row["unseen"], row["exactness"]) == (0, size, size, "estimate")
        assert found.exactness.of("resident").label == "exact"
        assert found.exactness.of("uss").label == "estimate"
        assert sum(r.pages for r in found.exactness.reasons) >= size // PAGE
        assert found.head()["reasons"][0]["first"]


def test_without_any_count_nothing_is_exact(
    view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: np.ndarray) -> np.ndarray:
        raise procfs.Missing("/proc/kpagecount: No such file or directory")

    alone = tenants.start()
    at = small(alone)
    monkeypatch.setattr(procfs, "kpagecount", refused)
    blind = probe(bpf=False)
    found = look_at(blind, alone, write=True)
    assert found.exactness.label == found.prices[alone.pid].exactness.label == "estimate"
    assert "kpagecount" in found.exactness.why
    assert area(found, alone, at)["exactness"] == "estimate"
    assert look_at(view, alone).exactness.of("resident").label == "exact"


@pytest.fixture(params=["C", "NumPy"])
def either_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page tables are read by the C, or as where no compiler was."""
    if request.param == "NumPy":
        monkeypatch.setattr(fast, "available", lambda: False)
    elif not fast.available():
        pytest.skip("no compiler was here")


def seen_through(monkeypatch: pytest.MonkeyPatch, tenant: Tenant, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """What pagemap shows of `tenant` is changed: for the C, which reads a file that has it, and for NumPy."""
    asked = f"/proc/{tenant.pid}/pagemap"
    entries, read_runs = procfs.Pagemap.entries, fast.read_runs

    def changed_entries(pagemap: procfs.Pagemap, start: int, length: int) -> np.ndarray:
        real = entries(pagemap, start, length)
        return change(real) if str(pagemap._path) == asked else real

    def changed_runs(fd: int, start: np.ndarray, end: np.ndarray, *rest: Any) -> fast.Runs:
        if os.readlink(f"/proc/self/fd/{fd}") != asked:
            return read_runs(fd, start, end, *rest)
        with open(os.memfd_create("pagemap"), "w+b", buffering=0) as shown:
            os.ftruncate(shown.fileno(), 1 << 47)
            for first, behind in zip(start.tolist(), end.tolist(), strict=True):
                real = np.frombuffer(os.pread(fd, (behind - first) * 8, first * 8), np.uint64)
                os.pwrite(shown.fileno(), change(real).tobytes(), first * 8)
            return read_runs(shown.fileno(), start, end, *rest)

    monkeypatch.setattr(procfs.Pagemap, "entries", changed_entries)
    monkeypatch.setattr(fast, "read_runs", changed_runs)


@pytest.mark.usefixtures("either_reader")
def test_pagemap_that_shows_nothing_is_noticed(
    view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tenants.start()
    alone.memory(4096 * PAGE)
    seen_through(monkeypatch, alone, lambda entries: entries * np.uint64(0))
    found = look_at(view, alone, write=True)
    assert found.exactness.label == found.prices[alone.pid].exactness.label == "estimate"
    assert found.exactness.of("resident").label == "estimate"
    assert f"PID {alone.pid}: pagemap shows 0 pages" in found.exactness.why


@pytest.mark.usefixtures("either_reader")
def test_pagemap_without_frames_is_noticed(view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = tenants.start()
    at = small(parent)
    child = parent.fork()
    seen_through(monkeypatch, child, lambda entries: entries & ~procfs.PM_PFN)
    found = look_at(view, parent, child)
    row = area(found, parent, at)
    assert (row["exclusive"], row["shared"], row["exactness"]) == (0, SIZE, "estimate")
    assert any(str(child.pid) in str(r) and "frame numbers" in str(r) for r in found.exactness.reasons)


def ending(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tenant` ends after its page table was read and before the kernel's counts are, once."""
    real = snapshot_module._share

    def share(*words: object) -> object:
        made = real(*words)  # type: ignore[arg-type]
        if tenant.link.fileno() >= 0:
            tenant.end()
            while (left := process(tenant.pid)) is not None and left.resident:
                pass
        return made

    monkeypatch.setattr(snapshot_module, "_share", share)


def test_process_that_ends_after_it_was_read_is_noticed(
    view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = tenants.start()
    small(parent)
    ending(parent.fork(), monkeypatch)
    found: Snapshot = take(view, lambda mms: of_pids(mms, [parent.pid]))
    assert found.exactness.label == "estimate"
    assert len(found.account.fewer) >= SIZE // PAGE


def test_a_look_waits_for_counts_to_settle(view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = tenants.start()
    at = small(parent)
    ending(parent.fork(), monkeypatch)
    row = area(look_at(view, parent), parent, at)
    assert (row["exclusive"], row["shared"], row["exactness"]) == (SIZE, 0, "exact")


def test_memory_that_moves_while_it_is_priced_has_bounds_and_no_price(
    view: KernelView, tenants: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = tenants.start()
    at = small(parent)
    child = parent.fork()
    real = snapshot_module._share
    calls = []

    def share(*words: object) -> object:
        made = real(*words)  # type: ignore[arg-type]
        if not calls:
            child.write(at, SIZE // 2)
        calls.append(made)
        return made

    monkeypatch.setattr(snapshot_module, "_share", share)
    monkeypatch.setattr("rmaplab.inspect.look._TRIES", 1)
    price = look_at(view, child, write=True).prices[child.pid]
    assert price.exactness.label == "estimate"
    assert not price.sure
    assert price.kernel_most - price.kernel >= SIZE // 2
    said = price.as_json()
    assert (said["kernel"], said["precise"]) == (None, None)
    assert said["kernel_bounds"][0] <= said["kernel_bounds"][1]
