"""What a trace says besides verdicts: how much of what is in it, and what the kernel did. Those of its parts add up.

For reports, which need no trace then. Nothing here replays anything.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import polars as pl

from rmaplab.trace import Meta, Trace


@dataclass(frozen=True, slots=True)
class Happened:
    """Counts over one trace, or over some of its parts. `Happened(meta)` is of no part at all."""

    meta: Meta
    mms: frozenset[int] = frozenset()
    """Rmap IDs that occur in the events."""
    folios: Mapping[int, int] = field(default_factory=dict)
    """Folios by order."""
    events: int = 0
    questions: int = 0
    cow_faults: int = 0
    pages: Mapping[str | None, int] = field(default_factory=dict)
    """Pages that hung on questions, by outcome."""

    @classmethod
    def of(cls, source: "Trace | Happened") -> "Happened":
        """Count. O(rows)."""
        if isinstance(source, Happened):
            return source
        questions = source.questions
        return cls(
            meta=source.meta,
            mms=frozenset(source.events["mm"].unique().to_list()),
            folios=dict(source.folios.group_by("order").len().sort("order").iter_rows()),
            events=source.events.height,
            questions=questions.height,
            cow_faults=questions.filter(pl.col("what") == "cow").height,
            pages=_sorted(dict(questions.group_by("outcome").agg(pl.col("pages").cast(pl.Int64).sum()).iter_rows())),
        )

    def merge(self, other: Self) -> "Happened":
        """Both, of one trace. Raises ValueError for parts of two."""
        if self.meta != other.meta:
            raise ValueError("parts of different traces do not add up")
        folios = Counter(self.folios) + Counter(other.folios)
        return Happened(
            self.meta,
            self.mms | other.mms,
            {order: folios[order] for order in sorted(folios)},
            self.events + other.events,
            self.questions + other.questions,
            self.cow_faults + other.cow_faults,
            _sorted({key: self.pages.get(key, 0) + other.pages.get(key, 0) for key in {*self.pages, *other.pages}}),
        )

    def sees(self, *what: str) -> bool:
        """Whether the trace's recorder saw all of these (of `UNOBSERVED`)."""
        return not set(what) & set(self.meta.unobserved)


def _sorted(pages: Mapping[str | None, int]) -> dict[str | None, int]:
    return {key: pages[key] for key in sorted(pages, key=str)}
