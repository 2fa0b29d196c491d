"""Time and count single operations of every scheme, interleaved.

Method after pyperf: threads pinned, many short runs, one of each configuration per round and every round in a new
random order, so that drift hits all alike; the first round is a warm-up and kept. A ratio is the median over the rounds
of the ratio within a round. Instructions are counted by single-stepping one operation (core/lib/steps.c).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from rmaplab.bench.host import pinned_cpus
from rmaplab.core import Folios, Op, Variant, load, variants
from rmaplab.errors import RmaplabError
from rmaplab.names import must_be

ORDERS: Final = (0, 2, 4, 6, 9, 13)
BATCHES: Final = (1, 16, 512)
BASELINE: Final = "atomic-add"
TODAY: Final = "mm-id"
"""What Linux does today: what every price is held against."""
POSTED: Final = "generations"
"""The rmap-ID series as posted, which was never merged."""
UPDATE: Final = "map/unmap"
SMALL: Final = ("small", "small+hashed")
"""Order 0: what Linux does, and the same under a hashed table of sequence counts."""

RUN_SECONDS: Final = 0.4e-3
RETRIES: Final = 8
UNDISTURBED: Final = 0.8
LANES: Final[Mapping[tuple[str, int, bool], str]] = MappingProxyType(
    {
        (UPDATE, 1, False): "map/unmap",
        (f"{UPDATE} 512", 1, False): "batch 512",
        (UPDATE, 2, True): "two threads,\none folio",
        ("verdict", 1, False): "verdict",
        ("verdict-while-updated", 2, True): "verdict while\nupdated",
        ("cow", 1, False): "COW\ndecision",
    }
)
"""What tables and plots show: (operation, threads, on one folio) and its heading."""
_LOOPS: Final = {"map/unmap": 0, "verdict": 1, "cow": 2, "add": 3, "verdict-while-updated": 4}


@dataclass(frozen=True)
class Config:
    """One thing to measure."""

    scheme: str
    order: int
    op: str
    threads: int = 1
    shared_folio: bool = False

    @property
    def loop(self) -> int:
        """Number of its loop in core/lib/driver.h."""
        return _LOOPS[self.op.partition(" ")[0]]

    @property
    def pages(self) -> int:
        """Pages per operation: 'map/unmap 16' batches 16."""
        return int(self.op.partition(" ")[2] or 1)


@dataclass(frozen=True)
class Row:
    """One result. `ns_spread` is the interquartile range; ratios are None where their base does not exist.

    `ratio_mm_id` leads: median of the ratios within a round; `_low` and `_high` are their quartiles.
    """

    scheme: str
    order: int
    op: str
    threads: int
    shared_folio: bool
    ns_median: float
    ns_spread: float
    instructions: int | None
    ratio_atomic_add: float | None
    ratio_generations: float | None
    warm_up_ns: float
    runs_ns: list[float] = field(repr=False)
    ratio_mm_id: float | None = None
    ratio_mm_id_low: float | None = None
    ratio_mm_id_high: float | None = None

    def as_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return asdict(self)


def lane(row: Row) -> str | None:
    """The heading of the row's operation in tables, on one line; None if they do not show it."""
    title = LANES.get((row.op, row.threads, row.shared_folio))
    return None if title is None else title.replace("\n", " ")


def known(names: Iterable[str] | None = None) -> list[str]:
    """Schemes to measure, `TODAY` always among them; all if no names are given. RmaplabError for an unknown one."""
    wanted = set(names or ())
    for name in sorted(wanted - set(variants())):
        raise RmaplabError(f"scheme: {name}: {must_be(name, variants())}")
    return [name for name in variants() if not wanted or name in wanted or name == TODAY]


def configurations(schemes: Sequence[str], orders: Iterable[int]) -> list[Config]:
    """Every operation of `schemes` on folios of `orders`, with one thread and two, apart and on one folio."""
    lanes = ((1, False), (2, False), (2, True))
    configs = []
    for order in orders:
        covered = [s for s in schemes if _covers(s, order)] if order else list(SMALL)
        for scheme in covered:
            batches = [f"map/unmap {n}" if n > 1 else "map/unmap" for n in BATCHES if n <= 1 << order]
            ops = [*batches, "verdict", *(["cow"] if order or scheme == SMALL[1] else [])]
            if scheme == SMALL[1]:
                ops.remove("verdict")
            configs += [Config(scheme, order, op, *lane) for op in ops for lane in lanes]
            if order:
                configs.append(Config(scheme, order, "verdict-while-updated", 2, True))
    configs += [Config(BASELINE, 9, "add", *lane) for lane in lanes]
    return configs


def _covers(scheme: str, order: int) -> bool:
    definition = variants()[scheme].scheme
    return definition is None or order in definition.orders


@dataclass
class _Bench:
    """A configuration, ready to run: its folios, the operations of one run, and the times so far."""

    config: Config
    folios: Folios
    count: int = 512
    times: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Nanoseconds per operation of one short run, mean over the threads.

        A run in which a thread lost its CPU says nothing about contention: it is repeated, at most RETRIES times.
        """
        for _ in range(RETRIES):
            ns, share = self._run_once()
            if share >= UNDISTURBED:
                break
        return ns

    def _run_once(self) -> tuple[float, float]:
        """Nanoseconds per operation, and the share of the run that was undisturbed (`rmap_time`)."""
        config, core = self.config, self.folios.core
        spec = core.ffi.new(
            "struct rmap_timed *",
            {
                "scheme": _number(config),
                "loop": config.loop,
                "threads": config.threads,
                "cpus": pinned_cpus(),
                "nr": config.pages,
                "count": self.count,
            },
        )
        out = core.ffi.new("double[3]")
        other = 0 if config.shared_folio else 1
        # Two askers are the same MM: that is the answer that has to look at everything.
        asker = 0 if config.op in ("verdict", "cow") else 1
        folios = self.folios
        core.lib.rmap_time(spec, folios.folio(0), folios.folio(other), folios.mm(0), folios.mm(asker), out)
        # While it is updated only the asking thread counts.
        lanes = 1 if config.op == "verdict-while-updated" else config.threads
        return float(sum(out[i] for i in range(lanes)) / lanes), float(out[2])

    def calibrate(self) -> None:
        """As many operations as fill RUN_SECONDS; the run this takes is the warm-up and kept."""
        for _ in range(3):
            ns = self.run()
            self.count = int(np.clip(RUN_SECONDS * 1e9 / max(ns, 0.2), 64, 1 << 20)) & ~1
        self.times.append(self.run())


def _number(config: Config) -> int:
    if config.scheme in SMALL:
        return -1 - SMALL.index(config.scheme)
    return 0 if config.scheme == BASELINE else variants()[config.scheme].number


def prepared(scheme: str, order: int) -> Folios:
    """Two folios, each mapped page by page by MM 0 and with a reference for every mapping.

    Two MMs with rmap IDs from the middle of what the scheme takes (half their bits set), at most 24 bits.
    """
    variant = variants().get(scheme, Variant(scheme, 0))
    last = (1 << 24) - 1
    if variant.scheme is not None:
        last = min(last, variant.scheme.accepted_ids(order) - 1)
    folios = Folios(variant, order, 2, [max(last * 2 // 3, 1), max(last // 3, 2 if last > 1 else 1)])
    for folio in range(2):
        folios.apply(Op.MAP, folio, 0, 0, 1 << order)
        folios.references(folio, 1 << order)
    return folios


def measure(
    configs: Sequence[Config], rounds: int, tick: Callable[[], object] = lambda: None, seed: int = 1
) -> list[Row]:
    """Rows in the order of `configs`. `tick` is called after every run, `rounds` + 1 times per configuration."""
    benches = [_Bench(config, prepared(config.scheme, config.order)) for config in configs]
    for bench in benches:
        bench.calibrate()
        tick()
    random = Random(seed)
    for _ in range(rounds):
        for bench in random.sample(benches, len(benches)):
            bench.times.append(bench.run())
            tick()
    return _rows(benches)


def _rows(benches: Sequence[_Bench]) -> list[Row]:
    runs = {bench.config: np.array(bench.times[1:]) for bench in benches}
    rows = []
    for bench in benches:
        config, times = bench.config, runs[bench.config]
        base = Config(BASELINE, 9, "add", config.threads, config.shared_folio)
        posted = Config(POSTED, config.order, config.op, config.threads, config.shared_folio)
        today = runs.get(Config(TODAY, config.order, config.op, config.threads, config.shared_folio))
        quartiles = np.percentile(times, [25, 50, 75])
        rows.append(
            Row(
                config.scheme,
                config.order,
                config.op,
                config.threads,
                config.shared_folio,
                round(float(quartiles[1]), 3),
                round(float(quartiles[2] - quartiles[0]), 3),
                instructions(config, bench.folios),
                _ratio(times, runs.get(base)),
                _ratio(times, runs.get(posted)),
                round(bench.times[0], 3),
                [round(float(ns), 3) for ns in times],
                *quartiles_of(times, today),
            )
        )
    return rows


def quartiles_of(times: Any, base: Any) -> tuple[float | None, float | None, float | None]:
    """Median and quartiles of `times` / `base`, round by round; None where there is no base."""
    if base is None:
        return None, None, None
    low, median, high = np.percentile(times / base, [25, 50, 75])
    return round(float(median), 3), round(float(low), 3), round(float(high), 3)


def _ratio(times: Any, base: Any) -> float | None:
    return None if base is None else round(float(np.median(times / base)), 3)


def instructions(config: Config, folios: Folios | None = None) -> int | None:
    """Instructions of one operation, one thread, nobody else; None where they cannot be counted."""
    core = load()
    folios = folios or prepared(config.scheme, config.order)
    loop = 1 if config.op == "verdict-while-updated" else config.loop
    steps = core.lib.rmap_steps(_number(config), loop, config.pages, folios.folio(0), folios.mm(0))
    if loop == 0:
        folios.apply(Op.UNMAP, 0, 0, 0, config.pages)
    return None if steps < 0 else int(steps)
