"""What a scheme is: the protocol every answer to "exclusively or shared?" implements.

For authors of schemes, and for everything that consumes them (engine, judge, refuter, race checker, C core). A
scheme is an immutable object with elementwise functions over NumPy arrays; it never loops over folios, keeps no
folio itself and knows nothing of traces. Definitions in prose: docs/schemes.md.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rmaplab.errors import RmaplabError
from rmaplab.trace import MAX_ORDER, Verdict

WORD_BITS: Final = 64
"""State words are 64 bit; their arithmetic is modulo 2^64, as in C."""

Verdicts = NDArray[np.uint8]
"""An array of `Verdict` values."""


class Exactness(StrEnum):
    """What a scheme claims about its verdicts on large folios, over its ID range and orders."""

    NEVER_WRONG = "never-wrong"
    NEVER_FALSE_EXCLUSIVE = "never-false-exclusive"
    HEURISTIC = "heuristic"


class Predicate(StrEnum):
    """What EXCLUSIVE means: every mapping is the caller's, or all mappings are one MM's, whoever it is."""

    BY_CALLER = "by-caller"
    ANY_OWNER = "any-owner"


class Op(Enum):
    """Operations that `Scheme.cost` prices."""

    MAP = "map"
    UNMAP = "unmap"
    VERDICT = "verdict"


class IdRangeError(RmaplabError, ValueError):
    """An rmap ID, or a count, that a scheme cannot hold: names the scheme, the value and the range."""


class OrderRangeError(RmaplabError, ValueError):
    """An order that a scheme does not cover: names the scheme, the order and the range."""


@dataclass(frozen=True, slots=True)
class Field:
    """`count` equal fields of `bits` bits; `per_page` ones exist once in every page, the others once a folio."""

    name: str
    bits: int
    count: int = 1
    per_page: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The state a scheme keeps for one folio of a given order."""

    order: int
    fields: tuple[Field, ...]
    values: int = 0
    """How many *rmap values* (sums of sub-IDs) are among the fields."""

    @property
    def bits(self) -> int:
        pages = 1 << self.order
        return sum(f.bits * f.count * (pages if f.per_page else 1) for f in self.fields)

    @property
    def bytes(self) -> int:
        return -(-self.bits // 8)


@dataclass(frozen=True, slots=True)
class Cost:
    """Price of one operation: atomic read-modify-writes, plain loads and stores, and the state bytes touched.

    Uncontended, per operation on `pages` consecutive pages; the PTE, the refcount and statistics counters are
    everybody's and not counted.
    """

    rmw: int
    plain: int
    bytes: int


@dataclass(frozen=True, slots=True)
class State:
    """State of a number of folios of one order.

    `data` has one row per folio: uint64 of shape (folios, words) for linear schemes, a structured array of shape
    (folios,) for the others. Never changed in place by a scheme.
    """

    order: int
    data: NDArray[Any]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: slice | NDArray[Any]) -> "State":
        return State(self.order, self.data[index])


class Scheme(ABC):
    """One way to answer "mapped exclusively or mapped shared?" from a bounded state per folio.

    Subclasses are frozen dataclasses. `orders` are the folio orders a scheme covers; small folios (order 0) are
    left to their mapcount by every scheme, see `rmaplab.schemes.small`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    predicate: ClassVar[Predicate]
    exact: ClassVar[Exactness]
    orders: ClassVar[range] = range(1, MAX_ORDER + 1)

    @abstractmethod
    def layout(self, order: int) -> Layout:
        """Words and bits per folio of `order`."""

    @abstractmethod
    def capacity(self, order: int) -> int:
        """Largest b such that the scheme keeps its claim for rmap IDs 1 .. 2^b - 1 on folios of `order`.

        Where a scheme's source claims more than it keeps, this is what it keeps.
        """

    @abstractmethod
    def cost(self, order: int, op: Op, pages: int = 1) -> Cost:
        """Price of `op` on `pages` consecutive pages of one folio of `order`."""

    @abstractmethod
    def start(self, order: int, count: int) -> State:
        """State of `count` folios of `order` that nobody maps."""

    @abstractmethod
    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        """State after one rmap update per folio; all arguments of shape (folios,) or scalar.

        `nr` > 0 maps, < 0 unmaps that many pages from `page` on; `entire`: `nr` PMD mappings. The caller has
        checked the IDs (`check_ids`), and that nothing is unmapped that was not mapped.
        """

    @abstractmethod
    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        """Answer for the asking MM, one per folio: uint8 array of `Verdict`."""

    def accepted_ids(self, order: int) -> int:
        """One more than the largest rmap ID the scheme takes for folios of `order` (its *door*)."""
        return int(1 << self.capacity(order))

    def check_ids(self, order: int, mm: ArrayLike) -> None:
        """The door: raises IdRangeError for an rmap ID outside 1 .. accepted_ids(order) - 1."""
        ids = np.asarray(mm)
        if ids.size == 0:
            return
        limit = self.accepted_ids(order)
        for worst in (int(ids.min()), int(ids.max())):
            if not 1 <= worst < limit:
                raise IdRangeError(
                    f"{self.name}: rmap ID {worst} on a folio of order {order}: must be in 1 .. {limit - 1}"
                )

    def check_order(self, order: int) -> None:
        """Raises OrderRangeError for an order the scheme does not cover."""
        if order not in self.orders:
            raise OrderRangeError(f"{self.name}: order {order}: must be in {self.orders.start} .. {self.orders.stop - 1}")


@dataclass(frozen=True)
class LinearScheme(Scheme):
    """A scheme whose state is a sum: every mapping by `mm` adds the same words, every unmapping takes them away.

    Subclasses give the words (`addend`) and how far equality can be trusted (`trusted_mapcount`). The engine
    needs no `update`: a replay is a prefix sum per folio and word. Bookkeeping theorem: proofs/, `bookkeeping`.
    """

    beyond: ClassVar[Verdict] = Verdict.UNKNOWN
    """Answer where the words agree with the caller but the mapcount is too large to trust that."""

    mapcount_limit: ClassVar[int] = 1 << 31
    """First mapcount the words cannot hold. `update` saturates there; a replay, which sums, refuses it at the door."""

    saturated: ClassVar[int] = (1 << WORD_BITS) - (1 << 30)
    """Word 0 of a folio whose mapcount left 0 .. mapcount_limit - 1, for ever: every verdict on it is SHARED."""

    id_bits: int = field(default=24)

    @abstractmethod
    def words(self, order: int) -> int:
        """Number of 64-bit state words."""

    @abstractmethod
    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """What one mapping by each of `mm` adds to `word`: uint64, same shape. Word 0 counts mappings."""

    @abstractmethod
    def trusted_mapcount(self, order: int) -> int:
        """Largest mapcount for which equal words prove that all mappings are the caller's."""

    def accepted_ids(self, order: int) -> int:
        return int(1 << min(self.id_bits, self.capacity(order)))

    def start(self, order: int, count: int) -> State:
        self.check_order(order)
        return State(order, np.zeros((count, self.words(order)), np.uint64))

    def update(self, state: State, mm: ArrayLike, page: ArrayLike, nr: ArrayLike, entire: ArrayLike) -> State:
        ids = np.asarray(mm, np.uint64)
        times = np.asarray(nr, np.int64).astype(np.uint64)
        columns = [self.addend(state.order, w, ids) * times for w in range(self.words(state.order))]
        data = state.data + np.stack(np.broadcast_arrays(*columns), axis=-1)
        before, limit = self.mapcount(state), np.uint64(self.mapcount_limit)
        data[(before >= limit) | (before + times >= limit), 0] = np.uint64(self.saturated)
        return State(state.order, data)

    def verdict(self, state: State, mm: ArrayLike) -> Verdicts:
        ids = np.broadcast_to(np.asarray(mm, np.uint64), len(state))
        mapcount = self.mapcount(state)
        equal = self.matches(state, ids) & (mapcount < np.uint64(self.mapcount_limit))
        trusted = mapcount <= np.uint64(self.trusted_mapcount(state.order))
        answer = np.where(trusted, Verdict.EXCLUSIVE, self.beyond)
        return np.where(equal, answer, Verdict.SHARED).astype(np.uint8)

    def mapcount(self, state: State) -> NDArray[np.uint64]:
        """Total mapcount of every folio, uint64."""
        counts: NDArray[np.uint64] = state.data[:, 0]
        return counts

    def matches(self, state: State, mm: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Do the words look as if every mapping were the caller's? bool, one per folio.

        If every mapping is the caller's this is true whatever wrapped, so false proves SHARED.
        """
        mapcount = self.mapcount(state)
        equal = np.ones(len(state), np.bool_)
        for word in range(1, self.words(state.order)):
            equal &= state.data[:, word] == mapcount * self.addend(state.order, word, mm)
        return equal
