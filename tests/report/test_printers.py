"""Whatever a name is, every printer shows it safely: terminal, notes, JSON, HTML, charts, CSV, OpenMetrics."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console, ConsoleDimensions

from rmaplab.fleet import Answer
from rmaplab.fleet.summary import AGE_NAMES
from rmaplab.proctext import decoded
from rmaplab.report import charts, console, html_table
from rmaplab.report.fleet import _samples, metrics, page
from rmaplab.report.watch_screen import picture
from rmaplab.text import for_json, for_terminal, from_json
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
several = st.lists(names, min_size=1, max_size=12, unique_by=lambda raw: for_terminal(decoded(raw)))
drawing = settings(max_examples=4, deadline=None)
"""Each takes a third of a second."""
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
        self.attributes: set[str] = set()
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

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
        drawn.print(picture(found, [one], "copied", ConsoleDimensions(80, 24)))
    assert safe(capture.get())


@given(raw=names)
@quick
def test_a_csv_has_a_row_a_process_and_valid_text(tmp_path: Path, raw: bytes) -> None:
    write_csv({"processes": [{"pid": 1, "name": decoded(raw)}, {"pid": 2, "name": "b"}]}, tmp_path / "p.csv")
    with open(tmp_path / "p.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pid"] for row in rows] == ["1", "2"]
    assert from_json(rows[0]["name"]) == raw


def fleet(found: list[bytes]) -> Answer:
    """An answer in which every name is one of `found`."""
    shown = [for_json(decoded(raw)) for raw in found]
    sizes = dict.fromkeys(("resident", "exclusive", "false_shared", "needless"), 4096)
    sums = {"hosts": 1, "mms": 1, "needless_share": 0.5, **sizes}
    whole = {**sums, "days": 1, "looks": 1, "estimate_hosts": 0, "unasked_hosts": 0}
    far = {"per_mm": 1, "median": 1, "among": 9, "mms": 1}
    return Answer(
        "image",
        whole,
        [{"image": name, **sums} for name in shown],
        [{"image": name, "age": age, "shared_share": 0.5} for name in shown for age in AGE_NAMES],
        [{"kernel": name, **sums} for name in shown],
        [{"kind": name, "order": 0, **sizes} for name in shown],
        [{"host": name, "image": name, **far} for name in shown],
    )


@given(found=several)
@drawing
def test_a_fleets_page_has_the_marks_of_any_other_and_all_names_as_text(found: list[bytes]) -> None:
    usual, hostile = Tags(page(fleet([b"one", b"other"]))), Tags(page(fleet(found)))
    assert set(hostile.tags) <= set(usual.tags)
    assert hostile.attributes <= usual.attributes
    assert not {"script", "img", "a", "iframe"} & set(hostile.tags)
    shown = "\n".join(hostile.words)
    assert all(for_terminal(for_json(decoded(raw))).strip() in shown for raw in found)
    assert safe(shown)


@given(found=several)
@quick
def test_a_fleets_metrics_are_text_of_which_every_line_can_be_read(found: list[bytes]) -> None:
    *lines, last, empty = metrics(fleet(found)).split("\n")
    assert (last, empty) == ("# EOF", "")
    samples = [line for line in lines if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in samples)
    assert len({line.rpartition(" ")[0] for line in samples}) == len(samples)


def texts(svg: str) -> list[str]:
    """Of a picture that is well-formed, and holds shapes and text only."""
    elements = list(ElementTree.fromstring(svg).iter())
    assert {one.tag.rpartition("}")[2] for one in elements} <= {
        "svg",
        "g",
        "path",
        "text",
        "rect",
        "line",
        "defs",
        "style",
    }
    assert not any("href" in key or key.startswith("on") for one in elements for key in one.attrib)
    return [one.text or "" for one in elements]


@given(found=several)
@drawing
def test_a_chart_is_a_picture_whatever_the_names(found: list[bytes]) -> None:
    shown = [decoded(raw) for raw in found]
    points = [{"mm": n, "name": name, "step": 0, "kept": 1.0} for n, name in enumerate(shown)]
    sizes = {"exclusive": [1 << 20] * len(shown), "shared": [0] * len(shown)}
    rows = pl.DataFrame({"name": list(map(for_json, shown)), "pid": list(range(len(shown))), **sizes})
    ages = pl.DataFrame([{"age": AGE_NAMES[0], "shared": 0.5, "program": for_terminal(name)} for name in shown])
    for chart in (charts.erosion(points), charts.memory(rows, "process"), charts.sharing_by_age(ages, AGE_NAMES)):
        assert safe("\n".join(texts(charts.svg(chart))))
