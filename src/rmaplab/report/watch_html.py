"""A watch as one self-contained page: a sentence, the tree of processes, how each copied over time, a flame graph.

For `rmaplab watch --html`. Nothing in it runs or is fetched: tables and SVG with titles, so that it prints and needs no
script. Names and frames are somebody else's: they are text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final
from urllib.parse import quote

from rmaplab.report.watch import as_known, size
from rmaplab.report.watch_tree import tree
from rmaplab.text import for_terminal

Answer = dict[str, Any]
Curve = Sequence[tuple[float, int]]
Line = Sequence[tuple[float, float]]

WIDTH: Final = 1200
_ROW, _LETTER, _LEAST = 18, 7, 2
"""Of the flame graph: height of a frame, width of a letter, and of the narrowest frame shown; pixels."""
_FOLIO_NAMES: Final = {"anonymous": "(anonymous)"}
"""What the page of folios calls a mapping that a watch calls otherwise."""
_MOST_LINKED: Final = 64
"""PIDs in a link."""
_CURVES: Final = 8
_WIDE, _TALL, _SHARES = 760, 240, (0.0, 0.5, 1.0)
"""Of a picture of curves: pixels, and the heights that have a line."""
_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a94a3", "#7a5c00")
"""Okabe and Ito's, which most who see colours differently can tell apart; dashes tell them apart as well."""
_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b2330;--dim:#5b6472;--line:#d9dee6;--back:#fff;--copy:#f2c14e;--waste:#d0021b}
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf1;--dim:#a3adbb;--line:#3a4352;--back:#12161d;--waste:#ff6b6b}}
body{font:14px/1.45 system-ui,sans-serif;max-width:1240px;margin:0 auto;padding:14px 20px;color:var(--ink);
background:var(--back)}
h1{font-size:19px}h2{font-size:15px;margin:22px 0 6px}.dim{color:var(--dim)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:1px 9px;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left;white-space:pre;font-family:ui-monospace,monospace}
.bar{display:flex;width:220px;height:12px}.bar i{display:block;background:var(--copy)}.bar i.waste{background:
repeating-linear-gradient(90deg,var(--waste) 0 3px,transparent 3px 5px)}
svg{max-width:100%;height:auto;display:block}svg text{font:12px ui-monospace,monospace;fill:#1b2330;pointer-events:none}
.axis text{fill:var(--ink)}.axis line{stroke:var(--line)}
.frame rect{fill:var(--copy);stroke:var(--back)}.frame.waste rect{stroke:var(--waste);stroke-width:2;stroke-dasharray:3 2}
a{color:inherit}
.frame:focus rect,.frame:hover rect,a:focus .frame rect{fill:#ffe29a}
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """How inheritances eroded. `curves`: by PID, seconds and the part of its inheritance that a worker still shared;
    their `names`; how many looks were `missed`; `behind`: the page of folios beside this one, empty if there is none, and
    `seen`: the seconds after which its look began."""

    curves: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    missed: int = 0
    behind: str = ""
    seen: float = 0.0

    def has(self, one: Answer) -> bool:
        """Whether the page of folios has those of a process (a row of the sum): it had begun, and not ended."""
        if not self.behind or one["pid"] is None:
            return False
        return (one["forked_at"] or 0.0) <= self.seen and (one["ended_at"] is None or one["ended_at"] > self.seen)


@dataclass(frozen=True, slots=True)
class Behind:
    """The folios behind a stack. `page`: which has them; `members`: by number of a process on it, its PID and the
    mappings in which it copied."""

    page: str = ""
    members: Mapping[int, tuple[int, frozenset[str]]] = field(default_factory=dict)

    def link(self, numbers: Iterable[int]) -> str:
        """To what these processes have in these mappings; empty where nobody is on the page."""
        found = [self.members[number] for number in sorted(numbers) if number in self.members][:_MOST_LINKED]
        if not found:
            return ""
        names = sorted(frozenset[str]().union(*(mappings for _, mappings in found)))
        places = "".join(f"&in={quote(_FOLIO_NAMES.get(name, name))}" for name in names)
        return f"{quote(self.page)}#pid={','.join(str(pid) for pid, _ in found)}{places}"


def _behind(found: Answer, kept: Kept) -> Behind:
    members = {
        one["number"]: (one["pid"], frozenset(place["vma"] for place in one["by_vma"] if place["bytes"]))
        for one in found["processes"]
        if kept.has(one)
    }
    return Behind(kept.behind, members)


def page(found: Answer, stacks: Sequence[Answer], curves: Mapping[int, Curve], kept: Kept = Kept()) -> str:
    """The page. `found`: the sum; `stacks`: all of them, where `found` has the first few; `curves`: by number of a
    process, seconds and bytes copied by then."""
    named = {one["number"]: f"{one['name']} {one['pid']}" for one in found["processes"]}
    why = "".join(f"<p class=dim>estimate: {_safe(reason)}</p>" for reason in found["why"])
    behind = _behind(found, kept)
    drawn = flame(stacks, behind)
    back = f"; a click leads to the folios of the processes in which it copied, as they were after {kept.seen:.1f} s"
    parts = [
        f"<h1>{_safe(sentence(found))}</h1>{why}",
        f"<h2>Who copied: a process below its parent</h2>{_processes(found['processes'], kept)}",
        f"<h2>Of what they inherited, workers still shared</h2>{kept_picture(kept, found['seconds'])}",
        f"<h2>Bytes copied so far, over time</h2>{curve_picture(named, curves, found['seconds'])}",
        "<h2>Code that copied: as wide as the bytes; dashed where most of them were copied for nothing"
        f"{back if behind.members else ''}</h2>",
        drawn or "<p class=dim>no stack copied anything</p>",
    ]
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><title>rmaplab watch</title><style>{_STYLE}</style>'
    )
    return f"{head}<body>{''.join(parts)}</body></html>\n"


def sentence(found: Answer) -> str:
    """The answer in one."""
    count = len(found["processes"]) + found["ended_early"]
    least, most = found["needless"], found["needless_at_most"]
    needless = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"{count} process{'es' * (count != 1)} copied {size(found['bytes'])} in {found['seconds']:.1f} s: "
        f"{found['copied']} copies, {needless} of them for nothing; {found['reused']} writes reused their page; "
        f"{found['exactness']}"
    )


def _processes(rows: Sequence[Answer], kept: Kept) -> str:
    """Who is on the page of folios is a link into it."""
    widest = max((one["bytes"] for one in rows), default=0) or 1
    head = "".join(f"<th>{name}</th>" for name in ("process", "faults", "reused", "copied", "for nothing", "bytes", ""))
    body = []
    for branch, one in tree(rows):
        name = branch + one["name"] + ("" if one["pid"] is None else f" {one['pid']}")
        counts = as_known(one, (one["faults"], one["reused"], one["copied"], one["needless"], size(one["bytes"])))
        wide = 100 * one["bytes"] / widest
        waste = wide * one["needless"] / one["copied"] if one["copied"] else 0.0
        bar = f'<i style="width:{wide - waste:.2f}%"></i><i class=waste style="width:{waste:.2f}%"></i>'
        cells = "".join(f"<td>{_safe(count)}</td>" for count in counts)
        shown = _safe(name)
        if kept.has(one):
            shown = f'<a href="{escape(quote(kept.behind))}#pid={one["pid"]}">{shown}</a>'
        body.append(f"<tr><td>{shown}</td>{cells}<td><div class=bar>{bar}</div></td></tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


@dataclass(slots=True)
class Frame:
    """A function and all stacks that lead through it: bytes, copies, and those for nothing; `numbers` of some processes
    in which it did; below it, whom it called."""

    bytes: int = 0
    copied: int = 0
    needless: int = 0
    numbers: set[int] = field(default_factory=set)
    calls: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: Answer) -> None:
        self.bytes += stack["bytes"]
        self.copied += stack["copied"]
        self.needless += stack["needless"]
        if len(self.numbers) < _MOST_LINKED:
            self.numbers.update(stack.get("numbers", ()))


def merged(stacks: Sequence[Answer]) -> Frame:
    """All stacks that copied as one tree, outermost function first."""
    root = Frame()
    for stack in stacks:
        if not stack["bytes"]:
            continue
        root.add(stack)
        at = root
        for name in reversed(stack["frames"] or ["no stack"]):
            at = at.calls.setdefault(name, Frame())
            at.add(stack)
    return root


def flame(stacks: Sequence[Answer], behind: Behind = Behind()) -> str:
    """The tree as SVG, callers above; empty if nothing was copied. Frames too narrow to see are left out. A frame is a
    link to its folios, if there is a page of them."""
    there = [{**one, "numbers": behind.members.keys() & one.get("numbers", ())} for one in stacks]
    root = merged(there)
    if not root.bytes:
        return ""
    drawn: list[str] = []
    waiting = [("all", root, 0.0, 0)]
    deepest = 0
    while waiting:
        name, frame, left, depth = waiting.pop()
        wide = WIDTH * frame.bytes / root.bytes
        if wide < _LEAST:
            continue
        deepest = max(deepest, depth)
        drawn.append(_frame(name, frame, left, depth * _ROW, wide, root.bytes, behind))
        for called, below in sorted(frame.calls.items()):
            waiting.append((called, below, left, depth + 1))
            left += WIDTH * below.bytes / root.bytes
    return f'<svg viewBox="0 0 {WIDTH} {(deepest + 1) * _ROW}" role="img">{"".join(drawn)}</svg>'


def _frame(name: str, frame: Frame, left: float, top: int, wide: float, whole: int, behind: Behind) -> str:
    shown = for_terminal(name)
    letters = int((wide - 6) / _LETTER)
    text = "" if letters < 3 else shown if len(shown) <= letters else shown[: letters - 1] + "\u2026"
    told = f"{shown}\n{size(frame.bytes)}, {frame.bytes / whole:.1%}: {frame.copied} copies, {frame.needless} for nothing"
    mark = " waste" if 2 * frame.needless > frame.copied else ""
    link = behind.link(frame.numbers)
    focus = "" if link else ' tabindex="0"'  # a link is reached by the keyboard as it is
    drawn = (
        f'<g class="frame{mark}"{focus}><title>{escape(told)}</title>'
        f'<rect x="{left:.2f}" y="{top}" width="{wide:.2f}" height="{_ROW - 1}"/>'
        f'<text x="{left + 3:.2f}" y="{top + 13}">{escape(text)}</text></g>'
    )
    return f'<a href="{escape(link)}">{drawn}</a>' if link else drawn


def curve_picture(named: Mapping[int, str], curves: Mapping[int, Curve], seconds: float) -> str:
    """Step curves of the processes that copied most, as SVG; a curve goes on to the end of the watch."""
    most = sorted((n for n in curves if n in named and curves[n][-1][1]), key=lambda n: -curves[n][-1][1])[:_CURVES]
    if not most:
        return "<p class=dim>nobody copied anything</p>"
    high = curves[most[0]][-1][1]
    end = max(seconds, *(curves[n][-1][0] for n in most)) or 1.0
    told = [f"{for_terminal(named[n])}: {size(curves[n][-1][1])}" for n in most]
    lines = [[(at / end, copied / high) for at, copied in curves[n]] for n in most]
    return _picture([size(share * high) for share in _SHARES], end, told, [_steps(line) for line in lines])


def kept_picture(kept: Kept, seconds: float) -> str:
    """The erosion curves of the workers that kept least, as SVG: a dot a look, dots joined."""
    most = sorted(kept.curves, key=lambda pid: (kept.curves[pid][-1][1], pid))[:_CURVES]
    missed = f"<p class=dim>{kept.missed} looks were not finished: a process ended meanwhile</p>" if kept.missed else ""
    if not most:
        return f"<p class=dim>no look found a worker with an inheritance</p>{missed}"
    end = max(seconds, *(kept.curves[pid][-1][0] for pid in most)) or 1.0
    told = [f"{for_terminal(kept.names[pid])} {pid}: {kept.curves[pid][-1][1]:.0%}" for pid in most]
    lines = [[(at / end, share) for at, share in kept.curves[pid]] for pid in most]
    return _picture([f"{share:.0%}" for share in _SHARES], end, told, [_dots(line) for line in lines]) + missed


def _x(share: float) -> float:
    return 70 + _WIDE * share


def _y(share: float) -> float:
    return 10 + _TALL * (1 - share)


def _steps(line: Line) -> str:
    rest = "".join(f"H{_x(x):.1f}V{_y(y):.1f}" for x, y in line[1:])
    return f"M{_x(line[0][0]):.1f},{_y(line[0][1]):.1f}{rest}H{70 + _WIDE}"


def _dots(line: Line) -> str:
    """Joined, each point a small square."""
    joined = "L".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in line)
    return f"M{joined}" + "".join(f"M{_x(x) - 2:.1f},{_y(y) - 2:.1f}h4v4h-4z" for x, y in line)


def _picture(scale: Sequence[str], end: float, told: Sequence[str], paths: Sequence[str]) -> str:
    """Curves with their names beside them; `scale` has the words at _SHARES of the height."""
    drawn = [
        f'<g class="axis"><line x1="70" y1="{_y(share):.1f}" x2="{70 + _WIDE}" y2="{_y(share):.1f}"/>'
        f'<text x="64" y="{_y(share) + 4:.1f}" text-anchor="end">{words}</text></g>'
        for share, words in zip(_SHARES, scale, strict=True)
    ]
    drawn.append(f'<g class="axis"><text x="{70 + _WIDE}" y="{_TALL + 26}" text-anchor="end">{end:.1f} s</text></g>')
    for place, (words, path) in enumerate(zip(told, paths, strict=True)):
        y = 20 + place * 20
        line = f'fill="none" stroke="{_COLOURS[place]}" stroke-width="2" stroke-dasharray="{_dashes(place)}"'
        drawn.append(
            f'<g tabindex="0"><title>{escape(words)}</title><path d="{path}" {line}/></g>'
            f'<path d="M{90 + _WIDE},{y}h26" {line}/>'
            f'<g class="axis"><text x="{122 + _WIDE}" y="{y + 4}">{escape(words[:36])}</text></g>'
        )
    return f'<svg viewBox="0 0 {WIDTH} {_TALL + 34}" role="img">{"".join(drawn)}</svg>'


def _dashes(place: int) -> str:
    return "none" if not place else f"{2 + 2 * place} {1 + place % 3}"


def _safe(value: object) -> str:
    return escape(for_terminal(str(value)))
