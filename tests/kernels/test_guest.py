"""The lab boots a kernel, runs a command in it, and leaves nothing behind."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from commands import RMAPLAB
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import cache, image, initramfs, obtain, qemu
from rmaplab.kernels.build import build
from rmaplab.kernels.entries import parse
from rmaplab.kernels.guest import Guest, GuestError, Marked
from rmaplab.kernels.image import Image
from rmaplab.kernels.qemu import Hardware
from rmaplab.machine.choose import open_machine
from rmaplab.machine.protocol import BadOperation
from rmaplab.scenarios import Parameters, find

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("guest")]

LAB = "6.12"
LONG = 800.0
"""Seconds after which a guest hangs, on a host that is ten times too busy too; a test has 900."""


@pytest.fixture(scope="module")
def stock() -> Image:
    try:
        qemu.check()
        return obtain.bootable(parse(LAB)).image
    except NotAvailable as missing:
        pytest.skip(str(missing))


def qemus() -> set[int]:
    return {machine.pid for machine in machines_of(psutil.Process())}


def machines_of(process: psutil.Process) -> list[psutil.Process]:
    """QEMUs below it. Other children of it come and go meanwhile."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [child] if "qemu" in child.name() else []
    return found


def test_a_command_runs_with_the_hosts_files_and_its_status_and_output_come_back(stock: Image) -> None:
    out = bytearray()
    command = f"cat {__file__} | wc -c; stat -f -c %T /var/tmp; touch {__file__}.new; echo oops >&2; exit 7"
    with Guest(stock, command, out=out.extend) as guest:
        ended = guest.wait(LONG)
    size, disk = out.decode().split()
    assert (ended.status, ended.err) == (7, b"oops\n")
    assert int(size) == Path(__file__).stat().st_size
    assert disk == "ext2/ext3"  # statfs has one number for all of ext
    assert not Path(f"{__file__}.new").exists()
    assert "Linux version 6.12" in ended.console
    assert not qemus()


def test_arrays_sorted_in_a_guest_are_sorted(stock: Image) -> None:
    program = (
        "import numpy as np; r = np.random.default_rng(1); "
        "print(all(np.all(np.diff(np.sort(r.integers(0, 1 << 30, n))) >= 0) for n in (8, 16, 64, 100, 500, 5000)))"
    )
    with Guest(stock, shlex.join([sys.executable, "-c", program])) as guest:
        assert guest.wait(LONG).out == b"True\n"


def test_a_guest_that_never_ends_is_ended(stock: Image) -> None:
    with (
        Guest(stock, "sleep 1000", Hardware(root=False, disk=False)) as guest,
        pytest.raises(GuestError, match="did not end within 1 s"),
    ):
        guest.wait(1)
    assert not qemus()


def test_a_guest_is_left_while_what_it_said_is_still_being_heard(stock: Image) -> None:
    heard = threading.Event()

    def slow(_: bytes) -> None:
        heard.set()
        time.sleep(2)

    with Guest(stock, "echo word; sleep 1000", Hardware(memory=512, root=False, disk=False), out=slow):
        assert heard.wait(LONG)
    assert not qemus()


def test_all_that_the_kernel_says_is_kept_and_a_warning_is_a_complaint(stock: Image) -> None:
    """More than a serial port holds, at once; and what it warns of long after the boot, as lockdep and WARN() do."""
    program = """
        echo on >/proc/sys/kernel/printk_devkmsg
        i=0; while [ $i -lt 200 ]; do i=$((i + 1)); echo "<4>said $i of 200, and some words more" >/dev/kmsg; done
        echo "<4>WARNING: made up" >/dev/kmsg
    """
    with Guest(stock, program, Hardware(memory=512, root=False, disk=False)) as guest:
        ended = guest.wait(LONG)
    assert [n for n in range(1, 201) if f"said {n} of 200, and some words more" not in ended.console] == []
    assert [splat.partition("] ")[2] for splat in ended.splats] == ["WARNING: made up"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_what_a_command_writes_ends_at_the_mark_however_it_comes_in_pieces(size: int) -> None:
    written = b"one\0two \0ab\0a"
    sent = written + b"\0abc" + b"a daemon that it left, later"
    kept = bytearray()
    sink = Marked(kept.extend, b"\0abc")
    for at in range(0, len(sent), size):
        sink(sent[at : at + size])
    assert sink.over
    assert bytes(kept) == written


def test_a_kernel_that_panics_says_so_with_its_last_words(stock: Image) -> None:
    hardware = Hardware(root=False, disk=False)
    with (
        Guest(stock, "echo c >/proc/sysrq-trigger; sleep 100", hardware) as guest,
        pytest.raises(GuestError, match=r"Kernel panic.*sysrq"),
    ):
        guest.wait(LONG)


def test_a_kernel_without_9p_is_not_available(stock: Image) -> None:
    without = Image(stock.kernel, tuple(m for m in stock.modules if "9p" not in m.name), stock.title)
    with Guest(without, "true") as guest, pytest.raises(NotAvailable, match="lacks 9p"):
        guest.wait(LONG)


@pytest.mark.usefixtures("stock")
def test_a_kernel_that_does_not_have_the_scheme_asked_for_answers_nothing_in_its_name(stock: Image) -> None:
    hardware = Hardware(memory=512, root=False, disk=False)
    with Guest(stock, "true", hardware, "rmap_scheme=packed") as guest, pytest.raises(NotAvailable, match="packed"):
        guest.wait(LONG)
    with Guest(stock, "true", hardware, "rmap_scheme=off") as guest:
        assert guest.wait(LONG).status == 0


def test_qemu_dies_with_a_command_that_is_killed() -> None:
    command = subprocess.Popen([*RMAPLAB, "kernel", "boot", "--kernel", LAB, "--", "sleep", "1000"])
    machines: list[psutil.Process] = []
    while not machines and command.poll() is None:
        time.sleep(0.05)
        machines = machines_of(psutil.Process(command.pid))
    command.kill()
    command.wait()
    assert machines
    gone, alive = psutil.wait_procs(machines, timeout=LONG)
    assert gone
    assert not alive


@pytest.mark.usefixtures("stock")
@pytest.mark.parametrize("tool", ["qemu-system-x86_64", "busybox"])
def test_a_missing_tool_is_one_line_and_exit_3(tmp_path: Path, tool: str) -> None:
    for directory in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for path in Path(directory).iterdir():
            link = tmp_path / path.name
            if path.name != tool and not link.is_symlink():
                link.symlink_to(path)
    made = subprocess.run(
        [*RMAPLAB, "kernel", "boot", "--kernel", LAB],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 3
    assert len(made.stderr.splitlines()) == 1
    assert tool.partition("-system")[0] in made.stderr


@pytest.mark.usefixtures("stock")
def test_a_scenario_does_the_same_on_the_lab_as_on_the_model_of_its_kernel() -> None:
    parameters = Parameters(size=2 << 20)
    with open_machine("lab", LAB) as machine:
        process = machine.spawn()
        with pytest.raises(BadOperation, match="munmap"):
            process.munmap(1, 4096)
        process.exit()
        assert not process.alive
        seen = find("prefork").play(machine, parameters)
    with open_machine("model", "linux-6.12") as model:
        expected = find("prefork").play(model, parameters).questions
    assert expected.height
    assert seen.meta.source == "lab"
    assert seen.questions["outcome"].to_list() == expected["outcome"].to_list()


def test_the_json_of_a_boot_says_what_ran() -> None:
    made = subprocess.run(
        [*RMAPLAB, "kernel", "boot", "--kernel", LAB, "--json", "--", "uname", "-r"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode == 3:
        pytest.skip(made.stderr)
    answer = json.loads(made.stdout)
    assert answer["stdout"].startswith("6.12")
    assert (answer["status"], answer["splats"]) == (0, [])


def test_the_archive_holds_what_was_put_in(tmp_path: Path) -> None:
    archive = initramfs.Archive()
    archive.directory("a")
    archive.file("a/odd name", b"three")
    if not shutil.which("busybox"):
        pytest.skip("no busybox to unpack it with")
    subprocess.run(["busybox", "cpio", "-i"], input=archive.data(), cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "a/odd name").read_bytes() == b"three"


def test_a_directory_without_a_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RmaplabError, match="holds no kernel"):
        image.built(tmp_path)


@pytest.mark.parametrize("text", ["7.9", "7.3,schema=packed", "7.3,scheme=", "/no/such/directory"])
def test_a_kernel_nobody_knows_is_refused_by_name(text: str) -> None:
    with pytest.raises(RmaplabError, match=text.partition(",")[0]):
        parse(text)


def test_a_scheme_no_kernel_has_is_refused_by_name() -> None:
    with pytest.raises(RmaplabError, match="scheme: nope: must be one of off, "):
        parse("7.3,scheme=nope")


def test_what_is_no_kernel_tree_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(RmaplabError, match="must be a Linux source tree"):
        build(tmp_path, tmp_path / "out", "many")
    assert not (tmp_path / "out").exists()


def test_nothing_stays_of_what_could_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(place: Path) -> None:
        (place / "half").touch()
        raise NotAvailable("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotAvailable):
        cache.once("images/none", half)
    assert not list((tmp_path / "rmaplab" / "images").iterdir())


def test_no_room_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "ROOM", 1 << 62)
    with pytest.raises(NotAvailable, match="MiB free"):
        cache.once("images/none", Path.touch)
