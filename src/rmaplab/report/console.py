"""Where output goes: data to stdout, progress and notes to stderr, JSON when asked.

For the command line. Tables are as wide as the terminal; piped, they are as wide as they need to be. Text is never
markup. What a stream's encoding lacks comes out as an escape (`rmaplab.cli.exits`).
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.text import Text

from rmaplab.report.sheet import LEAST, Column, Sheet
from rmaplab.text import for_terminal, plain

_UNLIMITED: Final = 1 << 16
_CHUNKS: Final = 1 << 14
"""Pieces of JSON that are written at once: each is a few characters."""
_USUAL: Final = (80, 25)


def terminal_size() -> tuple[int, int]:
    """Columns and lines for data: COLUMNS if that is a number above 0, else the terminal's; unlimited without one."""
    if not sys.stdout.isatty():
        return _UNLIMITED, _USUAL[1]
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        columns, lines = 0, 0
    wish = os.environ.get("COLUMNS", "")
    if wish.isascii() and wish.isdigit() and len(wish) < 10:
        columns = int(wish) or columns
    return min(columns, _UNLIMITED) or _USUAL[0], lines or _USUAL[1]


def stdout() -> Console:
    """The console for data."""
    width, height = terminal_size()
    return Console(width=max(width, LEAST), height=height, highlight=False, markup=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Tables and texts of ours, one below the other. What is wider than the terminal is not cut."""
    console = stdout()
    for part in parts:
        console.print(part, crop=False)


def say(*lines: str) -> None:
    """Lines of data, as they are: nothing in them is markup or steers the terminal."""
    show(*(Text(for_terminal(line)) for line in lines))


def note(line: str) -> None:
    """One line of progress or explanation, to stderr."""
    print(for_terminal(line), file=sys.stderr, flush=True)


def emit_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout: plain ASCII, valid Unicode (see `rmaplab.text.for_json`), no NaN."""
    chunks = json.JSONEncoder(indent=2, allow_nan=False).iterencode(plain(value))
    while part := "".join(islice(chunks, _CHUNKS)):
        sys.stdout.write(part)
    sys.stdout.write("\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> Sheet:
    """A table whose first column is a name, the next up to `left` text, and the others right-aligned numbers."""
    made = [
        Column(heading, "number" if i >= left else "text" if i else "name", left=i < left)
        for i, heading in enumerate(columns)
    ]
    return Sheet(title, made, rows)
