"""Small folios: the mapcount is the answer, as in Linux, whatever the scheme.

For the engine. `responsible` says who answers for a folio of a given order. A small folio has no state beyond its
mapcount and must not pay for large ones; one MM that maps it twice counts as shared.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.base import Cost, Exactness, Field, Layout, LinearScheme, Op, Predicate, Scheme, State
from rmaplab.schemes.pricing import MAPCOUNT_BITS
from rmaplab.trace import Verdict


@dataclass(frozen=True)
class SmallFolio(LinearScheme):
    """EXCLUSIVE iff mapcount <= 1."""

    name: ClassVar[str] = "small"
    title: ClassVar[str] = "mapcount of a small folio"
    source: ClassVar[str] = "Linux, mm/memory.c"
    predicate: ClassVar[Predicate] = Predicate.ANY_OWNER
    exact: ClassVar[Exactness] = Exactness.NEVER_FALSE_EXCLUSIVE
    beyond: ClassVar[Verdict] = Verdict.SHARED
    orders: ClassVar[range] = range(1)
    id_bits: int = 32

    def words(self, order: int) -> int:
        return 1

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return np.ones(mm.shape, np.uint64)

    def matches(self, state: State, mm: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.asarray(self.mapcount(state) <= 1)

    def trusted_mapcount(self, order: int) -> int:
        return 1

    def capacity(self, order: int) -> int:
        return 32

    def layout(self, order: int) -> Layout:
        return Layout(order, (Field("mapcount", MAPCOUNT_BITS),))

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        return Cost(rmw=0, plain=1, bytes=4) if op is Op.VERDICT else Cost(rmw=1, plain=0, bytes=4)


SMALL = SmallFolio()


def responsible(scheme: Scheme, order: int) -> Scheme | None:
    """Who answers for a folio of `order` under `scheme`: itself, the small-folio rule, or nobody (UNKNOWN)."""
    if order in scheme.orders:
        return scheme
    return SMALL if order == 0 else None
