"""Tables and lines of ours outside a terminal: as plain text, and as HTML for notebooks.

For `rmaplab.face`. Every cell is text: nothing in it is markup.
"""

from collections.abc import Iterator
from html import escape
from io import StringIO

from rich.console import Console
from rich.text import Text

from rmaplab.report.sheet import Sheet
from rmaplab.text import for_terminal

Part = Sheet | Text | str
_WIDE = 1 << 16


def text(*parts: Part) -> str:
    """The parts as lines, a blank one after each table; tables as wide as they need to be."""
    out = StringIO()
    console = Console(file=out, width=_WIDE, highlight=False, markup=False, emoji=False, color_system=None)
    for part in parts:
        console.print(part if not isinstance(part, str) else Text(for_terminal_lines(part)), crop=False)
        if isinstance(part, Sheet):
            console.print()
    return out.getvalue().rstrip()


def for_terminal_lines(lines: str) -> str:
    """`lines`, each safe for a terminal."""
    return "\n".join(for_terminal(line) for line in lines.split("\n"))


def html(*parts: Part) -> str:
    """The parts as HTML: a table per sheet, a paragraph per line."""
    return "\n".join(line for part in parts for line in _part(part))


def _part(part: Part) -> Iterator[str]:
    if not isinstance(part, Sheet):
        plain = part if isinstance(part, str) else part.plain
        yield from (f"<p>{escape(for_terminal(line))}</p>" for line in plain.split("\n") if line)
        return
    yield "<table>"
    if part.title:
        yield f"<caption>{escape(for_terminal(part.title))}</caption>"
    if part.headings:
        heads = (column.heading.replace("-\n", "").replace("\n", " ") for column in part.columns)
        yield f"<thead><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr></thead>"
    yield "<tbody>"
    for row in part.rows:
        yield f"<tr>{''.join(_cell(cell, column.left) for cell, column in zip(row, part.columns, strict=True))}</tr>"
    yield "</tbody></table>"


def _cell(cell: object, left: bool) -> str:
    plain = cell.plain if isinstance(cell, Text) else for_terminal(str(cell))
    return f'<td style="text-align: {"left" if left else "right"}">{escape(plain)}</td>'
