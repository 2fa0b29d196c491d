"""Two slots and a flag: what Linux does since 6.15 with CONFIG_MM_ID.

The first two MMs that map a folio get a slot with a mapcount of their own; a third one only raises the total, so that no
slot's count can equal the total while its mappings exist. Exact while at most two MMs map the folio at a time;
false shared after a third (the flag stays, though only one MM is left); never false exclusive: theorem
`mm_id_never_false_exclusive` (proofs/).

The verdict is the flag, as `folio_test_large_maybe_mapped_shared()` reads it. Callers in Linux add rules of their own:
`folio_maybe_mapped_shared()` takes a mapcount of at most 1 for exclusive, COW reuse refuses that case (to free the large
folio) and wants every reference to be a mapping.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rmaplab.schemes.base import Cost, Exactness, Field, Layout, Op, Predicate, Scheme, State, Verdicts
from rmaplab.schemes.pricing import MAPCOUNT_BITS
from rmaplab.trace import Verdict

ID_BITS: Final = 31
"""mm_id_t is 32 bits wide on 64-bit kernels, less one bit that the lock and the flag take."""

_DTYPE: Final = np.dtype(
    [("mapcount", np.int64), ("id", np.uint32, 2), ("count", np.int64, 2), ("maybe_shared", np.bool_)]
)


@dataclass(frozen=True)
class MmId(Scheme):
    """Total mapcount, two slots {MM ID, mapcount}, a maybe-shared flag, a bit spinlock around their update."""

    name: ClassVar[str] = "mm-id"
    title: ClassVar[str] = "two MM slots and a maybe-shared flag (Linux 6.15 and later)"
    source: ClassVar[str] = "<20250303163014.1128035-1-david@redhat.com>"
    predicate: ClassVar[Predicate] = Predicate.ANY_OWNER
    exact: ClassVar[Exactness] = Exactness.NEVER_FALSE_EXCLUSIVE

    def start(self, order: int, count: int) -> State:
        self.check_order(order)
        return State(order, np.zeros(count, _DTYPE))

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        """One round of the rules in docs/schemes.md, for all folios at once."""
        who = np.broadcast_to(np.asarray(mm, np.uint32), len(state))
        diff = np.broadcast_to(np.asarray(nr, np.int64), len(state))
        data = state.data.copy()
        ids, counts, flag = data["id"], data["count"], data["maybe_shared"]
        total = data["mapcount"]
        total += diff
        mapping = diff > 0

        slot = _slot(ids, who, mapping)
        hit = slot >= 0
        took_slot = np.zeros(len(state), np.bool_)
        if hit.any():
            row, col = np.flatnonzero(hit), slot[hit]
            ids[row, col] = who[hit]
            counts[row, col] += diff[hit]
            own = counts[row, col]
            emptied = own <= 0
            ids[row[emptied], col[emptied]] = 0
            counts[row[emptied], col[emptied]] = 0
            took_slot[row] = mapping[row] & (own == diff[row]) & (total[row] != diff[row])
        flag |= mapping & (~hit | took_slot)
        if not mapping.all():
            alone = (total == 0) | _any_slot_holds(ids, counts, total)
            flag &= mapping | ~alone
        return State(state.order, data)

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        return np.where(state.data["maybe_shared"], Verdict.SHARED, Verdict.EXCLUSIVE).astype(np.uint8)

    def capacity(self, order: int) -> int:
        self.check_order(order)
        return ID_BITS

    def layout(self, order: int) -> Layout:
        self.check_order(order)
        slots = (Field("slot id and a flag or lock bit", 1 + ID_BITS, 2), Field("slot mapcount", MAPCOUNT_BITS, 2))
        return Layout(order, (Field("mapcount", MAPCOUNT_BITS), *slots))

    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """Take the bit spinlock (one RMW), adjust with plain accesses, release with a store."""
        size = self.layout(order).bytes
        return Cost(rmw=0, plain=1, bytes=8) if op is Op.VERDICT else Cost(rmw=1, plain=7, bytes=size)


def _slot(ids: NDArray[np.uint32], who: NDArray[np.uint32], mapping: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Slot of `who` in every folio: its own, or when mapping the first free one; -1 if neither. int64, (folios,)."""
    slot = np.full(len(ids), -1, np.int64)
    for index in (1, 0):
        slot[mapping & (ids[:, index] == 0)] = index
    for index in (0, 1):
        slot[ids[:, index] == who] = index
    return slot


def _any_slot_holds(ids: NDArray[np.uint32], counts: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Does an occupied slot's count equal the total?"""
    return np.asarray(((ids != 0) & (counts == total[:, None])).any(axis=1))
