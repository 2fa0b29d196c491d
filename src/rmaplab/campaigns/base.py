"""What a campaign is: numbered units of work, and results that add up.

For the rooms that have one and for `carry`, `store`, `merging`. Nothing here runs or stores anything.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

from rmaplab.errors import RmaplabError

MOST_SHARDS: Final = 100_000


class CampaignError(RmaplabError):
    """A part of a campaign that cannot be used: names the file, the value and the rule."""


class Result(Protocol):
    """What some units gave. Immutable; `merge` is associative and does not mind the order."""

    def merge(self, other: Self, /) -> Self:
        """What both gave together."""
        ...

    def to_json(self) -> Any:
        """The result for a file, as `Campaign.read` takes it back: JSON values, in an order of its own."""
        ...


R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Campaign(Protocol[R_co]):
    """Work that is the same wherever it is done. Pickled by the engines."""

    @property
    def command(self) -> str:
        """The command whose campaign it is."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """All that decides the answer, as JSON values: campaigns with equal ones are the same."""
        ...

    @property
    def units(self) -> int:
        """How many units there are; of a campaign with `seconds`, how many are done in any case."""
        ...

    @property
    def seconds(self) -> float | None:
        """None, or for how long each shard goes on to further units: then there is no last one."""
        ...

    def nothing(self) -> R_co:
        """The result of no unit: neutral."""
        ...

    def run(self, unit: int) -> R_co:
        """Do one unit, counted from 0."""
        ...

    def read(self, value: Any) -> R_co:
        """A result from a file. Raises KeyError, TypeError, ValueError or AttributeError for what is none."""
        ...


class Engine(Protocol):
    """Who does the units."""

    def results(self, campaign: Any, units: Iterable[int], /) -> Iterator[tuple[int, Any]]:
        """Each unit of a `Campaign` and its result, in any order, as they come; fewer if it had to end early. `units`
        may end late: it is asked as there is room."""
        ...


class Here:
    """The engine that needs none: this process, one unit after the other."""

    def results(self, campaign: Campaign[R], units: Iterable[int]) -> Iterator[tuple[int, R]]:
        return ((unit, campaign.run(unit)) for unit in units)


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` (from 1) of `of`: it has the units number - 1, number - 1 + of, ..."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.of <= MOST_SHARDS or not 1 <= self.number <= self.of:
            raise CampaignError(f"shard: {self}: must be I/N with 1 <= I <= N <= {MOST_SHARDS}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """`I/N`. Raises CampaignError."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text, re.ASCII)
        if not found or not 1 <= int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            raise CampaignError(f"shard: {text[:40]}: must be I/N with 1 <= I <= N <= {MOST_SHARDS}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def all(self) -> Iterator[int]:
        """Its units, without end."""
        return itertools.count(self.number - 1, self.of)

    def count(self, units: int) -> int:
        """How many of the first `units` units it has."""
        return len(range(self.number - 1, units, self.of))
