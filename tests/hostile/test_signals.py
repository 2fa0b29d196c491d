"""Signals reach whom they are meant for: nobody else is stopped, nobody stays stopped, a command's end is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import Place

from commands import RMAPLAB, rmaplab
from rmaplab.errors import RmaplabError
from rmaplab.inspect.cgroups import cgroup_pids
from rmaplab.inspect.freeze import Interrupted, frozen
from rmaplab.system.command import Command
from rmaplab.system.pids import MAX_PID, Seen, checked_pid, find
from rmaplab.system.signals import Gone, Target, catching, shielded
from rmaplab.trace import read

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def becomes(pid: int, wanted: str) -> bool:
    limit = time.monotonic() + 10
    while state(pid) not in wanted and time.monotonic() < limit:
        time.sleep(0.01)
    return state(pid) in wanted


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as child:
        yield child
        child.kill()


NO_PIDS = [-1, 0, MAX_PID + 1, 1 << 64, True, False, 1.0, None, b"1", "", "-1", "1.0", "0x1", " 1", "\u0661"]


@pytest.mark.parametrize("value", NO_PIDS)
def test_what_is_no_pid_is_refused_by_name(value: object) -> None:
    with pytest.raises(RmaplabError, match="must be a running process"):
        checked_pid(value)


def test_minus_one_stops_nobody() -> None:
    script = (
        f"sleep 100 & other=$!; kill -STOP $other; sleep 100 & free=$!; {' '.join(map(repr, RMAPLAB))} inspect --freeze"
        " -- -1; echo $?; for p in $other $free; do cut -d' ' -f3 /proc/$p/stat; done; kill -KILL $other $free"
    )
    done = Place(own_pids=True).run("bash", "-c", script)
    assert done.stdout.split()[:2] == [b"2", b"T"], done.stderr
    assert done.stdout.split()[2] in (b"S", b"R", b"D")
    assert b"PID -1: must be a running process" in done.stderr


def test_a_thread_is_named_as_its_process() -> None:
    program = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); print('up', flush=True)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tid = next(int(t) for t in os.listdir(f"/proc/{child.pid}/task") if int(t) != child.pid)
        with pytest.raises(RmaplabError, match=f"PID {tid}: is a thread of process {child.pid}"):
            find(tid)
        child.kill()


def test_a_reused_pid_gets_no_signal(sleeper: subprocess.Popen[bytes]) -> None:
    seen = find(sleeper.pid)
    with pytest.raises(Gone):
        Target(Seen(seen.pid, seen.start - 1))


def test_what_others_stop_meanwhile_stays_stopped(sleeper: subprocess.Popen[bytes]) -> None:
    with frozen([sleeper.pid]):
        assert state(sleeper.pid) == "T"
        os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(0.1)
    assert state(sleeper.pid) == "T"
    os.kill(sleeper.pid, signal.SIGCONT)
    assert becomes(sleeper.pid, "SR")


def test_nobody_stays_stopped_when_we_are_killed(sleeper: subprocess.Popen[bytes]) -> None:
    program = (
        "import sys, time; from rmaplab.inspect.freeze import frozen\n"
        "with frozen([int(sys.argv[1])]): print('stopped', flush=True); time.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(sleeper.pid)], stdout=subprocess.PIPE) as freezer:
        assert freezer.stdout is not None
        assert freezer.stdout.readline() == b"stopped\n"
        assert state(sleeper.pid) == "T"
        freezer.kill()
    assert becomes(sleeper.pid, "SR")


def test_a_shielded_block_ends_before_its_signal_counts() -> None:
    done = []

    def signalled() -> None:
        with catching(), shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(1)

    with pytest.raises(Interrupted) as caught:
        signalled()
    assert (done, caught.value.code) == ([1], 128 + signal.SIGTERM)


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 137), ("exit 0", 0)])
def test_a_commands_status_is_passed_on(script: str, code: int) -> None:
    assert Command(["sh", "-c", script]).wait() == code


@pytest.mark.usefixtures("frames")
def test_snapshots_end_the_looking_not_the_command(tmp_path: Path) -> None:
    words = ("record", str(tmp_path / "t"), "--around", "sh -c 'sleep 6; echo finished; exit 3'", "--snapshots", "1")
    done = rmaplab(*words)
    assert (done.returncode, done.stdout) == (3, "finished\n"), done.stderr


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_that_ignores_it_and_the_trace_is_written(tmp_path: Path, number: int) -> None:
    stubborn = f"sh -c 'trap \"\" INT TERM HUP; echo $$ >{tmp_path}/pid; while :; do sleep 0.2; done'"
    words = [*RMAPLAB, "record", str(tmp_path / "t"), "--around", stubborn, "--every", "0.1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as running:
        limit = time.monotonic() + 60
        while not (tmp_path / "pid").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(2)
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGKILL, said
    assert "Traceback" not in said
    read(tmp_path / "t")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup v2 of the test's own, with a `threaded` one below; both go with the test."""
    roots = map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
    root = next((path for path in roots if (path / "cgroup.controllers").exists()), None)
    if root is None or os.geteuid():
        pytest.skip("no cgroup v2 that one may make a cgroup in")
    made = root / f"rmaplab-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"{made}: {error.strerror}")
    try:
        (made / "threaded").mkdir()
        (made / "threaded" / "cgroup.type").write_text("threaded")
        yield made
    finally:
        (made / "cgroup.freeze").write_text("0")
        for folder in (made / "threaded", made):
            for pid in (folder / "cgroup.threads").read_text().split() if folder.exists() else []:
                (root / "cgroup.procs").write_text(pid)
            folder.rmdir()


def test_of_a_threaded_cgroup_the_processes_are_stopped(cgroup: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (cgroup / "cgroup.procs").write_text(str(sleeper.pid))
    (cgroup / "threaded" / "cgroup.threads").write_text(str(sleeper.pid))
    pids = cgroup_pids(str(cgroup / "threaded"))
    assert pids == [sleeper.pid]
    with frozen(pids, cgroup / "threaded"):
        assert state(sleeper.pid) == "T"
        assert (cgroup / "threaded" / "cgroup.freeze").read_text() == "0\n"
    assert becomes(sleeper.pid, "SR")
    with frozen(cgroup_pids(str(cgroup)), cgroup):  # the one above has a freezer for all
        assert "frozen 1" in (cgroup / "cgroup.events").read_text()
    assert "frozen 0" in (cgroup / "cgroup.events").read_text()


@pytest.mark.usefixtures("frames")
def test_a_cgroup_that_was_frozen_stays_frozen(cgroup: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (cgroup / "cgroup.procs").write_text(str(sleeper.pid))
    (cgroup / "cgroup.freeze").write_text("1")
    done = rmaplab("inspect", "--cgroup", str(cgroup), "--freeze")
    assert done.returncode == 0, done.stderr
    assert (cgroup / "cgroup.freeze").read_text() == "1\n"
    assert "frozen 1" in (cgroup / "cgroup.events").read_text()
    (cgroup / "cgroup.freeze").write_text("0")
    done = rmaplab("inspect", "--cgroup", str(cgroup), "--freeze")
    assert done.returncode == 0, done.stderr
    assert (cgroup / "cgroup.freeze").read_text() == "0\n"
    assert state(sleeper.pid) in "SR"


def test_who_is_stopped_in_a_cgroup_that_thaws_stays_stopped(cgroup: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (cgroup / "cgroup.procs").write_text(str(sleeper.pid))
    os.kill(sleeper.pid, signal.SIGSTOP)
    assert becomes(sleeper.pid, "T")
    with frozen([sleeper.pid], cgroup):
        pass
    assert state(sleeper.pid) == "T"
