"""Faults planted in the model, and what became of each, as a campaign: a unit is one fault.

For `make mutants` (tests/model/faults), which plants them, and for `rmaplab merge`, which does not.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rmaplab.campaigns import Rows

Fate = dict[str, Any]
"""`name` and `rule` of a fault; `by`: what found it, "" if nothing did; `equivalent`: why nothing can, or ""."""


def _nobody(_unit: int) -> Fate:
    raise ValueError("faults are planted by make mutants only")


@dataclass(frozen=True, slots=True)
class Mutants:
    """The faults `names`, each held against `programs` random programs from `seed` on, then (`tests`) against unit tests.

    `source` names the state of the faults' own files; `plant` does one, by its place in `names`.
    """

    names: tuple[str, ...]
    programs: int
    seed: int
    tests: bool
    source: str
    plant: Callable[[int], Fate] = field(default=_nobody, compare=False)

    command: ClassVar[str] = "mutants"
    seconds: ClassVar[float | None] = None

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "Mutants":
        """The campaign with these parameters, which can plant nothing. Raises KeyError, TypeError, ValueError."""
        p = parameters
        names = tuple(map(str, p["faults"]))
        return cls(names, int(p["programs"]), int(p["seed"]), bool(p["tests"]), str(p["source"]))

    def parameters(self) -> dict[str, Any]:
        about = {"programs": self.programs, "seed": self.seed, "tests": self.tests, "source": self.source}
        return {"faults": self.names, **about}

    @property
    def units(self) -> int:
        return len(self.names)

    def nothing(self) -> Rows:
        return Rows()

    def run(self, unit: int) -> Rows:
        return Rows({unit: (self.plant(unit),)})

    def read(self, value: Any) -> Rows:
        rows = Rows.read(value)
        for row in rows:
            if not all(isinstance(row[name], str) for name in ("name", "rule", "by", "equivalent")):
                raise TypeError("a fate must be of texts")
        return rows


def line(fate: Fate) -> str:
    """A fault and its fate, for people."""
    said = f"dead   {fate['name']}: {fate['by']}" if fate["by"] else f"alive  {fate['name']}: {fate['rule']}"
    return f"{said} (equivalent: {fate['equivalent']})" if fate["equivalent"] else said


def numbers(rows: Iterable[Fate], programs: int) -> dict[str, Any]:
    """The score. What nobody can find is not counted; what is found although it could not be is named."""
    fates = list(rows)
    counted = [fate for fate in fates if not fate["equivalent"]]
    dead = [fate for fate in counted if fate["by"]]
    return {
        "programs": programs,
        "mutants": {
            "dead": len(dead),
            "alive": len(counted) - len(dead),
            "by_programs": sum(fate["by"].startswith(("seed", "corpus")) for fate in dead),
            "equivalent": len(fates) - len(counted),
        },
        "alive": [fate["name"] for fate in counted if not fate["by"]],
        "wrongly_equivalent": [fate["name"] for fate in fates if fate["equivalent"] and fate["by"]],
    }


def score(found: Mapping[str, Any]) -> str:
    """`numbers` in one line."""
    mutants = found["mutants"]
    return (
        f"mutants {mutants['dead'] + mutants['alive']}, dead {mutants['dead']} ({mutants['by_programs']} by "
        f"{found['programs']} programs), alive {mutants['alive']}, equivalent {mutants['equivalent']}"
    )


def surprising(found: Mapping[str, Any]) -> bool:
    """Whether something is alive that nobody called equivalent, or dead that somebody did."""
    return bool(found["alive"] or found["wrongly_equivalent"])
