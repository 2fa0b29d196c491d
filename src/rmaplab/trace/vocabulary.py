"""The words every table and every answer uses: verdicts, kinds of folio, kinds of question, outcomes.

For everybody. Not for rules: what a verdict means for a scheme stands in `rmaplab.schemes`.
"""

from enum import IntEnum
from typing import Final

import polars as pl


class Verdict(IntEnum):
    """An answer to "mapped exclusively or mapped shared?". Arrays of verdicts have dtype uint8.

    UNKNOWN is 0, so that memory nobody has answered for yet never reads as EXCLUSIVE.
    """

    UNKNOWN = 0
    EXCLUSIVE = 1
    SHARED = 2


MAX_ORDER: Final = 21
"""Largest order any scheme is asked about: 2^21 pages, 8 GiB of 4 KiB pages."""

KINDS: Final = ("anon", "file", "shmem", "ksm")
"""What a folio holds. KSM folios are always small."""

QUESTIONS_ASKED: Final = ("cow", "unshare", "madvise", "migrate", "reclaim", "collapse", "stat")
"""Who asks: a COW write fault, GUP unsharing, MADV_COLD/PAGEOUT/FREE, mbind/migrate_pages/NUMA hinting,
reclaim, khugepaged's max_ptes_shared, statistics (smaps, pagemap)."""

OUTCOMES: Final = ("reused", "copied", "split")
"""What the kernel did after a COW question: the page was reused in place, copied, or (asked about a
PMD-mapped folio) the mapping was split to PTEs so that the question comes again page by page."""

UNOBSERVED: Final = ("questions", "outcomes", "write_seconds")
"""What a recorder may not have seen: the questions of the system it looks at (those that stand in its trace are its own,
of statistics), what the kernel did after them, how long the programs' writes took."""

KIND: Final = pl.Enum(KINDS)
WHAT: Final = pl.Enum(QUESTIONS_ASKED)
OUTCOME: Final = pl.Enum(OUTCOMES)
VERDICT: Final = pl.Enum([v.name.lower() for v in Verdict])
"""Verdicts as they stand in tables: their names in lower case; the physical value equals the `Verdict`."""
