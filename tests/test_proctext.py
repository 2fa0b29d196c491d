"""Text of /proc is taken apart right whatever bytes the names in it are."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab import proctext
from rmaplab.proctext import Malformed, encoded
from rmaplab.text import for_terminal

NAMES = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"?"))
NASTY = (
    b"",
    b"a b",
    b") R 1 2",
    b"a\nb",
    "a\u2028b".encode(),
    b"\x85\x1c\x0b\x0c\r",
    b"\xff\xfe",
    b"\\040",
    b"(deleted)",
    b"x:y:z",
)
names = st.one_of(NAMES, st.sampled_from(NASTY))
lines = names.map(lambda name: name.replace(b"\n", b"\\012"))
"""As the kernel writes a name where newlines are escaped."""
addresses = st.integers(0, (1 << 64) - 2)
NUMBERS = b" ".join(str(n).encode() for n in range(49))

READERS = (
    proctext.stat, proctext.maps_line, lambda raw: list(proctext.smaps(raw)), proctext.fields, proctext.arguments,
    proctext.cgroups, proctext.pids, proctext.mounts, proctext.mountinfo, proctext.swaps, proctext.unescaped,
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@given(raw=st.one_of(st.binary(), names))
def test_no_bytes_bring_a_reader_to_more_than_a_clear_line(reader, raw: bytes) -> None:
    said = ""
    try:
        reader(raw)
    except Malformed as error:
        said = str(error)
    assert for_terminal(said) == said


@given(names)
def test_a_name_keeps_its_bytes(name: bytes) -> None:
    assert encoded(proctext.decoded(name)) == name


@given(names)
def test_stat_finds_the_numbers_after_any_name(name: bytes) -> None:
    found = proctext.stat(b"17 (" + name + b") S " + NUMBERS + b"\n")
    assert encoded(found.name) == name
    assert found.fields == ("S", *NUMBERS.decode().split())


@given(addresses, addresses, lines)
def test_a_vma_has_its_bounds_and_path_whatever_the_path(start: int, end: int, path: bytes) -> None:
    path = b"/memfd:" + path
    line = b"%x-%x rw-s 00001000 00:01 1234" % (start, end)
    found = proctext.maps_line(line.ljust(72) + b" " + path)
    assert (found.start, found.end, found.permissions, found.offset) == (start, end, "rw-s", 4096)
    assert encoded(found.path) == path


def test_anonymous_memory_has_no_path() -> None:
    assert proctext.maps_line(b"7f00-8f00 rw-p 00000000 00:00 0 ").path == ""
    assert proctext.maps_line(b"7f00-8f00 rw-p 00000000 00:00 0").path == ""


@given(st.lists(st.tuples(addresses, lines, st.integers(0, 1 << 40)), unique_by=lambda one: one[0]))
def test_smaps_invents_and_loses_no_vma(vmas: list[tuple[int, bytes, int]]) -> None:
    raw = b"".join(
        b"%x-%x rw-s 00000000 00:01 7   /memfd:%b\nSize: 9 kB\nRss: %16d kB\nVmFlags: rd Rss: 5 kB\n"
        % (at, at + 1, path, kb)
        for at, path, kb in vmas
    )
    assert [(at, sizes["Rss"]) for at, sizes in proctext.smaps(raw)] == [(at, kb << 10) for at, _, kb in vmas]


@given(lines, lines)
def test_a_cgroup_is_told_whatever_its_name(modern: bytes, old: bytes) -> None:
    found = proctext.cgroups(b"5:memory,cpu:/" + old + b"\n0::/" + modern + b"\n")
    assert {key: encoded(path) for key, path in found.items()} == {"memory,cpu": b"/" + old, "": b"/" + modern}


def escaped(name: bytes) -> bytes:
    """As fs/proc_namespace.c: mangle(m, s) escapes " \\t\\n\\\\#"."""
    return re.sub(rb"[ \t\n\\#]", lambda found: b"\\%03o" % found[0][0], name)


@given(st.lists(st.tuples(names, names), max_size=4))
def test_mount_points_come_back_byte_for_byte(found: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(b"%b /%b tmpfs rw,hidepid=2 0 0\n" % (escaped(source), escaped(point)) for source, point in found)
    assert [encoded(mount.point) for mount in proctext.mounts(raw)] == [b"/" + point for _, point in found]
    raw = b"".join(
        b"36 35 98:0 / /%b rw,noatime master:1 - ext3 %b rw,errors=continue\n" % (escaped(point), escaped(source))
        for source, point in found
    )
    mounts = proctext.mountinfo(raw)
    assert [encoded(mount.point) for mount in mounts] == [b"/" + point for _, point in found]
    assert all((one.device, one.kind, one.options[-1]) == ("98:0", "ext3", "errors=continue") for one in mounts)


def test_mountinfo_of_a_mount_named_dash_is_read() -> None:
    (mount,) = proctext.mountinfo(b"1 2 0:5 - - rw - proc - rw,hidepid=2\n")
    assert (mount.kind, mount.options) == ("proc", ("rw", "rw", "hidepid=2"))


@given(st.lists(names.map(lambda name: name or b"x"), min_size=1))
def test_arguments_end_at_nul_and_nowhere_else(words: list[bytes]) -> None:
    assert [encoded(word) for word in proctext.arguments(b"\0".join(words) + b"\0")] == words


def test_smaps_has_the_vmas_of_maps_in_an_idle_process() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as idle:
        assert idle.stdin and idle.stdout  # noqa: PT018
        idle.stdin.write(b"up\n")
        idle.stdin.flush()
        assert idle.stdout.readline() == b"up\n"
        maps = proctext.lines(Path(f"/proc/{idle.pid}/maps").read_bytes())
        smaps = [start for start, _ in proctext.smaps(Path(f"/proc/{idle.pid}/smaps").read_bytes())]
    assert smaps == [proctext.maps_line(line).start for line in maps]


def test_this_process_is_read_as_others_read_it() -> None:
    def content(name: str) -> bytes:
        with open(f"/proc/self/{name}", "rb") as file:
            return file.read()

    assert int(proctext.stat(content("stat")).fields[1]) == os.getppid()
    assert proctext.fields(content("status"))["Pid"] == str(os.getpid())
    assert any(mount.point == "/proc" for mount in proctext.mounts(content("mounts")))
    assert any(mount.point == "/proc" for mount in proctext.mountinfo(content("mountinfo")))
    assert proctext.cgroups(content("cgroup"))
    assert sum(sizes["Rss"] for _, sizes in proctext.smaps(content("smaps_rollup"))) > 1 << 20
