"""Whatever a name is, every printer shows it safely: terminal, notes, JSON, HTML, CSV, OpenMetrics."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from rmaplab.proctext import decoded
from rmaplab.report import console, html_table
from rmaplab.report.fleet import _samples
from rmaplab.report.watch_screen import picture
from rmaplab.text import for_terminal, from_json
from rmaplab.watch.answer import totals
from rmaplab.watch.metrics import text
from rmaplab.watch.records import TOTALS, Outcome
from rmaplab.watch.tables import write_csv

HOSTILE = (
    b"\x1b[2J",
    b"\x1b]0;pwn\x07",
    b"\xff\xfe",
    b"a\nb",
    b"</td><script>",
    b"[red]x",
    b'"',
    b"\\x1b[2J",
    b"=1+1",
    b"\r",
)
names = st.one_of(st.binary(max_size=30), st.sampled_from(HOSTILE), st.lists(st.sampled_from(HOSTILE)).map(b"".join))
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="((?:[^"\\\n]|\\["\\n])*)"(?:,outcome="[a-z]+")?\})? [0-9.e-]+')


def safe(shown: str) -> bool:
    return all(for_terminal(line) == line for line in shown.split("\n"))


@given(raw=names)
@quick
def test_a_line_and_a_note_are_one_safe_line(capsys: pytest.CaptureFixture[str], raw: bytes) -> None:
    capsys.readouterr()
    console.say(decoded(raw))
    console.note(decoded(raw))
    for shown in capsys.readouterr():
        assert shown.count("\n") == 1
        assert safe(shown)
    assert shown[:-1] == for_terminal(decoded(raw))


@given(raw=names, number=st.floats())
@quick
def test_a_document_is_ascii_and_gives_the_name_back(
    capsys: pytest.CaptureFixture[str], raw: bytes, number: float
) -> None:
    capsys.readouterr()
    console.emit_json({"rows": [{"name": decoded(raw), decoded(raw): number}] * 3})
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert shown.endswith("}\n")
    assert from_json(json.loads(shown)["rows"][2]["name"]) == raw


class Tags(HTMLParser):
    def __init__(self, shown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@given(raw=names)
@quick
def test_a_notebooks_table_has_our_tags_only(raw: bytes) -> None:
    name = decoded(raw)
    sheet = console.table(name, ["process", "bytes"], [[name, 1]])
    found = Tags(html_table.html(sheet))
    caption = ["caption"] if name else []
    assert found.tags == ["table", *caption, "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert for_terminal(name).strip() in "".join(found.words)
    assert safe(html_table.text(sheet, name))


def counts(copied: int) -> np.ndarray[Any, Any]:
    made = np.zeros(TOTALS, np.uint64)
    made[Outcome.NEEDED] = copied
    return made


@given(found=st.lists(names, unique=True, max_size=8))
@quick
def test_metrics_have_every_sample_once_whatever_the_names(found: list[bytes]) -> None:
    by_name = {decoded(raw): counts(number + 1) for number, raw in enumerate(found)}
    lines = text(by_name, {"alive": 1, "lost": 0, "blind_seconds": 0.0}).split("\n")
    samples = [line for line in lines[:-2] if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) and safe(line) for line in samples)
    series = [line.rpartition(" ")[0] for line in samples]
    assert len(series) == len(set(series))
    copied = sum(int(line.rpartition(" ")[2]) for line in samples if 'outcome="copied"' in line)
    assert copied == sum(range(1, len(found) + 1))


def test_two_names_that_look_alike_are_one_sample() -> None:
    alike = {"\x1b[2J": counts(1), "\\x1b[2J": counts(2)}
    shown = text(alike, {"alive": 1, "lost": 0, "blind_seconds": 0.0})
    assert [line for line in shown.split("\n") if 'outcome="copied"' in line and line.endswith(" 3")]


@given(raw=names)
@quick
def test_a_fleets_samples_are_one_line_each(raw: bytes) -> None:
    (line,) = _samples("rmaplab_group_resident_bytes", "image", "resident", [{"image": decoded(raw), "resident": 1}])
    assert SAMPLE.fullmatch(line)
    line.encode("utf-8")


@given(raw=names)
@quick
def test_the_live_screen_steers_nothing(raw: bytes) -> None:
    one = {"pid": 1, "name": decoded(raw), "ended_at": None, "blind_seconds": 0.0} | totals(counts(3))
    found = {"seconds": 1.0, "lost": 0, "blind_seconds": 0.0} | totals(counts(3))
    drawn = Console(width=80, color_system=None, force_terminal=False)
    with drawn.capture() as capture:
        drawn.print(picture(found, [one], "copied", 24))
    assert safe(capture.get())


@given(raw=names)
@quick
def test_a_csv_has_a_row_a_process_and_valid_text(tmp_path: Path, raw: bytes) -> None:
    write_csv({"processes": [{"pid": 1, "name": decoded(raw)}, {"pid": 2, "name": "b"}]}, tmp_path / "p.csv")
    with open(tmp_path / "p.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pid"] for row in rows] == ["1", "2"]
    assert from_json(rows[0]["name"]) == raw
