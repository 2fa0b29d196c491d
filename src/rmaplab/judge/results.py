"""What the judge says, as plain immutable values; `to_dict` gives what `json.dumps` takes.

For reports and commands. Nothing here computes from a trace. The judgements of a trace's parts add up to the trace's
(`merge`), in any order; `Judgement.nothing()` is that of no part.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from rmaplab.engine import Price
from rmaplab.schemes import Predicate
from rmaplab.trace import QUESTIONS_ASKED, Verdict

SHOWN: Final = 5
"""How many wrong cases are shown in full."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over questions. An UNKNOWN is no error: it is neither false exclusive nor false shared."""

    questions: int = 0
    false_exclusive: int = 0
    false_shared: int = 0
    unknown: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.questions + other.questions,
            self.false_exclusive + other.false_exclusive,
            self.false_shared + other.false_shared,
            self.unknown + other.unknown,
        )

    @property
    def sound(self) -> bool:
        """Nobody was told EXCLUSIVE who was not."""
        return self.false_exclusive == 0

    @property
    def precise(self) -> bool:
        """Nobody was told SHARED, or nothing at all, who was exclusive or shared for certain."""
        return self.false_shared == 0 and self.unknown == 0


@dataclass(frozen=True, slots=True)
class WrongCase:
    """One wrong answer in full."""

    row: int
    """Row in the question table."""
    step: int
    folio: int
    order: int
    what: str
    asker: int
    """Rmap ID of the MM that asks."""
    mappings: Mapping[int, int]
    """Who maps the folio how many times at that moment: {rmap ID: mappings}."""
    verdict: Verdict
    truth: Verdict


@dataclass(frozen=True, slots=True)
class Copies:
    """Pages of anonymous folios the kernel copied although the asking MM alone mapped them, and nothing else
    referred to the folio. All None where the trace's recorder did not see what the kernel did."""

    pages: int | None
    bytes: int | None
    unknown_pages: int | None
    """Further copied pages of one MM alone, where the trace does not know the other references."""

    def merge(self, other: Self) -> "Copies":
        """Both together; what one part does not know, the whole does not."""
        return Copies(*(_sum(getattr(self, name), getattr(other, name)) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class SchemeJudgement:
    """One scheme on one trace."""

    name: str
    predicate: Predicate
    """The question it answers on large folios; small ones left to their mapcount are judged by any-owner."""
    by: Mapping[tuple[int, str], Tally]
    """Tallies by (order, what)."""
    wrong: tuple[WrongCase, ...]
    """The first few wrong answers: false exclusive ones first, then in order of time."""
    price: Price
    saved: Copies
    """The avoidable copies this scheme's (right) EXCLUSIVE would have saved."""
    observed: bool = True
    """False where the trace's recorder did not see the system's questions: those judged are its own."""

    def merge(self, other: Self) -> "SchemeJudgement":
        """One scheme on two parts of a trace. The first few wrong answers of both are among the first few of each."""
        if (self.name, self.predicate) != (other.name, other.predicate):
            raise ValueError(f"{self.name} and {other.name}: judgements of different schemes do not add up")
        by = {key: self.by.get(key, Tally()) + other.by.get(key, Tally()) for key in {*self.by, *other.by}}
        wrong = sorted((*self.wrong, *other.wrong), key=lambda case: (case.truth is Verdict.EXCLUSIVE, case.row))
        return SchemeJudgement(
            self.name,
            self.predicate,
            {key: by[key] for key in sorted(by, key=_place)},
            tuple(wrong[:SHOWN]),
            self.price.merge(other.price),
            self.saved.merge(other.saved),
            self.observed and other.observed,
        )

    @property
    def total(self) -> Tally:
        return sum(self.by.values(), Tally())

    def by_order(self) -> dict[int, Tally]:
        """Tallies by order, all kinds of question together."""
        result: dict[int, Tally] = {}
        for (order, _), tally in self.by.items():
            result[order] = result.get(order, Tally()) + tally
        return result

    def by_what(self) -> dict[str, Tally]:
        """Tallies by kind of question, all orders together."""
        result: dict[str, Tally] = {}
        for (_, what), tally in self.by.items():
            result[what] = result.get(what, Tally()) + tally
        return result

    def to_dict(self) -> dict[str, Any]:
        """`state_bytes` is the dearest folio's, `state_bytes_mean` over all folios; null where it covers none.

        Counts are null where nothing was asked because nobody saw the questions.
        """
        counts = asdict(self.total)
        return {
            **(counts if self.observed or self.total.questions else dict.fromkeys(counts)),
            "predicate": str(self.predicate),
            "state_bytes": self.price.max_bytes,
            "state_bytes_mean": self.price.mean_bytes,
            "rmw_per_event": self.price.rmw_per_event,
            "saved": asdict(self.saved),
            "by": [{"order": o, "what": w, **asdict(t)} for (o, w), t in self.by.items()],
            "wrong": [_case(case) for case in self.wrong],
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """All asked schemes on one trace."""

    schemes: Mapping[str, SchemeJudgement]
    avoidable_copies: Copies

    @classmethod
    def nothing(cls) -> "Judgement":
        """The judgement of no part of a trace."""
        return cls({}, Copies(0, 0, 0))

    def merge(self, other: Self) -> "Judgement":
        """The judgement of two parts of a trace. Schemes keep their order; raises ValueError if they are not the same."""
        if self.schemes and other.schemes and set(self.schemes) != set(other.schemes):
            raise ValueError("judgements of different schemes do not add up")
        both = {
            name: one.merge(other.schemes[name]) if name in other.schemes else one for name, one in self.schemes.items()
        }
        return Judgement(both or dict(other.schemes), self.avoidable_copies.merge(other.avoidable_copies))

    def to_dict(self) -> dict[str, Any]:
        return {
            "schemes": {name: one.to_dict() for name, one in self.schemes.items()},
            "avoidable_copies": asdict(self.avoidable_copies),
        }


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _place(key: tuple[int, str]) -> tuple[int, int]:
    """By order, then as the vocabulary lists the questions."""
    order, what = key
    return order, QUESTIONS_ASKED.index(what)


def _case(case: WrongCase) -> dict[str, Any]:
    return {
        **asdict(case),
        "mappings": [{"mm": mm, "mappings": count} for mm, count in case.mappings.items()],
        "verdict": case.verdict.name.lower(),
        "truth": case.truth.name.lower(),
    }
