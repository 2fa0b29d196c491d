"""The data that flows: folio table, event table, question table, and what is known about them."""

from rmaplab.trace.errors import TraceError
from rmaplab.trace.parquet import check_place, read, write
from rmaplab.trace.parts import MOST_PARTS, Part, PartedTrace, is_parted, open_parts, write_parts
from rmaplab.trace.split import parts_of, split
from rmaplab.trace.tables import EVENTS, FOLIOS, FORMAT_VERSION, QUESTIONS, Meta, Trace, TraceBuilder
from rmaplab.trace.validate import validate
from rmaplab.trace.vocabulary import (
    KIND,
    KINDS,
    MAX_ORDER,
    OUTCOME,
    OUTCOMES,
    QUESTIONS_ASKED,
    UNOBSERVED,
    VERDICT,
    WHAT,
    Verdict,
)

__all__ = [
    "EVENTS",
    "FOLIOS",
    "FORMAT_VERSION",
    "KIND",
    "KINDS",
    "MAX_ORDER",
    "MOST_PARTS",
    "OUTCOME",
    "OUTCOMES",
    "QUESTIONS",
    "QUESTIONS_ASKED",
    "UNOBSERVED",
    "VERDICT",
    "WHAT",
    "Meta",
    "Part",
    "PartedTrace",
    "Trace",
    "TraceBuilder",
    "TraceError",
    "Verdict",
    "check_place",
    "is_parted",
    "open_parts",
    "parts_of",
    "read",
    "split",
    "validate",
    "write",
    "write_parts",
]
