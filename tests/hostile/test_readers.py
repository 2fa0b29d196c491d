"""Every function that reads /proc, or a file that a process chose, with any bytes there: an answer, or one clear line."""

import io
import os
import random
import resource
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmaplab.errors import RmaplabError
from rmaplab.inspect import cgroups, family, kernel, price, processes
from rmaplab.machine.live.proc import procfs
from rmaplab.system import pids, signals
from rmaplab.text import for_terminal
from rmaplab.watch import estimate, space, symbols, watcher

PID = 7
NUMBERS = b" ".join(str(number).encode() for number in range(60))
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = (
    """7 (|) S |) |-|0 kB|0::/|:| |Rss: 4 kB|proc /proc proc hidepid=2|1000 20 name|00400000-00401000 r-xp 0 00:00 0 """
)
KEYS = ("Tgid", "NSpid", "SigPnd", "CapEff", "VmSwap", "SwapCached")
pieces = st.sampled_from(
    [
        *(piece.encode() for piece in PIECES.split("|")),
        *(f"{key}:\t".encode() for key in KEYS),
        *(NUMBERS, b"9" * 30, b"f" * 20, b"x" * 16, b"\n", b"\0", b"\xff\x85", "\u2028".encode()),
    ]
)
contents = st.one_of(st.binary(max_size=80), st.lists(pieces, max_size=12).map(b"".join))


def stop_waits() -> bool:
    target = object.__new__(signals.Target)
    target.pid = PID
    return target.stop_waits()


IN_A_FOLDER: dict[str, Callable[[], object]] = {
    "process": lambda: processes.process(PID),
    "processes": processes.processes,
    "hidden_processes": processes.hidden_processes,
    "swaps": lambda: processes.swaps(PID),
    "command_line": lambda: processes.command_line(PID),
    "cgroup_of": lambda: processes.cgroup_of(PID),
    "descendants": lambda: processes.descendants(PID),
    "rollup": lambda: kernel.rollup(PID),
    "per_vma": lambda: kernel.per_vma(PID),
    "parent": lambda: family._parent(PID),
    "swap_cache": price._swap_cache_in_use,
    "regions": lambda: procfs.regions(PID),
    "members": lambda: cgroups._numbers(procfs.PROC / str(PID) / "cgroup"),
}
FILES = ("stat", "status", "cmdline", "cgroup", "smaps", "smaps_rollup", "maps", "task/7/stat")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """A /proc of our own of which every file has the same content."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    for name in ("7/task/7", "self"):
        (tmp_path / name).mkdir(parents=True)

    def fill(raw: bytes) -> None:
        for name in (*(f"7/{file}" for file in FILES), "self/mounts", "self/status", "meminfo"):
            (tmp_path / name).write_bytes(raw)

    return fill


def tried(read: Callable[[], object]) -> None:
    try:
        read()
    except RmaplabError as error:
        line = str(error)
        assert line
        assert "\n" not in for_terminal(line)


@pytest.mark.parametrize("read", IN_A_FOLDER.values(), ids=IN_A_FOLDER)
@given(raw=contents)
@quick
def test_a_reader_of_proc_answers_or_says_one_line(
    proc: Callable[[bytes], None], read: Callable[[], object], raw: bytes
) -> None:
    proc(raw)
    tried(read)


BY_OPEN: dict[str, tuple[Any, Callable[[], object]]] = {
    "start_time": (pids, lambda: pids.start_time(PID)),
    "process_of": (pids, lambda: pids.process_of(PID)),
    "ancestors": (pids, pids.ancestors),
    "watch: name": (watcher, lambda: watcher._name(PID)),
    "watch: space": (space, lambda: space.read(os.getpid())),
    "watch: inner": (symbols, lambda: symbols._inner(PID)),
    "watch without root": (estimate, lambda: estimate.Estimate("why")._look(PID)),
    "stop_waits": (signals, stop_waits),
}


@pytest.mark.parametrize(("module", "read"), BY_OPEN.values(), ids=BY_OPEN)
@given(raw=contents)
@quick
def test_a_reader_that_opens_its_file_answers_or_says_one_line(
    monkeypatch: pytest.MonkeyPatch, module: Any, read: Callable[[], object], raw: bytes
) -> None:
    monkeypatch.setattr(module, "content", lambda *_: raw)
    tried(read)


@pytest.mark.parametrize("read", IN_A_FOLDER.values(), ids=IN_A_FOLDER)
def test_a_reader_does_not_follow_a_file_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[], object]
) -> None:
    """A device in the place of each file (one mounts it over /proc): a line, within a gigabyte."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    for name in (*(f"7/{file}" for file in FILES), "self/mounts", "self/status", "meminfo"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to("/dev/zero")
    before = resource.getrlimit(resource.RLIMIT_AS)
    room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (room, before[1]))
    try:
        with suppress(OSError):
            tried(read)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_command_line_may_be_all_of_a_processs_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PR_SET_MM lets a process say so."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    for length in (1, 1 << 17):
        (tmp_path / "7/cmdline").write_bytes(b"x" * length + b"\0")
        assert processes.command_line(7).startswith("x" * length)
    with open(tmp_path / "7/cmdline", "wb") as file:
        file.write(b"x" * 10)
        file.truncate(1 << 40)
    shown = processes.command_line(7)
    assert shown.startswith("x" * 10)
    assert shown.endswith("...")
    assert len(shown) < 1 << 18


@given(raw=st.one_of(contents, st.lists(contents, max_size=4).map(b"\n".join)))
@quick
def test_a_map_for_perf_may_say_anything(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(symbols, "_opened", lambda _: io.BytesIO(raw))
    found = symbols._perf_map(PID)
    assert found.starts == sorted(found.starts)
    assert len(found.starts) == len(found.sizes) == len(found.names)


def test_a_fifo_in_the_place_of_a_file_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link"):
        found, segments = symbols._functions(str(tmp_path / name))
        assert (found.starts, segments) == ([], [])


def test_a_program_may_be_written_wrongly_on_purpose(tmp_path: Path) -> None:
    """Bytes of the header, the program headers and the section headers changed: symbols, or none."""
    source, program = tmp_path / "one.c", tmp_path / "one"
    source.write_text("int function(void) { return 1; } int main(void) { return function(); }\n")
    subprocess.run(["gcc", "-o", program, source], check=True)
    whole = program.read_bytes()
    names = symbols._functions(str(program))[0].names
    assert "function" in names
    sections = int.from_bytes(whole[40:48], "little")
    places = [*range(64 + 13 * 56), *range(sections, len(whole))]
    chance = random.Random(1)
    for _ in range(150):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            raw[chance.choice(places)] = chance.choice((0, 1, 127, 128, 255))
        program.write_bytes(raw)
        symbols._functions(str(program))
    huge = bytearray(whole)
    for at in range(sections, len(whole) - 63, 64):
        huge[at + 32 : at + 40] = (1 << 40).to_bytes(8, "little")  # sh_size
    program.write_bytes(huge)
    assert symbols._functions(str(program))[0].names == []
