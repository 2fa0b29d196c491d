"""The page of a watch: widths are what was copied, names are text, curves begin with nothing and keep their ends."""

import json
import os
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs_to_watch import NAME

from commands import RMAPLAB, rmaplab
from rmaplab.proctext import decoded
from rmaplab.report.watch_html import WIDTH, Kept, curve_picture, flame, merged, page
from rmaplab.text import for_terminal
from rmaplab.watch.answer import totals
from rmaplab.watch.history import MOST_POINTS, History
from rmaplab.watch.ledger import Process
from rmaplab.watch.records import BYTES, TOTALS, Outcome

PROGRAM = (sys.executable, str(Path(__file__).with_name("programs_to_watch.py")))
HOSTILE = (b"</title><script>", b"\x1b[2J", b"&amp;", b"\xff", b'"onload="', b"<!--", b"a\nb", "\u202e".encode())
EVIL = "</td><script>alert(1)</script>"
names = st.one_of(st.sampled_from(HOSTILE), st.binary(max_size=12)).map(decoded)
stacks = st.lists(
    st.fixed_dictionaries(
        {
            "frames": st.lists(st.sampled_from("abc"), max_size=4),
            "bytes": st.integers(0, 1 << 30),
            "copied": st.integers(0, 99),
            "needless": st.integers(0, 9),
        }
    ),
    max_size=8,
)


def rectangles(svg: str) -> list[tuple[float, float, float]]:
    """Of a flame graph: left edge, top, width."""
    found = ElementTree.fromstring(svg).iter("rect")
    return [(float(one.attrib["x"]), float(one.attrib["y"]), float(one.attrib["width"])) for one in found]


@given(found=stacks)
def test_a_frame_is_as_wide_as_its_bytes_and_lies_within_its_caller(found: list[dict[str, Any]]) -> None:
    whole = sum(one["bytes"] for one in found)
    svg = flame(found)
    assert bool(svg) == bool(whole)
    if not whole:
        return
    drawn = sorted(rectangles(svg), key=lambda one: one[1])
    assert drawn[0] == (0, 0, WIDTH)
    for left, top, width in drawn[1:]:
        callers = [one for one in drawn if one[1] == top - 18]
        assert any(a - 0.02 <= left and left + width <= a + w + 0.02 for a, _, w in callers)
    root = merged(found)
    assert root.bytes == whole
    assert sum(one.bytes for one in root.calls.values()) == whole
    for name in "abc":
        called = sum(one["bytes"] for one in found if one["frames"] and one["frames"][-1] == name)
        assert root.calls[name].bytes == called if called else name not in root.calls


class Page(HTMLParser):
    def __init__(self, shown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words += data


def one_process(number: int, pid: int, name: str) -> dict[str, Any]:
    usual = {"parent": None, "forked_at": None, "ended_at": None, "execs": 0, "blind_seconds": 0.0, "by_vma": []}
    return {"number": number, "pid": pid, "name": name} | usual | totals(Process(1, 1, 0, "").totals)


def sum_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = totals(Process(1, 1, 0, "").totals)
    return counts | {"processes": rows, "ended_early": 0, "seconds": 2.0, "exactness": "exact", "why": []}


def made(name: str) -> str:
    """A page in which every name is `name`."""
    counts = totals(Process(1, 1, 0, "").totals) | {
        "faults": 5,
        "copied": 4,
        "needless": 1,
        "needless_at_most": 1,
        "bytes": 9,
    }
    found = sum_of([one_process(1, 7, name) | counts]) | counts | {"why": [name]}
    return page(found, [{"frames": [name, "f"], "bytes": 9, "copied": 4, "needless": 3}], {1: [(0.0, 0), (1.0, 9)]})


@given(name=names)
@settings(max_examples=60)
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    usual, hostile = Page(made("usual")), Page(made(name))
    assert hostile.tags == usual.tags
    assert hostile.attributes == usual.attributes
    assert not hostile.tags & {"script", "img", "a", "iframe", "object"}
    assert for_terminal(name) in hostile.words
    assert all(for_terminal(line) == line for line in hostile.words.split("\n"))


def test_a_curve_begins_with_nothing_and_ends_at_what_was_copied() -> None:
    history = History()
    processes = {n: Process(n, n, 0, f"p{n}", born=int((100 + n) * 1e9)) for n in (1, 2)}
    for step in range(1, 4):
        processes[1].totals[BYTES] = step * 4096
        history.note(100.0, float(step + 2), processes)
    assert history.curves == {1: [(1.0, 0), (3.0, 4096), (4.0, 8192), (5.0, 12288)], 2: [(2.0, 0)]}
    drawn = curve_picture({1: "p1 1", 2: "p2 2"}, history.curves, 6.0)
    titles = [one.text for one in ElementTree.fromstring(drawn).iter("title")]
    assert titles == ["p1 1: 12K"]
    assert "nobody" in curve_picture({2: "p2 2"}, history.curves, 6.0)


def test_points_are_bounded_and_the_ends_stay() -> None:
    history = History({1: [(float(n), n) for n in range(MOST_POINTS)], 2: [(0.0, 0), (1.0, 5)], 3: [(0.0, 0)]})
    one = Process(1, 1, 0, "one")
    one.totals[BYTES] = MOST_POINTS
    history.note(0.0, float(MOST_POINTS), {1: one, 2: Process(2, 2, 0, "two", totals=totals_of(5))})
    assert set(history.curves) == {1, 2}  # the third was folded away
    assert len(history.curves[1]) <= MOST_POINTS // 2 + 2
    assert history.curves[1][0] == (0.0, 0)
    assert history.curves[1][-1] == (float(MOST_POINTS), MOST_POINTS)


def totals_of(copied: int) -> Any:
    made = Process(1, 1, 0, "").totals
    made[BYTES], made[Outcome.NEEDED] = copied, 1
    assert len(made) == TOTALS
    return made


def test_whom_the_last_look_saw_is_a_link_to_the_folios_and_who_had_ended_is_none() -> None:
    rows = [one_process(number, 70 + number, EVIL) | {"ended_at": 1.0 if number == 2 else None} for number in (1, 2)]
    found = sum_of(rows)
    shown = page(
        found,
        [],
        {},
        Kept({71: [(0.0, 1.0), (1.0, 0.25)], 72: [(0.5, 0.5)]}, {71: EVIL, 72: EVIL}, 3, "w folios.html", 1.5),
    )
    assert re.findall('href="([^"]*)"', shown) == ["w%20folios.html#pid=71"]
    assert EVIL not in shown
    words = Page(shown).words
    assert "71: 25%" in words
    assert "72: 50%" in words
    assert words.index("71: 25%") < words.index("72: 50%")
    assert "3 looks were not finished" in words


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.usefixtures("nothing_stays")
def test_the_page_has_what_each_worker_kept_and_the_folios_behind_it(tmp_path: Path) -> None:
    """Two children of a parent of 8192 pages, of which they have written 2048 and 6144."""
    words, pipe = [*PROGRAM, "eroded", "8192", "2048", "6144"], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as family:
        assert family.stdout is not None
        assert family.stdin is not None
        said = dict(family.stdout.readline().split() for _ in range(2))
        children = [int(said[count]) for count in ("2048", "6144")]
        page_at = tmp_path / "w.html"
        done = rmaplab("watch", "--html", str(page_at), "--seconds", "0.5", "--pid", str(family.pid))
        family.stdin.close()
    assert done.returncode == 0, done.stderr
    shown = page_at.read_text(encoding="utf-8")
    kept = {int(pid): int(part) for pid, part in re.findall(r"([0-9]+): ([0-9]+)%", Page(shown).words)}
    assert set(kept) == set(children)
    few, many = (kept[pid] for pid in children)
    assert 60 < few < 90  # the interpreter's own pages are among them
    assert 15 < many < 50
    behind = tmp_path / "w-folios.html"
    assert f'href="w-folios.html#pid={family.pid}"' in shown
    assert behind.stat().st_mode & 0o777 == 0o600
    data = json.loads(re.search('<script id="data"[^>]*>(.*?)</script>', behind.read_text(), re.DOTALL).group(1))  # type: ignore[union-attr]
    assert {family.pid, *children} <= {one["pid"] for one in data["processes"]}


def linked(href: str) -> tuple[str, set[int], set[str]]:
    """Of a link to folios: the page, whose, and in which mappings."""
    parts = urlsplit(href)
    wish = parse_qs(parts.fragment)
    return parts.path, set(map(int, wish["pid"][0].split(","))), set(wish.get("in", ()))


def test_a_frame_leads_to_whom_its_stacks_copied_in_and_a_look_has_seen() -> None:
    """Three processes: one that lived on, one that ended after the look, and one that was forked after it."""
    lives = ((None, None), (None, 9.0), (6.0, None), (1.0, 4.0))
    rows = [
        one_process(n, 70 + n, "w")
        | {"forked_at": born, "ended_at": ended, "by_vma": [{"vma": f"/v{n}&", "bytes": 1}, {"vma": "/read", "bytes": 0}]}
        for n, (born, ended) in enumerate(lives)
    ]
    paths = {"f": (0,), "g": (1,), "h": (2, 3), "i": (0, 1, 2)}
    copied = [
        {"frames": [name, "main"], "bytes": 5000, "copied": 1, "needless": 0, "numbers": n} for name, n in paths.items()
    ]
    shown = page(sum_of(rows), copied, {}, Kept(behind="w.html", seen=5.0))
    frames = {}
    for one in re.findall(r'<a href="([^"]*)"><g class="frame"><title>(\w+)', shown):
        frames[one[1]] = linked(one[0].replace("&amp;", "&"))
    both = ("w.html", {70, 71}, {"/v0&", "/v1&"})
    assert frames == {
        "all": both,
        "main": both,
        "i": both,
        "f": (*both[:1], {70}, {"/v0&"}),
        "g": (*both[:1], {71}, {"/v1&"}),
    }
    assert shown.count('#pid=70"') == shown.count('#pid=71"') == 1  # the table's
    assert "#pid=72" not in shown
    assert "#pid=73" not in shown
    assert "<title>h" in shown  # it copied, and nobody is left


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.usefixtures("nothing_stays")
def test_a_frame_of_the_flame_graph_leads_to_the_folios_that_it_copied(tmp_path: Path) -> None:
    """A child that copies 300 pages of its parent's, and lives until the watch has ended."""
    pages, pipe, at = 300, subprocess.PIPE, tmp_path / "w.html"
    with subprocess.Popen([*PROGRAM, "told", str(pages)], stdin=pipe, stdout=pipe, bufsize=0) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        words = (*RMAPLAB, "watch", "--json", "--budget", "0", "--every", "0.1", "--html", str(at))
        children = f"/proc/{parent.pid}/task/{parent.pid}/children"
        while not Path(children).read_text(encoding="ascii"):
            os.sched_yield()
        with subprocess.Popen(
            [*words, "--pid", str(parent.pid), "--pid", Path(children).read_text().strip()], stdout=pipe
        ) as watch:
            assert watch.stdout is not None
            watch.stdout.readline()
            parent.stdin.write(b"x")
            child = int(parent.stdout.readline())
            watch.send_signal(signal.SIGINT)
            watch.communicate()
        parent.stdin.write(b"x")
    links = [
        linked(one.replace("&amp;", "&")) for one in re.findall(r'<a href="([^"]*)"><g class="frame', at.read_text())
    ]
    assert len(links) > 1
    assert any(child in pids for _, pids, _ in links)
    behind = tmp_path / "w-folios.html"
    data = json.loads(re.search('<script id="data"[^>]*>(.*?)</script>', behind.read_text(), re.DOTALL).group(1))  # type: ignore[union-attr]
    for path, pids, mappings in links:
        assert path == behind.name
        assert pids <= {one["pid"] for one in data["processes"]}
        assert mappings <= set(data["mappings"])
    own = [[data["processes"][p]["pid"] for p in members] == [child] for members in data["sets"]]
    found = sum(own[s] and data["mappings"][m] == NAME for s, m in zip(data["set"], data["mapping"], strict=True))
    assert found == pages
    assert all(NAME in mappings for _, pids, mappings in links if child in pids)


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.usefixtures("nothing_stays")
def test_the_page_says_what_the_sum_says(tmp_path: Path) -> None:
    done = rmaplab("watch", "--html", str(tmp_path / "w.html"), "--every", "0.1", "--", *PROGRAM, "family", "2", "200")
    assert done.returncode == 0, done.stderr
    (said,) = re.findall(r"([0-9]+) copied", done.stdout.splitlines()[-1])
    shown = Page((tmp_path / "w.html").read_text(encoding="utf-8")).words
    assert "3 processes copied" in shown
    assert f"{said} copies" in shown
    assert "mmap" in shown  # who wrote
    assert (tmp_path / "w.html").stat().st_mode & 0o777 == 0o600
