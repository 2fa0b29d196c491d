"""rmaplab inspect against its peers on the same processes: thpmaps, page-types, smem.

For docs/inspect.md. Builds 20 processes with 4 GiB resident, in four variants, and runs every tool in turn, some rounds;
a figure is the median. Fetches nothing: smem and Debian's linux-source package are used where they are installed, and
page-types and thpmaps then come from its tools/mm, compiled on the spot; what is missing is named and left out.

    python benchmarks/inspector.py [--rounds 3] [--gib 4] [--json]

Needs root. Memory: `--gib` of it for the variant that shares nothing.
"""

import argparse
import json
import mmap
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PROCESSES = 20
FAMILY = 5
"""Processes that share their memory by fork, in the variants that share: 4 families of 5."""
VARIANTS = {
    "2 MiB, PMD-mapped, shared by 5": (9, False, True),
    "2 MiB, PTE-mapped, shared by 5": (9, True, True),
    "4 KiB, shared by 5": (0, False, True),
    "4 KiB, private": (0, False, False),
}
LINUX_SOURCE = sorted(Path("/usr/src").glob("linux-source-*.tar.*"))
HUGE = 2 << 20
PAGE = mmap.PAGESIZE
OURS = "rmaplab inspect"


class Run(NamedTuple):
    """One run of a tool: wall seconds, CPU seconds, largest peak of resident bytes."""

    seconds: float
    cpu: float
    peak: int


def member(pages: int, order: int, by_pte: bool, share: bool, up: int) -> None:
    """A family's parent: maps memory, forks children (who touch their own if nothing is shared), waits for the end."""
    pids = []
    held = None if not share else populate(pages, order, by_pte)
    for _ in range(FAMILY - 1):
        pid = os.fork()
        if pid == 0:
            keep = held or populate(pages, order, by_pte)
            os.write(up, b"x")
            signal.pause()
            del keep
        pids.append(pid)
    keep = held or populate(pages, order, by_pte)
    os.write(up, b"x")
    signal.pause()
    del keep


def populate(pages: int, order: int, by_pte: bool) -> mmap.mmap:
    """Private anonymous memory, every page written."""
    memory = mmap.mmap(-1, pages * PAGE + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE if order else mmap.MADV_NOHUGEPAGE)
    for at in range(0, pages * PAGE, PAGE):
        memory[at] = 1
    if by_pte:
        for at in range(0, pages * PAGE, HUGE):
            memory.madvise(mmap.MADV_DONTNEED, at + HUGE - PAGE, PAGE)
            memory[at + HUGE - PAGE] = 1
    return memory


@contextmanager
def crowd(pages: int, order: int, by_pte: bool, share: bool) -> Iterator[list[int]]:
    """The 20 processes, `pages` each, all populated; killed at the end."""
    ready, up = os.pipe()
    leaders = []
    for _ in range(PROCESSES // FAMILY):
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            member(pages, order, by_pte, share, up)
        leaders.append(pid)
    seen = 0
    try:
        while seen < PROCESSES:
            seen += len(os.read(ready, PROCESSES))
        yield [p for leader in leaders for p in group_of(leader)]
    finally:
        for leader in leaders:
            os.killpg(leader, signal.SIGKILL)
            os.waitpid(leader, 0)
        os.close(ready)
        os.close(up)


def group_of(leader: int) -> list[int]:
    """All processes of a process group."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if _pgid(pid) == leader]


def _pgid(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


@contextmanager
def peers() -> Iterator[dict[str, Callable[[list[int]], list[list[str]]]]]:
    """Name of each tool that is here, and the commands it takes for some PIDs."""
    with tempfile.TemporaryDirectory(prefix="rmaplab-bench-") as folder:
        tools = build_tools(Path(folder))
        rmaplab = [sys.executable, "-c", "from rmaplab.cli.app import main; main()"]
        start = "from rmaplab.cli.build import build; build('inspect')"
        found: dict[str, Callable[[list[int]], list[list[str]]]] = {
            OURS: lambda pids: [[*rmaplab, "inspect", *map(str, pids)]],
            "rmaplab inspect --json": lambda pids: [[*rmaplab, "inspect", "--json", *map(str, pids)]],
            "(start only)": lambda _: [[sys.executable, "-c", start]],
        }
        if thpmaps := tools.get("thpmaps"):
            words = [sys.executable, thpmaps, "--rollup"]
            found["thpmaps"] = lambda pids: [[*words, *(w for pid in pids for w in ("--pid", str(pid)))]]
        if page_types := tools.get("page-types"):
            found["page-types -N -l -M -p, each"] = lambda pids: [
                [page_types, "-N", "-l", "-M", "-p", str(pid)] for pid in pids
            ]
            found["page-types -N -l -M, all memory"] = lambda _: [[page_types, "-N", "-l", "-M"]]
        if smem := shutil.which("smem"):
            found["smem"] = lambda _: [[smem, "-H"]]
        else:
            print("smem: not installed (Debian: smem), left out", file=sys.stderr)
        yield found


def build_tools(folder: Path) -> dict[str, str]:
    """page-types and thpmaps out of the newest linux-source package."""
    if not LINUX_SOURCE or not shutil.which("make"):
        print("page-types, thpmaps: no linux-source package or no make here, left out", file=sys.stderr)
        return {}
    wanted = ("tools/mm", "tools/lib", "tools/include", "tools/scripts", "tools/build", "include/uapi")
    patterns = [f"*/{name}/*" for name in wanted]
    subprocess.run(["tar", "xf", str(LINUX_SOURCE[-1]), "-C", str(folder), "--wildcards", *patterns], check=True)
    here = next(folder.glob("*/tools/mm"))
    made = subprocess.run(["make", "-C", str(here), "page-types"], capture_output=True, text=True, check=False)
    tools = {"thpmaps": str(here / "thpmaps")}
    if made.returncode == 0:
        tools["page-types"] = str(here / "page-types")
    else:
        print(f"page-types: does not build: {made.stderr.splitlines()[-1]}", file=sys.stderr)
    return tools


def measure(commands: list[list[str]]) -> Run:
    """Run the commands one after the other."""
    began, peak, cpu = time.perf_counter(), 0, 0.0
    for words in commands:
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, status, usage = os.wait4(child.pid, 0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{' '.join(words[:3])}: exit code {os.waitstatus_to_exitcode(status)}")
        peak, cpu = max(peak, usage.ru_maxrss * 1024), cpu + usage.ru_utime + usage.ru_stime
    return Run(time.perf_counter() - began, cpu, peak)


def race(rounds: int, pages: int) -> list[dict[str, float | str]]:
    """All variants, every tool in turn in each round."""
    results: list[dict[str, float | str]] = []
    with peers() as tools:
        for variant, (order, by_pte, share) in VARIANTS.items():
            with crowd(pages, order, by_pte, share) as pids:
                idle = min(measure(tools[OURS]([os.getpid()])).peak for _ in range(2))
                runs: dict[str, list[Run]] = {name: [] for name in tools}
                for number in range(rounds):
                    for name, commands in tools.items():
                        runs[name].append(measure(commands(pids)))
                        print(f"{variant}, round {number + 1}: {name} {runs[name][-1].seconds:.2f} s", file=sys.stderr)
                for name, found in runs.items():
                    peak = max(run.peak for run in found)
                    results.append(
                        {
                            "variant": variant,
                            "tool": name,
                            "seconds": statistics.median(run.seconds for run in found),
                            "cpu": statistics.median(run.cpu for run in found),
                            "peak": peak,
                            "bytes_per_page": (peak - idle) / (pages * PROCESSES),
                        }
                    )
    return results


def show(results: list[dict[str, float | str]]) -> None:
    """A Markdown table: seconds, and ours as a part of each peer's."""
    print("| variant | tool | wall s | ours / theirs | CPU s | ours / theirs | peak MiB | B per present page |")
    print("|---|---|---|---|---|---|---|---|")
    for row in results:
        ours = next(r for r in results if r["variant"] == row["variant"] and r["tool"] == OURS)
        wall, cpu = (float(ours[key]) / float(row[key]) for key in ("seconds", "cpu"))
        extra = f"{row['bytes_per_page']:.1f}" if row["tool"] == OURS else ""
        print(
            f"| {row['variant']} | {row['tool']} | {row['seconds']:.2f} | {wall:.2f} | {row['cpu']:.2f} | {cpu:.2f}"
            f" | {int(row['peak']) >> 20} | {extra} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gib", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    if os.geteuid():
        raise SystemExit("needs root: without it no tool sees page frames")
    pages = int(words.gib * (1 << 30)) // PROCESSES // HUGE * (HUGE // PAGE)
    results = race(words.rounds, pages)
    about = f"{platform.release()}, {os.cpu_count()} CPUs, {PROCESSES} processes, {pages * PROCESSES} pages resident"
    if words.json:
        print(json.dumps({"about": about, "results": results}, indent=2))
    else:
        print(about + "\n")
        show(results)


if __name__ == "__main__":
    main()
