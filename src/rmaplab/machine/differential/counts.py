"""What a campaign of random programs adds up to, and how that is said.

For the campaign, its jobs and the commands.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TextIO

from rmaplab.machine.differential.reached import coverage
from rmaplab.machine.differential.surroundings import SURROUNDINGS

ALLOWED_ASIDE: Final = 0.05
"""Share of the steps that may be set aside before the whole run counts as failed."""
_EVERY: Final = 10.0
"""Seconds between two lines of progress."""


@dataclass(slots=True)
class Counts:
    """Programs begun, their steps, steps compared, mismatches; steps set aside by reason; operations by name; and what
    the programs reached (`Reached`). Adds up in any order; `Counts()` changes nothing."""

    programs: int = 0
    done: int = 0
    compared: int = 0
    mismatches: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Self) -> "Counts":
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def to_dict(self) -> dict[str, int | dict[str, int]]:
        """All of it, for a journal; `of` reads it."""
        given = ((name, getattr(self, name)) for name in self.__slots__)
        return {
            name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in given if value
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """What `to_dict` told."""
        given: dict[str, Any] = {name: Counter(v) if isinstance(v, dict) else v for name, v in told.items()}
        return cls(**given)

    @property
    def set_aside(self) -> int:
        return self.aside.total()

    @property
    def exit_code(self) -> int:
        """1 if anything disagreed or too much was set aside for what is the kernel's or ours."""
        others = sum(steps for why, steps in self.aside.items() if why.startswith(SURROUNDINGS))
        return int(self.mismatches > 0 or self.set_aside - others > ALLOWED_ASIDE * self.done)

    def numbers(self, kernel: str) -> dict[str, object]:
        """Everything `report` says, for machines. `mutants` is unknown here: `make mutants` plants them."""
        return {
            "kernel": kernel,
            "programs": self.programs,
            "steps": self.done,
            "compared": self.compared,
            "set_aside": dict(sorted(self.aside.items())),
            "mismatches": self.mismatches,
            "operations": dict(sorted(self.operations.items())),
            "coverage": coverage(self.reached),
            "mutants": {"alive": None, "dead": None},
        }

    def report(self, kernel: str) -> str:
        """What was done, how often; what was reached; set aside, why; and the sum as the last line."""
        lines = [f"{name}: {count}" for name, count in sorted(self.operations.items())]
        lines += [f"{what}: {len(found)} kinds" for what, found in coverage(self.reached).items()]
        lines += [f"set aside, {why}: {count} steps" for why, count in sorted(self.aside.items())]
        return "\n".join([*lines, f"{kernel}: {self.total()}"])

    def total(self) -> str:
        """The sum in one line."""
        return total(self.numbers(""))


def total(numbers: Mapping[str, Any]) -> str:
    """The sum in one line, of what `Counts.numbers` says."""
    done = f"programs {numbers['programs']}, steps {numbers['steps']}, compared {numbers['compared']}"
    return f"{done}, set aside {sum(numbers['set_aside'].values())}, mismatches {numbers['mismatches']}"


@dataclass(slots=True)
class Progress:
    """A line now and then on how far `programs` programs are."""

    programs: int
    out: TextIO = field(default_factory=lambda: sys.stderr)
    _said: float = field(default_factory=time.monotonic)

    def say(self, counts: Counts) -> None:
        """Print the line if the last one was some seconds ago."""
        if time.monotonic() - self._said > _EVERY:
            self._said = time.monotonic()
            print(
                f"{counts.programs} of {self.programs} programs, {counts.mismatches} mismatches",
                file=self.out,
                flush=True,
            )
