"""How fast the engine replays a trace, and in how much memory: events/s, bytes/event, multiples of a sort.

    python benchmarks/replay.py [--events N] [--folios N] [--questions N] [--repeat R] [--scheme NAME ...]
    python benchmarks/replay.py --events 1e9 [--part-events 4e6] [--workers 1,2] [--only-workers] [--scheme NAME ...]

The yardstick is NumPy's stable sort of the folio column, timed in the same run: every repeat times the sort, the plan
and every scheme once, in turn, and the medians are printed. Times are CPU seconds (all of it runs on one CPU), so that a
machine shared with others disturbs them less. `x sort` counts the replay alone, `with plan` the plan too,
as if one scheme were asked once. Bytes are the peak of resident memory beyond the trace, plan included, in a run
of their own; they need a kernel that lets a process reset its peak (/proc/self/clear_refs).

The second form is for traces larger than memory: see replay_parts.py.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rmaplab.engine import Plan, replay
from rmaplab.schemes import select
from rmaplab.trace import Meta, Trace, TraceBuilder

MMS = 4096
MOST_AT_ONCE = 20_000_000


def make_trace(events: int, folios: int, questions: int, seed: int = 1) -> Trace:
    """Folios of orders 2, 4 and 9 that MMs map and, after some time, unmap again; all in random order.

    A step per event. The askers are MMs that map the folio at some time.
    """
    rng = np.random.default_rng(seed)
    builder = TraceBuilder()
    order = rng.choice([2, 4, 9], folios)
    builder.folios(order, "anon")
    half = events // 2
    folio = rng.integers(0, folios, half, dtype=np.uint32)
    mm = rng.integers(1, MMS, half, dtype=np.uint32)
    nr = rng.integers(1, 1 + (1 << order[folio]), dtype=np.int32)
    begin = rng.integers(0, events, half)
    when = np.concatenate([begin, begin + rng.integers(1, events // 3, half)])
    by_time = np.argsort(when, kind="stable")
    again = by_time % half
    signed = np.where(by_time < half, nr[again], -nr[again])
    builder.events(folio[again], mm[again], 0, signed, step=np.arange(2 * half))
    asked = rng.integers(0, half, questions)
    builder.questions(folio[asked], mm[asked], step=np.sort(rng.integers(0, 2 * half + 1, questions)))
    return builder.build(Meta("benchmark"))


def _number(text: str) -> int:
    """10000000, or 1e7."""
    return int(float(text))


def seconds(call: Callable[..., object], *arguments: object) -> float:
    begin = time.process_time()
    call(*arguments)
    return time.process_time() - begin


def _status(field: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def peak(call: Callable[..., object], *arguments: object) -> int | None:
    """Bytes of resident memory that `call` takes at its peak; None where the kernel does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        call(*arguments)
        return _status("VmHWM") - before
    except OSError as error:
        print(f"no peak memory: {error}", file=sys.stderr)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=_number, default=10_000_000)
    parser.add_argument("--folios", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scheme", action="append")
    parser.add_argument("--part-events", type=_number, help="by parts of so many events; from 2e7 events on of 4e6")
    parser.add_argument("--workers", default="1,2", help="by parts: numbers of Dask workers, by commas; may be empty")
    parser.add_argument("--only-workers", action="store_true", help="by parts: without the run in this process")
    parser.add_argument("--json", action="store_true", help="by parts: one JSON object")
    options = parser.parse_args()
    schemes = select(options.scheme)
    if options.part_events or options.events > MOST_AT_ONCE:
        from replay_parts import by_parts  # noqa: PLC0415  (it imports this module)

        names = options.scheme or ["mm-id", "moments-flag"]
        workers = [int(one) for one in options.workers.split(",") if one]
        if options.only_workers and not workers:
            parser.error("--only-workers: --workers must name a number")
        alone = not options.only_workers
        by_parts(options.events, options.part_events or 4_000_000, workers, names, options.json, alone)
        return

    print("making the trace", file=sys.stderr)
    trace = make_trace(options.events, options.folios, options.questions)
    column = trace.events["folio"].to_numpy()
    size = trace.events.estimated_size() / len(trace.events)
    events = len(trace.events)
    print(
        f"{events:,} events, {len(trace.folios):,} folios, {len(trace.questions):,} questions; NumPy {np.__version__}, "
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; event table {size:.0f} B an event"
    )

    sort: list[float] = []
    plan: list[float] = []
    times: dict[str, list[float]] = {scheme.name: [] for scheme in schemes}
    ready = Plan.of(trace)
    for turn in range(options.repeat):
        print(f"repeat {turn + 1} of {options.repeat}", file=sys.stderr)
        sort.append(seconds(lambda: np.sort(column, kind="stable")))
        plan.append(seconds(Plan.of, trace))
        for scheme in schemes:
            times[scheme.name].append(seconds(replay, ready, scheme))

    del ready
    unit, planning = statistics.median(sort), statistics.median(plan)
    print(f"stable sort of the folio column: {unit:.3f} s (fastest {min(sort):.3f}, slowest {max(sort):.3f})")
    print(f"plan: {planning:.3f} s, {planning / unit:.2f} x sort, {_per(peak(Plan.of, trace), events)} B/event")
    print(f"{'scheme':<18} {'s':>7} {'events/s':>12} {'x sort':>7} {'with plan':>10} {'B/event':>8}")
    for scheme in schemes:
        median = statistics.median(times[scheme.name])
        memory = _per(peak(replay, trace, scheme), events)
        relative = f"{median / unit:>7.2f} {(median + planning) / unit:>10.2f}"
        print(f"{scheme.name:<18} {median:>7.3f} {events / (median + planning):>12,.0f} {relative} {memory:>8}")


def _per(amount: int | None, events: int) -> str:
    return "unknown" if amount is None else f"{amount / events:.0f}"


if __name__ == "__main__":
    main()
