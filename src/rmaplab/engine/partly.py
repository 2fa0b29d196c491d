"""Which folios are partly mapped, and which rule without per-page map counts would notice: from a trace.

For `rmaplab trace partly`. A large anonymous folio is *partly mapped* while somebody maps it and a page of it is mapped
by nobody: that page is lost until the folio is split. Linux asks at an unmapping, and queues the folio for the deferred
split. Two rules ask without per-page counts:

- `average` (RFC of April 2026): fewer mapped pages than the folio has. Never a false alarm, blind where others map
  the rest more than once.
- `uniform` (`rmaplab.schemes.uniform`): the average, or a sum of weights that equally often mapped pages cannot have.
  Misses by chance only, and alarms wherever pages are mapped unequally often.

A moment is the end of a step in which pages of the folio were unmapped, while others still are mapped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes.uniform import Uniform
from rmaplab.trace import Trace

_COLUMNS: Final = ("step", "mm", "page", "nr", "entire")


@dataclass(slots=True)
class Noticed:
    """Moments, folios and pages of one kind of folio."""

    moments: int = 0
    partly: int = 0
    average: int = 0
    """Moments at which the folio is partly mapped and the average says so."""
    uniform: int = 0
    false_alarms: int = 0
    """Moments at which `uniform` says so and every page is mapped."""
    folios: int = 0
    partly_folios: int = 0
    """Folios that were partly mapped at one of their moments; of these, whom a rule noticed at any:"""
    average_folios: int = 0
    uniform_folios: int = 0
    alarmed_folios: int = 0
    """Folios with a false alarm that never were partly mapped."""
    lost_pages: int = 0
    """Pages nobody maps of partly mapped folios, at the last moment of each; of these, of folios a rule had noticed:"""
    average_pages: int = 0
    uniform_pages: int = 0

    def add(self, other: "Noticed") -> None:
        """Count `other` in."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def partly(trace: Trace, rule: Uniform | None = None) -> dict[str, Noticed]:
    """What the rules notice of large anonymous folios: those with one MM all along, and the others.

    O(events + moments * pages of the folio); 4 bytes a page of one folio at a time. Keys: "one MM", "shared".
    """
    rule = rule or Uniform()
    order = trace.folios["order"].to_numpy()
    asked = (trace.folios["kind"] == "anon").to_numpy() & (order > 0)
    folio = trace.events["folio"].to_numpy()
    rows = np.argsort(folio, kind="stable")
    columns = [trace.events[name].to_numpy()[rows] for name in _COLUMNS]
    cuts = np.append(np.flatnonzero(np.diff(folio[rows].astype(np.int64), prepend=-1)), len(rows))
    found = {"one MM": Noticed(), "shared": Noticed()}
    prefixes = {o: rule.prefix(o) for o in np.unique(order[asked]).tolist()}
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        number = int(folio[rows[low]])
        if asked[number]:
            mine = [column[low:high] for column in columns]
            key = "one MM" if len(np.unique(mine[1])) == 1 else "shared"
            found[key].add(_one_folio(rule, int(order[number]), prefixes[int(order[number])], mine))
    return found


def _one_folio(rule: Uniform, order: int, prefix: NDArray[np.uint64], columns: list[NDArray[np.int64]]) -> Noticed:
    pages, seen = 1 << order, Noticed(folios=1)
    was, noticed_average, noticed_uniform, lost = False, False, False, 0
    for counts, mapped, word in _moments(pages, prefix, columns):
        seen.moments += 1
        lost = int((counts == 0).sum())
        average = mapped < pages
        uniform = average or not rule.passes(order, word, mapped)
        seen.partly += lost > 0
        seen.average += average
        seen.uniform += uniform and lost > 0
        seen.false_alarms += uniform and not lost
        was |= lost > 0
        noticed_average |= average
        noticed_uniform |= uniform
    seen.partly_folios = int(was)
    seen.average_folios = int(was and noticed_average)
    seen.uniform_folios = int(was and noticed_uniform)
    seen.alarmed_folios = int(noticed_uniform and not was)
    seen.lost_pages = lost
    seen.average_pages = lost * noticed_average
    seen.uniform_pages = lost * noticed_uniform
    return seen


def _moments(
    pages: int, prefix: NDArray[np.uint64], columns: list[NDArray[np.int64]]
) -> Iterator[tuple[NDArray[np.int32], int, int]]:
    """Each moment of one folio: mappings of every page (the same array each time), mapped pages, the word of weights."""
    counts = np.zeros(pages, np.int32)
    sums = prefix.tolist()
    mapped, word, unmapped = 0, 0, False
    steps = columns[0].tolist()
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for (step, _mm, page, nr, entire), following in zip(rows, [*steps[1:], None], strict=True):
        first, length = (0, pages) if entire else (page, abs(nr))
        times = nr if entire else (1 if nr > 0 else -1)
        counts[first : first + length] += times
        mapped += times * length
        word += times * (sums[first + length] - sums[first])
        unmapped |= nr < 0
        if following != step:
            if unmapped and mapped:
                yield counts, mapped, word
            unmapped = False
