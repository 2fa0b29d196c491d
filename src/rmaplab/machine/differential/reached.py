"""What programs reached: refusals, pairs of operations, folios as they were mapped, questions and their answers.

For the runner, which counts it where it compares, and for the sums. A name is `group: what`; its count is how many steps
showed it. What a campaign says it covered is this: operations alone do not tell whether they did anything, so `effects`
counts those after which memory was not as before, and pairs are of operations on one area of which the second had one.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from rmaplab.machine.differential.program import Result, Step
from rmaplab.machine.observation import Observation
from rmaplab.trace import KINDS, Trace

GROUPS: Final = ("refused", "effects", "pairs", "folios", "questions")
_STATES: Final = ("nothing", "present", "in swap", "guarded")
_RADIX: Final = 32
"""More than any column of `_FOLIO` has values."""
_FOLIO: Final = ("state", "kind", "order", "pmd_mapped", "anon_exclusive")
_MANY: Final = 3
"""Map counts from here on are one kind."""


class Reached:
    """Counts for one program."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._before: dict[int, str] = {}
        self._folios: Counter[int] = Counter()
        self._world: Observation | None = None

    def step(self, step: Step, answer: Result, seen: Observation) -> None:
        """A step is done, and this is the world."""
        name = step.advice or ("mmap over" if step.do == "mmap" and step.area >= 0 else step.do)
        if answer.refused:
            self.counts[f"refused: {name}"] += 1
        changed = self._world is None or _differ(self._world, seen)
        self._world = seen
        if changed and not answer.refused:
            self.counts[f"effects: {name}"] += 1
        if changed and not answer.refused and step.area >= 0:
            before, self._before[step.area] = self._before.get(step.area, "nothing"), name
            self.counts[f"pairs: {before}, {name}"] += 1
        key = np.minimum(seen.mapcount, _MANY) + 1
        for column in _FOLIO:
            key = key * _RADIX + getattr(seen, column) + 1
        self._folios.update(np.unique(key).tolist())

    def end(self, trace: Trace) -> Counter[str]:
        """The program is through, and this is what its machine recorded; all counts."""
        columns = [pl.col(name).cast(pl.String).fill_null("unknown") for name in ("what", "kernel", "outcome")]
        for row in trace.questions.select(columns).rows():
            self.counts[f"questions: {', '.join(row)}"] += 1
        for key, count in self._folios.items():
            self.counts[f"folios: {_folio(key)}"] += count
        return self.counts


def _differ(one: Observation, two: Observation) -> bool:
    return any(not np.array_equal(getattr(one, name), getattr(two, name)) for name in one.__slots__)


def coverage(reached: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """By group, what was reached and how often; groups of which nothing was are there and empty."""
    found: dict[str, dict[str, int]] = {group: {} for group in GROUPS}
    for name, count in sorted(reached.items()):
        group, _, what = name.partition(": ")
        found.setdefault(group, {})[what] = count
    return found


def _folio(key: int) -> str:
    values = []
    for _ in _FOLIO:
        key, value = divmod(key, _RADIX)
        values.append(value - 1)
    exclusive, pmd, order, kind, state = values
    if order < 0 or kind < 0:
        return _STATES[state]
    times = "an unknown number of times" if key == 0 else f"{key - 1} times" if key <= _MANY else f"{_MANY} times or more"
    how = f"mapped by {'a PMD' if pmd == 1 else 'PTEs'} {times}"
    return f"{KINDS[kind]} of order {order}, {how}{', exclusive' if exclusive == 1 else ''}"
