"""The question the refuter answers, as data: configuration, witness, finding.

For the deciding modules of this package and the command line. No search happens here.

A witness against a configuration is an MM x and a multiset of n <= P mappings, not all x's, whose words look
like n mappings of x's. Linearity lets mappings of x's own be left out, so the smallest witness has none; as many as
P - n may be put back, and then the caller is one that really maps the folio.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic


class Decision(StrEnum):
    """What the refuter says of a configuration."""

    SOUND = "sound"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Config:
    """Scheme `scheme` on folios of `order` (P = 2^order pages), rmap IDs 1 .. 2^id_bits - 1, words of `word_bits`.

    `base`: the base of a digit scheme's sub-IDs, if another than its own table says.
    """

    scheme: str
    order: int
    values: int
    id_bits: int
    word_bits: int
    base: int | None = None

    @property
    def pages(self) -> int:
        return 1 << self.order


@dataclass(frozen=True, slots=True)
class Witness:
    """The MM asked about and who maps how many pages; `sides` are both sides of each equation checked."""

    mm: int
    mappings: Mapping[int, int]
    sides: tuple[tuple[int, int], ...] = ()

    @property
    def mapcount(self) -> int:
        return sum(self.mappings.values())

    @property
    def size(self) -> tuple[int, int]:
        """What "smallest" means: fewest mappings, then fewest MMs."""
        return self.mapcount, len(self.mappings)


@dataclass(frozen=True, slots=True)
class Finding:
    """A decision with its reason; `witness` iff refuted; `replays`: what engine, model and C core said of it."""

    config: Config
    decision: Decision
    reason: str
    witness: Witness | None = None
    replays: tuple[str, ...] = ()

    def row(self) -> dict[str, object]:
        """The row of `--json`."""
        found = self.witness
        return {
            "scheme": self.config.scheme,
            "order": self.config.order,
            "values": self.config.values,
            "id_bits": self.config.id_bits,
            "word_bits": self.config.word_bits,
            "verdict": self.decision.value,
            "reason": "; ".join((self.reason, *self.replays)),
            "witness": found and {"mm": found.mm, "mappings": {str(k): v for k, v in found.mappings.items()}},
        }


class OutOfBudget(Exception):
    """A search was stopped before it could decide; the message says how far it got."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a search may take: checked by `check`, which raises OutOfBudget(`progress`) when time is up."""

    deadline: float

    @classmethod
    def seconds(cls, seconds: float) -> "Budget":
        return cls(monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds, not negative."""
        return max(self.deadline - monotonic(), 0.0)

    def check(self, progress: str, needed: float = 0.0) -> None:
        """Also stops if the next step, which cannot be interrupted, takes longer than is left: `needed` seconds."""
        if monotonic() + needed > self.deadline:
            raise OutOfBudget(progress)
