"""Results that are rows of a table, some for each unit: together they are the table, in the order of the units.

For campaigns whose units do not sum up: verdicts of races, findings of the refuter, fates of mutants.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Rows:
    """JSON objects by unit. `Rows()` is neutral."""

    units: Mapping[int, tuple[dict[str, Any], ...]] = field(default_factory=dict)

    def merge(self, other: Self) -> "Rows":
        """Both. A unit that both have must be the same. Raises ValueError."""
        for unit in self.units.keys() & other.units.keys():
            if self.units[unit] != other.units[unit]:
                raise ValueError(f"unit {unit} has two different results")
        both = {**self.units, **other.units}
        return Rows({unit: both[unit] for unit in sorted(both)})

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All rows, in the order of the units."""
        for unit in sorted(self.units):
            yield from self.units[unit]

    def to_json(self) -> dict[str, Any]:
        return {str(unit): list(self.units[unit]) for unit in sorted(self.units)}

    @classmethod
    def read(cls, value: Any) -> "Rows":
        """From a file. Raises TypeError, ValueError, AttributeError."""
        units = {int(unit): tuple(rows) for unit, rows in value.items()}
        if not all(isinstance(row, dict) for rows in units.values() for row in rows):
            raise TypeError("rows must be objects")
        return cls(units)
