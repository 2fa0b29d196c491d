"""What `rmaplab watch` costs a storm of forks and writes: one process, rounds with and without a watch in turn.

    python benchmarks/watch.py [--rounds N] [--parts]        (root)

Each round: a child is forked, writes to 2048 pages (copies), ends; the parent writes to them (reuses); twenty times. CPU
seconds of parent and children, so that other work on the machine counts little. "off": no watch. "watched": the usual
budget, its own process' CPU time beside it. "all": everything is looked at. What a budget has saved up (0.25 s of CPU)
is spent in rounds before, which are not counted; a budget looks in bursts, so "watched" is the mean of eight rounds in a
row, "off" of as many, half of them before and half after it. `--parts`: where the time goes, by what the programs do.
"""

import argparse
import mmap
import os
import platform
import resource
import statistics
import sys
import time

import numpy as np

from rmaplab.watch import records
from rmaplab.watch.budget import USUAL
from rmaplab.watch.watcher import Watch

PAGES, FORKS, SETTLING, REPEAT = 2048, 20, 3.0, 8


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def storm() -> None:
    """In a process of its own: a round a line read, its CPU seconds a line written."""
    memory = mmap.mmap(-1, PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    bytes_ = np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE]
    bytes_[:] = 1
    for _ in sys.stdin:
        began = cpu()
        for _ in range(FORKS):
            pid = os.fork()
            if not pid:
                bytes_[:] = 2
                os._exit(0)
            os.waitpid(pid, 0)
            bytes_[:] = 3
        print(cpu() - began, flush=True)


class Storm:
    def __init__(self) -> None:
        to, self._in = os.pipe()
        self._out, back = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.dup2(to, 0)
            os.dup2(back, 1)
            os.execv(sys.executable, [sys.executable, __file__, "--storm"])

    def round(self, watch: Watch | None) -> float:
        os.write(self._in, b"\n")
        said = b""
        os.set_blocking(self._out, watch is None)
        while not said.endswith(b"\n"):
            try:
                said += os.read(self._out, 64)
            except BlockingIOError:
                if watch:
                    watch.poll()
                    watch.wait(0.05)
        return float(said)


def watched(storm: Storm, share: float | None) -> tuple[float, float, int, float]:
    """CPU seconds of a round, of the watcher meanwhile, faults looked at, and seconds blind: each a round's mean."""
    with Watch(share) as watch:
        watch.add([storm.pid])
        settled = time.monotonic() + (SETTLING if share else 0)
        while time.monotonic() < settled:
            storm.round(watch)
        own, looks, blind = time.process_time(), watch.lost()["detail"] + watch.looks, watch.budget.blind
        times = REPEAT if share else 1
        took = sum(storm.round(watch) for _ in range(times)) / times
        own, looks = time.process_time() - own, watch.looks - looks
        return took, own / times, looks // times, (watch.budget.blind - blind) / times


def parts(one: Storm, rounds: int) -> None:
    """CPU beyond that of an unwatched fault: programs attached; each fault counted; each looked at."""
    took: dict[str, list[float]] = {"off": [], "attached": [], "counted": [], "looked at": []}
    for _ in range(rounds):
        took["off"].append(one.round(None))
        with Watch(None) as watch:
            took["attached"].append(one.round(watch))
            watch.add([one.pid])
            for name, tokens in (("counted", 0), ("looked at", 1 << 40)):
                watch._hooks.set_word(records.MASK, (1 << 31) - 1)
                watch._hooks.set_word(records.TOKENS, tokens)
                took[name].append(one.round(watch))
    fault = 1e6 / (2 * PAGES * FORKS)
    print(f"us of CPU a fault beyond {statistics.median(took['off']) * fault:.1f}, {rounds} rounds")
    for name, values in list(took.items())[1:]:
        more = [(value - base) * fault for value, base in zip(values, took["off"], strict=True)]
        print(f"{name}: {statistics.median(more):.1f} ({min(more):.1f} to {max(more):.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--storm", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--parts", action="store_true", help="where the time goes")
    given = parser.parse_args()
    if given.storm:
        storm()
        return
    one = Storm()
    one.round(None)
    if given.parts:
        parts(one, given.rounds)
        return
    took: dict[str, list[float]] = {"off": [], "watched": [], "all": []}
    own: dict[str, list[float]] = {"off": [0.0], "watched": [], "all": []}
    for _ in range(given.rounds):
        before = [one.round(None) for _ in range(REPEAT // 2)]
        for name, share in (("watched", USUAL), ("all", None)):
            seconds, used, looks, blind = watched(one, share)
            took[name].append(seconds)
            own[name].append(used)
            print(f"{name}: {looks} faults looked at of {2 * PAGES * FORKS}, blind {blind:.2f} s", file=sys.stderr)
        after = [one.round(None) for _ in range(REPEAT - REPEAT // 2)]
        took["off"].append(statistics.mean(before + after))
    print(f"{given.rounds} rounds, {platform.release()}, {os.cpu_count()} CPUs, budget {USUAL}")
    print("| | storm CPU s, median | min to max | / off, median (min to max) | watcher CPU s |")
    print("|---|---|---|---|---|")
    for name, values in took.items():
        ratios = [value / base for value, base in zip(values, took["off"], strict=True)]
        cost = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"| {name} | {statistics.median(values):.3f} | {spread} | {cost} | {statistics.median(own[name]):.3f} |")


if __name__ == "__main__":
    main()
