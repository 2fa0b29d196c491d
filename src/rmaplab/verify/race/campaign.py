"""Programs under models as a campaign: a unit is one program under one model, its rows are verdicts.

For `rmaplab race` and `rmaplab merge`.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from rmaplab.campaigns import Rows
from rmaplab.verify.race.engine import Event, Execution
from rmaplab.verify.race.programs import Programs, Verdict, load
from rmaplab.verify.race.result import choose


@dataclass(frozen=True, slots=True)
class Races:
    """`programs` as NAME/STAGE, `models` as keys of MAPPINGS; `limit`: seconds for one program under one model;
    `core`: the directory of other headers than those of this installation, if any.
    """

    programs: tuple[str, ...]
    models: tuple[str, ...]
    bits: int
    limit: float
    core: str | None = None

    command: ClassVar[str] = "race"
    seconds: ClassVar[float | None] = None

    @classmethod
    def of(
        cls, names: Iterable[str], models: tuple[str, ...], bits: int, limit: float, core: str | None = None
    ) -> "Races":
        """The campaign of the programs `names` (all if none). Raises RmaplabError for an unknown one, or for headers that
        do not compile.
        """
        chosen = choose(_programs(bits, core), tuple(names))
        return cls(tuple(f"{one.name}/{one.stage}" for one in chosen), models, bits, limit, core)

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "Races":
        """The campaign with these parameters. Raises KeyError, TypeError, ValueError."""
        p = parameters
        core = p["core"]
        names, models = (tuple(map(str, p[key])) for key in ("programs", "models"))
        return cls(names, models, int(p["bits"]), float(p["limit"]), None if core is None else str(core))

    def parameters(self) -> dict[str, Any]:
        return {
            "programs": self.programs,
            "models": self.models,
            "bits": self.bits,
            "limit": self.limit,
            "core": self.core,
        }

    @property
    def units(self) -> int:
        return len(self.programs) * len(self.models)

    def nothing(self) -> Rows:
        return Rows()

    def run(self, unit: int) -> Rows:
        program, model = divmod(unit, len(self.models))
        programs = _programs(self.bits, self.core)
        (chosen,) = choose(programs, (self.programs[program],))
        found = programs.run(chosen, self.models[model], self.limit)
        return Rows({unit: tuple(json.loads(json.dumps(asdict(verdict))) for verdict in found)})

    def read(self, value: Any) -> Rows:
        rows = Rows.read(value)
        list(map(verdict_of, rows))
        return rows


def verdict_of(row: Mapping[str, Any]) -> Verdict:
    """A verdict from its row. Raises KeyError, TypeError."""
    witness = row["witness"]
    lists = {"roles": tuple(row["roles"]), "words": tuple(row["words"])}
    return Verdict(**{**row, **lists, "witness": None if witness is None else _execution(witness)})


def _execution(stored: Mapping[str, Any]) -> Execution:
    events = tuple(Event(**{**event, "tags": tuple(event["tags"])}) for event in stored["events"])
    return Execution(events, tuple(map(tuple, stored["coherence"])))


@functools.cache
def _programs(bits: int, core: str | None) -> Programs:
    return load(bits) if core is None else load(bits, Path(core))
