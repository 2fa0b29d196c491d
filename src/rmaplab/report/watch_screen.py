"""The live screen of `rmaplab watch`: processes, sorted, in as many columns as there are; keys sort, pause and end it.

For a terminal. Names are somebody else's: nothing in them is markup or steers the terminal.
"""

import os
import select
import sys
import termios
import tty
from typing import Any, Final, Self

from rich.console import ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from rmaplab.report.console import stdout, terminal_size
from rmaplab.report.sheet import LEAST, Column, Sheet, prose
from rmaplab.report.watch import as_known, size
from rmaplab.text import for_terminal

Answer = dict[str, Any]
SORTS: Final = ("bytes", "copied", "needless", "reused", "pid", "name")
_COLUMNS: Final = (
    Column("pid"),
    Column("process", "name", left=True, rank=1),
    *(Column(name, rank=2) for name in ("faults", "reused")),
    *(Column(name) for name in ("copied", "needless", "bytes")),
    Column("ms", rank=3),
)


class Screen:
    """A context manager. `paused`: the picture stays; counting goes on."""

    def __init__(self) -> None:
        self._sort, self.paused, self._before = 0, False, list[Any]()
        self._console = stdout()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(sys.stdin.fileno())
        tty.setcbreak(sys.stdin.fileno())
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def keys(self) -> bool:
        """Take what was typed: s sorts by the next column, p pauses, q ends (False)."""
        while select.select([sys.stdin], [], [], 0)[0]:
            typed = os.read(sys.stdin.fileno(), 64)
            if not typed or b"q" in typed:
                return False
            self._sort = (self._sort + typed.count(b"s")) % len(SORTS)
            self.paused ^= bool(typed.count(b"p") % 2)
        return True

    def show(self, found: Answer, processes: list[Answer]) -> None:
        """Draw the line and the rows of a watch, as many as fit."""
        if self.paused:
            return
        width, height = terminal_size()
        self._console.size = ConsoleDimensions(max(width, LEAST), height)
        drawn = picture(found, processes, SORTS[self._sort], self._console.size)
        self._live.update(drawn, refresh=True)


def picture(found: Answer, processes: list[Answer], sort: str, room: ConsoleDimensions) -> Group:
    """The sum, the table, and a last line that says what is not in it: as many rows as the lines leave room for, one at
    least."""
    rows = sorted(processes, key=lambda row: row[sort], reverse=sort not in ("pid", "name"))
    exact = "exact" if not found["lost"] and not found["blind_seconds"] else f"at least; lost {found['lost']}"
    if found["blind_seconds"]:
        exact += f", nothing seen for {found['blind_seconds']:.0f} s"
    counts = f"{found['copied']} copied, {found['reused']} reused, {found['needless']} needless"
    above = prose(Text(f"{found['seconds']:.0f} s: {counts}; {exact}", "italic"), room.width)
    shown = min(len(rows), room.height)
    while True:
        table = list(_table(rows[:shown]).lines(room.width))
        last = f"by {sort}; {shown} of {len(rows)} processes; keys: s sort, p pause, q end"
        below = prose(Text(last, "dim"), room.width)
        over = len(above) + len(table) + len(below) - room.height
        if over <= 0 or shown <= 1:
            return Group(*above, *table, *below)
        shown = max(1, shown - over)


def _table(rows: list[Answer]) -> Sheet:
    cells = []
    for row in rows:
        name = Text(for_terminal(row["name"]), "dim" if row["ended_at"] is not None else "")
        counts = (row["faults"], row["reused"], row["copied"], row["needless"], size(row["bytes"]))
        cells.append([str(row["pid"]), name, *as_known(row, (*counts, f"{1000 * row['copy_seconds']:.1f}"))])
    return Sheet("", _COLUMNS, cells, instead="a wider terminal has all")
