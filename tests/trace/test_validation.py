"""Each kind of damage is rejected, with its row named; nothing valid is."""

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rmaplab.trace import EVENTS, Meta, Trace, TraceBuilder, TraceError, validate
from strategies import traces

TABLES = ("folios", "events", "questions")


def damaged(trace: Trace, table: str, row: int, **values: object) -> Trace:
    """`trace` with some cells of one row replaced."""
    old = getattr(trace, table)
    columns = [
        pl.Series(n, [*old[n][:row], values[n], *old[n][row + 1 :]], dtype=old.schema[n], strict=True) for n in values
    ]
    tables = {name: getattr(trace, name) for name in TABLES} | {table: old.with_columns(columns)}
    return Trace(meta=trace.meta, **tables)


def rejection(trace: Trace) -> TraceError:
    with pytest.raises(TraceError) as error:
        validate(trace)
    return error.value


DAMAGE = [
    ("folios", {"folio": 77}, "folio 77: ids must be dense"),
    ("folios", {"order": 22}, "order 22: must be in 0 .. 21"),
    ("folios", {"order": 1, "kind": "ksm"}, "a ksm folio must have order 0"),
    ("folios", {"kind": None}, "kind must not be null"),
    ("events", {"folio": 99}, "folio 99: must be one of"),
    ("events", {"mm": 0}, "mm 0: rmap IDs must start at 1"),
    ("events", {"nr": 0}, "nr must not be 0"),
    ("events", {"nr": None}, "nr must not be null"),
    ("events", {"page": 1 << 21, "entire": False}, "pages must lie inside folio"),
    ("events", {"nr": (1 << 21) + 1, "page": 0, "entire": False}, "pages must lie inside folio"),
    ("events", {"nr": -(1 << 31), "page": (1 << 32) - 1, "entire": False}, "pages must lie inside folio"),
    ("events", {"page": 1, "entire": True}, "an entire row must have page 0"),
    ("questions", {"folio": 99}, "folio 99: must be one of"),
    ("questions", {"mm": 0}, "mm 0: rmap IDs must start at 1"),
    ("questions", {"pages": 0}, "pages must not be 0"),
    ("questions", {"pages": (1 << 32) - 1, "page": (1 << 32) - 1}, "pages must lie inside folio"),
    ("questions", {"what": None}, "what must not be null"),
]


@pytest.mark.parametrize(("table", "values", "rule"), DAMAGE)
@settings(max_examples=25)
@given(trace=traces(max_crowd=3), data=st.data())
def test_damage_to_one_row_is_rejected_with_that_row_named(
    table: str, values: dict[str, object], rule: str, trace: Trace, data: st.DataObject
) -> None:
    rows = len(getattr(trace, table))
    assume(rows)
    row = data.draw(st.integers(0, rows - 1))
    error = rejection(damaged(trace, table, row, **values))
    assert (error.file, error.row) == (f"{table}.parquet", row)
    assert rule in error.rule


@pytest.mark.parametrize("table", ["events", "questions"])
@given(trace=traces(max_crowd=3), data=st.data())
def test_a_step_that_goes_back_is_rejected(table: str, trace: Trace, data: st.DataObject) -> None:
    rows = len(getattr(trace, table))
    assume(rows > 1)
    row = data.draw(st.integers(1, rows - 1))
    error = rejection(damaged(trace, table, row - 1, step=(1 << 32) - 1))
    assert (error.file, error.row, "steps must not decrease" in error.rule) == (f"{table}.parquet", row, True)


@given(trace=traces(max_crowd=70), data=st.data())
def test_dropping_a_map_is_rejected_at_its_unmap(trace: Trace, data: st.DataObject) -> None:
    maps = [i for i, nr in enumerate(trace.events["nr"]) if nr > 0]
    assume(maps)
    drop = data.draw(st.sampled_from(maps))
    events = trace.events.with_row_index("row").filter(pl.col("row") != drop).drop("row")
    expected = first_negative_by_counting(events)
    broken = Trace(trace.folios, events, trace.questions, trace.meta)
    if expected is None:
        validate(broken)
    else:
        error = rejection(broken)
        assert (error.file, error.row) == ("events.parquet", expected)
        assert "what it does not map" in error.rule


@pytest.mark.parametrize("pmd_first", [True, False])
def test_a_pmd_mapping_and_a_mapping_of_page_0_are_not_each_other(pmd_first: bool) -> None:
    builder = TraceBuilder()
    folio = builder.folios(9, "anon")
    builder.events(folio, 1, 0, 1, pmd_first)
    builder.events(folio, 1, 0, -1, not pmd_first)
    assert rejection(builder.build(Meta("test"))).row == 1


@pytest.mark.parametrize("order", [0, 9, 21])
def test_pages_may_reach_the_last_one_of_the_folio_and_no_further(order: int) -> None:
    last = (1 << order) - 1
    for page, nr, valid in ((0, last + 1, True), (last, 1, True), (0, last + 2, False), (last, 2, False)):
        for table in ("events", "questions"):
            builder = TraceBuilder()
            folio = builder.folios(order, "anon")
            if table == "events":
                builder.events(folio, 1, page, nr)
            else:
                builder.questions(folio, 1, page=page, pages=nr)
            trace = builder.build(Meta("test"))
            if valid:
                validate(trace)
            else:
                assert rejection(trace).file == f"{table}.parquet"


EVENT = st.tuples(
    st.integers(0, 1), st.integers(1, 2), st.sampled_from([0, 0, 1, 3, 7]), st.sampled_from([1, 2, 4, 8]), st.booleans()
)


@settings(max_examples=100)
@given(st.lists(st.tuples(EVENT, st.sampled_from([1, 1, 1, -1])), max_size=12))
def test_counts_are_checked_exactly_per_folio_mm_and_page(rows: list[tuple[tuple[int, ...], int]]) -> None:
    builder = TraceBuilder()
    builder.folios([3, 3], "anon")
    for (folio, mm, page, nr, entire), sign in rows:
        page = 0 if entire else page  # noqa: PLW2901
        builder.events(folio, mm, page, sign * min(nr, 8 - page), bool(entire))
    trace = builder.build(Meta("test"))
    expected = first_negative_by_counting(trace.events)
    if expected is None:
        validate(trace)
    else:
        assert rejection(trace).row == expected


def first_negative_by_counting(events: pl.DataFrame) -> int | None:
    """The rule, page by page: a PMD mapping is page -1."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for row, (_, folio, mm, page, nr, entire) in enumerate(events.iter_rows()):
        covered = [-1] if entire else range(page, page + abs(nr))
        for p in covered:
            counts[folio, mm, p] += nr if entire else (1 if nr > 0 else -1)
            if counts[folio, mm, p] < 0:
                return row
    return None


def test_a_missing_column_or_a_wrong_type_is_rejected() -> None:
    builder = TraceBuilder()
    builder.folios([0], "anon")
    trace = builder.build(Meta("test"))
    for events in (
        trace.events.drop("entire"),
        trace.events.cast({"nr": pl.Int64}),
        trace.events.select(EVENTS.names()[::-1]),
    ):
        error = rejection(Trace(trace.folios, events, trace.questions, trace.meta))
        assert (error.file, error.row) == ("events.parquet", None)
        assert error.rule.startswith("columns ")


def test_many_pairs_are_checked_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmaplab.trace.counts._BATCH", 7)
    builder = TraceBuilder()
    folio = builder.folios([4] * 50, "anon")
    builder.events(folio, range(1, 51), 0, 16)
    for page in range(16):
        builder.events(folio, range(1, 51), page, -1)
    validate(builder.build(Meta("test")))
    builder.events(folio[33], 34, 5, -1)
    assert rejection(builder.build(Meta("test"))).row == 50 * 17


def recorded(what: str = "stat", outcome: str | None = None, **meta: Any) -> Trace:
    builder = TraceBuilder()
    folio = builder.folios([0], "anon")
    builder.events(folio, mm=1, page=0, nr=1)
    builder.tick()
    builder.questions(folio, mm=1, what=what, outcome=outcome)
    return builder.build(Meta("test", **meta))


@pytest.mark.parametrize(
    ("file", "rule", "trace"),
    [
        ("questions.parquet", "must be stat", recorded("cow", unobserved=("questions",))),
        ("questions.parquet", "must be null", recorded(outcome="copied", unobserved=("outcomes",))),
        ("meta.json", "write_seconds", recorded(unobserved=("write_seconds",), stats={"write_seconds": 0.0})),
        ("meta.json", "'faults'", recorded(unobserved=("faults",))),
        ("meta.json", "MM 0", recorded(names={0: "redis"})),
        ("meta.json", "64 characters", recorded(names={1: ""})),
        ("meta.json", "64 characters", recorded(names={1: "x" * 65})),
        ("meta.json", "Unicode", recorded(names={1: "\udcff"})),
    ],
)
def test_a_trace_holds_nothing_it_says_nobody_observed_and_names_are_safe(file: str, rule: str, trace: Trace) -> None:
    error = rejection(trace)
    assert error.file == file
    assert rule in error.rule
