"""A trace larger than memory, judged part by part: is memory flat, is time linear, and what do workers bring?

    python benchmarks/replay.py --events 1e9 [--part-events 4e6] [--workers 1,2] [--only-workers] [--scheme NAME ...]
        [--json]

Every part is generated where it is judged (`make_trace`, a seed of its own) and forgotten. One line for each tenth: CPU
seconds of judging alone and with generating, events/s of judging, and the peak of resident memory in that tenth. Then,
for every number of workers, wall seconds for all parts by Dask's local workers, also by tenths, with the peaks of the
largest worker and of this process, which adds up; the judgements must be equal.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from replay import make_trace
from rmaplab.campaigns import Here, carry_out
from rmaplab.cluster.engine import connected
from rmaplab.judge import Happened, Judged, judge
from rmaplab.judge.campaign import JudgedUnits
from rmaplab.judge.storage import judged_of
from rmaplab.schemes import select
from rmaplab.trace import Meta

META = Meta("benchmark")


@dataclass(frozen=True)
class Generated:
    """A campaign over a trace that nobody stored: a unit makes a part and judges it."""

    units: int
    events: int
    schemes: tuple[str, ...]

    command = "generated"
    seconds = None

    def parameters(self) -> dict[str, Any]:
        return {"events": self.events, "schemes": self.schemes}

    def nothing(self) -> JudgedUnits:
        return JudgedUnits(Judged.nothing(META))

    def run(self, unit: int) -> JudgedUnits:
        trace = make_trace(self.events, self.events // 10, self.events // 10, seed=unit)
        _Clock.judging -= time.process_time()
        judged = Judged(Happened.of(trace), judge(trace, select(self.schemes)))
        _Clock.judging += time.process_time()
        return JudgedUnits(judged)

    def read(self, value: Any) -> JudgedUnits:
        return JudgedUnits(judged_of(value, META))


class _Clock:
    """CPU seconds of judging, of this process."""

    judging = 0.0


def by_parts(
    events: int, part_events: int, workers: Sequence[int], schemes: Sequence[str], as_json: bool, alone: bool
) -> None:
    """Run and print: `alone` in this process, a line for each tenth, then with each number of workers."""
    campaign = Generated(-(-events // part_events), part_events, tuple(schemes))
    print(f"{campaign.units} parts of {part_events:,} events, {', '.join(schemes)}", file=sys.stderr)
    tenths = _alone(campaign) if alone else []
    sums, walls, by_workers = [], {}, {}
    for count in workers:
        began = time.monotonic()
        os.environ["PYTHONPATH"] = str(Path(__file__).parent)
        with connected(f"local:{count}") if count else nullcontext(Here()) as engine:
            watched = _Tenths(campaign)
            ready = time.monotonic()
            sums.append(carry_out(campaign, engine=engine, each=watched.tell))
            walls[count] = time.monotonic() - ready
        by_workers[count] = watched.rows
        print(f"{count} workers: {walls[count]:.1f} s, started in {ready - began:.1f} s", file=sys.stderr)
    if any(one != sums[0] for one in sums):
        sys.exit("the judgements differ")
    about = {"events": campaign.units * part_events, "cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    if as_json:
        print(json.dumps({**about, "tenths": tenths, "workers": walls, "tenths_by_workers": by_workers}))
        return
    print(f"{about['events']:,} events, {about['cpus']} CPUs, load {about['load']:.1f}; schemes {', '.join(schemes)}")
    if tenths:
        print(f"{'events so far':>16} {'judging, CPU s':>15} {'all, CPU s':>11} {'events/s judged':>16} {'peak MiB':>9}")
    for row in tenths:
        rate = row["events"] / row["judging"]
        print(f"{row['so_far']:>16,} {row['judging']:>15.2f} {row['all']:>11.2f} {rate:>16,.0f} {row['peak'] >> 20:>9}")
    for count, rows in by_workers.items():
        print(f"{'events so far':>16} {'wall s':>8} {'a worker MiB':>13} {'this process MiB':>17}   ({count} workers)")
        for row in rows:
            print(f"{row['so_far']:>16,} {row['wall']:>8.1f} {row['worker'] >> 20:>13} {row['this'] >> 20:>17}")
    for count, wall in walls.items():
        print(f"{count} workers: {wall:.1f} s, {walls[workers[0]] / wall:.2f} times as fast as {workers[0]}")


def _alone(campaign: Generated) -> list[dict[str, Any]]:
    """All parts in this process, a row for each tenth."""
    rows: list[dict[str, Any]] = []
    total, done = campaign.nothing(), 0
    for tenth in range(10):
        last = campaign.units * (tenth + 1) // 10
        if last == done:
            continue
        _forget_peak("self")
        began, judging = time.process_time(), _Clock.judging
        for unit in range(done, last):
            total = total.merge(campaign.run(unit))
        peak = _peak("self")
        spent = {"judging": _Clock.judging - judging, "all": time.process_time() - began}
        events = (last - done) * campaign.events
        rows.append({"so_far": last * campaign.events, "events": events, **spent, "peak": peak})
        done = last
        print(f"{rows[-1]['so_far']:,} events", file=sys.stderr)
    return rows


def _peak(process: int | str) -> int:
    """Bytes of resident memory at its peak; 0 of a process that is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


def _forget_peak(process: int | str) -> None:
    with suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5")


class _Tenths:
    """What workers took: at each tenth of the parts its wall seconds and the peaks of memory in it, of the largest worker
    and of this process."""

    def __init__(self, campaign: Generated) -> None:
        self.rows: list[dict[str, Any]] = []
        self._campaign, self._done, self._began = campaign, 0, time.monotonic()
        self._forget()

    def tell(self, _unit: int, _one: JudgedUnits, _so_far: JudgedUnits) -> None:
        """A part is judged."""
        self._done += 1
        units = self._campaign.units
        if self._done * 10 // units == (self._done - 1) * 10 // units:
            return
        now = time.monotonic()
        peaks = {"worker": max(map(_peak, _workers()), default=0), "this": _peak("self")}
        self.rows.append({"so_far": self._done * self._campaign.events, "wall": now - self._began, **peaks})
        self._forget()
        self._began = now

    def _forget(self) -> None:
        for process in (*_workers(), "self"):
            _forget_peak(process)


def _workers() -> list[int]:
    return [one.pid for one in psutil.Process().children(recursive=True)]
