"""Race after race until the time is up, every variant in turn, threads and processes alternating.

For `rmaplab stress`. Tests run single races with a fixed number of operations instead.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rmaplab.core import Variant
from rmaplab.stress.counters import wrong_counters
from rmaplab.stress.judge import Finding, impossible_answers
from rmaplab.stress.races import Race, run

_ORDERS: Final = (2, 4, 9)


@dataclass(frozen=True)
class Outcome:
    """One race: what was run, how much happened, and what was wrong."""

    race: Race
    operations: int
    answers: int
    findings: tuple[Finding, ...]


def campaign(
    variants: Sequence[Variant], seconds: float, workers: int, readers: int, modes: Sequence[bool], seed: int
) -> Iterator[Outcome]:
    """Outcomes as they come. `modes`: run with processes (True), threads (False), or both in turn.

    Every variant is raced at least once in every mode, however short the time.
    """
    end = time.monotonic() + seconds
    turn = 0
    while turn < len(modes) or time.monotonic() < end:
        for variant in variants:
            yield _race(variant, workers, readers, modes[turn % len(modes)], seed + turn, turn)
            if turn >= len(modes) and time.monotonic() >= end:
                return
        turn += 1


def _race(variant: Variant, workers: int, readers: int, processes: bool, seed: int, turn: int) -> Outcome:
    orders = [o for o in _ORDERS if variant.scheme is None or o in variant.scheme.orders]
    jitter = None if turn % 4 == 3 else 3 + turn % 5
    race = Race(
        variant, orders[turn % len(orders)], workers, readers, processes, seed=seed, jitter=jitter, folios=1 + turn % 3
    )
    history = run(race)
    findings = (*impossible_answers(history), *wrong_counters(history))
    answers = int((history.records["op"] >= 4).sum() - (history.records["op"] >= 6).sum())
    return Outcome(race, len(history.records), answers, findings)


def summed(outcomes: Sequence[Outcome], key: Callable[[Outcome], int]) -> int:
    """Sum of one figure over some outcomes."""
    return sum(key(outcome) for outcome in outcomes)
