"""Does memory of a cgroup at its limit leave the same pages in memory twice? One program, run again and again.

    python benchmarks/cgroup_limit.py [--runs 10] [--orders 0 9]

As root, with a memory controller (cgroup v1 or v2) and zram. A process in a new cgroup of 6 MiB writes 8 MiB from the
first page to the last; the rest must go to the swap device of the live machine. Printed, for each order of folios: how
many different sets of pages were in swap, and how many pages. What differs between runs of one program cannot be held
against a model step by step (docs/model.md).
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.protocol import NotAvailable

ROOT: Final = Path("/sys/fs/cgroup")
LIMIT: Final = 6 << 20
SIZE: Final = 8 << 20
PLACES: Final = ((ROOT / "memory", "memory.limit_in_bytes"), (ROOT, "memory.max"))
"""Where a memory controller makes cgroups, and the name of the limit: v1, v2."""


@contextmanager
def cgroup() -> Iterator[Path]:
    """A cgroup with a limit; gone afterwards, its processes must be too. Raises NotAvailable."""
    for place, limit in PLACES:
        made = place / "rmaplab-limit"
        if place.is_dir():
            made.mkdir(exist_ok=True)
        if (made / limit).exists():
            break
    else:
        raise NotAvailable(f"no memory controller below {ROOT}")
    try:
        (made / limit).write_text(str(LIMIT))
        yield made
    finally:
        while (made / "cgroup.procs").read_text():
            time.sleep(0.01)
        made.rmdir()


def swapped(machine: LiveMachine, group: Path, order: int) -> tuple[int, ...]:
    """The pages in swap after one run."""
    process = machine.spawn()
    (group / "cgroup.procs").write_text(str(process.pid))
    address = process.mmap(SIZE, order=order)
    process.write(address, SIZE)
    seen = machine.observe()
    states = seen.filter(seen["mm"] == process.mm).sort("address")["state"].to_list()
    process.exit()
    return tuple(at for at, state in enumerate(states) if state == "swap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--orders", type=int, nargs="+", default=[0, 9])
    asked = parser.parse_args()
    with cgroup() as group, LiveMachine() as machine:
        machine.swap(64 << 20)
        for order in asked.orders:
            sets = [swapped(machine, group, order) for _ in range(asked.runs)]
            sizes = [len(each) for each in sets]
            told = f"{len(set(sets))} different sets in {asked.runs} runs, {min(sizes)} to {max(sizes)} pages in swap"
            print(f"order {order}: {told}")


if __name__ == "__main__":
    main()
