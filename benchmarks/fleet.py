"""How long a fleet's report takes, and in how much memory: 10,000 hosts x 7 days, made from real looks at this machine.

    python benchmarks/fleet.py [--hosts 10000] [--days 7] [--looks 3] [--keep DIR] [--json]

First some real looks are taken (`rmaplab fleet collect`'s own summaries; needs root). A simulated host has one of them,
its bytes multiplied by a factor of its own, on three kernels, with a third-process pattern planted on one program
of every tenth host; a host-day is a file of its own, as the command writes it. Then `answer` runs in a process of its
own, whose wall time, CPU time and peak of resident memory are printed; files are read from the page cache, as just
written.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rmaplab.fleet import answer, as_parquet, summarise
from rmaplab.inspect.look import look
from rmaplab.inspect.probes import probe
from rmaplab.inspect.snapshot import everybody

KERNELS = ("6.6.0", "6.12.0", "6.18.0")
DAY = 86400
BYTES = ("resident", "exclusive", "false_shared", "needless")


def real(looks: int) -> list[pl.DataFrame]:
    """Summaries of this machine, some seconds apart."""
    view = probe()
    made = []
    for turn in range(looks):
        made.append(summarise(look(everybody, view)))
        if turn + 1 < looks:
            time.sleep(2)
    view.close()
    return made


def simulate(real_ones: list[pl.DataFrame], place: Path, hosts: int, days: int, seed: int = 1) -> tuple[int, int]:
    """Write a file for every host and day; how many, and their bytes."""
    rng = np.random.default_rng(seed)
    first = 1_764_115_200
    files = size = 0
    for host in range(hosts):
        base = real_ones[int(rng.integers(len(real_ones)))]
        factor = float(rng.lognormal(0, 0.5))
        mine = base.with_columns(
            *((pl.col(name) * factor).cast(pl.Int64) for name in BYTES),
            kernel=pl.lit(KERNELS[host % len(KERNELS)]),
        )
        if host % 10 == 0:
            hit = (pl.col("kind") == "anon") & (pl.col("image") == base["image"].max())
            mine = mine.with_columns(needless=pl.when(hit).then(pl.col("exclusive")).otherwise("needless"))
        for day in range(days):
            taken = first + day * DAY + 43200
            folder = place / time.strftime("day=%Y-%m-%d", time.gmtime(taken)) / f"host=h{host:06d}"
            folder.mkdir(parents=True)
            content = as_parquet(mine.with_columns(taken=pl.lit(taken, pl.Int64)))
            (folder / "120000.parquet").write_bytes(content)
            files, size = files + 1, size + len(content)
        if host % 1000 == 0:
            print(f"{host} of {hosts} hosts written", file=sys.stderr)
    return files, size


def timed(place: str, out: Any) -> None:
    """Answer, in a process of its own."""
    began, cpu = time.monotonic(), time.process_time()
    found = answer(place)
    wall, spent = time.monotonic() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    fleet = found.fleet
    out.send({"wall_s": wall, "cpu_s": spent, "peak_bytes": peak, "hosts": fleet["hosts"], "looks": fleet["looks"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--looks", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    wish = parser.parse_args()
    place = wish.keep or Path(tempfile.mkdtemp(prefix="rmaplab-fleet-"))
    try:
        if not any(place.glob("day=*")):
            began = time.monotonic()
            files, size = simulate(real(wish.looks), place, wish.hosts, wish.days)
            written = time.monotonic() - began
            print(f"{files} files, {size / files:.0f} bytes each, written in {written:.0f} s", file=sys.stderr)
        context = get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=timed, args=(str(place), theirs))
        child.start()
        result = {**ours.recv(), "cpus": os.cpu_count(), "load": os.getloadavg()[0], "polars": pl.__version__}
        child.join()
    finally:
        if wish.keep is None:
            shutil.rmtree(place)
    if wish.json:
        print(json.dumps(result))
        return
    print(
        f"{result['hosts']} hosts, {result['looks']} looks: {result['wall_s']:.1f} s, {result['cpu_s']:.1f} CPU s, "
        f"peak {result['peak_bytes'] / (1 << 20):.0f} MiB; {result['cpus']} CPUs, load {result['load']:.1f}, "
        f"Polars {result['polars']}"
    )


if __name__ == "__main__":
    main()
