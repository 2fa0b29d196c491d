"""The kernel's own counters of a process or VMA, beside which the truth is put: smaps.

For the tables and the JSON. What the folio itself says stands in `folio_state`; how exact each source is on this kernel
in `probes`.
"""

from typing import Final

from rmaplab.machine.live import procfs

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
    lines = _lines(pid, "smaps_rollup")
    return None if lines is None else _sum(lines)


def per_vma(pid: int) -> dict[int, Counters] | None:
    """Bytes of NAMES per VMA, by its start address, from /proc/PID/smaps; None as above."""
    lines = _lines(pid, "smaps")
    if lines is None:
        return None
    found: dict[int, list[str]] = {}
    current: list[str] = []
    for line in lines:
        word = line.split(maxsplit=1)[0] if line else ""
        if word and not word.endswith(":"):
            current = found.setdefault(int(word.split("-")[0], 16), [])
        else:
            current.append(line)
    return {start: _sum(body) for start, body in found.items()}


def _lines(pid: int, name: str) -> list[str] | None:
    try:
        return (procfs.PROC / str(pid) / name).read_text(errors="replace").splitlines()
    except OSError:
        return None


def _sum(lines: list[str]) -> Counters:
    sums = dict.fromkeys(NAMES, 0)
    for line in lines:
        key, _, rest = line.partition(":")
        if key in FIELDS:
            sums[FIELDS[key]] += int(rest.split()[0]) * 1024
    return sums
