"""How long a process is held up by being looked at: rmaplab inspect beside reading its smaps and smaps_rollup.

For docs/inspect.md. A process with a sparse mapping of 16 GiB (one page in 256 KiB is there) maps, faults and unmaps
64 KiB all the time, which takes its mmap_lock for writing, and keeps the longest that took; each look is done in turn
within one run, some rounds. Both are SCHED_FIFO, so that what else the machine does holds up neither, as long as it has
two CPUs; an operation counts as held up by the look only where the process slept in it (a voluntary context switch).

    python benchmarks/stall.py [--rounds 5] [--gib 16] [--json]

Needs root.
"""

import argparse
import json
import mmap
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmaplab.inspect.processes import Notes
from rmaplab.inspect.scan import scan
from rmaplab.machine.live.proc import procfs

APART = 256 << 10
NORESERVE = 0x4000
"""MAP_NORESERVE of x86 and arm64, which mmap does not name."""
ROOM = 64 << 10
REST = 0.001
"""Between some operations: a CPU that runs SCHED_FIFO only is taken away for 50 ms a second, for whoever else waits (the
fair server, Linux 6.8), and so would be the lock of a look that is on it."""


def worker(gib: int, commands: int, answers: int) -> None:
    """Populates its memory, then for each byte of `commands` works until the next one and tells the longest delay."""
    held = mmap.mmap(-1, gib << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, gib << 30, APART):
        held[at] = 1
    os.set_blocking(commands, False)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.write(answers, b"{}\n")
    while True:
        signal.sigwait([signal.SIGUSR1])
        os.write(answers, (json.dumps(work(commands)) + "\n").encode())


def work(commands: int) -> dict[str, float]:
    """Operations until a byte comes: the longest of all, and of those in which it slept; seconds."""
    longest = slept = 0.0
    count = 0
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    while True:
        began = time.perf_counter()
        room = mmap.mmap(-1, ROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        room[0] = room[ROOM - 1] = 1
        room.close()
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        longest = max(longest, took)
        if after != before:
            slept, before = max(slept, took), after
        count += 1
        if count % 16 == 0:
            if stop(commands):
                return {"longest": longest, "slept": slept, "operations": count}
            time.sleep(REST)
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def stop(commands: int) -> bool:
    try:
        return bool(os.read(commands, 1))
    except BlockingIOError:
        return False


@contextmanager
def target(gib: int) -> Iterator[tuple[int, Callable[[Callable[[int], object]], dict[str, float]]]]:
    """The process, and how to have it work while something looks at it."""
    (command, tell), (hear, answer) = os.pipe(), os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    pid = os.fork()
    if pid == 0:
        try:
            worker(gib, command, answer)
        finally:
            os._exit(1)
    os.close(answer)
    lines = os.fdopen(hear)
    lines.readline()

    def during(look: Callable[[int], object]) -> dict[str, float]:
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.05)
        began = time.perf_counter()
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        try:
            look(pid)
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        took = time.perf_counter() - began
        os.write(tell, b"x")
        found: dict[str, float] = json.loads(lines.readline())
        return found | {"look": took}

    try:
        yield pid, during
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def read(name: str) -> Callable[[int], object]:
    return lambda pid: Path(f"/proc/{pid}/{name}").read_bytes()


def inspect(*options: str) -> Callable[[int], object]:
    words = [sys.executable, "-c", "from rmaplab.cli.app import main; main()", "inspect", *options]
    return lambda pid: subprocess.run(
        [*words, str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


LOOKS: dict[str, Callable[[int], object]] = {
    "nobody looks": lambda _: time.sleep(0.5),
    "smaps": read("smaps"),
    "smaps_rollup": read("smaps_rollup"),
    "rmaplab's scan alone": lambda pid: scan(pid, procfs.regions(pid), 0, 0, Notes()),
    "rmaplab inspect": inspect(),
    "rmaplab inspect, no column of smaps": inspect("--columns", "pid,name,resident,exclusive,uss,pss"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    wish = parser.parse_args()
    if os.geteuid():
        raise SystemExit("needs root: without it no page frame is seen")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in LOOKS}
    with target(wish.gib) as (_, during):
        for _ in range(wish.rounds):
            for name, look in LOOKS.items():
                runs[name].append(during(look))
    if wish.json:
        print(json.dumps({"kernel": platform.release(), "cpus": os.cpu_count(), "runs": runs}))
        return
    print(f"{platform.release()}, {os.cpu_count()} CPUs, {wish.gib} GiB sparse, {wish.rounds} rounds; milliseconds\n")
    print("| look | it takes | longest operation that slept: median | min to max | longest of all: median |")
    print("|---|---|---|---|---|")
    for name, found in runs.items():
        look, slept, longest = ([run[key] * 1e3 for run in found] for key in ("look", "slept", "longest"))
        middle = f"{statistics.median(slept):.2f} | {min(slept):.2f} to {max(slept):.2f}"
        print(f"| {name} | {statistics.median(look):.1f} | {middle} | {statistics.median(longest):.2f} |")


if __name__ == "__main__":
    main()
