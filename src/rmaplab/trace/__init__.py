"""The data that flows: folio table, event table, question table, and what is known about them."""

from rmaplab.trace.errors import TraceError
from rmaplab.trace.parquet import check_place, read, write
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
    "OUTCOME",
    "OUTCOMES",
    "QUESTIONS",
    "QUESTIONS_ASKED",
    "UNOBSERVED",
    "VERDICT",
    "WHAT",
    "Meta",
    "Trace",
    "TraceBuilder",
    "TraceError",
    "Verdict",
    "check_place",
    "read",
    "validate",
    "write",
]
