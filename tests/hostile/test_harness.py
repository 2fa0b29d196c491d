"""The harness does what it promises: places are what they say, tenants do what they are told."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from places import Place
from tenants import PAGE, Household

from rmaplab.machine.live.proc import procfs

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]


def frame(pid: int, at: int) -> int:
    with procfs.Pagemap(pid) as pagemap:
        return int(pagemap.entries(at, PAGE)[0] & procfs.PM_PFN)


def seen(done: subprocess.CompletedProcess[bytes]) -> set[bytes]:
    return {word for word in done.stdout.split() if word.isdigit()}


def test_own_pids_are_all_that_proc_shows() -> None:
    assert seen(Place(own_pids=True).run("ls", "/proc")) == {b"1"}


def test_the_namespace_of_a_process_can_be_joined(tenants: Household) -> None:
    outer = tenants.start()
    outer.do("unshare", 0x20000000)
    inner = outer.fork()
    assert seen(Place(pids_of=inner.pid).run("ls", "/proc")) == {b"1", b"2"}


def test_hidepid_hides_others_from_nobody() -> None:
    shown = seen(Place(hidepid="2", nobody=True).run("ls", "/proc"))
    assert len(shown) == 1
    assert len(seen(Place(nobody=True).run("ls", "/proc"))) > 1


@pytest.mark.parametrize("place", [Place(nobody=True), Place(without=("SYS_ADMIN", "BPF"))])
def test_frames_are_hidden_from_who_lacks_the_right(place: Place) -> None:
    done = place.rmaplab("inspect")
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr


def test_a_small_disk_is_soon_full(workplace: Path) -> None:
    disk = workplace / "disk"
    disk.mkdir()
    done = Place(small=((str(disk), 65536),)).run("dd", "if=/dev/zero", f"of={disk}/x", "bs=4096", "count=100")
    assert b"No space left" in done.stderr
    assert not list(disk.iterdir())


def test_a_name_may_be_any_bytes(tenants: Household) -> None:
    tenant = tenants.start()
    tenant.do("name", text=b"a)\n\xff\x1b (")
    assert Path(f"/proc/{tenant.pid}/comm").read_bytes() == b"a)\n\xff\x1b (\n"


@pytest.mark.usefixtures("frames")
def test_a_fork_shares_frames_until_it_writes(tenants: Household) -> None:
    parent = tenants.start()
    at = parent.memory(4 * PAGE)
    child = parent.fork()
    assert frame(parent.pid, at) == frame(child.pid, at)
    child.write(at, PAGE, 9)
    assert frame(parent.pid, at) != frame(child.pid, at)
    assert (parent.do("read", at, PAGE), child.do("read", at, PAGE)) == (7, 9)


@pytest.mark.usefixtures("frames")
def test_a_pinned_page_is_copied_for_the_child_at_once(tenants: Household) -> None:
    parent = tenants.start()
    at = parent.memory(PAGE)
    try:
        parent.do("pin", at, PAGE)
    except OSError as error:
        pytest.skip(f"io_uring: {error}")
    child = parent.fork()
    assert frame(parent.pid, at) != frame(child.pid, at)


def test_a_tenant_obeys_after_its_first_thread_has_left(tenants: Household) -> None:
    tenant = tenants.start()
    at = tenant.memory(PAGE)
    tenant.do("leave")
    assert tenant.do("tid") != tenant.pid
    assert tenant.do("read", at, PAGE) == 7
    assert Path(f"/proc/{tenant.pid}/maps").read_bytes() == b""


def test_a_clone_with_the_same_mm_sees_every_write(tenants: Household) -> None:
    tenant = tenants.start()
    at = tenant.memory(PAGE)
    other = tenant.do("share", 0)
    tenant.write(at, PAGE, 3)
    with open(f"/proc/{other}/mem", "rb", buffering=0) as memory:
        assert np.frombuffer(os.pread(memory.fileno(), 1, at), np.uint8).tolist() == [3]


def test_everybody_is_gone_after_the_test(tenants: Household) -> None:
    tenant = tenants.start()
    child = tenant.fork()
    child.end()
    with pytest.raises((EOFError, OSError)):
        child.do("tid")
