"""What a watch may cost: a share of one CPU, kept by looking at fewer faults, and then at none for a while.

For `rmaplab.watch.watcher`. Costs are estimated, from how often the programs ran: what one run costs was measured with
benchmarks/watch.py. Nothing is skipped in silence: skipped faults are counted, and so is the time without any look.
"""

import time
from bisect import bisect_right
from typing import Final

LOOK: Final = 3.0e-6
"""Seconds of CPU that looking at a fault costs, its stack included."""
GLANCE: Final = 0.6e-6
"""Seconds of CPU that counting a fault without a look costs; most of it for being attached at all."""
USUAL: Final = 0.05
_SAVED: Final = 0.25
"""Seconds of CPU that may be saved up for a burst: 83,000 looks."""
_REST: Final = 0.05
"""Of what may be saved up, that much is there before a blind watch looks again."""
_SPANS: Final = 4096
"""So many blind times are known by themselves; of those before, only their sum."""


class Budget:
    """CPU seconds in hand. `share`: of one CPU, None without limit."""

    def __init__(self, share: float | None) -> None:
        self.share, self.saved = share, _SAVED
        self.blind_since, self._blind = 0.0, 0.0
        self._spans: list[tuple[float, float]] = []
        self._older = 0.0
        self._then, self._used = time.monotonic(), time.process_time()

    def spend(self, looks: int, glances: int) -> None:
        """Time has passed; our own CPU time, and so many looks and glances in the kernel, are paid."""
        now, used = time.monotonic(), time.process_time()
        cost = used - self._used + looks * LOOK + glances * GLANCE
        self.saved = min(_SAVED, self.saved + (self.share or 0.0) * (now - self._then) - cost)
        self._then, self._used = now, used

    @property
    def tokens(self) -> int:
        """Looks that may be taken before the next call."""
        return 1 << 62 if self.share is None else max(0, int(self.saved / LOOK))

    @property
    def exhausted(self) -> bool:
        """Whether even glances cost too much: debts are to be paid first."""
        return self.share is not None and self.saved < 0

    @property
    def rested(self) -> bool:
        return self.share is None or self.saved >= _SAVED * _REST

    def close_eyes(self) -> None:
        self.blind_since = time.monotonic()

    def open_eyes(self) -> None:
        now = time.monotonic()
        self._spans.append((self.blind_since, now))
        self._blind += now - self.blind_since
        self.blind_since = 0.0
        if len(self._spans) > 2 * _SPANS:
            self._older += sum(end - begin for begin, end in self._spans[:_SPANS])
            del self._spans[:_SPANS]

    @property
    def blind(self) -> float:
        """Seconds without any look so far."""
        return self._blind + (time.monotonic() - self.blind_since if self.blind_since else 0.0)

    def blind_between(self, begin: float, end: float) -> float:
        """Seconds without any look between two times of time.monotonic(). Too many if `begin` is too long ago to tell."""
        spans = self._spans
        known = spans[0][0] if spans else begin
        total = self._older if begin < known else 0.0
        for at in range(max(0, bisect_right(spans, (begin, begin)) - 1), len(spans)):
            if spans[at][0] >= end:
                break
            total += max(0.0, min(end, spans[at][1]) - max(begin, spans[at][0]))
        if self.blind_since:
            total += max(0.0, min(end, time.monotonic()) - max(begin, self.blind_since))
        return total
