"""How exact a number is, and why: one type, attached to every number the inspector gives.

For looks, rows, prices, tables, JSON and the page. A number is *exact* unless a reason says otherwise; reasons are
facts about one look, each with what it spoils. Not here: how a reason is found (`accounting`, `probes`, `price`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Label = Literal["exact", "estimate", "unknown"]

Concern = Literal["mapped", "who", "times", "names"]
"""What a number says: what is mapped at all; whether one owner or several map it; how often; by which others."""

EVERYTHING: Final[tuple[Concern, ...]] = ("mapped", "who", "times", "names")
OTHERS: Final[tuple[Concern, ...]] = ("who", "times", "names")

_CONCERNS: Final[dict[str, tuple[Concern, ...]]] = {
    **dict.fromkeys(
        ("resident", "pmd", "hugetlb", "zero", "special", "swapped", "guard", "markers", "elsewhere"), ("mapped",)
    ),
    **dict.fromkeys(("exclusive", "shared", "uss", "false_shared", "partial", "unmapped"), ("mapped", "who")),
    "pss": ("mapped", "times"),
    **dict.fromkeys(("sharers", "owners", "max_owners", "mapcount", "pids"), EVERYTHING),
}
"""Columns and what they stand on; `kernel_*` columns are the kernel's and have a source of their own."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why numbers that say one of `spoils` are an estimate: `folios` and `pages` concerned, 0 where that is unknown.

    `rows`: the folios, as rows of the snapshot's folio table; the first few.
    """

    text: str
    spoils: tuple[Concern, ...] = EVERYTHING
    folios: int = 0
    pages: int = 0
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.folios:
            return self.text
        return f"{self.folios} folio{'s' * (self.folios > 1)} ({self.pages} page{'s' * (self.pages > 1)}): {self.text}"


@dataclass(frozen=True, slots=True)
class Exactness:
    """Exact, because of `proof`; or, if there are `reasons`, an estimate."""

    proof: str
    reasons: tuple[Reason, ...] = ()

    @property
    def label(self) -> Label:
        return "estimate" if self.reasons else "exact"

    @property
    def why(self) -> str:
        """One line."""
        return "; ".join(map(str, self.reasons)) if self.reasons else self.proof

    def and_also(self, reasons: Iterable[Reason]) -> "Exactness":
        """The exactness of a number that stands on this one and has reasons of its own besides."""
        return Exactness(self.proof, (*self.reasons, *reasons))

    def of(self, column: str) -> "Exactness":
        """The exactness of the numbers in `column`."""
        wanted = _CONCERNS.get(column, EVERYTHING)
        return Exactness(self.proof, tuple(r for r in self.reasons if set(r.spoils) & set(wanted)))

    @property
    def general(self) -> bool:
        """Whether a reason concerns more than the folios it names: then no row is free of it."""
        return any(not r.folios for r in self.reasons)


def columns() -> tuple[str, ...]:
    """The columns whose exactness is known here."""
    return tuple(_CONCERNS)


def stands_on_others(column: str) -> bool:
    """Whether the numbers of a column stand on who else maps the memory: what counts do not add up for spoils them."""
    return set(_CONCERNS.get(column, ("mapped",))) != {"mapped"}
