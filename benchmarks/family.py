"""rmaplab inspect on a prefork server: one parent, 150 workers, each of which has written pages of its own.

For docs/inspect.md. Every step of a look is timed in turn within one process, some rounds; a figure is the median CPU
time, and what it is beside the scan. The same with a family of 15 that writes ten times as much shows what
depends on the number of workers, and what on the number of mappings; `--workers 75 150 300` how it grows.

    python benchmarks/family.py [--rounds 5] [--workers 150] [--mib 64] [--json]

Needs root.
"""

import argparse
import json
import mmap
import os
import platform
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rmaplab.inspect.disagree import disagreements, large_folios
from rmaplab.inspect.erosion import erosion, worker_rows
from rmaplab.inspect.family import common
from rmaplab.inspect.price import what_if_write
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.sharers import sharers
from rmaplab.inspect.snapshot import of_pids, take
from rmaplab.inspect.views import Scope, rows

PAGE = mmap.PAGESIZE


@contextmanager
def family(workers: int, pages: int, writes: int) -> Iterator[int]:
    """PID of a parent whose `workers` children have each written `writes` of `pages` shared pages; killed at the end."""
    ready, up = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.setpgid(0, 0)
        held = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held.madvise(mmap.MADV_NOHUGEPAGE)
        held[::PAGE] = b"\1" * pages
        for number in range(workers):
            if os.fork() == 0:
                for page in random.Random(number).sample(range(pages), writes):
                    held[page * PAGE] = 2
                os.write(up, b"x")
                signal.pause()
        signal.pause()
    seen = 0
    try:
        while seen < workers:
            seen += len(os.read(ready, workers))
        yield parent
    finally:
        os.killpg(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        os.close(ready)
        os.close(up)


def steps(view: KernelView, pid: int) -> dict[str, float]:
    """CPU seconds of each step of one look at the whole family, and how many mappings it found."""
    found: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        before = time.process_time()
        made = call()
        found[name] = time.process_time() - before
        return made

    group = os.getpgid(pid)
    snapshot = timed("scan, join, account", lambda: take(view, lambda mms: of_pids(mms, members(group))))
    large = timed("large folios", lambda: large_folios(snapshot, view))
    timed("disagreements", lambda: disagreements(snapshot, large, view))
    timed("rows of the table", lambda: rows(Scope(snapshot, large), "process", details=False))
    timed("sharers (JSON only)", lambda: sharers(snapshot))
    timed("price of the parent", lambda: what_if_write(snapshot, snapshot.mm_of_pid[pid], view))
    timed("family: what it shares", lambda: common(snapshot))
    timed("family: by worker", lambda: worker_rows(snapshot, erosion(snapshot, view)))
    timed("family: price of each", lambda: [what_if_write(snapshot, mm, view) for mm in snapshot.targets.tolist()])
    found["mappings"] = float(len(snapshot.sharing.joined.extent))
    return found


def members(group: int) -> list[int]:
    """The processes of a process group."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.getpgid(int(name)) == group:
                found.append(int(name))
        except ProcessLookupError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[150])
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    wish = parser.parse_args()
    pages, few = wish.mib << 8, max(1, wish.workers[0] // 10)
    sizes = {f"{few} workers": (few, pages * 10 // 64), **{f"{n} workers": (n, pages // 64) for n in wish.workers}}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in sizes}
    view = probe()
    for _ in range(wish.rounds):
        for name, (workers, writes) in sizes.items():
            with family(workers, pages, writes) as parent:
                results[name].append(steps(view, parent))
    view.close()
    if wish.json:
        print(json.dumps({"kernel": platform.release(), "cpus": os.cpu_count(), "runs": results}))
        return
    print(f"{platform.release()}, {os.cpu_count()} CPUs, {wish.mib} MiB shared, {wish.rounds} rounds\n")
    print("| family | step | CPU s, median | min to max | / scan | us per 1000 mappings |")
    print("|---|---|---|---|---|---|")
    for name, runs in results.items():
        scan = statistics.median(run["scan, join, account"] for run in runs)
        for step in [s for s in runs[0] if s != "mappings"]:
            took = [run[step] for run in runs]
            each = statistics.median(run[step] / run["mappings"] for run in runs) * 1e9
            middle = statistics.median(took)
            spread = f"{min(took):.3f} to {max(took):.3f}"
            print(f"| {name} | {step} | {middle:.3f} | {spread} | {middle / scan:.2f} | {each:.0f} |")


if __name__ == "__main__":
    main()
