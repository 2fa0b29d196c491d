"""Whatever the machine does meanwhile, or refuses: an answer or one clear line, and never a traceback."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from inspecting import area, fresh, look_at, need_order
from typer.testing import CliRunner

from commands import RMAPLAB, rmaplab
from rmaplab.cli.build import build
from rmaplab.inspect import kernel, unprivileged
from rmaplab.inspect import processes as processes_module
from rmaplab.inspect import snapshot as snapshot_module
from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.freeze import Interrupted, frozen
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.processes import Notes, Process, group, process
from rmaplab.inspect.recheck import recheck
from rmaplab.inspect.snapshot import of_pids, take
from rmaplab.inspect.views import rows
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.proc import procfs

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]


@contextmanager
def python(program: str) -> Iterator[subprocess.Popen[str]]:
    """A Python child that runs `program` and has printed a line; killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        try:
            yield child
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def test_processes_that_come_go_and_exec_while_read_leave_a_note_at_most(view: KernelView) -> None:
    churn = """
        import os, time
        print("up", flush=True)
        while True:
            pid = os.fork()
            if not pid:
                os.fork()
                held = bytearray(1 << 20)
                os.execv("/bin/true", ["true"])
            os.waitpid(pid, 0)
    """
    with python(churn), python(churn):
        for _ in range(3):
            found = take(view)
            assert len(found.mms) > 2


@pytest.mark.usefixtures("view")
def test_mapping_that_changes_while_read_is_counted_by_the_second_pass() -> None:
    target = """
        import mmap
        print("up", flush=True)
        while True:
            with mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
                held[::4096] = bytes(2048)
    """
    with python(target) as child:
        done = rmaplab("inspect", str(child.pid), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["second_pass"]["checked"] > 0


def test_two_thousand_idle_processes_are_read(view: KernelView) -> None:
    crowd = """
        import os, signal
        pids = [os.fork() or signal.pause() for _ in range(2000)]
        print("up", flush=True)
        signal.pause()
    """
    with python(crowd) as child:
        found = take(view, lambda mms: of_pids(mms, [child.pid]))
        family = [mm for mm in found.mms if mm.leader.identity == found.mms[found.targets[0]].leader.identity]
        assert len(family) == 2001
        assert int(found.sharing.owners.max()) >= 2001


def test_sparse_mapping_of_64_tib_costs_what_is_in_it(view: KernelView) -> None:
    sparse = """
        import ctypes, signal
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        at = libc.mmap(None, ctypes.c_size_t(64 << 40), 3, 0x4022, -1, ctypes.c_long(0))
        for i in range(16):
            ctypes.memset(at + (i << 42), 1, 1)
        print(f"{at:x}" if at != ctypes.c_void_p(-1).value else "refused", flush=True)
        signal.pause()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(sparse)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        where = child.stdout.readline().strip()
        try:
            if not where or where == "refused":
                pytest.skip("64 TiB of address space are refused here")
            row = next(r for r in rows(look_at(view, child).scope, "vma") if r["start"] == where)  # type: ignore[arg-type]
            assert 16 * 4096 <= row["resident"] <= 16 * (2 << 20)
        finally:
            child.kill()


def test_reused_pid_is_left_out(view: KernelView, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[int], Process | None] = process
    me = os.getpid()

    def other(pid: int) -> Process | None:
        found = real(pid)
        return Process(found.pid, found.start + 1, *_rest(found)) if found and pid == me else found

    monkeypatch.setattr(snapshot_module, "process", other)
    found = take(view)
    assert me not in found.mm_of_pid
    assert any("reused" in line for line in found.notes.lines())


def _rest(one: Process) -> tuple[str, int, tuple[str, ...]]:
    return one.name, one.stack, one.identity


def test_memory_shared_with_an_unreadable_process_is_not_called_exclusive(
    machine: LiveMachine, view: KernelView, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = procfs.regions
    parent = machine.spawn()
    at = parent.mmap(1 << 20, order=0)
    parent.write(at, 1 << 20)
    hidden = parent.fork()

    def refused(pid: int) -> list[procfs.Region]:
        if pid == hidden.pid:
            raise procfs.Missing(f"/proc/{pid}/maps: Permission denied")
        return real(pid)

    monkeypatch.setattr(procfs, "regions", refused)
    found = look_at(view, parent, write=True)
    assert (
        found.exactness.label == found.exactness.of("uss").label == found.prices[parent.pid].exactness.label == "estimate"
    )
    assert any(str(hidden.pid) in line for line in found.snapshot.notes.lines())
    row = area(found, parent, at)
    assert (row["exclusive"], row["shared"], row["uss"], row["pss"]) == (0, 1 << 20, 0, 1 << 19)
    assert (row["unseen"], row["exactness"]) == (1 << 20, "estimate")
    assert sum(r.pages for r in found.exactness.reasons) >= 256
    assert found.prices[parent.pid].precise >= 1 << 20


@pytest.mark.usefixtures("view")
def test_refused_kcmp_is_noted_and_mms_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    with python("import os, signal; os.fork(); os.getppid() and print('up', flush=True); signal.pause()") as child:
        monkeypatch.setattr(processes_module, "_kcmp", refused)
        notes = Notes()
        family = [p for p in processes_module.processes() if p.pid in processes_module.descendants(child.pid)]
        found = group(family, notes)
    assert [len(mm.pids) for mm in found] == [1, 1]
    assert any("kcmp" in line for line in notes.lines())


def test_without_bpf_the_truth_stands_and_the_rest_is_unknown(
    machine: LiveMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise BpfError("bpf(2), loading: Operation not permitted")

    monkeypatch.setattr("rmaplab.inspect.probes.FolioReader", refused)
    view = probe()
    assert view.reader is None
    assert {s.exactness for s in view.sources if "BPF" in s.name or "MM ids" in s.name} == {"unknown"}
    one = machine.spawn()
    at = one.mmap(1 << 20)
    one.write(at, 1 << 20)
    found = look_at(view, one, write=True)
    assert found.prices[one.pid].exactness.label == "estimate"
    assert rows(found.scope, "process")[0]["uss"] >= 1 << 20


IMPORTS = (
    "import os, signal, ctypes, rmaplab.errors, rmaplab.cli.build, rmaplab.inspect.processes as p\n"
    "try: rmaplab.cli.build.build('inspect')(['inspect', '--freeze'], standalone_mode=False)\n"
    "except rmaplab.errors.RmaplabError: pass\n"
)
NOBODY = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
"""Nobody may be unable to read Python's own modules: everything is imported before."""


def test_without_root_only_the_kernels_view_is_shown() -> None:
    if os.geteuid():
        pytest.skip("needs root to give it up")
    with python("import os\n" + NOBODY + "print('up', flush=True)\nos.execv('/bin/sleep', ['sleep', '60'])") as child:
        done = rmaplab("inspect", str(child.pid), "--json", before=IMPORTS + NOBODY)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "root" in done.stderr
    answer = json.loads(done.stdout)
    assert answer["exactness"] == "estimate"
    (row,) = answer["rows"]
    assert row["pid"] == child.pid
    assert 0 < row["uss_at_least"] <= row["uss_at_most"] < row["kernel_rss"]


@pytest.mark.parametrize("order", [0, 4, 9])
def test_the_bounds_without_frames_hold_the_truth(view: KernelView, machine: LiveMachine, order: int) -> None:
    """Of a family, of which one member maps a file twice: its pages have two mappings, and are nobody else's."""
    need_order(order)
    size = 4 << 20
    parent, file = fresh(machine), machine.file(size)
    parent.write(parent.mmap(size, order=order), size)
    child = parent.fork()
    for _ in range(2):
        child.read(child.mmap(size, file=file), size)
    child.write(child.mmap(size // 4), size // 4)
    found = {row["pid"]: row["uss"] for row in rows(look_at(view, parent, child).scope, "process")}
    for row in unprivileged.rows([parent.pid, child.pid], Notes()):
        assert row["uss_at_least"] <= found[row["pid"]] <= row["uss_at_most"]
    assert found[child.pid] - unprivileged.rows([child.pid], Notes())[0]["uss_at_least"] >= size, "mapped twice: at most"


def test_zero_pages_and_what_pmds_map_are_told_without_frames(machine: LiveMachine) -> None:
    need_order(9)
    process = fresh(machine)
    (before,) = unprivileged.rows([process.pid], Notes())
    size = 4 << 20
    process.write(process.mmap(size, order=9), size)
    process.read(process.mmap(size), size)
    (after,) = unprivileged.rows([process.pid], Notes())
    assert after["pmd_mapped"] - before["pmd_mapped"] == size
    assert after["zero"] - before["zero"] == size
    assert after["resident"] - before["resident"] < size + (1 << 20), "smaps counts no zero page"


def test_hidden_processes_are_noted() -> None:
    if os.geteuid():
        pytest.skip("needs root to mount /proc with hidepid")
    program = IMPORTS + (
        "libc = ctypes.CDLL(None)\n"
        "libc.unshare(0x20000)\n"
        "libc.mount(b'none', b'/', None, 0x44000, None)\n"
        "libc.mount(b'proc', b'/proc', b'proc', 0, b'hidepid=2')\n"
    )
    program += NOBODY + "print(p.hidden_processes(), len(p.processes()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    hidden, seen = done.stdout.split()
    assert hidden == "True"
    assert 1 <= int(seen) < len(os.listdir("/proc")) // 4


@pytest.mark.usefixtures("view")
@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["99999999"], 2, "PID 99999999: must be a running process"),
        (["--cgroup", "/no/such"], 2, "cgroup /no/such: must be"),
        (["--all", "--cgroup", "/"], 2, "must be only one of them"),
        (["--freeze"], 2, "--freeze: must come with PIDs"),
        (["1", "--sort", "nonsense", "--by", "order", "--all"], 2, "must be only one"),
        (["--by", "order", "--sort", "nonsense"], 2, "--sort nonsense: must be one of order"),
        (["--html", "/no/such/place.html"], 2, "/no/such/place.html: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], code: int, line: str) -> None:
    done = rmaplab("inspect", *words)
    assert done.returncode == code
    assert line in done.stderr
    assert "Traceback" not in done.stderr


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_freeze_stops_and_thaws_also_after_a_signal() -> None:
    with python("import time\nprint('up', flush=True)\nwhile True: time.sleep(0.01)") as child:
        with frozen([child.pid]):
            assert state(child.pid) == "T"
        assert state(child.pid) != "T"
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with pytest.raises(Interrupted) as caught, frozen([child.pid]):
                os.kill(os.getpid(), number)
            assert caught.value.code == 128 + number
            assert state(child.pid) != "T"


def test_process_that_was_stopped_before_stays_stopped() -> None:
    with python("import time\nprint('up', flush=True)\nwhile True: time.sleep(0.01)") as child:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        with frozen([child.pid]):
            pass
        assert state(child.pid) == "T"


def _end_if_frozen(knob: Path) -> None:
    assert knob.read_text().strip() in ("1", "FROZEN")
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("base", ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/freezer"])
def test_cgroup_is_frozen_by_its_freezer(base: str) -> None:
    if not Path(base, "cgroup.procs").exists():
        pytest.skip(f"{base}: no cgroup hierarchy")
    group_ = Path(base, f"rmaplab-test-{os.getpid()}")
    try:
        group_.mkdir()
    except OSError as error:
        pytest.skip(f"{base}: {error.strerror}")
    try:
        knob = next((group_ / n for n in ("cgroup.freeze", "freezer.state") if (group_ / n).exists()), None)
        if knob is None:
            pytest.skip(f"{base}: no freezer")
        with python("import time\nprint('up', flush=True)\nwhile True: time.sleep(0.01)") as child:
            (group_ / "cgroup.procs").write_text(str(child.pid))
            before = knob.read_text()
            with pytest.raises(Interrupted), frozen([child.pid], group_):
                _end_if_frozen(knob)
            assert knob.read_text() == before
    finally:
        limit = time.monotonic() + 10
        while (group_ / "cgroup.procs").read_text() and time.monotonic() < limit:
            time.sleep(0.02)
        group_.rmdir()


@pytest.mark.usefixtures("view")
def test_interrupted_command_leaves_no_traceback() -> None:
    with subprocess.Popen(
        [*RMAPLAB, "inspect", "--watch", "0.2", "--top", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in error


def test_nothing_sensitive_is_saved_unless_asked(machine: LiveMachine, tmp_path: Path) -> None:
    one = machine.spawn()
    at = one.mmap(1 << 20)
    one.write(at, 1 << 20)
    with procfs.Pagemap(one.pid) as pagemap:
        pfn = int(pagemap.entries(at, 4096)[0] & procfs.PM_PFN)
    files = ["--html", str(tmp_path / "page.html"), "--parquet", str(tmp_path / "trace")]
    done = rmaplab("inspect", str(one.pid), "--json", "--by", "vma", *files)
    assert done.returncode == 0, done.stderr
    text = done.stdout + (tmp_path / "page.html").read_text()
    assert f"{at:x}" not in text
    assert '"pfn"' not in text
    assert '"start"' not in text
    modes = {p.stat().st_mode & 0o777 for p in [tmp_path / "page.html", *(tmp_path / "trace").iterdir()]}
    assert modes == {0o600}
    folios = ("--json", "--by", "folio", "--top", "1000000")
    asked = rmaplab("inspect", str(one.pid), *folios, "--addresses", "--parquet", str(tmp_path / "t2"))
    assert pfn in [row["pfn"] for row in json.loads(asked.stdout)["rows"]]


@pytest.mark.usefixtures("view")
def test_folios_as_json_are_some_hundred_unless_more_are_asked_for_and_a_note_says_so(machine: LiveMachine) -> None:
    one = machine.spawn()
    at = one.mmap(4 << 20, order=0)
    one.write(at, 4 << 20)
    few = rmaplab("inspect", str(one.pid), "--by", "folio", "--json")
    assert len(json.loads(few.stdout)["rows"]) == 500
    assert "the first 500 of" in few.stderr
    assert "--top" in few.stderr
    many = rmaplab("inspect", str(one.pid), "--by", "folio", "--json", "--top", "1000000")
    assert len(json.loads(many.stdout)["rows"]) >= 1024
    assert "--by folio" not in many.stderr


def test_second_pass_sees_what_was_unmapped_meanwhile(machine: LiveMachine, view: KernelView) -> None:
    one = machine.spawn()
    at = one.mmap(4 << 20)
    one.write(at, 4 << 20)
    found = take(view, lambda mms: of_pids(mms, [one.pid]))
    still = recheck(found)
    one.munmap(at, 4 << 20)
    moved = recheck(found)
    mine = np.isin(found.sharing.owner, found.targets)
    inside = mine & (found.sharing.extents.vpn >= at >> 12) & (found.sharing.extents.vpn < (at + (4 << 20)) >> 12)
    assert moved.changed - still.changed >= min(int(inside.sum()), 1)


@pytest.mark.parametrize("by", ["process", "vma"])
@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), True),
        (("--columns", "pid,uss"), False),
        (("--columns", "pid,kernel_pss"), True),
        (("--columns", "pid,uss", "--sort", "kernel_pss"), True),
        (("--columns", "pid,uss", "--json"), False),
    ],
)
def test_smaps_holds_nobody_up_where_no_column_of_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, by: str, words: tuple[str, ...], asked: bool
) -> None:
    read: list[int] = []
    for name in ("rollup", "per_vma"):
        whole = getattr(kernel, name)
        monkeypatch.setattr(kernel, name, lambda pid, whole=whole: read.append(pid) or whole(pid))
    done = CliRunner().invoke(build("inspect"), ["inspect", "--by", by, *words, str(os.getpid())])
    assert done.exit_code in (0, 1), done.output  # 1: a finding, whatever runs here
    assert bool(read) == asked
