"""A trace in parts holds what the whole holds; damage is named by part, file and rule; nothing half-written stays."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import rmaplab
from rmaplab.errors import RmaplabError
from rmaplab.inspect.saving import save_trace
from rmaplab.trace import (
    Meta,
    PartedTrace,
    Trace,
    TraceBuilder,
    TraceError,
    open_parts,
    parts_of,
    read,
    split,
    write,
    write_parts,
)
from strategies import traces


def four_folios() -> Trace:
    builder = TraceBuilder()
    folios = builder.folios([0, 2, 2, 9], "anon")
    for folio in folios:
        builder.events(folio, [1, 2], 0, 1)
        builder.tick()
    builder.questions(folios, 1)
    return builder.build(Meta("test"))


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    write_parts(tmp_path / "t", Meta("test"), parts_of(four_folios(), 4), 4)
    return tmp_path / "t"


def whole(parts: PartedTrace) -> Trace:
    """The trace, put together again from its parts."""
    tables: dict[str, list[pl.DataFrame]] = {"folios": [], "events": [], "questions": []}
    for part in parts:
        shift = pl.col("folio") + pl.lit(part.first_folio, pl.UInt32)
        tables["folios"].append(part.trace.folios.with_columns(folio=shift))
        for name, rows in (("events", part.event_rows), ("questions", part.question_rows)):
            tables[name].append(getattr(part.trace, name).with_columns(folio=shift, row=pl.Series(rows)))
    events, questions = (pl.concat(tables[name]).sort("row").drop("row") for name in ("events", "questions"))
    return Trace(pl.concat(tables["folios"]), events, questions, parts.meta)


@settings(max_examples=15)
@given(trace=traces(details=True, max_crowd=70), parts=st.integers(1, 6))
def test_parts_put_together_are_the_trace(trace: Trace, parts: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("parts")
    write(trace, folder / "whole")
    split(folder / "whole", folder / "parts", parts)
    written = read(folder / "whole")
    found = whole(open_parts(folder / "parts"))
    assert found.meta == written.meta
    assert all(getattr(found, t).equals(getattr(written, t)) for t in ("folios", "events", "questions"))


def test_no_folio_is_cut_and_parts_have_about_as_many_events(tmp_path: Path) -> None:
    builder = TraceBuilder()
    folios = builder.folios([0] * 1000, "anon")
    builder.events(folios, 1, 0, 1)
    write(builder.build(Meta("test")), tmp_path / "t")
    assert split(tmp_path / "t", tmp_path / "p", 4) == 4
    made = open_parts(tmp_path / "p")
    assert [one["events"] for one in made.parts] == pytest.approx([250] * 4, abs=2)
    assert [one["first_folio"] for one in made.parts][1:] == [
        sum(one["folios"] for one in made.parts[:i]) for i in (1, 2, 3)
    ]


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def exchange(parted: Path, one: int, other: int) -> None:
    a, b = (parted / f"part-{i:05d}" for i in (one, other))
    a.rename(parted / "between")
    b.rename(a)
    (parted / "between").rename(b)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda t: shutil.rmtree(t / "part-00002"), r"part-00002: missing: the trace has 4 parts"),
        (lambda t: exchange(t, 1, 2), r"part-00001/part.json: part 2: must be 1"),
        (lambda t: change(t / "part-00003" / "part.json", trace="other"), r"part-00003/part.json: trace 'other'"),
        (lambda t: change(t / "part-00000" / "part.json", version=7), r"part.json: version 7: must be 1"),
        (lambda t: (t / "part-00001" / "part.json").write_text("{"), r"part-00001/part.json: is not JSON"),
        (lambda t: change(t / "part-00001" / "part.json", extra=1), r"part-00001/part.json: SHA-256"),
        (lambda t: (t / "part-00001" / "events.parquet").write_bytes(b"PAR1"), r"part-00001/events.parquet: SHA-256"),
        (lambda t: (t / "part-00001" / "events.parquet").unlink(), r"part-00001/events.parquet: cannot be read"),
        (lambda t: change(t / "meta.json", parts=None), r"meta.json: parts: must be an object of version 1"),
        (lambda t: change(t / "meta.json", version=2), r"meta.json: version 2: must be 1"),
    ],
)
def test_a_part_that_is_missing_exchanged_foreign_or_damaged_is_named(parted: Path, damage: Any, said: str) -> None:
    damage(parted)
    with pytest.raises(TraceError, match=said):
        list(open_parts(parted))
    assert rmaplab("run", "--on", "trace", str(parted)).returncode == 2


def test_part_of_another_trace_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_parts(tmp_path / name, Meta("test"), parts_of(four_folios(), 4), 4)
    shutil.rmtree(tmp_path / "a" / "part-00001")
    shutil.copytree(tmp_path / "b" / "part-00001", tmp_path / "a" / "part-00001")
    with pytest.raises(TraceError, match=r"part-00001/part.json: trace"):
        list(open_parts(tmp_path / "a"))


def test_an_invalid_trace_is_not_split_and_leaves_nothing(tmp_path: Path) -> None:
    good = four_folios()
    write(good, tmp_path / "t")
    events = good.events.with_columns(nr=pl.col("nr") * -1)
    with (tmp_path / "t" / "events.parquet").open("wb") as file:
        events.write_parquet(file)
    with pytest.raises(TraceError, match=r"t/events.parquet: SHA-256"):
        split(tmp_path / "t", tmp_path / "p", 2)
    meta = tmp_path / "t" / "meta.json"
    sums = json.loads(meta.read_text())["sha256"]
    sums["events.parquet"] = hashlib.sha256((tmp_path / "t" / "events.parquet").read_bytes()).hexdigest()
    change(meta, sha256=sums)
    with pytest.raises(TraceError, match="unmaps from MM 1 what it does not map"):
        split(tmp_path / "t", tmp_path / "p", 2)
    bad = [replace(part, trace=replace(part.trace, events=events)) for part in parts_of(good, 1)]
    with pytest.raises(TraceError, match="unmaps from MM 1 what it does not map"):
        write_parts(tmp_path / "p", Meta("test"), bad, 1)
    assert not (tmp_path / "p").exists()


def test_a_split_replaces_a_trace_in_parts_and_nothing_else(tmp_path: Path, parted: Path) -> None:
    write(four_folios(), tmp_path / "w")
    assert split(tmp_path / "w", parted, 2) == 2
    assert sorted(one.name for one in parted.iterdir()) == ["meta.json", "part-00000", "part-00001"]
    (parted / "notes").write_text("precious")
    with pytest.raises(TraceError, match="is not a trace"):
        split(tmp_path / "w", parted, 2)
    with pytest.raises(RmaplabError, match="another directory"):
        split(tmp_path / "w", tmp_path / "w", 2)
    assert (parted / "notes").read_text() == "precious"


def test_the_command_splits_and_run_judges_the_parts_as_the_whole(tmp_path: Path) -> None:
    write(four_folios(), tmp_path / "w")
    done = rmaplab("trace", "split", str(tmp_path / "w"), str(tmp_path / "p"), "--parts", "3", "--json", check=True)
    assert json.loads(done.stdout)["events"] == 8
    said = [rmaplab("run", "--on", "trace", str(tmp_path / name), "--json", check=True).stdout for name in "wp"]
    assert said[0] == said[1]
    for wrong in ("0", "nan", "100001"):
        assert rmaplab("trace", "split", str(tmp_path / "w"), str(tmp_path / "q"), "--parts", wrong).returncode == 2
    assert not (tmp_path / "q").exists()


def test_a_recording_in_parts_is_for_its_owner_only(tmp_path: Path) -> None:
    save_trace(four_folios(), tmp_path / "t", 3)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "t").rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in (tmp_path / "t", *(tmp_path / "t").glob("part-*"))}
    assert (modes, folders) == ({0o600}, {0o700})
    assert whole(open_parts(tmp_path / "t")).events.equals(four_folios().events)
