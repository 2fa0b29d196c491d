"""Do two machines record the same? Their traces, program step by program step, up to the names of folios.

For the runner, once a program is through. Of a program step the rmap updates count as far as they stay: which pages of
what kind of folio an MM maps more or less often afterwards. Questions are compared in order, field by field, where both
machines know the field: a live kernel says nothing of what it asked under madvise, nor of references while folios move.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from rmaplab.machine.differential.compare import Difference
from rmaplab.trace import Trace

_PAGE: Final = ("mm", "order", "kind", "page", "entire")
_ASKED: Final = ("mm", "what", "order", "kind", "page", "pages")
_ANSWERED: Final = ("kernel", "truth", "outcome", "extra_refs")
_UNSEEN: Final = ("madvise",)
"""Questions that no live machine can record; with swap nor those of GUP, which may unshare what it just swapped in."""


@dataclass(slots=True)
class Marks:
    """How many rows a machine had recorded after each step of the program. `swaps`: it has a swap device."""

    events: list[int] = field(default_factory=list)
    questions: list[int] = field(default_factory=list)
    swaps: bool = False

    def note(self, events: int, questions: int) -> None:
        """A step of the program is done."""
        self.events.append(events)
        self.questions.append(questions)


def _placed(rows: pl.DataFrame, after: list[int]) -> pl.DataFrame:
    """`rows` with column `at`, the step of the program that they belong to, instead of the machine's own."""
    at = pl.Series(after).search_sorted(pl.int_range(1, len(rows) + 1, eager=True), side="left")
    return rows.with_columns(at=at.cast(pl.Int64)).drop("step")


def compare_traces(live: Trace, ours: Marks, model: Trace, theirs: Marks) -> tuple[int, Difference] | None:
    """The first program step in which the traces differ, and in what; None if they tell the same."""
    sides = (live, ours), (model, theirs)
    unseen = (*_UNSEEN, "unshare") if ours.swaps else _UNSEEN
    asked = (_asked(*side, unseen) for side in sides)
    found = [_events(*(_lasting(*side) for side in sides)), _questions(*asked)]
    return min((each for each in found if each is not None), key=lambda each: each[0], default=None)


def _lasting(trace: Trace, marks: Marks) -> pl.DataFrame:
    """Net change of mappings per program step, MM, kind of folio and page of it."""
    rows = _placed(trace.events, marks.events).join(trace.folios.select("folio", "order", "kind"), on="folio")
    pages = pl.when("entire").then(1).otherwise(pl.col("nr").abs())
    times = pl.when("entire").then("nr").otherwise(pl.col("nr").sign())
    rows = rows.with_columns(times=times, page=pl.int_ranges(pl.col("page"), pl.col("page") + pages)).explode("page")
    return rows.group_by("at", *_PAGE).agg(pl.col("times").sum()).filter(pl.col("times") != 0)


def _events(live: pl.DataFrame, model: pl.DataFrame) -> tuple[int, Difference] | None:
    both = live.join(model, on=["at", *_PAGE], how="full", coalesce=True, suffix="_model").fill_null(0)
    wrong = both.filter(pl.col("times") != pl.col("times_model")).sort("at", "mm", "page")
    if not len(wrong):
        return None
    row = wrong.row(0, named=True)
    return row["at"], Difference("rmap updates", _place(row), str(row["times"]), str(row["times_model"]))


def _asked(trace: Trace, marks: Marks, unseen: Sequence[str]) -> pl.DataFrame:
    """Questions but the `unseen`, numbered among their equals."""
    folios = trace.folios.select("folio", "order", "kind")
    rows = _placed(trace.questions, marks.questions).filter(~pl.col("what").cast(pl.String).is_in(unseen))
    rows = rows.join(folios, on="folio", maintain_order="left")
    key = ["at", *_ASKED]
    return rows.select(*key, *_ANSWERED).with_columns(which=pl.int_range(pl.len()).over(key))


def _questions(live: pl.DataFrame, model: pl.DataFrame) -> tuple[int, Difference] | None:
    key = ["at", *_ASKED, "which"]
    there = [side.with_columns(there=True) for side in (live, model)]
    both = there[0].join(there[1], on=key, how="full", coalesce=True, suffix="_model").sort(*key)
    told = [_told(both, name) for name in _ANSWERED]
    lacking = both.filter(pl.col("there").is_null() | pl.col("there_model").is_null())
    found = [(lacking.row(0, named=True), "question", "there", "there_model")] if len(lacking) else []
    found += [(row, name, name, f"{name}_model") for row, name in zip(told, _ANSWERED, strict=True) if row]
    if not found:
        return None
    row, what, ours, theirs = min(found, key=lambda each: each[0]["at"])
    asks = f" of a {row['what']}{_place(row)}"
    return row["at"], Difference(what, asks, str(row[ours]), str(row[theirs]))


def _told(both: pl.DataFrame, name: str) -> dict[str, object] | None:
    """The first question on whose answer `name` the two machines disagree."""
    wrong = both.filter(pl.col(name) != pl.col(f"{name}_model"))
    return wrong.row(0, named=True) if len(wrong) else None


def _place(row: dict[str, object]) -> str:
    return f" in MM {row['mm']}, page {row['page']} of a folio of order {row['order']} ({row['kind']})"
