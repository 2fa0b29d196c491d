"""The oracle: who maps the folio, kept as what it is, a multiset of MMs.

For tests and for the judge. Its state is unbounded and its update a Python loop, both on purpose: it shall be
obviously right, not fast. The engine has a vectorised form, tested against this one.
"""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rmaplab.schemes.base import Cost, Exactness, Field, Layout, Op, Predicate, Scheme, State, Verdicts
from rmaplab.trace import MAX_ORDER, Verdict


@dataclass(frozen=True)
class Truth(Scheme):
    """One Counter {rmap ID: mappings} per folio. `predicate` decides which of the two questions it answers."""

    name: ClassVar[str] = "truth"
    title: ClassVar[str] = "the multiset of mapping MMs (the oracle)"
    source: ClassVar[str] = "definition, docs/schemes.md"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.NEVER_WRONG
    orders: ClassVar[range] = range(MAX_ORDER + 1)

    def start(self, order: int, count: int) -> State:
        self.check_order(order)
        data = np.empty(count, object)
        data[:] = [Counter() for _ in range(count)]
        return State(order, data)

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        """Add to the caller's count; an MM without mappings is not in the multiset."""
        who, diff = np.broadcast_to(mm, len(state)), np.broadcast_to(nr, len(state))
        data = np.empty(len(state), object)
        for i, old in enumerate(state.data):
            new = Counter(old)
            new[int(who[i])] += int(diff[i])
            data[i] = +new
        return State(state.order, data)

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        who = np.broadcast_to(mm, len(state))
        exclusive = [set(mappings) <= {int(who[i])} for i, mappings in enumerate(state.data)]
        return np.where(exclusive, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)

    def verdict_any_owner(self, state: State) -> Verdicts:
        """The other predicate: EXCLUSIVE iff at most one MM maps the folio."""
        exclusive = [len(mappings) <= 1 for mappings in state.data]
        return np.where(exclusive, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)

    def capacity(self, order: int) -> int:
        """Any MM; traces number them with 32 bits."""
        self.check_order(order)
        return 32

    def layout(self, order: int) -> Layout:
        """What a list of the MMs would take at least: one entry per page, each MM mapping one."""
        self.check_order(order)
        return Layout(order, (Field("MM and its mapcount", 64 + 32, 1 << order),))

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """A lock, and a walk over a list that may hold an MM per page."""
        entries = 1 << order
        return Cost(rmw=0 if op is Op.VERDICT else 1, plain=entries, bytes=12 * entries)
