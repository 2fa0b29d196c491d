"""The sum of a watch as tables: processes as a tree, and the stacks that copied.

For `rmaplab watch`. Names and frames are somebody else's: nothing in them is markup or steers the terminal.
"""

from typing import Any

from rmaplab.report.console import say, show, table

Answer = dict[str, Any]
_UNITS = ("", "K", "M", "G", "T")


def size(value: float) -> str:
    """Bytes, short."""
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f}{unit}" if value >= 10 or value == int(value) else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}{_UNITS[-1]}"


def rows(processes: list[Answer]) -> list[list[object]]:
    """A process a row, children below their parents, indented."""
    children: dict[int | None, list[Answer]] = {}
    numbers = {one["pid"]: one["number"] for one in processes}
    for one in processes:
        children.setdefault(numbers.get(one["parent"]), []).append(one)
    found: list[list[object]] = []

    def add(parent: int | None, depth: int) -> None:
        for one in children.get(parent, []):
            name = "  " * min(depth, 8) + one["name"]
            needless = str(one["needless"])
            if one["needless_at_most"] > one["needless"]:
                needless += f"..{one['needless_at_most']}"
            counts = (
                one["faults"],
                one["reused"],
                one["copied"],
                needless,
                size(one["bytes"]),
                f"{one['copy_seconds']:.3f}",
            )
            found.append([f"{name} {one['pid']}", *counts])
            add(one["number"], depth + 1)

    add(None, 0)
    return found


def show_sum(found: Answer) -> None:
    """The whole answer on stdout."""
    show(
        table(
            f"copy-on-write faults in {found['seconds']:.1f} s",
            ["process", "faults", "reused", "copied", "needless", "bytes", "s"],
            rows(found["processes"]),
        )
    )
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
