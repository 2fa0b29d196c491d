"""What the schemes should cost, held against one run's results.

For `rmaplab bench`. The aims are the project's, set before anything was measured; each is a ratio within one run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from rmaplab.bench.operations import TODAY, UPDATE, Row
from rmaplab.bench.small import small_paths

_PER_PAGE: Final = ("estimated-sharers", "likely-shared")


@dataclass(frozen=True)
class Aim:
    """A value that should not exceed its limit."""

    what: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """Is it within the limit?"""
        return self.value <= self.limit

    def as_json(self) -> dict[str, object]:
        """The aim as a JSON object."""
        return {**asdict(self), "met": self.met}


def aims(rows: Sequence[Row]) -> list[Aim]:
    """Every aim the rows allow to judge."""
    table = {(r.scheme, r.order, r.op, r.threads, r.shared_folio): r for r in rows}
    wanted: list[tuple[str, tuple[str, int, str, int, bool], tuple[str, int, str, int, bool], float]] = [
        *(
            (f"moments-flag / {TODAY}, order 9, {words}", ("moments-flag", 9, *lane), (TODAY, 9, *lane), 1.05)
            for words, lane in _FLAG
        ),
        ("packed / generations-safe, order 9, 1 thread", ("packed", 9, UPDATE, 1, False), _SAFE, 0.45),
        (
            "packed / generations-safe, order 9, 2 threads on one folio",
            ("packed", 9, UPDATE, 2, True),
            ("generations-safe", 9, UPDATE, 2, True),
            0.45,
        ),
        (
            "moments+exclusive / generations, order 9",
            ("moments+exclusive", 9, UPDATE, 1, False),
            ("generations", 9, UPDATE, 1, False),
            0.6,
        ),
    ]
    # Shared writers against shared writers, and the writer one would choose against what was posted first.
    for order in (2, 4, 6):
        for mine in ("one-value", "one-value+exclusive"):
            pair = (mine, order, UPDATE, 1, False), ("generations", order, UPDATE, 1, False)
            wanted.append((f"{mine} / generations, order {order}", *pair, 0.75))
    found = [
        Aim(what, _ratio(table[mine], table[base]), limit)
        for what, mine, base, limit in wanted
        if mine in table and base in table
    ]
    return [*found, *_batches(table), *_small()]


_FLAG: Final = (
    ("1 thread", (UPDATE, 1, False)),
    ("2 threads on one folio", (UPDATE, 2, True)),
)
_SAFE: Final = ("generations-safe", 9, UPDATE, 1, False)


def _ratio(row: Row, base: Row) -> float:
    """Median over the rounds of the ratio within a round."""
    return round(float(np.median(np.array(row.runs_ns) / np.array(base.runs_ns))), 3)


def _batches(table: dict[tuple[str, int, str, int, bool], Row]) -> Iterator[Aim]:
    """The dearest batch of 512, of the schemes that need not touch every page."""
    ratios = {
        scheme: _ratio(table[batch], table[scheme, order, UPDATE, threads, shared])
        for batch in table
        for scheme, order, op, threads, shared in [batch]
        if op == f"{UPDATE} 512" and (order, threads) == (9, 1) and scheme not in _PER_PAGE
    }
    if ratios:
        worst = max(ratios, key=lambda scheme: ratios[scheme])
        yield Aim(f"batch of 512 / single update, order 9, dearest: {worst}", ratios[worst], 1.3)


def _small() -> Iterator[Aim]:
    """Extra instructions of small folios, over all schemes, map and unmap."""
    paths = small_paths()
    if paths:
        extra = max(path.extra if path.same else max(path.extra, 1) for path in paths)
        yield Aim("extra instructions of a small folio, any scheme", extra, 0)
