"""How the counters of each process grew: bytes copied so far, over time.

For `rmaplab watch --html`. Memory is bounded: where there are too many points, every second one of each curve goes, but
for its first and its last; a process that the ledger has folded away has no curve.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rmaplab.watch.ledger import Process
from rmaplab.watch.records import BYTES

MOST_POINTS: Final = 1 << 16


@dataclass(slots=True)
class History:
    """`curves`: by number of a process its points, seconds since the watch began and bytes copied by then."""

    curves: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def note(self, began: float, seconds: float, processes: Mapping[int, Process]) -> None:
        """Add a point to every curve whose process copied since its last one. `began`: of the watch (time.monotonic).

        A curve begins with nothing copied, at the fork or with the watch. O(processes).
        """
        for number, one in processes.items():
            curve = self.curves.setdefault(number, [(max(0.0, one.born * 1e-9 - began), 0)])
            copied = int(one.totals[BYTES])
            if curve[-1][1] != copied:
                curve.append((seconds, copied))
        if sum(map(len, self.curves.values())) > MOST_POINTS:
            kept = {number: curve for number, curve in self.curves.items() if number in processes}
            self.curves = {number: [*curve[:-1:2], curve[-1]] for number, curve in kept.items()}
