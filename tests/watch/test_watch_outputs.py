"""Where a watch's counters go besides stdout, its screen, and what it says where BPF programs may not be loaded."""

import csv
import http.client
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, ConsoleDimensions

from commands import RMAPLAB, rmaplab
from rmaplab.report.watch_screen import SORTS, picture
from rmaplab.report.watch_tree import tree
from rmaplab.watch.answer import totals
from rmaplab.watch.ledger import Ledger, Process
from rmaplab.watch.metrics import text
from rmaplab.watch.records import TOTALS, Outcome

PROGRAM = (sys.executable, str(Path(__file__).with_name("programs_to_watch.py")))
SAMPLE = re.compile(r'([a-z_]+)(?:\{name="((?:[^"\\]|\\.)*)"(?:,outcome="([a-z]+)")?\})? ([0-9.e-]+)')
live = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("nothing_stays")]


def samples(exposition: str) -> dict[tuple[str, str, str], float]:
    lines = exposition.splitlines()
    assert lines[-1] == "# EOF"
    found = {}
    for line in lines[:-1]:
        if not line.startswith("# "):
            name, label, outcome, value = SAMPLE.fullmatch(line).groups()  # type: ignore[union-attr]
            found[name, label or "", outcome or ""] = float(value)
    return found


def ledger(names: list[str], copied: int) -> Ledger:
    made = Ledger()
    for number, name in enumerate(names, 1):
        made.processes[number] = Process(number, number, 0, name)
        counts = made.processes[number].totals.copy()
        counts[Outcome.NEEDED] = copied
        made.settle(number, counts)
    return made


def test_labels_are_bounded_and_no_name_breaks_the_text() -> None:
    names = [f"worker{n}" for n in range(98)] + ['a"b', "c\\d", "late", "later", "x\ny"]
    found = {"alive": 1, "lost": 0, "blind_seconds": 0.0}
    exposed = samples(text(ledger(names, 5).by_name, found))
    copied = {label: value for (name, label, outcome), value in exposed.items() if outcome == "copied"}
    assert len(copied) == 101
    assert copied["other"] == 15
    assert copied['a\\"b'] == copied["c\\\\d"] == 5


def row(number: int, pid: int, parent: int | None, name: str = "worker") -> dict[str, Any]:
    counts = dict.fromkeys(("faults", "reused", "copied", "needless", "needless_at_most", "bytes", "execs"), number)
    times = {"forked_at": float(number), "ended_at": None, "copy_seconds": 0.0, "blind_seconds": 0.0}
    return {"number": number, "pid": pid, "parent": parent, "name": name} | counts | times


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_the_tree_has_every_process_once_and_below_its_parent(parents: list[int]) -> None:
    """Each process is forked by one that came before it; few enough of one name that none are summed up."""
    rows = [row(1, 101, None, "first")]
    for number, parent in enumerate(parents, 2):
        rows.append(row(number, 100 + number, rows[parent % len(rows)]["pid"], f"worker{number}"))
    drawn = list(tree(rows))
    assert sorted(one["number"] for _, one in drawn) == list(range(1, len(rows) + 1))
    depth = {one["pid"]: len(branch) // 2 for branch, one in drawn}
    for one in rows[1:]:
        assert depth[one["pid"]] == depth[one["parent"]] + 1


def test_a_pid_that_came_again_has_its_own_children() -> None:
    rows = [row(1, 10, None), row(2, 20, 10), row(3, 30, 20), row(4, 20, 10), row(5, 40, 20)]
    assert [(one["number"], len(branch)) for branch, one in tree(rows)] == [(1, 0), (2, 2), (3, 4), (4, 2), (5, 4)]


def test_many_alike_children_are_summed_up_and_none_is_lost() -> None:
    rows = [row(1, 10, None, "first"), *(row(n, n + 10, 10) for n in range(2, 60))]
    drawn = [one for _, one in tree(rows)]
    assert len(drawn) < 12
    assert sum(one["copied"] for one in drawn) == sum(one["copied"] for one in rows)


@pytest.mark.usefixtures("found")
class TestLive:
    pytestmark = live

    def test_files_and_metrics_agree_with_the_sum(self, tmp_path: Path) -> None:
        table, folder, metrics = tmp_path / "p.csv", tmp_path / "tables", tmp_path / "watch.prom"
        outputs = ("--csv", str(table), "--parquet", str(folder), "--textfile", str(metrics))
        done = rmaplab("watch", "--json", *outputs, "--", *PROGRAM, "family", "2", "50")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert [int(row["copied"]) for row in rows] == [one["copied"] for one in found["processes"]]
        assert pl.read_parquet(folder / "processes.parquet")["bytes"].sum() == found["bytes"]
        assert pl.read_parquet(folder / "stacks.parquet").height == len(found["stacks"])
        exposed = samples(metrics.read_text())
        assert sum(v for (_, _, outcome), v in exposed.items() if outcome == "copied") == found["copied"]
        assert table.stat().st_mode & 0o077 == 0

    def test_metrics_are_served_while_the_watch_lasts(self) -> None:
        words = ("--listen", "127.0.0.1:0", "--every", "0.1", "--json", "--", *PROGRAM, "wait", "0")
        running = subprocess.Popen([*RMAPLAB, "watch", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert running.stderr is not None
            said = running.stderr.readline()
            port = int(re.search(r":([0-9]+)/metrics", said)[1])  # type: ignore[index]
            deadline = time.monotonic() + 30
            copied = 0.0
            while not copied and time.monotonic() < deadline:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/metrics")
                exposed = samples(connection.getresponse().read().decode())
                copied = sum(v for (_, _, outcome), v in exposed.items() if outcome == "copied")
                time.sleep(0.1)
            assert copied
        finally:
            running.terminate()
            running.communicate(timeout=60)

    def test_the_screen_fits_80_columns_and_ends_with_q(self) -> None:
        child = subprocess.Popen([*PROGRAM, "wait", "0"], stdout=subprocess.PIPE)
        ours, theirs = pty.openpty()
        try:
            words = [*RMAPLAB, "watch", "--pid", str(child.pid), "--every", "0.1"]
            running = subprocess.Popen(words, stdin=theirs, stdout=theirs, env=os.environ | {"COLUMNS": "80"})
            said = b"".join(until(ours, b"q end"))
            os.write(ours, b"sspq")
            said += b"".join(until(ours, b"for nothing; lost"))  # the sum; exact, or an estimate if the budget was spent
            assert b"needless" in said
            assert running.wait(60) == 0
        finally:
            child.kill()
            child.wait()
            for fd in (ours, theirs):
                os.close(fd)


def until(fd: int, word: bytes) -> Iterator[bytes]:
    """What a terminal shows up to a word."""
    seen, deadline = b"", time.monotonic() + 60
    while word not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([fd], [], [], 1)[0]:
            part = os.read(fd, 4096)
            seen += part
            yield part


@pytest.mark.parametrize("sort", SORTS)
def test_the_picture_is_never_wider_than_the_terminal(sort: str) -> None:
    made = ledger(["x" * 15, "\x1b[31mred", "\u202egnp.exe"], 1 << 40)
    rows = [
        {"pid": one.pid, "name": one.name, "ended_at": None, "blind_seconds": 0.0} | totals(one.totals)
        for one in made.processes.values()
    ]
    found = {"seconds": 12345.0, "copied": 1 << 42, "reused": 0, "needless": 0, "lost": 0, "blind_seconds": 0.0}
    console = Console(width=80, height=24, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(picture(found, rows, sort, ConsoleDimensions(80, 24)))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len(made.processes[1].totals) == TOTALS


@pytest.mark.live
@pytest.mark.skipif(os.getuid() != 0, reason="must be root to become somebody else")
@pytest.mark.parametrize("json_lines", [True, False])
def test_without_root_there_are_bounds_and_a_line_that_says_why(json_lines: bool) -> None:
    before = """
        import os
        import rmaplab.watch.watcher, rmaplab.cli.watch, rmaplab.cli.build  # readable by root only, maybe
        os.setgid(65534)
        os.setuid(65534)
    """
    words = ("--json",) if json_lines else ()
    done = rmaplab("watch", *words, "--", "sh", "-c", "sleep 0.3; exit 7", before=before, cwd="/")
    assert done.returncode == 7
    assert "bounds only" in done.stderr
    if json_lines:
        found = json.loads(done.stdout.splitlines()[-1])
        assert (found["exactness"], found["copied"], found["needless"]) == ("estimate", None, None)
        assert 0 < found["faults_at_most"] < 1 << 20
        assert found["why"]
        assert [one["name"] for one in found["processes"]][:1] == ["sh"]
