"""Ask the first page: shared iff it is mapped more than once (Linux up to 6.9 in effect).

Both errors: two MMs that map different pages look exclusive, one MM that maps the first page twice looks shared.
Sequences for each: theorems `estimated_sharers_false_exclusive`, `estimated_sharers_false_shared` (proofs/).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rmaplab.schemes.base import Exactness, Predicate, State, Verdicts
from rmaplab.schemes.per_page import PerPage
from rmaplab.trace import Verdict


@dataclass(frozen=True)
class EstimatedSharers(PerPage):
    """`folio_estimated_sharers() > 1`."""

    name: ClassVar[str] = "estimated-sharers"
    title: ClassVar[str] = "the first page's mapcount (Linux up to 6.9)"
    source: ClassVar[str] = "folio_estimated_sharers(), Linux 6.1 to 6.9"
    predicate: ClassVar[Predicate] = Predicate.ANY_OWNER
    exact: ClassVar[Exactness] = Exactness.HEURISTIC

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        shared = state.data["first"] + state.data["entire"] > 1
        return np.where(shared, Verdict.SHARED, Verdict.EXCLUSIVE).astype(np.uint8)
