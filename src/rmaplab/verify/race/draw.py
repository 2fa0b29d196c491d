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
_WIDTH: Final = 300
_STEP: Final = 52
_TOP: Final = 70

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
    """The graph as one SVG document."""
    places, height = _places(execution)
    red = set(cycle(execution))
    width = _WIDTH * (len(roles) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="monospace" font-size="12">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="context-stroke"/></marker></defs>',
        f'<text x="10" y="20" font-size="14">{escape(title)}</text>',
    ]
    for i, role in enumerate(("at first", *roles)):
        parts.append(f'<text x="{i * _WIDTH + 20}" y="46" font-weight="bold">{escape(role)}</text>')
    drawn = edges(execution)
    parts.extend(_arrow(edge, places, edge in red) for edge in sorted(drawn, key=lambda e: e in red))
    for i, event in enumerate(execution.events):
        x, y = places[i]
        parts.append(
            f'<text x="{x}" y="{y}" stroke="white" stroke-width="4" paint-order="stroke">'
            f"{i}: {escape(label(event, words))}</text>"
        )
    return "\n".join((*parts, "</svg>", ""))


def _places(execution: Execution) -> tuple[list[tuple[int, int]], int]:
    filled: dict[int, int] = {}
    places = []
    for event in execution.events:
        row = filled.get(event.thread, 0)
        filled[event.thread] = row + 1
        places.append(((event.thread + 1) * _WIDTH + 20, _TOP + row * _STEP))
    return places, _TOP + max(filled.values()) * _STEP + 20


def _arrow(edge: Edge, places: Sequence[tuple[int, int]], red: bool) -> str:
    a, b, what = edge
    (x1, y1), (x2, y2) = places[a], places[b]
    bend = 0 if what == "po" else 40 if x1 == x2 else 0
    down = 6 if y2 > y1 else -12
    x1, x2 = x1 + 30 + bend // 2, x2 + 30 + bend // 2
    y1, y2 = y1 + down, y2 - (14 if y2 > y1 else -6)
    middle = ((x1 + x2) // 2 + bend * 2, (y1 + y2) // 2)
    color, wide = ("#d00000", 2.5) if red else (_COLORS[what], 1)
    return (
        f'<path d="M{x1},{y1} Q{middle[0]},{middle[1]} {x2},{y2}" fill="none" stroke="{color}" stroke-width="{wide}" '
        f'marker-end="url(#a)"/><text x="{middle[0]}" y="{middle[1]}" fill="{color}" font-size="10">{what}</text>'
    )
