"""The sum of a watch as tables: processes as a tree, and the stacks that copied.

For `rmaplab watch`. Names and frames are somebody else's: nothing in them is markup or steers the terminal.
"""

from collections.abc import Sequence
from typing import Any, Final

from rmaplab.report.console import say, show, table
from rmaplab.report.sheet import Column, Sheet
from rmaplab.report.watch_tree import tree

Answer = dict[str, Any]
_UNITS = ("", "K", "M", "G", "T")


def size(value: float) -> str:
    """Bytes, short."""
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f}{unit}" if value >= 10 or value == int(value) else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}{_UNITS[-1]}"


_COLUMNS: Final = (
    Column("process", "name", left=True),
    Column("forked", rank=2),
    Column("ended", rank=2),
    Column("execs", rank=3),
    *(Column(name) for name in ("faults", "reused", "copied", "needless", "bytes")),
    Column("s", rank=1),
)


def rows(processes: list[Answer]) -> list[list[object]]:
    """A process a row, as a tree; when it was forked and ended: seconds since the watch began, "-": not, or before."""
    found: list[list[object]] = []
    for branch, one in tree(processes):
        name = branch + one["name"] + ("" if one["pid"] is None else f" {one['pid']}")
        needless = str(one["needless"])
        if one["needless_at_most"] > one["needless"]:
            needless += f"..{one['needless_at_most']}"
        times = ["-" if one[key] is None else f"{one[key]:.2f}" for key in ("forked_at", "ended_at")]
        counts = (one["faults"], one["reused"], one["copied"], needless, size(one["bytes"]), f"{one['copy_seconds']:.3f}")
        found.append([name, *times, one["execs"], *as_known(one, counts)])
    return found


def as_known(process: Answer, counts: Sequence[object]) -> list[str]:
    """Counts of a process as it is known: of one at which nobody looked for a part of its life so much or more ("12+"),
    and nothing ("?") if it shows none."""
    if not process["blind_seconds"]:
        return [str(count) for count in counts]
    return [f"{count}+" if process["faults"] else "?" for count in counts]


def show_sum(found: Answer) -> None:
    """The whole answer on stdout."""
    show(Sheet(f"copy-on-write faults in {found['seconds']:.1f} s", _COLUMNS, rows(found["processes"])))
    if len(found["cgroups"]) > 1:
        names = ("processes", "faults", "reused", "copied", "needless")
        lines = [[one["cgroup"], *(one[name] for name in names), size(one["bytes"])] for one in found["cgroups"]]
        show(table("by cgroup", ["cgroup", *names, "bytes"], lines))
    for stack in [one for one in found["stacks"] if one["copied"]][:10]:
        say(
            f"{stack['copied']} copied ({size(stack['bytes'])}), {stack['needless']} needless, "
            f"{stack['reused']} reused: {' < '.join(stack['frames'][:6]) or 'no stack'}"
        )
    say(
        f"{found['faults']} faults: {found['reused']} reused, {found['copied']} copied ({size(found['bytes'])}), of "
        f"these {found['needless']} for nothing; lost {found['lost']}; {found['exactness']}"
    )
    for reason in found["why"]:
        say(f"estimate: {reason}")


def show_bounds(found: Answer) -> None:
    """The answer of a watch that had only /proc."""
    rows = [
        [
            f"{one['name']} {one['pid']}",
            one["faults_at_most"],
            *(size(one.get(key) or 0) for key in ("private", "shared")),
        ]
        for one in found["processes"]
    ]
    show(table(f"estimate of {found['seconds']:.1f} s", ["process", "faults at most", "private", "shared"], rows))
    say(f"at most {found['faults_at_most']} faults, {size(found['bytes_at_most'])} copied: minor faults of all kinds")
