"""State of the schemes that guess from the first page: mapcounts per page, and an entire mapcount.

For `estimated-sharers` and `likely-shared`. Only the first page's count decides, so only that one is carried along;
`layout` and `cost` count what the kernels keep and touch: a mapcount in every page.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from rmaplab.schemes.base import Cost, Field, Layout, Op, Scheme, State
from rmaplab.schemes.pricing import MAPCOUNT_BITS

_DTYPE: Final = np.dtype([("mapcount", np.int64), ("entire", np.int64), ("first", np.int64)])


@dataclass(frozen=True)
class PerPage(Scheme):
    """Total mapcount, entire mapcount, and the PTE mappings of page 0."""

    def start(self, order: int, count: int) -> State:
        self.check_order(order)
        return State(order, np.zeros(count, _DTYPE))

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        """Adds the event to the counts it concerns."""
        diff = np.asarray(nr, np.int64)
        whole = np.asarray(entire, np.bool_)
        covers_first = ~whole & (np.asarray(page) == 0)
        data = np.empty_like(state.data)
        data["mapcount"] = state.data["mapcount"] + diff
        data["entire"] = state.data["entire"] + np.where(whole, diff, 0)
        data["first"] = state.data["first"] + np.where(covers_first, np.sign(diff), 0)
        return State(state.order, data)

    def capacity(self, order: int) -> int:
        """No IDs are kept; traces number MMs with 32 bits."""
        self.check_order(order)
        return 32

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        folio = (Field("mapcount", MAPCOUNT_BITS), Field("entire", MAPCOUNT_BITS))
        return Layout(order, (*folio, Field("page mapcount", MAPCOUNT_BITS, per_page=True)))

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """One RMW on every page's mapcount and one on the total."""
        if op is Op.VERDICT:
            return Cost(rmw=0, plain=3, bytes=12)
        return Cost(rmw=pages + 1, plain=0, bytes=4 * pages + 4)
