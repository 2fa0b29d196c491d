"""What can be said without page frame numbers: the kernel's own counters, and bounds of the truth.

For `rmaplab inspect` without root. Only processes whose smaps we may read.
"""

import re
from collections.abc import Iterable

from rmaplab.inspect import kernel, scan
from rmaplab.inspect.processes import Notes, command_line, process, processes
from rmaplab.inspect.sums import Row
from rmaplab.machine.live.proc import procfs


def rows(pids: Iterable[int] | None, notes: Notes, name: str | None = None) -> list[Row]:
    """smaps of the processes (None: of all), largest first, and what PAGEMAP_SCAN says of them: bytes of `zero` pages,
    which smaps does not count, and `pmd_mapped`, None where it is not told. Notes say whose smaps could not be read.
    `name`: only of those whose name or command it matches."""
    found = processes() if pids is None else [p for pid in pids if (p := process(pid))]
    if name is not None:
        found = [p for p in found if re.search(name, p.name) or re.search(name, command_line(p.tid))]
    made: list[Row] = []
    for one in found:
        counters = kernel.rollup(one.tid)
        if counters is None:
            notes.add("a process whose smaps may not be read: left out")
            continue
        sizes = {f"kernel_{name}": value for name, value in counters.items()}
        zero, huge = scan.kinds(one.tid) or (None, None)
        row: Row = {"pid": one.pid, "name": one.name, "resident": counters["rss"], "zero": zero, "pmd_mapped": huge}
        made.append(row | sizes | bounds(counters))
    return sorted(made, key=lambda row: -int(row["kernel_rss"]))


def bounds(counters: kernel.Counters) -> Row:
    """Between what USS lies (pages that no other MM maps, each once), bytes. A page that smaps calls private is mapped
    once: by this process. One that it calls shared is mapped twice or more, and all that may be by this process."""
    pages = counters["shared"] // procfs.PAGE_SIZE
    return {"uss_at_least": counters["uss"], "uss_at_most": counters["uss"] + pages // 2 * procfs.PAGE_SIZE}
