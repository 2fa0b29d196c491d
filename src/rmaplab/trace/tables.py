"""A trace: three tables and what is known about their origin.

For everyone who makes, stores or replays traces. The builder collects NumPy chunks and makes the tables once;
reading, writing and validation stand in `rmaplab.trace.parquet` and `rmaplab.trace.validate`.

Time is the *step*. The questions of a step are asked before the events of the same step take effect; a recorder
gives every page fault a step of its own. Rows of the event and question tables stand in step order, and the
order of event rows within a step is the order of the rmap updates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from rmaplab.trace.vocabulary import KIND, OUTCOME, VERDICT, WHAT

FORMAT_VERSION: Final = 1

_FOLIOS: Final[Mapping[str, Any]] = {"folio": pl.UInt32, "order": pl.UInt8, "kind": KIND, "pfn": pl.UInt64}
FOLIOS: Final = pl.Schema(_FOLIOS)
"""One row per folio: dense id from 0 (the row number), order, kind, PFN of its head (null if left out)."""

_EVENTS: Final[Mapping[str, Any]] = {
    "step": pl.UInt32,
    "folio": pl.UInt32,
    "mm": pl.UInt32,
    "page": pl.UInt32,
    "nr": pl.Int32,
    "entire": pl.Boolean,
}
EVENTS: Final = pl.Schema(_EVENTS)
"""One row per rmap update: `nr` pages from `page` on mapped (> 0) or unmapped (< 0) in MM `mm` (rmap ID >= 1).
An `entire` row is `nr` PMD mappings (page 0); each counts as one mapping. 21 bytes a row."""

_QUESTIONS: Final[Mapping[str, Any]] = {
    "step": pl.UInt32,
    "folio": pl.UInt32,
    "mm": pl.UInt32,
    "page": pl.UInt32,
    "pages": pl.UInt32,
    "what": WHAT,
    "kernel": VERDICT,
    "truth": VERDICT,
    "outcome": OUTCOME,
    "extra_refs": pl.Int32,
}
QUESTIONS: Final = pl.Schema(_QUESTIONS)
"""One row per question MM `mm` has about a folio: `pages` pages from `page` on hang on the answer (1 for a
PTE fault, 2^order for a PMD fault). Null where unknown: `kernel` (the running kernel's verdict), `truth` (by the
recorder's own knowledge), `outcome`, `extra_refs` (folio references that are not mappings)."""


@dataclass(frozen=True, slots=True)
class Meta:
    """Where a trace comes from, and how exact it is.

    `exactness` is "exact", "estimate" or "unknown", `why` says why. `host` is salted away: equal within one
    recording session, meaningless elsewhere. `stats` are the run's own counters (forks, write_seconds, ...).
    `unobserved` names what the recorder did not see (of `UNOBSERVED`): that is unknown, never 0. `names` says which
    program an MM was, {rmap ID: name as `rmaplab.text.for_json` writes it}; never a command line.
    """

    source: str
    kernel: str = "unknown"
    page_size: int = 4096
    exactness: str = "exact"
    why: str = ""
    scenario: str = ""
    host: str = ""
    pfns: bool = False
    stats: Mapping[str, float] = field(default_factory=dict)
    version: int = FORMAT_VERSION
    unobserved: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """Folio, event and question table with the schemas above, and their `Meta`."""

    folios: pl.DataFrame
    events: pl.DataFrame
    questions: pl.DataFrame
    meta: Meta


class TraceBuilder:
    """Collects rows as chunks; `build()` makes the tables. O(rows), 21 B an event plus the chunk in hand.

    Every argument is an array or a scalar; the arguments of one call are broadcast against each other.
    Values that do not fit a column raise OverflowError or ValueError here, not at the reader's.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, list[pl.DataFrame]] = {"folios": [], "events": [], "questions": []}
        self._rows = dict.fromkeys(self._chunks, 0)
        self._folios = 0
        self.step = 0
        """The step in hand; `tick()` goes on to the next."""

    def tick(self, steps: int = 1) -> int:
        """Go on by `steps` and return the new step."""
        self.step += steps
        return self.step

    def folios(self, order: ArrayLike, kind: str, pfn: ArrayLike | None = None) -> np.ndarray:
        """Open one folio per element; returns their ids, uint32."""
        order = np.atleast_1d(np.asarray(order))
        ids = np.arange(self._folios, self._folios + len(order), dtype=np.uint32)
        self._folios += len(order)
        self._add("folios", FOLIOS, {"folio": ids, "order": order, "kind": kind, "pfn": pfn})
        return ids

    def events(
        self,
        folio: ArrayLike,
        mm: ArrayLike,
        page: ArrayLike,
        nr: ArrayLike,
        entire: ArrayLike = False,
        *,
        step: ArrayLike | None = None,
    ) -> None:
        """Append rmap updates, at the step in hand unless `step` gives one per row."""
        columns = {"folio": folio, "mm": mm, "page": page, "nr": nr, "entire": entire}
        self._add("events", EVENTS, {"step": self.step if step is None else step, **columns})

    def questions(
        self,
        folio: ArrayLike,
        mm: ArrayLike,
        what: str = "cow",
        *,
        page: ArrayLike = 0,
        pages: ArrayLike = 1,
        kernel: object = None,
        truth: object = None,
        outcome: object = None,
        extra_refs: ArrayLike | None = None,
        step: ArrayLike | None = None,
    ) -> None:
        """Append questions, at the step in hand unless `step` gives one per row.

        `kernel`, `truth` and `outcome` are names or sequences of names of the vocabulary, or None.
        """
        self._add(
            "questions",
            QUESTIONS,
            {
                "step": self.step if step is None else step,
                "folio": folio,
                "mm": mm,
                "page": page,
                "pages": pages,
                "what": what,
                "kernel": kernel,
                "truth": truth,
                "outcome": outcome,
                "extra_refs": extra_refs,
            },
        )

    @property
    def rows(self) -> tuple[int, int]:
        """Event and question rows so far."""
        return self._rows["events"], self._rows["questions"]

    def build(self, meta: Meta) -> Trace:
        """The tables, rows in step order (stable: rows of one step keep the order they came in)."""
        tables = {}
        for name, schema in (("folios", FOLIOS), ("events", EVENTS), ("questions", QUESTIONS)):
            chunks = self._chunks[name]
            table = pl.concat(chunks) if chunks else pl.DataFrame(schema=schema)
            tables[name] = table if name == "folios" else table.sort("step", maintain_order=True)
        return Trace(meta=meta, **tables)

    def _add(self, table: str, schema: pl.Schema, columns: Mapping[str, Any]) -> None:
        sizes = {np.size(v) for v in columns.values() if v is not None and np.ndim(v)}
        if len(sizes - {1}) > 1:
            raise ValueError(f"{table}: columns of different lengths {sorted(sizes)} in one call")
        rows = max(sizes - {1}, default=1)
        series = [_column(name, dtype, columns[name], rows) for name, dtype in schema.items()]
        self._chunks[table].append(pl.DataFrame(series))
        self._rows[table] += rows


def _column(name: str, dtype: pl.DataType, value: Any, rows: int) -> pl.Series:
    if value is None:
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, rows)
    if np.ndim(value) and np.size(value) == 1:
        value = next(iter(value))
    if np.ndim(value) == 0:
        return pl.Series(name, [value], strict=True).cast(dtype, strict=True).new_from_index(0, rows)
    return pl.Series(name, value, strict=True).cast(dtype, strict=True)
