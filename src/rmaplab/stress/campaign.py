"""Race after race, every variant in turn, threads and processes alternating: a campaign whose unit is one race.

For `rmaplab stress`. Tests run single races with a fixed number of operations instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from rmaplab.core import Variant, variants
from rmaplab.stress import findings
from rmaplab.stress.linear import judged_answers
from rmaplab.stress.races import Race, run

_ORDERS: Final = (2, 4, 9)
_MMS_EACH: Final = (2, 3, 1)
"""With one, all workers are the same MM, and COW decisions hang on the references alone."""
_JITTER: Final = ((3, 5_000), (5, 20_000), (7, 40_000), (None, 40_000))
"""And how many operations a worker does: one that often gives up the CPU takes longer."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one variant: races run, operations done, answers that could be checked, and what was wrong."""

    races: int = 0
    operations: int = 0
    answers: int = 0
    findings: int = 0

    def __add__(self, other: Self) -> "Tally":
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Raced:
    """What some races gave: tallies by variant, findings by unit. `Raced()` is of no race."""

    tallies: Mapping[str, Tally] = field(default_factory=dict)
    findings: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def merge(self, other: Self) -> "Raced":
        """Of both. Raises ValueError if they have findings of the same race."""
        if both := self.findings.keys() & other.findings.keys():
            raise ValueError(f"unit {min(both)} is in both")
        tallies = dict(self.tallies)
        for name, tally in other.tallies.items():
            tallies[name] = tallies.get(name, Tally()) + tally
        findings = {**self.findings, **other.findings}
        return Raced(
            {name: tallies[name] for name in sorted(tallies)}, {unit: findings[unit] for unit in sorted(findings)}
        )

    def to_json(self) -> dict[str, Any]:
        tallies = {
            name: {key: getattr(self.tallies[name], key) for key in Tally.__slots__} for name in sorted(self.tallies)
        }
        return {"tallies": tallies, "findings": {str(unit): list(self.findings[unit]) for unit in sorted(self.findings)}}


@dataclass(frozen=True, slots=True)
class Stress:
    """Races of `names` in turn for `seconds`, every variant at least once in every mode, however short the time.

    `modes`: with processes (True), threads (False), or both in turn.
    """

    names: tuple[str, ...]
    seconds: float
    workers: int
    readers: int
    modes: Sequence[bool]
    seed: int

    command: ClassVar[str] = "stress"

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "Stress":
        """The campaign with these parameters. Raises KeyError, TypeError, ValueError."""
        p = parameters
        return cls(
            names=tuple(map(str, p["schemes"])),
            seconds=float(p["seconds"]),
            workers=int(p["workers"]),
            readers=int(p["readers"]),
            modes=tuple(p["processes"]),
            seed=int(p["seed"]),
        )

    def parameters(self) -> dict[str, Any]:
        return {
            "schemes": self.names,
            "seconds": self.seconds,
            "workers": self.workers,
            "readers": self.readers,
            "processes": tuple(self.modes),
            "seed": self.seed,
        }

    @property
    def units(self) -> int:
        return len(self.modes) * len(self.names)

    def nothing(self) -> Raced:
        return Raced()

    def run(self, unit: int) -> Raced:
        turn, place = divmod(unit, len(self.names))
        variant = variants()[self.names[place]]
        race = _race(variant, self.workers, self.readers, self.modes[turn % len(self.modes)], self.seed + turn, turn)
        history = run(race)
        found = tuple(map(str, findings(history)))
        tally = Tally(1, len(history.records), judged_answers(history), len(found))
        return Raced({variant.name: tally}, {unit: found} if found else {})

    def read(self, value: Any) -> Raced:
        tallies = {str(name): Tally(**{k: int(n) for k, n in one.items()}) for name, one in value["tallies"].items()}
        return Raced(tallies, {int(unit): tuple(map(str, found)) for unit, found in value["findings"].items()})


def _race(variant: Variant, workers: int, readers: int, processes: bool, seed: int, turn: int) -> Race:
    """The race of turn `turn`: orders, numbers of MMs and folios, and jitter take turns, each at its own pace."""
    orders = [o for o in _ORDERS if variant.scheme is None or o in variant.scheme.orders]
    jitter, ops = _JITTER[turn % len(_JITTER)]
    return Race(
        variant,
        order=orders[(turn + turn // 3) % len(orders)],
        workers=workers,
        readers=readers,
        processes=processes,
        mms_each=_MMS_EACH[turn % len(_MMS_EACH)],
        folios=1 + turn % 2,
        seed=seed,
        ops=ops,
        jitter=jitter,
    )
