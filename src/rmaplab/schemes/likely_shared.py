"""The better guess of Linux 6.10 to 6.14: `folio_likely_mapped_shared()`.

One mapping is exclusive; a PMD mapping beside others, or more mappings than pages, is shared; else the first page
decides. Both errors remain: theorems `likely_shared_false_exclusive`, `likely_shared_false_shared` (proofs/).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rmaplab.schemes.base import Exactness, Predicate, State, Verdicts
from rmaplab.schemes.per_page import PerPage
from rmaplab.trace import Verdict


@dataclass(frozen=True)
class LikelyShared(PerPage):
    """`folio_likely_mapped_shared()`."""

    name: ClassVar[str] = "likely-shared"
    title: ClassVar[str] = "total, entire and the first page's mapcount (Linux 6.10 to 6.14)"
    source: ClassVar[str] = "folio_likely_mapped_shared(), Linux 6.10 to 6.14"
    predicate: ClassVar[Predicate] = Predicate.ANY_OWNER
    exact: ClassVar[Exactness] = Exactness.HEURISTIC

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        data = state.data
        guess = (data["entire"] > 0) | (data["mapcount"] > 1 << state.order) | (data["first"] > 1)
        shared = (data["mapcount"] > 1) & guess
        return np.where(shared, Verdict.SHARED, Verdict.EXCLUSIVE).astype(np.uint8)
