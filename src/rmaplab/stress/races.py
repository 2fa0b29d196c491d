"""Run one race on the C core and bring home its history.

For `rmaplab stress` and the tests; core/lib/stress.c does the work. Workers map, unmap, remap, fork, exit, pin and ask;
readers only ask. MM 0 is common to all workers, the others belong to one worker each.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.core import Folios, Module, Variant, load
from rmaplab.errors import RmaplabError

MAP, UNMAP, DUP, REMAP, VERDICT, COW, PIN, UNPIN = range(8)
"""Operations, as in core/lib/driver.h."""

RECORD: Final = np.dtype(
    [
        ("call", np.uint64),
        ("ret", np.uint64),
        ("worker", np.uint32),
        ("op", np.uint32),
        ("folio", np.uint32),
        ("mm", np.uint32),
        ("nr", np.int32),
        ("answer", np.uint32),
    ]
)
"""One operation: ticks of the shared clock before and after it, MM by index, `nr` pages, and what it answered."""

MAX_WORKERS: Final = 64
NO_JITTER: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class Race:
    """What to run. `jitter`: give up the CPU at one of 2^jitter accesses inside the operations; None: never.

    `deadline`: seconds, after which workers that have not returned are killed.
    """

    variant: Variant
    order: int = 4
    workers: int = 2
    readers: int = 1
    processes: bool = False
    mms_each: int = 3
    folios: int = 2
    ops: int = 5000
    seed: int = 1
    jitter: int | None = 6
    deadline: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.workers + self.readers <= MAX_WORKERS:
            raise RmaplabError(f"threads: {self.workers + self.readers}: must be in 1 .. {MAX_WORKERS}")

    @property
    def mms(self) -> int:
        """MMs in all: the common one, and each worker's own."""
        return 1 + self.workers * (self.mms_each - 1)


@dataclass(frozen=True)
class History:
    """What happened: records of all workers (dtype RECORD, by call), and the folios as they were left.

    `hangs`: not every worker had returned at the deadline; the records are those until then.
    """

    race: Race
    records: NDArray[Any]
    folios: Folios
    hangs: bool = False


def ids_for(race: Race) -> list[int]:
    """Different rmap IDs for the race's MMs, from both ends of what the scheme takes."""
    last = 2**24 - 1 if race.variant.scheme is None else race.variant.scheme.accepted_ids(race.order) - 1
    last = min(last, 2**31 - 1)
    if last < race.mms:
        raise RmaplabError(f"{race.variant.name}: order {race.order}: holds {last} rmap IDs, this race needs {race.mms}")
    low = race.mms // 2
    return [*range(1, low + 1), *range(last - (race.mms - low) + 1, last + 1)]


def run(race: Race, core: Module | None = None) -> History:
    """Run it once; about 1 us an operation. Raises RmaplabError if a worker could not be started or died."""
    core = core or load()
    folios = Folios(race.variant, race.order, race.folios, ids_for(race), core)
    count = race.workers + race.readers
    # An exit or a fork makes several records; workers stop recording, and working, when their share is full.
    capacity = count * race.ops * 2
    raw, _memory = folios.shared(capacity * RECORD.itemsize)
    clock, _clock_memory = folios.shared(64)
    spec = core.ffi.new(
        "struct rmap_stress *",
        {
            "scheme": race.variant.number,
            "workers": race.workers,
            "readers": race.readers,
            "processes": int(race.processes),
            "mms_each": race.mms_each,
            "folios": race.folios,
            "order": race.order,
            "ops": race.ops,
            "seed": race.seed,
            "deadline": race.deadline,
            "jitter": NO_JITTER if race.jitter is None else (1 << race.jitter) - 1,
        },
    )
    ticks = core.ffi.cast("uint64_t *", clock)
    ticks[0] = 1
    records = core.ffi.cast("struct rmap_record *", raw)
    each = core.lib.rmap_stress_run(spec, folios.folios, folios.mms, records, capacity, ticks)
    if each == core.lib.RMAP_STRESS_FAILED:
        raise RmaplabError(f"{race.variant.name}: race: a worker could not be started, or died")
    table = np.frombuffer(core.ffi.buffer(raw), RECORD)
    done = table[table["ret"] > 0]
    return History(race, np.sort(done, order="call"), folios, each == core.lib.RMAP_STRESS_HANGS)
