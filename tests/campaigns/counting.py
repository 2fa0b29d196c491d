"""A small campaign for tests, importable by worker processes: unit u counts u, and may stop the work."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rmaplab.campaigns import CampaignError


@dataclass(frozen=True)
class Sum:
    """How many units, what they add up to, and which they were."""

    count: int = 0
    total: int = 0
    seen: tuple[int, ...] = ()

    def merge(self, other: Self) -> "Sum":
        return Sum(self.count + other.count, self.total + other.total, tuple(sorted((*self.seen, *other.seen))))

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "total": self.total, "seen": list(self.seen)}


class Stopped(Exception):
    """The unit at which the work was to stop was reached."""


@dataclass(frozen=True)
class Counting:
    """`units` units. `stop_at`: raises there, `refuses`: a user's error. `kills`: {unit: file}: the process that comes to
    the unit first dies."""

    units: int
    base: int = 0
    stop_at: int | None = None
    kills: Mapping[int, Path] = field(default_factory=dict)
    seconds: float | None = None
    refuses: int | None = None

    command = "counting"

    def parameters(self) -> dict[str, Any]:
        return {"base": self.base}

    def nothing(self) -> Sum:
        return Sum()

    def run(self, unit: int) -> Sum:
        if unit == self.stop_at:
            raise Stopped
        if unit == self.refuses:
            raise CampaignError(f"unit {unit} is refused")
        mark = self.kills.get(unit)
        if mark is not None and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Sum(1, self.base + unit, (unit,))

    def read(self, value: Any) -> Sum:
        return Sum(int(value["count"]), int(value["total"]), tuple(map(int, value["seen"])))
