"""Every linear scheme at every order it covers, as a campaign: a unit is one configuration, its row the finding.

For `rmaplab refute --table` and `rmaplab merge`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rmaplab.campaigns import Rows
from rmaplab.schemes import SCHEMES
from rmaplab.verify.refute.answers import with_replays
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.problem import Config, Decision, Finding, Witness
from rmaplab.verify.refute.words import LINEAR, configure


@dataclass(frozen=True, slots=True)
class Grid:
    """`configs`: (scheme, order) each; `limit`: seconds for one of them."""

    configs: tuple[tuple[str, int], ...]
    limit: float

    command: ClassVar[str] = "refute"
    seconds: ClassVar[float | None] = None

    @classmethod
    def of(cls, scheme: str | None, orders: Iterable[int] | None, limit: float) -> "Grid":
        """All linear schemes, or one, at all orders they cover, or those of `orders`."""
        wanted = None if orders is None else set(orders)
        names = LINEAR if scheme is None else (scheme,)
        every = ((name, order) for name in names for order in SCHEMES[name].orders if order)
        return cls(tuple((name, order) for name, order in every if wanted is None or order in wanted), limit)

    @classmethod
    def again(cls, parameters: Mapping[str, Any]) -> "Grid":
        """The campaign with these parameters. Raises KeyError, TypeError, ValueError."""
        configs = tuple((str(scheme), int(order)) for scheme, order in parameters["configs"])
        return cls(configs, float(parameters["limit"]))

    def parameters(self) -> dict[str, Any]:
        return {"configs": self.configs, "limit": self.limit}

    @property
    def units(self) -> int:
        return len(self.configs)

    def nothing(self) -> Rows:
        return Rows()

    def run(self, unit: int) -> Rows:
        scheme, order = self.configs[unit]
        return Rows({unit: (_stored(with_replays(decide(configure(scheme, order, None, None, 64), self.limit))),)})

    def read(self, value: Any) -> Rows:
        rows = Rows.read(value)
        list(map(finding_of, rows))
        return rows


def _stored(finding: Finding) -> dict[str, Any]:
    """A finding as a row: what `Finding.row` says, and what a table needs besides."""
    witness = finding.witness
    stored = (
        None if witness is None else {"mm": witness.mm, "mappings": [*witness.mappings.items()], "sides": witness.sides}
    )
    row = {
        "config": asdict(finding.config),
        "decision": finding.decision.value,
        "reason": finding.reason,
        "witness": stored,
        "replays": finding.replays,
    }
    made: dict[str, Any] = json.loads(json.dumps(row))
    return made


def finding_of(row: Mapping[str, Any]) -> Finding:
    """The finding of a row. Raises KeyError, TypeError, ValueError."""
    w = row["witness"]
    witness = None if w is None else Witness(w["mm"], dict(w["mappings"]), tuple((a, b) for a, b in w["sides"]))
    config, decision = Config(**row["config"]), Decision(row["decision"])
    return Finding(config, decision, str(row["reason"]), witness, tuple(row["replays"]))
