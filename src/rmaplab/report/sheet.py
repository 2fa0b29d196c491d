"""Tables that fit their terminal: numbers whole, names shortened, text wrapped, and then columns left out by name.
Where none is left but the first, the others stand below it.

For everything that prints a table. What is in a cell is text, never markup, and cannot steer the terminal. Without a
terminal nothing is shortened. Below `LEAST` columns the layout is that of `LEAST`, and the terminal breaks the lines.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from rmaplab.text import for_terminal

LEAST: Final = 20
_NAME, _PROSE = 8, 16
"""Names are not shortened, and text is not wrapped, below that many columns."""

_PLAIN: Final = Console(width=LEAST)
_NUMBER: Final = re.compile(r"[-+]?\d[\d.,/]*\w?")


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` says what gives way: of a "number" nothing, a "name" is shortened, "text" is wrapped.

    Columns of low `rank` are left out last; of equal rank, the left one.
    """

    heading: str
    kind: Literal["number", "name", "text"] = "number"
    left: bool = False
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table; cells are texts of ours (`Text`, may have lines and styles) or anything else, shown as one safe line.

    The first column stays in any case. `instead` says where the columns are that had to be left out.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[object]]
    gap: int = 2
    headings: bool = True
    instead: str = "--json has all"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        more = "…" if console.encoding.startswith("utf") else "~"
        yield from self.lines(options.max_width, more)

    def lines(self, width: int, more: str = "…") -> Iterator[Text]:
        """What is printed on `width` columns, line by line; `more` marks what was shortened."""
        width = max(width, LEAST)
        cells = [[_text(cell) for cell in row] for row in self.rows]
        widths = self._fit(cells, width)
        if self.title:
            yield from prose(Text(for_terminal(self.title), "italic"), width)
        if len(widths) == 1 < len(self.columns):
            yield from self._stacked(cells, width, more)
            return
        if self.headings:
            yield from self._heading(widths)
        for row in cells:
            yield from self._row(row, widths, more)
        missing = [_one_line(column.heading) for i, column in enumerate(self.columns) if i not in widths]
        if missing:
            yield from prose(Text(f"not shown, too narrow: {', '.join(missing)} ({self.instead})", "dim"), width)

    def _fit(self, cells: list[list[Text]], width: int) -> dict[int, int]:
        """Width of each column shown, by its index."""
        natural = [_widest([row[i] for row in cells], self._headings(i)) for i in range(len(self.columns))]
        least = [self._least(i, [row[i] for row in cells], wide) for i, wide in enumerate(natural)]
        shown = list(range(len(self.columns)))
        while len(shown) > 1 and self._total(least[i] for i in shown) > width:
            shown.remove(max(shown[1:], key=lambda i: (self.columns[i].rank, i)))
        widths = {i: natural[i] for i in shown}
        while (over := self._total(widths.values()) - width) > 0:
            soft = [i for i in shown if widths[i] > least[i]]
            if not soft:
                break
            widest = max(soft, key=lambda i: widths[i])
            step = max(1, widths[widest] - _second(widths[i] for i in soft))
            widths[widest] -= min(over, step, widths[widest] - least[widest])
        return widths

    def _total(self, widths: Iterable[int]) -> int:
        each = list(widths)
        return sum(each) + self.gap * (len(each) - 1)

    def _headings(self, column: int) -> list[str]:
        return self.columns[column].heading.split("\n") if self.headings else []

    def _least(self, column: int, cells: list[Text], natural: int) -> int:
        kind = self.columns[column].kind
        if kind == "number":
            return natural
        whole = [cell_len(cell.plain) for cell in cells if _NUMBER.fullmatch(cell.plain)]
        return min(natural, max(_NAME if kind == "name" else _PROSE, *whole, *map(cell_len, self._headings(column)), 0))

    def _heading(self, widths: dict[int, int]) -> Iterator[Text]:
        height = max((len(self._headings(i)) for i in widths), default=0)
        parts = {}
        for i, wide in widths.items():
            lines = self._headings(i)
            parts[i] = [Text()] * (height - len(lines)) + [self._placed(i, Text(line, "bold"), wide) for line in lines]
        for line in range(height):
            yield self._joined([parts[i][line] for i in widths], list(widths.values()))

    def _row(self, row: list[Text], widths: dict[int, int], more: str) -> Iterator[Text]:
        parts = []
        for i, wide in widths.items():
            kind = self.columns[i].kind
            lines = list(row[i].split("\n", allow_blank=True)) or [Text()]
            if kind == "text":
                lines = [part for line in lines for part in prose(line, wide)]
            elif kind == "name":
                lines = [_shortened(line, wide, more) for line in lines]
            parts.append([self._placed(i, line, wide) for line in lines])
        for line in zip_longest(*parts, fillvalue=Text()):
            yield self._joined(list(line), list(widths.values()))

    def _stacked(self, cells: list[list[Text]], width: int, more: str) -> Iterator[Text]:
        """Where nothing fits beside the first column: it, and below it a line for every other one."""
        for first, *others in cells:
            yield from prose(_shortened(first, width, more) if self.columns[0].kind == "name" else first, width)
            for column, cell in zip(self.columns[1:], others, strict=True):
                heading = _one_line(column.heading)
                for line in cell.split("\n", allow_blank=True):
                    yield from prose(Text(f"  {heading} " if heading else "  ") + line, width)

    def _placed(self, column: int, text: Text, wide: int) -> Text:
        before = 0 if self.columns[column].left else max(0, wide - text.cell_len)
        return Text(" " * before) + text

    def _joined(self, parts: list[Text], widths: list[int]) -> Text:
        line = Text(no_wrap=True, overflow="ignore", end="\n")
        for part, wide in zip(parts, widths, strict=True):
            line.append_text(part)
            line.append(" " * (max(0, wide - part.cell_len) + self.gap))
        line.rstrip()
        return line


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(for_terminal(str(cell)))


def _one_line(heading: str) -> str:
    return heading.replace("-\n", "").replace("\n", " ")


def _widest(cells: list[Text], headings: list[str]) -> int:
    lines = [line for cell in cells for line in cell.plain.split("\n")] + headings
    return max(map(cell_len, lines), default=0)


def _second(widths: Iterable[int]) -> int:
    ordered = sorted(widths)
    return ordered[-2] if len(ordered) > 1 else 0


def prose(text: Text, wide: int) -> list[Text]:
    """Lines of at most `wide` columns, broken between words where there are any."""
    made = list(text.wrap(_PLAIN, wide)) if text.cell_len > wide else [text]
    for line in made:
        line.rstrip()
        line.no_wrap, line.overflow = True, "ignore"
    return made or [Text()]


def _shortened(text: Text, wide: int, more: str) -> Text:
    """A path loses its middle (its end tells most), any other name its end."""
    plain = text.plain
    if text.cell_len <= wide:
        return text
    room = max(0, wide - cell_len(more))
    head = room // 4 if "/" in plain else room
    start, left = len(plain), room - head
    while start and (left := left - cell_len(plain[start - 1])) >= 0:
        start -= 1
    return Text(set_cell_size(plain, head) + more + plain[start:], text.style)
