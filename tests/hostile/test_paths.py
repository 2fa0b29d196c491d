"""An output path may lead anywhere: only a regular file is replaced, and what fails leaves everything as it was."""

import ctypes
import errno
import mmap
import os
import re
import resource
import shutil
import stat
import sys
import threading
from pathlib import Path

import pytest
from places import Place

from commands import rmaplab
from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.machine.live.proc import ownpages
from rmaplab.system.files import failure, told, write_file
from rmaplab.trace import read


def left_over(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o640)
    inode = path.stat().st_ino
    write_file(path, "new", private=True)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    assert path.stat().st_ino != inode
    assert not left_over(tmp_path)


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    for name, before in (("there", "old"), ("missing", None)):
        if before is not None:
            (tmp_path / name).write_text(before)
        link = tmp_path / f"to-{name}"
        link.symlink_to(name)
        write_file(link, "new")
        assert link.is_symlink()
        assert (tmp_path / name).read_text() == "new"


def test_a_device_stays_a_device() -> None:
    before = os.stat("/dev/null")
    write_file("/dev/null", "page")
    after = os.stat("/dev/null")
    assert (after.st_ino, after.st_rdev, after.st_mode) == (before.st_ino, before.st_rdev, before.st_mode)


def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    path, heard = tmp_path / "fifo", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: heard.append(path.read_text()))
    reader.start()
    write_file(path, "page")
    reader.join(10)
    assert heard == ["page"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_that_is_full_is_the_systems_fault() -> None:
    with pytest.raises(NotAvailable, match="/dev/full: cannot be written: No space left"):
        write_file("/dev/full", "page")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (".", "Is a directory"),
        ("n" * 300, "File name too long"),
        ("file/below", "Not a directory"),
        ("missing/below", "No such file"),
        ("loop", "Too many levels"),
        ("a\0b", "null byte"),
    ],
)
def test_a_path_that_cannot_be_is_one_line(tmp_path: Path, name: str, rule: str) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(RmaplabError, match=rule) as caught:
        write_file(f"{tmp_path}/{name}", "new")
    assert not isinstance(caught.value, NotAvailable)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "old"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("n" * 255), "new")
    assert os.listdir(tmp_path) == ["n" * 255]


def test_a_full_disk_leaves_no_trace_and_no_rest(workplace: Path) -> None:
    disk = workplace / "disk"
    disk.mkdir()
    place = Place(small=((str(disk), 8192),))
    done = place.rmaplab("run", "prefork", "--size", "8M", "--on", "model", "--save-trace", str(disk / "t"))
    assert done.returncode == 3, done.stderr
    assert done.stderr.decode().strip().split("\n")[-1].endswith("cannot be written: No space left on device")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_quota_is_as_full_as_a_disk(number: int) -> None:
    with pytest.raises(NotAvailable, match="f: cannot be written: "), told("f"):
        raise OSError(number, os.strerror(number))
    assert isinstance(failure("f", number, "full"), NotAvailable)
    assert not isinstance(failure("f", errno.EACCES, "no"), NotAvailable)


def test_a_library_that_meets_a_quota_says_so_in_the_systems_words() -> None:
    with pytest.raises(NotAvailable, match="f: cannot be written: Disk quota exceeded"), told("f", ValueError):
        raise ValueError(f"Disk quota exceeded (os error {errno.EDQUOT})")


def test_a_limit_on_files_is_none_on_the_probes() -> None:
    """They make memory of each kind, and what is shared must be no file that the limit forbids (`ulimit -f 1`)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (mmap.PAGESIZE // 4, before[1]))
    try:
        with ownpages.shmem(16, twice=True) as address:
            assert ctypes.string_at(address + 15 * mmap.PAGESIZE, 1) == b"\1"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full(workplace: Path) -> tuple[Place, Path]:
    disk = workplace / "disk"
    disk.mkdir()
    return Place(small=((str(disk), 4096),)), disk


def test_a_plot_on_a_full_disk_takes_no_table_along(full: tuple[Place, Path]) -> None:
    place, disk = full
    words = ("bench", "--scheme", "packed", "--order", "2", "--rounds", "1", "--json", "--plot", f"{disk}/p.png")
    done = place.rmaplab(*words)
    assert done.returncode == 3, done.stderr
    assert done.stderr.decode().strip().split("\n")[-1].endswith("p.png: cannot be written: No space left on device")
    assert done.stdout.startswith(b"{")


@pytest.mark.live
@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("option", ["--parquet", "--html"])
def test_an_output_of_a_look_on_a_full_disk_takes_no_table_along(full: tuple[Place, Path], option: str) -> None:
    place, disk = full
    done = place.rmaplab("inspect", os.getpid(), "--json", option, f"{disk}/out")
    assert done.returncode == 3, done.stderr
    assert b"out: cannot be written: No space left on device" in done.stderr
    assert done.stdout.startswith(b"{")


@pytest.mark.live
@pytest.mark.usefixtures("frames")
def test_what_was_recorded_survives_a_full_disk(full: tuple[Place, Path]) -> None:
    place, disk = full
    done = place.rmaplab("record", f"{disk}/t", "--pid", os.getpid(), "--snapshots", "1")
    assert done.returncode == 3, done.stderr
    line = done.stderr.decode().strip().split("\n")[-1]
    assert "cannot be written: No space left on device; the trace is in " in line
    kept = Path(line.rpartition(" ")[2])
    assert (kept / "meta.json").exists()
    shutil.rmtree(kept.parent)


@pytest.mark.live
@pytest.mark.usefixtures("frames")
def test_a_full_stdout_takes_no_file_along(workplace: Path) -> None:
    with open("/dev/full", "w") as full:
        words = ("inspect", str(os.getpid()), "--html", str(workplace / "h"), "--parquet", str(workplace / "p"))
        done = rmaplab(*words, stdout=full)
    assert done.returncode == 3, done.stderr
    assert (workplace / "h").stat().st_size > 0
    assert (workplace / "p" / "meta.json").exists()


def test_a_mounted_file_is_not_replaced(workplace: Path) -> None:
    source, target = workplace / "source", workplace / "target"
    source.write_text("old")
    target.write_text("under")
    program = (
        "import sys; from rmaplab.system.files import write_file\n"
        "from rmaplab.errors import RmaplabError\n"
        "try: write_file(sys.argv[1], 'new')\n"
        "except RmaplabError as error: print(error)"
    )
    done = Place(binds=((str(source), str(target)),)).run(sys.executable, "-c", program, target)
    assert done.stdout.decode().strip() == f"{target}: cannot be written: Device or resource busy", done.stderr
    assert (source.read_text(), target.read_text()) == ("old", "under")
    assert not left_over(workplace)


@pytest.mark.usefixtures("frames")
def test_a_recording_that_finds_no_room_is_saved_elsewhere(workplace: Path) -> None:
    disk = workplace / "disk"
    disk.mkdir()
    place = Place(small=((str(disk), 8192),))
    done = place.rmaplab("record", str(disk / "t"), "--around", "sh -c 'exit 7'", env={"TMPDIR": str(workplace)})
    assert done.returncode == 3, done.stderr
    line = done.stderr.decode().strip().split("\n")[-1]
    found = re.search(r"No space left on device; the trace is in (.*)$", line)
    assert found, line
    assert read(found[1]).meta.source == "inspect"
    assert not left_over(disk)


@pytest.mark.usefixtures("frames")
def test_a_recording_that_finds_no_room_anywhere_says_so(workplace: Path) -> None:
    disk = workplace / "disk"
    disk.mkdir()
    place = Place(small=((str(disk), 8192),))
    done = place.rmaplab("record", str(disk / "t"), "--pid", os.getpid(), "--snapshots", "1", env={"TMPDIR": str(disk)})
    assert done.returncode == 3, done.stderr
    assert done.stderr.decode().strip().split("\n")[-1].endswith("the trace is lost")
