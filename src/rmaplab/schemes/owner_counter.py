"""Pointer to the owner, and a counter of the mappings that are not the owner's.

The idea a reviewer put against rmap IDs. The owner is whoever maps the folio first; a survivor that was not first stays
SHARED, for ever, and a file folio has no clean first mapping. Changing the owner would need a lock. Never false
exclusive: theorem `owner_counter_never_false_exclusive` (proofs/).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike

from rmaplab.schemes.base import Cost, Exactness, Field, Layout, Op, Predicate, Scheme, State, Verdicts
from rmaplab.schemes.pricing import MAPCOUNT_BITS
from rmaplab.trace import Verdict

_DTYPE: Final = np.dtype([("mapcount", np.int64), ("owner", np.uint32), ("others", np.int64)])


@dataclass(frozen=True)
class OwnerCounter(Scheme):
    """Owner, total mapcount, counter of non-owner mappings."""

    name: ClassVar[str] = "owner-counter"
    title: ClassVar[str] = "owner pointer and a counter of non-owner mappings"
    source: ClassVar[str] = "review of <20231124132626.235350-1-david@redhat.com>"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.NEVER_FALSE_EXCLUSIVE

    def start(self, order: int, count: int) -> State:
        self.check_order(order)
        return State(order, np.zeros(count, _DTYPE))

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        """The first mapper becomes the owner; the last unmapping forgets it."""
        who = np.asarray(mm, np.uint32)
        diff = np.asarray(nr, np.int64)
        old = state.data
        owner = np.where(old["mapcount"] == 0, who, old["owner"])
        data = np.empty_like(old)
        data["mapcount"] = old["mapcount"] + diff
        data["others"] = old["others"] + np.where(owner == who, 0, diff)
        data["owner"] = np.where(data["mapcount"] == 0, 0, owner)
        return State(state.order, data)

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        data = state.data
        mine = (data["owner"] == np.asarray(mm, np.uint32)) & (data["others"] == 0)
        exclusive = mine | (data["mapcount"] == 0)
        return np.where(exclusive, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)

    def capacity(self, order: int) -> int:
        """A pointer names any MM; traces number MMs with 32 bits."""
        self.check_order(order)
        return 32

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        fields = (Field("mapcount", MAPCOUNT_BITS), Field("owner", 64), Field("others", MAPCOUNT_BITS))
        return Layout(order, fields)

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """The total and, for a non-owner (the dearer case), the counter; the owner is only read."""
        size = self.layout(order).bytes
        return Cost(rmw=0, plain=3, bytes=size) if op is Op.VERDICT else Cost(rmw=2, plain=1, bytes=size)
