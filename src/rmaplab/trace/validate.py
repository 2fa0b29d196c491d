"""Is a trace what the schemas and their docstrings promise? Every breach is a `TraceError` with file, row and rule.

For `read`, for authors of recorders, for tests. The engine relies on a valid trace and checks nothing of this again.
Rows count from 0.
"""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.trace.counts import first_negative
from rmaplab.trace.errors import TraceError
from rmaplab.trace.tables import EVENTS, FOLIOS, FORMAT_VERSION, QUESTIONS, Trace
from rmaplab.trace.vocabulary import MAX_ORDER, UNOBSERVED

FOLIOS_FILE: Final = "folios.parquet"
EVENTS_FILE: Final = "events.parquet"
QUESTIONS_FILE: Final = "questions.parquet"
META_FILE: Final = "meta.json"

EXACTNESS: Final = ("exact", "estimate", "unknown")
_NAME: Final = 64
"""Characters of an MM's name: the kernel's 15 bytes, each written as up to three."""
_NULLABLE: Final = frozenset({"pfn", "kernel", "truth", "outcome", "extra_refs"})


def validate(trace: Trace) -> None:
    """Raises TraceError for the first rule broken, naming the first row that breaks it.

    O(pieces log pieces) where a range of pages counts one piece per range it partly overlaps within its MM: 10
    million events that map and unmap the same ranges take seconds and about 100 B an event.
    """
    _meta(trace)
    for file, table, schema in (
        (FOLIOS_FILE, trace.folios, FOLIOS),
        (EVENTS_FILE, trace.events, EVENTS),
        (QUESTIONS_FILE, trace.questions, QUESTIONS),
    ):
        _schema(file, table, schema)
    _folios(trace.folios)
    _events(trace.events, trace.folios)
    _questions(trace.questions, trace.folios)
    _observed(trace)


def _meta(trace: Trace) -> None:
    meta = trace.meta
    if meta.version != FORMAT_VERSION:
        raise TraceError(META_FILE, None, f"version {meta.version}: must be {FORMAT_VERSION}")
    if meta.page_size < 1 or meta.page_size & (meta.page_size - 1):
        raise TraceError(META_FILE, None, f"page_size {meta.page_size}: must be a power of two")
    if meta.exactness not in EXACTNESS:
        raise TraceError(META_FILE, None, f"exactness {meta.exactness!r}: must be one of {', '.join(EXACTNESS)}")
    for what in meta.unobserved:
        if what not in UNOBSERVED:
            raise TraceError(META_FILE, None, f"unobserved {what!r}: must be one of {', '.join(UNOBSERVED)}")
    if "write_seconds" in meta.unobserved and "write_seconds" in meta.stats:
        raise TraceError(META_FILE, None, "write_seconds: must not be given, since it is unobserved")
    for mm, name in meta.names.items():
        if not 1 <= mm < 1 << 32:
            raise TraceError(META_FILE, None, f"names, MM {mm}: rmap IDs must be in 1 .. {(1 << 32) - 1}")
        if not 0 < len(name) <= _NAME or any("\ud800" <= char <= "\udfff" for char in name):
            rule = f"must be 1 .. {_NAME} characters of valid Unicode"
            raise TraceError(META_FILE, None, f"names, MM {mm}, {name!r}: {rule}")


def _schema(file: str, table: pl.DataFrame, schema: pl.Schema) -> None:
    if table.schema != schema:
        raise TraceError(file, None, f"columns {_columns(table.schema)}: must be {_columns(schema)}")
    for name in table.columns:
        if name not in _NULLABLE and table[name].null_count():
            _reject(file, table, table[name].is_null().to_numpy(), f"{name} must not be null")


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in schema.items())


def _folios(folios: pl.DataFrame) -> None:
    order = folios["order"].to_numpy()
    dense = folios["folio"].to_numpy() == np.arange(len(folios))
    _reject(FOLIOS_FILE, folios, ~dense, "folio {folio}: ids must be dense, equal to the row number")
    _reject(FOLIOS_FILE, folios, order > MAX_ORDER, f"order {{order}}: must be in 0 .. {MAX_ORDER}")
    ksm = (folios["kind"] == "ksm").to_numpy()
    _reject(FOLIOS_FILE, folios, ksm & (order > 0), "order {order}: a ksm folio must have order 0")


def _events(events: pl.DataFrame, folios: pl.DataFrame) -> None:
    pages = _common(EVENTS_FILE, events, folios)
    page, nr = events["page"].to_numpy(), events["nr"].to_numpy()
    entire = events["entire"].to_numpy()
    _reject(EVENTS_FILE, events, nr == 0, "nr must not be 0")
    _reject(EVENTS_FILE, events, entire & (page != 0), "page {page}: an entire row must have page 0")
    end = page + np.abs(nr.astype(np.int64))
    rule = "page {page}, nr {nr}: pages must lie inside folio {folio}"
    _reject(EVENTS_FILE, events, ~entire & (end > pages), rule)

    row = first_negative(events)
    if row is not None:
        rule = "page {page}, nr {nr}, entire {entire}: unmaps from MM {mm} what it does not map of folio {folio}"
        raise TraceError(EVENTS_FILE, row, rule.format(**events.row(row, named=True)))


def _questions(questions: pl.DataFrame, folios: pl.DataFrame) -> None:
    pages = _common(QUESTIONS_FILE, questions, folios)
    asked = questions["pages"].to_numpy()
    _reject(QUESTIONS_FILE, questions, asked == 0, "pages must not be 0")
    end = questions["page"].to_numpy() + asked.astype(np.int64)
    rule = "page {page}, pages {pages}: pages must lie inside folio {folio}"
    _reject(QUESTIONS_FILE, questions, end > pages, rule)


def _observed(trace: Trace) -> None:
    """The question table holds nothing that the recorder says it did not see."""
    questions, unobserved = trace.questions, trace.meta.unobserved
    if "questions" in unobserved:
        other = (questions["what"] != "stat").to_numpy()
        _reject(QUESTIONS_FILE, questions, other, "what {what}: must be stat, since questions are unobserved")
    if "outcomes" in unobserved:
        known = questions["outcome"].is_not_null().to_numpy()
        _reject(QUESTIONS_FILE, questions, known, "outcome {outcome}: must be null, since outcomes are unobserved")


def _common(file: str, table: pl.DataFrame, folios: pl.DataFrame) -> NDArray[np.int64]:
    """Rules for step, folio and mm; returns the pages of each row's folio."""
    step, folio = table["step"].to_numpy(), table["folio"].to_numpy()
    earlier = np.zeros(len(table), np.bool_)
    earlier[1:] = step[1:] < step[:-1]
    _reject(file, table, earlier, "step {step}: steps must not decrease")
    _reject(file, table, folio >= len(folios), f"folio {{folio}}: must be one of the {len(folios)} in {FOLIOS_FILE}")
    _reject(file, table, table["mm"].to_numpy() == 0, "mm 0: rmap IDs must start at 1")
    pages: NDArray[np.int64] = np.left_shift(1, folios["order"].to_numpy().astype(np.int64))[folio]
    return pages


def _reject(file: str, table: pl.DataFrame, bad: NDArray[Any], rule: str) -> None:
    """Raises for the first bad row; `rule` may name the row's values in braces."""
    if bad.any():
        row = int(np.argmax(bad))
        raise TraceError(file, row, rule.format(**table.row(row, named=True)))
