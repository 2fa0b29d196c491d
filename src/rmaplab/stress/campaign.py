"""Race after race until the time is up, every variant in turn, threads and processes alternating.

For `rmaplab stress`. Tests run single races with a fixed number of operations instead.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rmaplab.core import Variant
from rmaplab.stress.counters import wrong_counters
from rmaplab.stress.judge import Finding, checked_answers, impossible_answers
from rmaplab.stress.races import Race, run

_ORDERS: Final = (2, 4, 9)
_MMS_EACH: Final = (2, 3, 1)
"""With one, all workers are the same MM, and COW decisions hang on the references alone."""
_JITTER: Final = (3, 5, 7, None)


@dataclass(frozen=True)
class Outcome:
    """One race: what was run, operations and checked answers, and what was wrong."""

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
    """The `turn`-th race: orders, numbers of MMs and folios, and jitter take turns, each at its own pace."""
    orders = [o for o in _ORDERS if variant.scheme is None or o in variant.scheme.orders]
    race = Race(
        variant,
        order=orders[(turn + turn // 3) % len(orders)],
        workers=workers,
        readers=readers,
        processes=processes,
        mms_each=_MMS_EACH[turn % len(_MMS_EACH)],
        folios=1 + turn % 2,
        seed=seed,
        jitter=_JITTER[turn % len(_JITTER)],
    )
    history = run(race)
    findings = (*impossible_answers(history), *wrong_counters(history))
    return Outcome(race, len(history.records), checked_answers(history), findings)
