"""Where output goes: data to stdout, progress and notes to stderr, JSON when asked.

For the command line. Tables are as wide as the terminal; piped, they are as wide as they need to be.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_PIPED_WIDTH = 400


def stdout() -> Console:
    """The console for data."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)


def note(line: str) -> None:
    """One line of progress or explanation, to stderr."""
    print(line, file=sys.stderr, flush=True)


def emit_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on stdout."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> Table:
    """A table whose first `left` columns are text and whose others are right-aligned numbers."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index < left else "right", no_wrap=index == 0)
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made
