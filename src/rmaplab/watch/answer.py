"""What a watch says: the sum, its processes and its stacks, each number with how exact it is.

For `rmaplab.cli.watch` and whatever writes the answer elsewhere. JSON values; docs/watch.md explains every key.
"""

import time
from typing import Any, Final

from rmaplab.watch.budget import Budget
from rmaplab.watch.ledger import AGES, Counts, Process, Stack
from rmaplab.watch.records import BYTES, COPY_NS, OUTCOMES, REUSE_NS, SKIPPED, Outcome
from rmaplab.watch.symbols import Symbols
from rmaplab.watch.watcher import Watch

COPIES: Final = (Outcome.NEEDED, Outcome.NEEDLESS, Outcome.UNPROVEN, Outcome.FROM_FILE, Outcome.FROM_ZERO)
_NS: Final = 1e-9

Answer = dict[str, Any]


def counted(counts: Counts) -> Answer:
    """Counters by outcome (the first OUTCOMES words) as an answer has them, and bytes."""
    copied = sum(int(counts[one]) for one in COPIES)
    needless, unproven = int(counts[Outcome.NEEDLESS]), int(counts[Outcome.UNPROVEN])
    return {
        "copied": copied,
        "reused": int(counts[Outcome.REUSED]),
        "needless": needless,
        "needless_at_most": needless + unproven,
        "bytes": int(counts[OUTCOMES]),
    }


def totals(counts: Counts) -> Answer:
    """The same of a process' totals, with times, sources, and faults that were not looked at."""
    found = counted(counts)
    skipped = int(counts[SKIPPED])
    return {
        "faults": found["copied"] + found["reused"] + skipped,
        **found,
        "bytes": int(counts[BYTES]),
        "from_file": int(counts[Outcome.FROM_FILE]),
        "from_zero": int(counts[Outcome.FROM_ZERO]),
        "skipped": skipped,
        "copy_seconds": round(int(counts[COPY_NS]) * _NS, 6),
        "reuse_seconds": round(int(counts[REUSE_NS]) * _NS, 6),
    }


def processes(watch: Watch) -> list[Answer]:
    """A row for each process, in the order they began."""
    kept = watch.ledger.processes
    rows = []
    for one in sorted(kept.values(), key=lambda process: process.number):
        parent = kept.get(one.parent)
        rows.append(_process(one, parent, int(watch.began * 1e9), watch.budget))
    return rows


def _process(one: Process, parent: Process | None, began: int, budget: Budget) -> Answer:
    end = one.ended * _NS if one.ended else time.monotonic()
    return {
        "pid": one.pid,
        "parent": parent.pid if parent else None,
        "name": one.name,
        "number": one.number,
        "forked_at": round((one.born - began) * _NS, 3) if one.born else None,
        "ended_at": round((one.ended - began) * _NS, 3) if one.ended else None,
        "execs": one.execs,
        "cgroup": one.cgroup,
        "blind_seconds": round(budget.blind_between((one.born or began) * _NS, end), 3),
        **totals(one.totals),
        "by_vma": [{"vma": label} | counted(counts) for label, counts in sorted(one.vmas.items())],
        "by_age": [
            {"seconds_below": bound} | counted(counts)
            for bound, counts in zip((*AGES, None), one.ages, strict=True)
            if counts.any()
        ],
    }


def cgroups(watch: Watch) -> list[Answer]:
    """A row for each cgroup, by path. Their sum is that of all processes."""
    ledger = watch.ledger
    members: dict[str, int] = {}
    for one in ledger.processes.values():
        members[one.cgroup] = members.get(one.cgroup, 0) + 1
    return [
        {"cgroup": path, "processes": members.get(path, 0)} | totals(counts)
        for path, counts in sorted(ledger.by_cgroup.items())
    ]


def stacks(watch: Watch, most: int) -> list[Answer]:
    """The stacks that copied most bytes, most first; frames innermost first."""
    return [_stack(one, watch.symbols) for one in _heaviest(watch, most)]


def stacks_of(watch: Watch, most: int) -> list[Answer]:
    """The same, each with the `numbers` of the processes in which it copied or reused."""
    return [_stack(one, watch.symbols) | {"numbers": sorted(one.processes)} for one in _heaviest(watch, most)]


def _heaviest(watch: Watch, most: int) -> list[Stack]:
    return sorted(watch.ledger.stacks.values(), key=_weight, reverse=True)[:most]


def _weight(stack: Stack) -> tuple[int, int]:
    return int(stack.counts[OUTCOMES]), int(stack.counts.sum())


def _stack(one: Stack, symbols: Symbols) -> Answer:
    return {
        "frames": [symbols.name(frame) for frame in one.frames],
        **counted(one.counts),
        "seconds": round(int(one.counts[OUTCOMES + 1]) * _NS, 6),
        "processes": len(one.processes),
    }


def line(watch: Watch) -> Answer:
    """What changed with time: the counters so far."""
    watch.settle()
    lost = watch.lost()
    found = totals(watch.ledger.total())
    alive = sum(1 for one in watch.ledger.processes.values() if not one.ended)
    return {
        "kind": "line",
        "seconds": round(time.monotonic() - watch.began, 3),
        **found,
        "lost": lost["faults"] + found["skipped"],
        "blind_seconds": round(watch.budget.blind, 3),
        "alive": alive,
    }


def summary(watch: Watch, most_stacks: int) -> Answer:
    """The sum: everything, and how exact it is."""
    lost = watch.lost()
    found = line(watch) | {"kind": "sum", "by_kernel": watch.ledger.by_kernel}
    why = _why(lost, found)
    label = "exact" if not why else "estimate"
    proven = "exact" if not why and found["needless"] == found["needless_at_most"] else "estimate"
    columns = dict.fromkeys(("faults", "copied", "reused", "bytes", "from_file", "from_zero"), label)
    columns |= {"needless": proven, "copy_seconds": "estimate", "reuse_seconds": "estimate"}
    detail = "exact" if not why and not lost["detail"] else "estimate"
    columns |= {"cgroups": "estimate", "by_vma": "estimate", "by_age": detail, "stacks": "estimate"}
    return found | {
        "exactness": label,
        "why": why,
        "columns": columns,
        "lost_by_kind": lost | {"skipped": found["skipped"]},
        "budget": watch.budget.share,
        "ended_early": watch.ledger.ended_early_count,
        "processes": processes(watch),
        "cgroups": cgroups(watch),
        "stacks": stacks(watch, most_stacks),
    }


def _why(lost: dict[str, int], found: Answer) -> list[str]:
    reasons = {
        "faults": "write faults were seen to begin, and there was no room for their end",
        "processes": "processes were forked, and there was no room to watch them",
        "records": "forks, execs or exits were not told: the ring was full",
    }
    made = [f"{lost[kind]} {text}" for kind, text in reasons.items() if lost[kind]]
    if found["blind_seconds"]:
        made.append(f"nothing was looked at for {found['blind_seconds']} s: the budget was spent")
    if found["skipped"]:
        made.append(f"{found['skipped']} write faults were counted, and not looked at: the budget was spent")
    return made
