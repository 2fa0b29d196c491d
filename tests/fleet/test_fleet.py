"""A host's summary says what was built, gives nothing away, and any number of them add up to the report's numbers."""

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import rmaplab
from kernel import live_machine
from rmaplab.errors import RmaplabError
from rmaplab.fleet import MOST_BYTES, SCHEMA, Hashed, answer, as_parquet, merge, nothing, store, summarise
from rmaplab.inspect.look import look
from rmaplab.inspect.probes import probe
from rmaplab.inspect.snapshot import of_pids, require_frames
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live import probe as live_probe
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.report.fleet import metrics, page, tables

SIZE = 8 << 20
DAY = 86400
MONDAY = 1_764_547_200


def row(image: str = "redis", **values: Any) -> dict[str, Any]:
    """A row of a summary; unnamed values are of the usual."""
    usual = {
        "version": 1,
        "taken": MONDAY,
        "kernel": "6.18",
        "exactness": "exact",
        "command": image,
        "cgroup": "/",
        "age": 2,
        "kind": "anon",
        "order": 9,
        "mms": 0,
        "resident": 0,
        "exclusive": 0,
        "false_shared": 0,
        "needless": 0,
    }
    return {"image": image, **usual, **values}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([*rows], schema=SCHEMA)


def put(place: Path, host: str, *rows: dict[str, Any]) -> None:
    """A look of `host`: memory, and for each program as many MMs as its rows name."""
    counts = [{**one, "kind": "mms", "order": None, **dict.fromkeys(SIZES, 0)} for one in rows]
    store(merge(frame(*({**one, "mms": 0} for one in rows), *counts), nothing()), place, host)


SIZES = ("resident", "exclusive", "false_shared", "needless")


@st.composite
def summaries(draw: st.DrawFn) -> pl.DataFrame:
    known = st.integers(0, 1 << 40)
    keys = st.fixed_dictionaries(
        {
            "image": st.sampled_from(["a", "b"]),
            "age": st.integers(0, 6),
            "kind": st.sampled_from(["anon", "file"]),
            "order": st.sampled_from([0, 9]),
            "mms": st.integers(0, 5),
            "resident": known,
            "needless": st.none() | known,
        }
    )
    return merge(frame(*(row(**one) for one in draw(st.lists(keys, max_size=6)))), nothing())


@given(parts=st.lists(summaries(), max_size=4), cut=st.integers(0, 4), data=st.data())
def test_summaries_add_up_in_any_order_and_nothing_is_neutral(
    parts: list[pl.DataFrame], cut: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(parts))
    whole = reduce(merge, parts, nothing())
    one, other = (reduce(merge, some, nothing()) for some in (shuffled[:cut], shuffled[cut:]))
    assert merge(one, other).equals(whole)
    assert merge(other, one).equals(whole)
    assert all(merge(part, nothing()).equals(part) for part in parts)
    assert whole["resident"].sum() == sum(part["resident"].sum() for part in parts)


@given(groups=st.integers(1, 4000), seed=st.integers(0, 1 << 30))
@pytest.mark.filterwarnings("ignore")
def test_a_summary_stays_below_its_limit_and_keeps_its_sums(groups: int, seed: int) -> None:
    rows = [row(f"{math.sin(seed + i)!r}", cgroup=f"/{math.cos(seed * i)!r}", resident=i) for i in range(groups)]
    made = as_parquet(frame(*rows))
    assert len(made) <= MOST_BYTES
    assert pl.read_parquet(made)["resident"].sum() == sum(range(groups))
    assert pl.read_parquet(made).schema == SCHEMA


def test_hashed_names_stay_apart_need_the_key_and_are_the_same_everywhere() -> None:
    one, other = Hashed(b"0123456789abcdef"), Hashed(b"another key here!")
    assert one("redis") == Hashed(b"0123456789abcdef")("redis") != one("nginx")
    assert one("redis") != other("redis")
    assert "redis" not in one("redis")
    assert one("(other)") == "(other)"


def test_the_report_counts_a_hosts_looks_of_a_day_as_one_and_days_as_one(tmp_path: Path) -> None:
    for day, needless in ((0, 300), (1, 100)):
        for hour in (1, 2, 3):
            at = MONDAY + day * DAY + hour * 3600
            put(tmp_path, "a", row(taken=at, mms=3, resident=1000, exclusive=500, needless=needless))
    put(tmp_path, "b", row(taken=MONDAY, mms=1, resident=600, needless=50))
    found = answer(str(tmp_path))
    assert found.fleet["needless"] == (300 + 100) // 2 + 50 // 2
    assert found.fleet["resident"] == 1000 + 300
    assert (found.fleet["hosts"], found.fleet["days"], found.fleet["looks"]) == (2, 2, 7)


def test_the_program_that_copies_most_for_nothing_comes_first_and_sums_are_those_of_the_fleet(tmp_path: Path) -> None:
    put(tmp_path, "a", row("redis", mms=2, resident=900, needless=10), row("nginx", mms=8, resident=100, needless=90))
    put(tmp_path, "b", row("redis", mms=1, resident=50, kernel="6.12"))
    found = answer(str(tmp_path))
    assert [one["image"] for one in found.groups] == ["nginx", "redis"]
    for name in ("mms", *SIZES):
        assert sum(one[name] for one in found.groups) == sum(one[name] for one in found.kernels) == found.fleet[name]
    assert {one["kernel"]: one["hosts"] for one in found.kernels} == {"6.18": 1, "6.12": 1}
    assert [one["image"] for one in answer(str(tmp_path), top=1).groups] == ["nginx"]


def test_what_a_kernel_does_not_tell_is_unknown_and_no_zero(tmp_path: Path) -> None:
    put(tmp_path, "a", row(resident=10, needless=None, false_shared=None, kernel="6.6", exactness="estimate"))
    put(tmp_path, "b", row(resident=20, needless=7, kernel="6.18"))
    found = answer(str(tmp_path))
    assert {one["kernel"]: one["needless"] for one in found.kernels} == {"6.6": None, "6.18": 7}
    assert (found.fleet["needless"], found.fleet["unasked_hosts"], found.fleet["estimate_hosts"]) == (7, 1, 1)
    said = metrics(found)
    assert 'rmaplab_kernel_needless_bytes{kernel="6.18"} 7' in said
    assert 'rmaplab_kernel_needless_bytes{kernel="6.6"}' not in said
    assert "Unknown on 1 host" in tables(found)[0]


def test_erosion_is_the_share_of_anonymous_memory_that_others_map_by_age(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a",
        row(age=0, resident=100, exclusive=10),
        row(age=3, resident=200, exclusive=150),
        row(age=3, kind="file", resident=5000),
    )
    found = answer(str(tmp_path)).erosion
    assert [(one["age"], one["shared_share"]) for one in found] == [("< 1 min", 0.9), ("< 6 h", 0.25)]


def test_a_host_far_from_the_others_is_an_outlier_and_the_others_are_none(tmp_path: Path) -> None:
    for number in range(12):
        needless = 900 << 20 if number == 7 else (10 + number) << 10
        put(tmp_path, f"h{number}", row(mms=3, resident=1 << 30, needless=needless))
    assert [one["host"] for one in answer(str(tmp_path)).outliers] == ["h7"]


def damaged(place: Path) -> Path:
    return next(place.glob("day=*/host=a/*.parquet"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-9]), "is not Parquet"),
        (lambda f: f.write_bytes(b""), "is not Parquet"),
        (lambda f: pl.read_parquet(f).with_columns(version=pl.lit(2, pl.UInt8)).write_parquet(f), "version 2: must be 1"),
        (lambda f: pl.read_parquet(f).drop("needless").write_parquet(f), "columns .*: must be"),
        (lambda f: pl.read_parquet(f).with_columns(resident=pl.lit("x")).write_parquet(f), "columns .*: must be"),
    ],
)
def test_a_summary_that_cannot_be_read_is_named(tmp_path: Path, damage: Callable[[Path], Any], said: str) -> None:
    for host in "ab":
        put(tmp_path, host, row(resident=1))
    file = damaged(tmp_path)
    damage(file)
    with pytest.raises(RmaplabError, match=f"{re.escape(str(file))}: {said}"):
        answer(str(tmp_path))


def test_names_are_text_on_the_page_and_in_the_metrics(tmp_path: Path) -> None:
    put(tmp_path, "a", row('<script>"\\', resident=1))
    found = answer(str(tmp_path))
    assert "<script>" not in page(found)
    assert "&lt;script&gt;" in page(found)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page(found))
    assert '{image="<script>\\"\\\\"} 1' in metrics(found)
    assert metrics(found).endswith("# EOF\n")


def test_the_command_reports_in_every_form_and_refuses_what_is_none(tmp_path: Path) -> None:
    put(tmp_path / "f", "a", row(resident=5, needless=4))
    outputs = ("--html", str(tmp_path / "p.html"), "--openmetrics", str(tmp_path / "m"))
    done = rmaplab("fleet", "report", str(tmp_path / "f"), "--json", *outputs, check=True)
    assert json.loads(done.stdout)["fleet"]["needless"] == 4
    assert (tmp_path / "p.html").exists()
    assert (tmp_path / "m").exists()
    (tmp_path / "empty").mkdir()
    for place, said in (("empty", "holds no summary"), ("nowhere", "must be a directory")):
        done = rmaplab("fleet", "report", str(tmp_path / place))
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert rmaplab("fleet", "report", str(tmp_path / "f"), "--top", "0").returncode == 2
    for host in ("../x", "a b", "", "x" * 300):
        done = rmaplab("fleet", "collect", str(tmp_path / "g"), "--host", host)
        assert (done.returncode, "host" in done.stderr) == (2, True)
    (tmp_path / "key").write_bytes(b"short")
    done = rmaplab("fleet", "collect", str(tmp_path / "g"), "--hash-names", str(tmp_path / "key"))
    assert (done.returncode, "16 bytes" in done.stderr) == (2, True)
    assert not (tmp_path / "g").exists()


@pytest.fixture
def machine() -> Iterator[LiveMachine]:
    """A live machine of the test's own."""
    yield from live_machine(require_frames)


@pytest.mark.live
def test_the_third_process_left_alone_is_what_is_copied_for_nothing(machine: LiveMachine) -> None:
    if 9 not in live_probe().anon_orders:
        pytest.skip("anonymous folios of order 9 cannot be had here")
    first = machine.spawn()
    first.exec()
    at = first.mmap(SIZE, order=9)
    first.write(at, SIZE)
    for block in range(at, at + SIZE, 2 << 20):
        first.mprotect(block, PAGE_SIZE, writable=False)
        first.mprotect(block, PAGE_SIZE, writable=True)
    second, third = first.fork(), first.fork()
    first.exit()
    second.exit()
    view = probe()
    try:
        if view.flag_bit < 0:
            pytest.skip("the kernel's maybe-shared flag cannot be read here")
        found = look(lambda mms: of_pids(mms, [third.pid]), view)
    finally:
        view.close()
    made = summarise(found)
    thps = made.filter((pl.col("kind") == "anon") & (pl.col("order") == 9))
    assert [thps[name].sum() for name in SIZES] == [SIZE] * 4
    assert made["mms"].sum() == 1
    names = made.select("image", "command", "cgroup").unique()
    hashed = summarise(found, Hashed(b"0123456789abcdef"))
    assert not set(hashed["command"]) & set(names["command"])
    assert hashed["resident"].sum() == made["resident"].sum()
