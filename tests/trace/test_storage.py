"""Traces survive a round trip; damage is named by file, row and rule."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.errors import RmaplabError
from rmaplab.recorded import recorded
from rmaplab.system import files
from rmaplab.text import for_json
from rmaplab.trace import UNOBSERVED, Meta, Trace, TraceBuilder, TraceError, check_place, read, validate, write
from strategies import traces

FILES = ("folios.parquet", "events.parquet", "questions.parquet")


def small(meta: Meta | None = None) -> Trace:
    builder = TraceBuilder()
    folio = builder.folios([2, 0], "anon", [100, 200])
    builder.events(folio, [1, 2], 0, [4, 1])
    builder.tick()
    builder.questions(folio, [1, 2], outcome=["reused", None])
    return builder.build(meta or Meta("test", pfns=True))


def same(a: Trace, b: Trace) -> bool:
    tables = all(getattr(a, t).equals(getattr(b, t)) for t in ("folios", "events", "questions"))
    return tables and a.meta == b.meta


@given(trace=traces(details=True, max_crowd=70))
def test_any_valid_trace_survives_a_round_trip(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> None:
    where = tmp_path_factory.mktemp("trace") / "t"
    write(trace, where)
    assert same(read(where), trace)


def test_a_written_trace_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    write(small(), tmp_path / "t")
    write(small(Meta("second", pfns=True)), tmp_path / "t")
    assert read(tmp_path / "t").meta.source == "second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t"]


def test_pfns_are_left_out_unless_the_trace_says_so(tmp_path: Path) -> None:
    write(small(Meta("test", pfns=False)), tmp_path / "t")
    assert read(tmp_path / "t").folios["pfn"].null_count() == 2


@pytest.mark.parametrize("content", ["notes.txt", "meta.json"])
def test_write_refuses_to_replace_what_is_not_a_trace(tmp_path: Path, content: str) -> None:
    (tmp_path / content).write_text('{"format": "something else"}')
    with pytest.raises(TraceError):
        write(small(), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [content]


def test_write_refuses_to_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("precious")
    with pytest.raises(TraceError, match="not a trace"):
        write(small(), tmp_path / "f")
    assert (tmp_path / "f").read_text() == "precious"


def test_an_invalid_trace_is_not_written(tmp_path: Path) -> None:
    trace = small()
    bad = Trace(trace.folios, trace.events.with_columns(mm=pl.lit(0, pl.UInt32)), trace.questions, trace.meta)
    with pytest.raises(TraceError, match=r"events.parquet row 0: mm 0"):
        write(bad, tmp_path / "t")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_take_a_trace_is_refused_before_recording(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for place, rule in (("file", "not a trace"), ("file/t", "Not a directory")):
        with pytest.raises(RmaplabError, match=rule):
            check_place(tmp_path / place)
    check_place(tmp_path / "new" / "t")
    write(small(), tmp_path / "t")
    check_place(tmp_path / "t")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "t"]


def test_a_failed_write_leaves_the_older_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(small(), tmp_path / "t")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(RmaplabError, match="t: cannot be written: No space"):
        write(small(Meta("second", pfns=True)), tmp_path / "t")
    assert read(tmp_path / "t").meta.source == "test"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t"]


def test_a_write_that_cannot_be_put_in_place_brings_the_older_trace_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(small(), tmp_path / "t")

    def refuse(*_: Path) -> bool:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(files, "_exchange", refuse)
    with pytest.raises(RmaplabError, match="t: cannot be written: Operation not permitted"):
        write(small(Meta("second", pfns=True)), tmp_path / "t")
    assert read(tmp_path / "t").meta.source == "test"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("name", [*FILES, "meta.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write(small(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(TraceError, match=f"{name}: cannot be read: No such file") as error:
        read(tmp_path)
    assert error.value.file == str(tmp_path / name)


@given(name=st.sampled_from(FILES), keep=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_named(name: str, keep: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    where = tmp_path_factory.mktemp("trace")
    write(small(), where)
    whole = (where / name).read_bytes()
    (where / name).write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(TraceError, match=f"{name}: SHA-256"):
        read(where)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_is_found(tmp_path: Path, name: str) -> None:
    write(small(), tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceError, match=f"{name}: SHA-256"):
        read(tmp_path)


def test_a_file_that_is_not_parquet_is_named_even_if_its_sum_is_right(tmp_path: Path) -> None:
    write(small(), tmp_path)
    (tmp_path / "events.parquet").write_bytes(b"")
    meta = json.loads((tmp_path / "meta.json").read_text())
    meta["sha256"]["events.parquet"] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(TraceError, match=r"events.parquet: is not Parquet"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"version": 2}, "version 2: must be 1"),
        ({"version": None}, "version None: must be 1"),
        ({"format": "other"}, 'must be an object with "format"'),
        ({"sha256": None}, "sha256: must give"),
        ({"source": 7}, "source 7: must be of type str"),
        ({"pfns": 0}, "pfns 0: must be of type bool"),
        ({"stats": {"forks": "many"}}, "stats forks 'many': must be a number"),
        ({"page_size": 1000}, "page_size 1000: must be a power of two"),
        ({"exactness": "perfect"}, "exactness 'perfect': must be one of"),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, change: dict[str, object], rule: str) -> None:
    write(small(), tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, **change}))
    with pytest.raises(TraceError) as error:
        read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'meta.json'}: {rule}")


@pytest.mark.parametrize("text", ["", "[1]", '{"format": ', "\x00"])
def test_metadata_that_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    write(small(), tmp_path)
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(TraceError, match=r"meta\.json"):
        read(tmp_path)


def test_the_error_names_file_and_row_of_a_trace_read_from_disk(tmp_path: Path) -> None:
    write(small(), tmp_path)
    trace = small()
    late = trace.events.with_columns(nr=pl.Series([4, -1], dtype=pl.Int32))
    late.write_parquet(tmp_path / "events.parquet")
    meta = json.loads((tmp_path / "meta.json").read_text())
    meta["sha256"]["events.parquet"] = hashlib.sha256((tmp_path / "events.parquet").read_bytes()).hexdigest()
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(TraceError, match="row 1") as error:
        read(tmp_path)
    assert (error.value.file, error.value.row) == (str(tmp_path / "events.parquet"), 1)


@given(trace=traces(details=True))
def test_every_drawn_trace_is_valid(trace: Trace) -> None:
    validate(trace)


def test_names_that_are_no_unicode_are_stored_as_valid_text(tmp_path: Path) -> None:
    trace = read(recorded("prefork"))
    write(replace(trace, meta=replace(trace.meta, scenario="record --around a\udcff")), tmp_path / "t")
    assert read(tmp_path / "t").meta.scenario == "record --around a\ufffdFF"


@pytest.mark.parametrize(
    "content",
    [
        *(b"[]", b"null", b"", b"\xff", b"{", b"[" * 100_000),
        *(b'{"format": "rmaplab trace"}', b'{"format": "rmaplab trace", "version": 1}'),
    ],
)
def test_a_meta_json_that_is_none_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    shutil.copytree(recorded("prefork"), tmp_path / "t")
    (tmp_path / "t" / "meta.json").write_bytes(content)
    with pytest.raises(TraceError, match=r"meta\.json"):
        read(tmp_path / "t")


@pytest.mark.parametrize(("source", "expected"), [("inspect", UNOBSERVED), ("live", ()), ("model", ())])
def test_a_trace_of_before_unobserved_was_kept_is_read_by_its_source(
    tmp_path: Path, source: str, expected: tuple[str, ...]
) -> None:
    write(TraceBuilder().build(Meta(source)), tmp_path / "t")
    file = tmp_path / "t" / "meta.json"
    meta = json.loads(file.read_text())
    del meta["unobserved"], meta["names"]
    file.write_text(json.dumps(meta))
    assert read(tmp_path / "t").meta.unobserved == expected


def test_unobserved_and_names_come_back_as_written(tmp_path: Path) -> None:
    meta = Meta("inspect", unobserved=("outcomes",), names={3: "redis-server", 4: for_json("\udcff\x1b[m\ufffd")})
    write(TraceBuilder().build(meta), tmp_path / "t")
    assert read(tmp_path / "t").meta == meta


@pytest.mark.parametrize(
    ("field", "value"),
    [("unobserved", "questions"), ("unobserved", [1]), ("names", []), ("names", {"x": "y"}), ("names", {"1": 2})],
)
def test_fields_of_another_type_are_refused_by_name(tmp_path: Path, field: str, value: object) -> None:
    write(TraceBuilder().build(Meta("test")), tmp_path / "t")
    file = tmp_path / "t" / "meta.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    with pytest.raises(TraceError, match=field):
        read(tmp_path / "t")
