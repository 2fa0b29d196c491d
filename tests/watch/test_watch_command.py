"""`rmaplab watch` as a program: its sum is true, its exit status is the command's, nothing of it stays in the kernel."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from programs_to_watch import NAME

from commands import RMAPLAB, no_traceback, rmaplab
from rmaplab.bpf import syscalls
from rmaplab.inspect.processes import cgroup_of
from rmaplab.watch.watcher import Watch

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("nothing_stays")]

PROGRAM = (sys.executable, str(Path(__file__).with_name("programs_to_watch.py")))
WRITES = """
const buffers = [];
for (let n = 0; n < 8; n++) buffers.push(Buffer.alloc(1 << 20));
function readsEveryPage(b) { let sum = 0; for (let i = 0; i < b.length; i += 4096) sum += b[i]; return sum; }
function writesEveryPage(b) { for (let i = 0; i < b.length; i += 4096) b[i] = 1; }
for (const one of buffers) readsEveryPage(one);
for (const one of buffers) writesEveryPage(one);
setTimeout(() => {}, 1000);
"""
"""Pages that were read first are the zero page, and a write copies it."""

KEYS = {"seconds", "faults", "copied", "reused", "needless", "lost", "bytes", "exactness", "processes", "stacks"}


def watched(*words: str, **options: Any) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    done = rmaplab("watch", "--json", "--", *words, **options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[-1], done


def of_truth(process: dict[str, Any]) -> dict[str, Any]:
    """What a process did to the memory whose truth is known."""
    rows = [row for row in process["by_vma"] if row["vma"] == NAME]
    return rows[0] if rows else {"copied": 0, "reused": 0, "needless": 0, "bytes": 0}


@pytest.mark.parametrize(("children", "pages"), [(1, 300), (8, 100)])
def test_the_sum_has_every_copy_of_every_process(children: int, pages: int) -> None:
    found, done = watched(*PROGRAM, "family", str(children), str(pages))
    assert done.returncode == 0
    assert found.keys() >= KEYS
    assert (found["exactness"], found["lost"]) == ("exact", 0)
    parent, *forked = [one for one in found["processes"] if one["copied"] + one["reused"]]
    assert len(forked) == children
    assert {one["parent"] for one in forked} == {parent["pid"]}
    for child in forked:
        assert of_truth(child)["copied"] == pages
        assert of_truth(child)["bytes"] == 4096 * pages
    assert (of_truth(parent)["copied"], of_truth(parent)["reused"]) == (0, pages)
    assert found["needless"] == 0
    for key in ("faults", "copied", "reused", "bytes"):
        assert found[key] == sum(one[key] for one in found["processes"])


def test_a_fault_waits_for_its_mapping_where_the_mappings_were_read_a_moment_ago() -> None:
    with Watch() as watched:
        command = watched.launch([*PROGRAM, "family", "1", "50"])
        while not command.ended():
            watched.poll()
            for one in watched.ledger.processes.values():
                one.space.took = 0.006  # as a large process' would: 0.3 s until they are read again
            time.sleep(0.01)
        assert command.wait() == 0
        watched.poll()
        watched.settle()
        labels = [set(one.vmas) for one in watched.ledger.processes.values() if one.vmas]
    assert len(labels) == 2
    assert all(NAME in one and "?" not in one for one in labels)


def test_the_stack_names_the_function_that_wrote() -> None:
    found, _ = watched(*PROGRAM, "family", "4", "200")
    assert found["stacks"][0]["copied"] >= 4 * 200
    assert "(" in found["stacks"][0]["frames"][0]


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_exit_status_is_the_commands(code: int) -> None:
    _, done = watched(*PROGRAM, "status", str(code))
    assert done.returncode == code


def test_a_command_that_cannot_be_started_is_a_line() -> None:
    done = rmaplab("watch", "--json", "--", "/no/such/program")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/no/such/program" in done.stderr


@pytest.mark.parametrize(
    "words",
    [[], ["--pid", "1", "--", "true"], ["--pid", "4194303"], ["--cgroup", "/no/such"], ["--every", "nan", "--", "true"]],
)
def test_senseless_calls_are_refused_in_a_line(words: list[str]) -> None:
    done = rmaplab("watch", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def started(*words: str) -> subprocess.Popen[str]:
    running = subprocess.Popen(
        [*RMAPLAB, "watch", "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "ready\n"
    return running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_watch_with_its_sum_and_the_command(number: signal.Signals) -> None:
    running = started("--", *PROGRAM, "wait", "0")
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    no_traceback(err.replace("Traceback", "") if number == signal.SIGINT else err)  # the command's own, of ^C
    assert json.loads(out.splitlines()[-1])["kind"] == "sum"
    assert running.returncode in (128 + number, 1 if number == signal.SIGINT else -1)


def test_nothing_is_attached_after_sigkill() -> None:
    """`nothing_stays` looks afterwards; the command, which nobody can end any more, is ended here."""
    before = syscalls.loaded()
    running = started("--", *PROGRAM, "wait", "0")
    now = syscalls.loaded()
    assert {now.programs.get(now.links[link]) for link in now.links.keys() - before.links.keys()} >= {"rmaplab_begin"}
    assert {now.maps[one] for one in now.maps.keys() - before.maps.keys()} >= {"rmaplab_targets", "rmaplab_ring"}
    child = int(Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()[0])
    running.kill()
    subprocess.run(["kill", "-9", "--", f"-{child}"], check=True)
    running.communicate(timeout=60)


@pytest.fixture
def two_groups() -> Iterator[list[Path]]:
    """Two cgroups, made for the test, in the hierarchy that counts memory."""
    v1 = Path("/sys/fs/cgroup/memory")
    root = v1 if (v1 / "cgroup.procs").exists() else Path("/sys/fs/cgroup")
    root = root / cgroup_of(os.getpid()).lstrip("/") if (root / "cgroup.procs").exists() else root
    groups = [root / f"rmaplab-test-{os.getpid()}-{which}" for which in "ab"]
    try:
        for group in groups:
            group.mkdir()
    except OSError as refused:
        pytest.skip(f"no cgroup can be made: {refused}")
    yield groups
    for group in groups:
        group.rmdir()


def test_a_cgroup_has_the_faults_of_the_processes_that_were_put_there(two_groups: list[Path]) -> None:
    found, done = watched(*PROGRAM, "placed", "150", *map(str, two_groups))
    assert done.returncode == 0, done.stderr
    rows = {Path(one["cgroup"]).name: one for one in found["cgroups"]}
    for group in two_groups:
        mine = [one for one in found["processes"] if Path(one["cgroup"]).name == group.name]
        assert len(mine) == 3
        assert sum(of_truth(one)["copied"] for one in mine) == 2 * 150
        assert rows[group.name]["processes"] == 3
        assert rows[group.name]["copied"] >= 2 * 150
    for key in ("faults", "copied", "reused", "bytes"):
        assert sum(one[key] for one in found["cgroups"]) == found[key]


def test_a_perf_map_names_the_interpreted_function_that_wrote(tmp_path: Path) -> None:
    """node writes /tmp/perf-PID.map, as CPython 3.12 does with -X perf."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "write.js"
    script.write_text(WRITES)
    found, done = watched(node, "--perf-basic-prof", "--always-sparkplug", str(script), cwd=tmp_path)
    for one in found["processes"]:
        Path(f"/tmp/perf-{one['pid']}.map").unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    wrote = [one for one in found["stacks"] if "writesEveryPage" in " ".join(one["frames"])]
    assert sum(one["copied"] for one in wrote) >= 8 * 250
    assert not any("readsEveryPage" in frame for one in found["stacks"] for frame in one["frames"])


def test_a_thread_of_the_kernel_has_nothing_to_watch() -> None:
    try:
        known = Path("/proc/2/comm").read_text() == "kthreadd\n"
    except OSError:
        known = False
    if not known:
        pytest.skip("/proc shows no thread of the kernel")
    done = rmaplab("watch", "--pid", "2", "--seconds", "0.1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "rmaplab: PID 2: has no address space that could be read\n"


def test_a_cgroup_is_watched_while_its_processes_come_and_go() -> None:
    root = next(
        (one for one in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")) if (one / "cgroup.procs").exists()), None
    )
    if root is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = root / f"rmaplab-test-{os.getpid()}"
    group.mkdir()
    running = subprocess.Popen([*PROGRAM, "wait", "0"], stdout=subprocess.PIPE)
    try:
        (group / "cgroup.procs").write_text(str(running.pid))
        done = rmaplab("watch", "--json", "--cgroup", str(group), "--seconds", "1")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert running.pid in {one["pid"] for one in found["processes"]}
        assert sum(of_truth(one)["copied"] for one in found["processes"]) > 0
    finally:
        running.kill()
        running.communicate()
        deadline = time.monotonic() + 20
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        group.rmdir()
