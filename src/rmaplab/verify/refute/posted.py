"""The verdict on what was posted: both stages of the rmap-ID series, every order; and what each order needs.

For `rmaplab refute --posted` and `--needs`. Source of the stages: <20231124132626.235350-1-david@redhat.com>; the
numbers of the later stage are `rmaplab.schemes.generations.POSTED`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rmaplab.schemes import SCHEMES
from rmaplab.schemes.generations import POSTED, GenerationsSafe
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.problem import Config, Decision, Finding
from rmaplab.verify.refute.words import configure

FIRST_STAGE_VALUES: Final = 4
FIRST_STAGE_ORDERS: Final = range(2, 11)
FIRST_STAGE_BASE: Final = (1 << 10) + 1
"""The series first used 4 values of 6 ID bits, in base 2^10+1, for all orders up to 10."""


def posted_findings(seconds: float) -> Iterator[Finding]:
    """Each order of the 4-value stage, then each order 2 .. 15 of the 1/2/3-value stage and its wider rows."""
    for order in FIRST_STAGE_ORDERS:
        config = Config("generations", order, FIRST_STAGE_VALUES, 24, 64, FIRST_STAGE_BASE)
        yield _named("4-value stage", decide(config, seconds))
    for row in POSTED:
        for order in range(row.first, row.last + 1):
            config = configure("generations", order, None, None, 64)
            yield _named(f"posted row of orders {row.first}-{row.last}", decide(config, seconds))


def _named(stage: str, finding: Finding) -> Finding:
    return replace(finding, reason=f"{stage}: {finding.reason}")


@dataclass(frozen=True, slots=True)
class Needs:
    """What one order needs: 64-bit values besides the mapcount, and ID bits where those are fewer than wanted.

    `posted_sound` is None where nothing was posted, and where the search was stopped.
    """

    order: int
    posted_values: int | None
    posted_sound: bool | None
    safe_values_22: int
    safe_values_24: int
    moments_bits: int
    one_value_bits: int
    packed_bits: int


def needs(order: int, seconds: float) -> Needs:
    """The table's row of `order` (1 .. 21). generations-safe, moments, one-value and packed are sound as they stand."""
    row = next((r for r in POSTED if r.first <= order <= r.last), None)
    sound = None
    if row is not None:
        decision = decide(configure("generations", order, None, None, 64), seconds).decision
        sound = None if decision is Decision.UNDECIDED else decision is Decision.SOUND
    one_value = SCHEMES["one-value"]
    return Needs(
        order,
        row.values if row else None,
        sound,
        GenerationsSafe(id_bits=22).values(order),
        GenerationsSafe(id_bits=24).values(order),
        SCHEMES["moments"].capacity(order),
        one_value.capacity(order) if order in one_value.orders else 0,
        SCHEMES["packed"].capacity(order),
    )
