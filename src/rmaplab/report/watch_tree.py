"""The processes of a watch as a tree: who forked whom, when, who executed and ended.

For `report.watch`. Many children of one name are one row, so that a pool of a thousand workers fits a screen.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

Answer = dict[str, Any]
MOST_ALIKE: Final = 8
"""Children of one name that have a row each; more are summed up."""
_SUMS: Final = (
    "faults",
    "reused",
    "copied",
    "needless",
    "needless_at_most",
    "bytes",
    "copy_seconds",
    "execs",
    "blind_seconds",
)


def tree(processes: Sequence[Answer]) -> Iterator[tuple[str, Answer]]:
    """Each process below its parent: the branch that leads to it, and its row.

    A parent is who forked it while watched; PIDs come again, numbers do not, so the last of that PID before is meant.
    """
    children: dict[int | None, list[Answer]] = {}
    numbers: dict[int, int] = {}
    for one in sorted(processes, key=lambda row: row["number"]):
        children.setdefault(numbers.get(one["parent"]), []).append(one)
        numbers[one["pid"]] = one["number"]
    yield from _below(children, None, "")


def _below(children: dict[int | None, list[Answer]], number: int | None, indent: str) -> Iterator[tuple[str, Answer]]:
    rows = list(_folded(children.get(number, []), children))
    for place, row in enumerate(rows):
        last = place == len(rows) - 1
        branch = "" if number is None else "`-" if last else "|-"
        yield indent + branch, row
        if row["number"] is not None:
            yield from _below(children, row["number"], indent + ("" if number is None else "  " if last else "| "))


def _folded(rows: Sequence[Answer], children: dict[int | None, list[Answer]]) -> Iterator[Answer]:
    """The rows, but of many childless ones of one name only the first; a row that stands for the others follows."""
    alike: dict[str, list[Answer]] = {}
    for row in rows:
        if row["number"] in children:
            yield row
        else:
            alike.setdefault(row["name"], []).append(row)
    for name, group in alike.items():
        yield from group if len(group) <= MOST_ALIKE else group[: MOST_ALIKE - 1]
        if len(group) > MOST_ALIKE:
            yield _sum(name, group[MOST_ALIKE - 1 :])


def _sum(name: str, rows: Sequence[Answer]) -> Answer:
    ends = [row["ended_at"] for row in rows]
    return {
        "number": None,
        "pid": None,
        "name": f"{len(rows)} more {name}",
        "forked_at": min((row["forked_at"] for row in rows if row["forked_at"] is not None), default=None),
        "ended_at": None if None in ends else max(ends),
        **{key: sum(row[key] for row in rows) for key in _SUMS},
    }
