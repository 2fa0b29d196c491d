"""The rmap-ID series' eight benchmarks as streams of rmap updates: 1 GiB of 2 MiB THP, batched and page by page.

For `rmaplab bench streams`. Of (4) cow and (5) cow-byte, and of (6) cow-reuse and (7) cow-reuse-byte, the rmap updates
are the same (one COW question a page; the pair differs in how much memory the writer touches), so six streams
stand for the eight. No page tables and no data are touched: this is the share of the cost that a scheme decides.
Source of the operations: <20231124132626.235350-1-david@redhat.com>.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

import numpy as np

from rmaplab.bench.operations import POSTED, TODAY, quartiles_of
from rmaplab.core import Folios, variants

ORDER: Final = 9
THPS: Final = 512
"""1 GiB."""

STREAMS: Final = ("remap", "munmap", "fork", "cow(-byte)", "cow-reuse(-byte)", "pte-dontneed")
_UNBATCHED_ONLY: Final = ("cow(-byte)", "cow-reuse(-byte)", "pte-dontneed")


@dataclass(frozen=True)
class StreamRow:
    """Nanoseconds per page, median and interquartile range; ratios are to `mm-id` (with quartiles) and to `generations`,
    batched like this row.
    """

    scheme: str
    stream: str
    batched: bool
    ns_per_page: float
    ns_spread: float
    ratio_generations: float | None
    ratio_mm_id: float | None
    ratio_mm_id_low: float | None
    ratio_mm_id_high: float | None

    def as_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return asdict(self)


def measure_streams(schemes: Sequence[str], rounds: int, tick: Callable[[], object] = lambda: None) -> list[StreamRow]:
    """Every stream of every scheme, `rounds` times, interleaved; `tick` is called after each."""
    configs = [
        (scheme, stream, batched)
        for scheme in schemes
        for stream in STREAMS
        for batched in ((False,) if stream in _UNBATCHED_ONLY else (False, True))
    ]
    folios = {scheme: Folios(variants()[scheme], ORDER, THPS, [43690, 21845]) for scheme in schemes}
    times: dict[tuple[str, str, bool], list[float]] = {config: [] for config in configs}
    random = Random(1)
    for _ in range(rounds):
        for config in random.sample(configs, len(configs)):
            times[config].append(_run(folios[config[0]], *config[1:]))
            tick()
    return [_row(config, times) for config in configs]


def _run(folios: Folios, stream: str, batched: bool) -> float:
    """Set the folios up as the operation finds them, then time it."""
    lib = folios.core.lib
    folios.reset()
    for folio in range(THPS):
        if stream == "remap":
            folios.dup(folio, 0, entire=True)
        else:
            folios.dup(folio, 0, 0, 1 << ORDER)
        if stream == "cow(-byte)":
            folios.dup(folio, 1, 0, 1 << ORDER)
    number = STREAMS.index(stream)
    return float(
        lib.rmap_stream(folios.variant.number, number, int(batched), folios.folios, THPS, folios.mm(0), folios.mm(1))
    )


def _row(config: tuple[str, str, bool], times: dict[tuple[str, str, bool], list[float]]) -> StreamRow:
    scheme, stream, batched = config
    mine = np.array(times[config])
    posted = times.get((POSTED, stream, batched))
    low, median, high = np.percentile(mine, [25, 50, 75])
    ratio = None if posted is None else round(float(np.median(mine / np.array(posted))), 3)
    today = times.get((TODAY, stream, batched))
    against = quartiles_of(mine, None if today is None else np.array(today))
    return StreamRow(scheme, stream, batched, round(float(median), 4), round(float(high - low), 4), ratio, *against)
