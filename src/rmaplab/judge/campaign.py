"""A trace in parts, judged as a campaign: a unit is one part. In shards, resumed, or by many workers at once.

For `rmaplab trace judge` and `rmaplab merge`. Workers read the trace at the path it is given by.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from rmaplab.judge.parts import Judged, judge_numbered
from rmaplab.judge.storage import judged_of, judged_to_json
from rmaplab.schemes import select
from rmaplab.trace import Meta, PartedTrace, open_parts
from rmaplab.trace.parquet import meta_object, meta_of


@dataclass(frozen=True, slots=True)
class JudgedUnits:
    """What the units so far gave."""

    judged: Judged

    def merge(self, other: Self) -> "JudgedUnits":
        return JudgedUnits(self.judged.merge(other.judged))

    def to_json(self) -> dict[str, Any]:
        return judged_to_json(self.judged)


@dataclass(frozen=True, slots=True)
class JudgeTrace:
    """`path` is where the trace is, None where only its parts' results are put together."""

    path: str | None
    identity: str
    meta: Meta
    units: int
    schemes: tuple[str, ...]

    command: ClassVar[str] = "trace"
    seconds: ClassVar[float | None] = None

    @classmethod
    def of(cls, path: Path, schemes: list[str] | None) -> "JudgeTrace":
        """The campaign over the trace in `path`. Raises TraceError, RmaplabError for an unknown scheme."""
        chosen = tuple(one.name for one in select(schemes or None))
        parts = open_parts(path)
        return cls(str(path.absolute()), parts.identity, parts.meta, len(parts), chosen)

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "JudgeTrace":
        """The campaign with these parameters, without its trace. Raises KeyError, TypeError, ValueError."""
        p = parameters
        return cls(None, str(p["trace"]), meta_of(p["meta"]), int(p["parts"]), tuple(map(str, p["schemes"])))

    def parameters(self) -> dict[str, Any]:
        about = meta_object(self.meta)
        return {"trace": self.identity, "parts": self.units, "schemes": self.schemes, "meta": about}

    def nothing(self) -> JudgedUnits:
        return JudgedUnits(Judged.nothing(self.meta))

    def run(self, unit: int) -> JudgedUnits:
        assert self.path is not None
        return JudgedUnits(judge_numbered(_opened(self.path), unit, select(list(self.schemes))))

    def read(self, value: Any) -> JudgedUnits:
        return JudgedUnits(judged_of(value, self.meta))


@functools.lru_cache(maxsize=2)
def _opened(path: str) -> PartedTrace:
    return open_parts(path)
