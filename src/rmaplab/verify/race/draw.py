"""One execution as a list and as a graph: threads as columns, po, rf, co and fr as arrows, the cycle in red.

For `rmaplab race`. The cycle is the smallest one of po, rf, co and fr, which sequential consistency forbids; an
execution without one breaks its promise in plain interleaving, and then nothing is red.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from rmaplab.verify.race.engine import Event, Execution

_COLORS: Final = {"po": "#999999", "rf": "#1a7f37", "co": "#1f5fbf", "fr": "#b35900"}
_RED: Final = "#d00000"
_LEFT: Final = 16
_TOP: Final = 62
_STEP: Final = 42
_HEIGHT: Final = 24
_GAP: Final = 110
_LETTER: Final = 7.3
_LEAST_WIDTH: Final = 820
"""Pixels: margins, a row's height, a box's height, between columns, a letter's width, and what the legend needs."""

Edge = tuple[int, int, str]


def edges(execution: Execution) -> tuple[Edge, ...]:
    """Neighbours in po and co, rf, and fr to the store right behind the one read."""
    return tuple(_edges(execution))


def _edges(execution: Execution) -> Iterator[Edge]:
    events = execution.events
    for thread in sorted({e.thread for e in events if e.thread >= 0}):
        own = [i for i, e in enumerate(events) if e.thread == thread]
        yield from ((a, b, "po") for a, b in itertools.pairwise(own))
    for order in execution.coherence:
        yield from ((a, b, "co") for a, b in itertools.pairwise(order))
    for i, event in enumerate(events):
        if event.kind == "R" and event.reads_from is not None:
            yield event.reads_from, i, "rf"
            order = execution.coherence[event.location]
            behind = order[order.index(event.reads_from) + 1 :]
            yield from ((i, w, "fr") for w in behind[:1] if w != event.rmw)
            yield from ((i, w, "fr") for w in behind[1:2] if behind[0] == event.rmw)


def cycle(execution: Execution) -> tuple[Edge, ...]:
    """The shortest cycle of po, rf, co and fr; () if there is none."""
    all_edges = edges(execution)
    best: tuple[Edge, ...] = ()
    for start in range(len(execution.events)):
        found = _back_to(start, all_edges)
        if found and (not best or len(found) < len(best)):
            best = found
    return best


def _back_to(start: int, all_edges: Sequence[Edge]) -> tuple[Edge, ...]:
    came: dict[int, Edge] = {}
    queue = deque([start])
    while queue:
        at = queue.popleft()
        for edge in all_edges:
            if edge[0] != at or edge[1] in came:
                continue
            came[edge[1]] = edge
            if edge[1] == start:
                return _path(start, came)
            queue.append(edge[1])
    return ()


def _path(start: int, came: dict[int, Edge]) -> tuple[Edge, ...]:
    path = [came[start]]
    while path[-1][0] != start:
        path.append(came[path[-1][0]])
    return tuple(reversed(path))


def label(event: Event, words: Sequence[str]) -> str:
    """What an event is, in a few words."""
    if event.kind == "F":
        return "fence " + " ".join(event.tags)
    what = {"R": "reads", "W": "writes"}[event.kind]
    tags = f" [{' '.join(event.tags)}]" if event.tags else ""
    return f"{what} {words[event.location]} = {event.value:#x}{tags}"


def listing(execution: Execution, roles: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """A line an event, thread by thread, then the order of the stores."""
    lines = []
    for i, event in enumerate(execution.events):
        if event.thread < 0:
            continue
        source = f"   from {event.reads_from}" if event.reads_from is not None else ""
        lines.append((event.thread, f"{i:3d}  {roles[event.thread]:<12} {label(event, words)}{source}"))
    orders = (f"     {words[k]}: stores in order {' '.join(map(str, o))}" for k, o in enumerate(execution.coherence))
    return (*(line for _, line in sorted(lines, key=lambda pair: pair[0])), *orders)


def svg(execution: Execution, roles: Sequence[str], words: Sequence[str], title: str) -> str:
    """The graph as one SVG document: a box an event, the first stores left out, since nothing comes before them."""
    texts = [_words(i, execution, words) for i in range(len(execution.events))]
    sheet = _Sheet(execution, max(map(len, texts)))
    red = cycle(execution)
    said = "red: the cycle" if red else "no cycle: it breaks in plain interleaving, too"
    legend = f"po: program order; rf: read from; co: order of stores; fr: read before that store; {said}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {sheet.width} {sheet.height}" width="{sheet.width}" '
        f'height="{sheet.height}" font-family="monospace" font-size="12">',
        f'<rect width="{sheet.width}" height="{sheet.height}" fill="white"/><defs>',
        *(_head(color) for color in (_RED, *_COLORS.values())),
        "</defs>",
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="{sheet.height - 10}" fill="#555555">{escape(legend)}</text>',
    ]
    for thread, role in enumerate(roles):
        parts.append(f'<text x="{sheet.column(thread)}" y="50" font-weight="bold">{escape(role)}</text>')
    shown = [edge for edge in edges(execution) if execution.events[edge[0]].thread >= 0]
    parts.extend(sheet.arrow(edge, edge in red) for edge in sorted(shown, key=lambda edge: edge in red))
    on_cycle = {event for edge in red for event in edge[:2]}
    for i, event in enumerate(execution.events):
        if event.thread >= 0:
            parts.append(sheet.box(i, texts[i], i in on_cycle))
    return "\n".join((*parts, "</svg>", ""))


def _head(color: str) -> str:
    return (
        f'<marker id="a{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{color}"/></marker>'
    )


def _words(i: int, execution: Execution, words: Sequence[str]) -> str:
    """A box's text: the event, and that a read found what was there at first."""
    event = execution.events[i]
    first = event.reads_from is not None and execution.events[event.reads_from].thread < 0
    return f"{i}: {label(event, words)}{' at first' if first else ''}"


class _Sheet:
    """Where the boxes stand: a column a thread, a row an event."""

    def __init__(self, execution: Execution, longest: int) -> None:
        self._threads = [event.thread for event in execution.events]
        filled: dict[int, int] = {}
        self._rows = []
        for thread in self._threads:
            self._rows.append(filled.get(thread, 0))
            filled[thread] = self._rows[-1] + 1
        self._box = round(longest * _LETTER) + 14
        deepest = max((rows for thread, rows in filled.items() if thread >= 0), default=0)
        columns = 1 + max(self._threads)
        self.width = max(_LEFT + columns * (self._box + _GAP), _LEAST_WIDTH)
        self.height = _TOP + deepest * _STEP + 30

    def column(self, thread: int) -> int:
        """Its left edge."""
        return _LEFT + thread * (self._box + _GAP)

    def _top(self, i: int) -> int:
        return _TOP + self._rows[i] * _STEP

    def box(self, i: int, text: str, on_cycle: bool) -> str:
        x, y = self.column(self._threads[i]), self._top(i)
        return (
            f'<rect x="{x}" y="{y}" width="{self._box}" height="{_HEIGHT}" rx="4" fill="#f7f7f7" '
            f'stroke="{_RED if on_cycle else "#999999"}"/><text x="{x + 7}" y="{y + 16}">{escape(text)}</text>'
        )

    def arrow(self, edge: Edge, red: bool) -> str:
        a, b, what = edge
        color, wide = (_RED, 2) if red else (_COLORS[what], 1)
        style = f'fill="none" stroke="{color}" stroke-width="{wide}" marker-end="url(#a{color[1:]})"'
        left, right = self.column(self._threads[a]), self.column(self._threads[b])
        if what == "po":
            x = left + self._box // 2
            return f'<path d="M{x},{self._top(a) + _HEIGHT} L{x},{self._top(b)}" {style}/>'
        if left == right:  # within a thread: around its right edge
            x1 = x2 = left + self._box
            bend1 = bend2 = x1 + 20 + 6 * abs(self._rows[a] - self._rows[b])
        else:
            x1, x2 = (left + self._box, right) if left < right else (left, right + self._box)
            bend1, bend2 = (x1 + _GAP // 2, x2 - _GAP // 2) if left < right else (x1 - _GAP // 2, x2 + _GAP // 2)
        y1, y2 = self._top(a) + _HEIGHT // 2 + 4, self._top(b) + _HEIGHT // 2 - 4
        x, y = (8 * x1 + 12 * bend1 + 6 * bend2 + x2) // 27, (20 * y1 + 7 * y2) // 27  # a third of the way
        return (
            f'<path d="M{x1},{y1} C{bend1},{y1} {bend2},{y2} {x2},{y2}" {style}/>'
            f'<rect x="{x - 8}" y="{y - 7}" width="16" height="13" fill="white" opacity="0.8"/>'
            f'<text x="{x - 6}" y="{y + 4}" fill="{color}" font-size="10">{what}</text>'
        )
