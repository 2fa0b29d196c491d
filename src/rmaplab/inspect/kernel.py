"""The kernel's own counters of a process or VMA, beside which the truth is put: smaps.

For the tables and the JSON. What the folio itself says stands in `folio_state`; how exact each source is on this kernel
in `probes`.
"""

from typing import Final

from rmaplab import proctext
from rmaplab.machine.live.proc import procfs
from rmaplab.system.reading import MOST, SMAPS, content

FIELDS: Final = {
    "Rss": "rss",
    "Pss": "pss",
    "Private_Clean": "uss",
    "Private_Dirty": "uss",
    "Shared_Clean": "shared",
    "Shared_Dirty": "shared",
    "Swap": "swap",
    "AnonHugePages": "pmd",
    "ShmemPmdMapped": "pmd",
    "FilePmdMapped": "pmd",
}
"""smaps' lines and the name each is summed under. uss is Private_Clean + Private_Dirty."""

NAMES: Final = ("rss", "uss", "pss", "shared", "pmd", "swap")

Counters = dict[str, int]


def rollup(pid: int) -> Counters | None:
    """Bytes of NAMES from /proc/PID/smaps_rollup; None if the process is gone or may not be read."""
    found = _smaps(pid, "smaps_rollup")
    return None if found is None else next(iter(found.values()), dict.fromkeys(NAMES, 0))


def per_vma(pid: int) -> dict[int, Counters] | None:
    """Bytes of NAMES per VMA, by its start address, from /proc/PID/smaps; None as above."""
    return _smaps(pid, "smaps")


def _smaps(pid: int, name: str) -> dict[int, Counters] | None:
    try:
        raw = content(procfs.PROC / str(pid) / name, SMAPS if name == "smaps" else MOST)
    except OSError:
        return None
    return {start: _sum(sizes) for start, sizes in proctext.smaps(raw)}


def _sum(sizes: dict[str, int]) -> Counters:
    sums = dict.fromkeys(NAMES, 0)
    for key, name in FIELDS.items():
        sums[name] += sizes.get(key, 0)
    return sums
