"""Where the model writes its trace: rows as they come, made into tables when somebody asks.

For the model only; the same rows, with the same meaning, as the live recorder's.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from rmaplab.machine.model.physical.log import Log
from rmaplab.trace import EVENTS, FOLIOS, KINDS, OUTCOMES, QUESTIONS, QUESTIONS_ASKED, Meta, Trace, Verdict

NOBODY_ASKED: Final = 255
"""`kernel` of a question the kernel did not answer by a verdict."""


class Recorder:
    """Collects folios, events and questions. At most 21 B an event, less where many are written at once.

    `step` is the step in hand: an operation that faults gives every page two steps of its own (`span`).
    """

    def __init__(self) -> None:
        self.step = 0
        self._folios = Log({"order": np.uint8, "kind": np.uint8})
        self._events = Log(
            {
                "step": np.uint32,
                "folio": np.uint32,
                "mm": np.uint32,
                "page": np.uint32,
                "nr": np.int32,
                "entire": np.bool_,
            }
        )
        self._questions = Log(
            {
                "step": np.uint32,
                "folio": np.uint32,
                "mm": np.uint32,
                "page": np.uint32,
                "pages": np.uint32,
                "what": np.uint8,
                "kernel": np.uint8,
                "truth": np.uint8,
                "outcome": np.uint8,
                "extra_refs": np.int32,
            }
        )

    def tick(self, steps: int = 1) -> int:
        """Reserve `steps` steps; returns the first of them."""
        first = self.step + 1
        self.step += steps
        return first

    def folios(self, order: int, kind: int, count: int) -> int:
        """Open `count` folios with consecutive ids; returns the first."""
        first = self._folios.rows
        self._folios.extend(count, order, kind)
        return first

    def events(self, step: ArrayLike, folio: ArrayLike, mm: int, page: ArrayLike, nr: ArrayLike, *, entire: bool) -> None:
        """Append one row per element of `folio`."""
        self._events.extend(np.size(folio), step, folio, mm, page, nr, entire)

    def event(self, step: int, folio: int, mm: int, page: int, nr: int, *, entire: bool) -> None:
        """Append one row."""
        self._events.add(step, folio, mm, page, nr, entire)

    def questions(
        self,
        what: str,
        *,
        step: ArrayLike,
        folio: ArrayLike,
        mm: int,
        page: ArrayLike,
        pages: ArrayLike,
        kernel: ArrayLike,
        truth: ArrayLike,
        outcome: ArrayLike,
        extra_refs: ArrayLike,
    ) -> None:
        """Append one question per element of `folio`; `kernel` and `truth` are `Verdict`s, `outcome` an index
        of `OUTCOMES` or 255 for none."""
        rest = kernel, truth, outcome, extra_refs
        self._questions.extend(np.size(folio), step, folio, mm, page, pages, QUESTIONS_ASKED.index(what), *rest)

    def trace(self, meta: Meta) -> Trace:
        """Everything so far, rows in step order."""
        folios = {
            "folio": np.arange(self._folios.rows, dtype=np.uint32),
            "order": self._folios.column("order"),
            "kind": _names(self._folios.column("kind"), KINDS),
            "pfn": pl.Series([None], dtype=pl.UInt64).new_from_index(0, self._folios.rows),
        }
        events = {name: self._events.column(name) for name in EVENTS}
        questions = {name: self._questions.column(name) for name in QUESTIONS}
        verdicts = tuple(v.name.lower() for v in Verdict)
        vocabulary = {"what": QUESTIONS_ASKED, "kernel": verdicts, "truth": verdicts, "outcome": OUTCOMES}
        named = {k: _names(v, vocabulary[k]) if k in vocabulary else v for k, v in questions.items()}
        return Trace(
            pl.DataFrame(folios, schema=FOLIOS),
            pl.DataFrame(events, schema=EVENTS).sort("step", maintain_order=True),
            pl.DataFrame(named, schema=QUESTIONS).sort("step", maintain_order=True),
            meta,
        )

    @property
    def rows(self) -> tuple[int, int]:
        """Event and question rows so far."""
        return self._events.rows, self._questions.rows

    @property
    def event_rows(self) -> int:
        return self._events.rows

    @property
    def bytes(self) -> int:
        return self._folios.bytes + self._events.bytes + self._questions.bytes


def _names(codes: np.ndarray, names: tuple[str, ...]) -> pl.Series:
    words = pl.Series([*names, None], dtype=pl.Enum(names))
    return words.gather(np.minimum(codes, len(names)))
