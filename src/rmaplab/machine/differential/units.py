"""Random programs as a campaign: a unit is one program, by its seed.

For `jobs`, which does them here, for `rmaplab merge`, and for the engines.
"""

import functools
import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from rmaplab.machine.differential.campaign import Campaign
from rmaplab.machine.differential.counts import Counts
from rmaplab.machine.differential.plan import Plan


@dataclass(frozen=True, slots=True)
class Told:
    """What some programs came to: the sum of their counts, and by seed what was said of those that mismatched."""

    counts: Counts = field(default_factory=Counts)
    said: Mapping[int, str] = field(default_factory=dict)

    def merge(self, other: Self) -> "Told":
        """Of both. Raises ValueError if both have the same program."""
        if both := self.said.keys() & other.said.keys():
            raise ValueError(f"seed {min(both)} is in both")
        said = {**self.said, **other.said}
        return Told(self.counts + other.counts, {seed: said[seed] for seed in sorted(said)})

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts.to_dict(), "said": {str(seed): text for seed, text in self.said.items()}}

    @classmethod
    def read(cls, value: Any) -> "Told":
        """From a file. Raises KeyError, TypeError, ValueError, AttributeError."""
        return cls(Counts.of(value["counts"]), {int(seed): str(text) for seed, text in value["said"].items()})

    @classmethod
    def of(cls, seed: int, counts: Counts, text: str) -> "Told":
        """One program."""
        return cls(counts, {seed: text} if counts.mismatches else {})


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of seeds `first` .. `first + units - 1`. `where`: the kernel they run on; `run` runs them on the one
    of its own process."""

    plan: Plan
    first: int
    units: int
    where: str

    command: ClassVar[str] = "differential"
    seconds: ClassVar[float | None] = None

    @classmethod
    def here(cls, plan: Plan, seeds: range) -> "Programs":
        """On the running kernel."""
        return cls(plan, seeds.start, len(seeds), platform.release())

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "Programs":
        """The campaign with these parameters. Raises KeyError, TypeError, ValueError."""
        p = parameters
        plan = Plan(str(p["kernel"]), int(p["steps"]), frozenset(map(str, p["without"])))
        return cls(plan, int(p["first"]), int(p["programs"]), str(p["where"]))

    def parameters(self) -> dict[str, Any]:
        return {**self.plan.to_dict(), "first": self.first, "programs": self.units, "where": self.where}

    def nothing(self) -> Told:
        return Told()

    def run(self, unit: int) -> Told:
        campaign, out = _campaign(self.plan)
        seed = self.first + unit
        counts = campaign.one(seed)
        text = out.getvalue()
        out.seek(0)
        out.truncate()
        return Told.of(seed, counts, text)

    def read(self, value: Any) -> Told:
        return Told.read(value)


@functools.cache
def _campaign(plan: Plan) -> tuple[Campaign, io.StringIO]:
    """One for this process: what the machine is able to do is looked up once."""
    out = io.StringIO()
    return Campaign(plan, out), out
