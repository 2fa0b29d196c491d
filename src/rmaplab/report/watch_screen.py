"""The live screen of `rmaplab watch`: processes, sorted, in as many columns as there are; keys sort, pause and end it.

For a terminal. Names are somebody else's: nothing in them is markup or steers the terminal.
"""

import os
import select
import sys
import termios
import tty
from typing import Any, Final, Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from rmaplab.report.console import stdout
from rmaplab.report.watch import as_known, size
from rmaplab.text import for_terminal

Answer = dict[str, Any]
SORTS: Final = ("bytes", "copied", "needless", "reused", "pid", "name")
_COLUMNS: Final = ("pid", "process", "faults", "reused", "copied", "needless", "bytes", "ms")


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
        if not self.paused:
            self._live.update(picture(found, processes, SORTS[self._sort], self._console.height), refresh=True)


def picture(found: Answer, processes: list[Answer], sort: str, height: int) -> Table:
    """The table; its last line says what is not in it."""
    rows = sorted(processes, key=lambda row: row[sort], reverse=sort not in ("pid", "name"))
    shown = rows[: max(1, height - 6)]
    exact = "exact" if not found["lost"] and not found["blind_seconds"] else f"at least; lost {found['lost']}"
    if found["blind_seconds"]:
        exact += f", nothing seen for {found['blind_seconds']:.0f} s"
    table = Table(
        title=Text(
            f"{found['seconds']:.0f} s: {found['copied']} copied, {found['reused']} reused, "
            f"{found['needless']} needless; {exact}"
        ),
        caption=Text(f"by {sort}; {len(shown)} of {len(rows)} processes; keys: s sort, p pause, q end"),
        expand=True,
        box=None,
        pad_edge=False,
    )
    for name in _COLUMNS:
        table.add_column(
            name,
            justify="left" if name == "process" else "right",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if name == "process" else None,
        )
    for row in shown:
        shown_name = Text(for_terminal(row["name"]), style="dim" if row["ended_at"] is not None else "")
        counts = (row["faults"], row["reused"], row["copied"], row["needless"], size(row["bytes"]))
        table.add_row(str(row["pid"]), shown_name, *as_known(row, (*counts, f"{1000 * row['copy_seconds']:.1f}")))
    return table
