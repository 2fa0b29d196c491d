"""The figures of the site and of the README, as SVG. Run: `make figures`.

Nothing is drawn by hand: the tree asks the model which survivor copies, the collision comes from the refuter, the prices
from the JSON of `rmaplab bench` and of `rmaplab kernel bench`. Only the picture of the stream shows no data.
"""

import json
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import rmaplab
from rmaplab.bench.operations import LANES, TODAY
from rmaplab.extras import charts
from rmaplab.kernels.bench import Compared, Cost

HERE = Path(__file__).parent.parent / "figures"
BLUE, AMBER, RED, GREY, INK = "#9cc1e6", "#f2a541", "#c23b22", "#9aa5b1", "#222222"


def box(x: float, y: float, w: float, h: float, lines: Sequence[str], fill: str = "#ffffff", ink: str = INK) -> str:
    """A box with centred lines of text."""
    first = y + h / 2 - 7.5 * (len(lines) - 1) + 4
    texts = (label(x + w / 2, first + 15 * i, line, ink) for i, line in enumerate(lines))
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="5" fill="{fill}" stroke="{INK}"/>' + "".join(texts)


def label(x: float, y: float, text: str, ink: str = INK, anchor: str = "middle", size: int = 12) -> str:
    """One line of text."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{ink}">{escape(text)}</text>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """An arrow."""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{INK}" marker-end="url(#head)"/>'


def svg(width: int, height: int, title: str, *parts: str) -> str:
    """A whole picture, readable on dark pages too."""
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>'
    )
    frame = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'{opening} font-family="sans-serif"><title>{escape(title)}</title>{head}{frame}{"".join(parts)}</svg>\n'


def stream() -> str:
    """How evidence flows: sources, trace, schemes, verdicts, judge, report; and what stands beside it."""
    sources = ("scenario on the model", "scenario on this kernel", "scenario in a booted kernel", "recorded system")
    parts = []
    for i, name in enumerate(sources):
        y = 20 + 44 * i
        parts += [box(10, y, 180, 32, [name]), arrow(190, y + 16, 232, 102)]
    steps = (
        ("trace", "folios, events,", "questions"),
        ("schemes", "state per folio"),
        ("verdicts", "exclusive, shared,", "unknown"),
        ("judge", "against the truth"),
        ("report", "tables, plots, JSON"),
    )
    for i, lines in enumerate(steps):
        x = 236 + 150 * i
        parts.append(box(x, 70, 126, 64, lines, "#e8eef5" if i % 2 == 0 else "#ffffff"))
        if i:
            parts.append(arrow(x - 24, 102, x - 2, 102))
    beside = ("proofs (Rocq)", "refuter", "race checker", "C core", "kernel patch")
    parts.append(label(600, 212, "on the same definitions of the schemes"))
    for i, name in enumerate(beside):
        parts.append(box(236 + 150 * i, 222, 126, 30, [name], "#fff6e6"))
    return svg(980, 270, "One stream: sources, trace, schemes, verdicts, judge, report", *parts)


def tree(k: int = 3) -> str:
    """A parent and its workers; each in turn is left alone and writes. Who copies, by the model of Linux 6.18."""
    parts = [label(380, 24, f"A parent forks {k} workers; all leave but one, which writes. Linux 6.18:", size=14)]
    for i in range(k + 1):
        run = rmaplab.run("prefork", on="model", kernel="linux-6.18", size=2 << 20, k=k, survivor=i, schemes=["mm-id"])
        copied = run.to_dict()["kernel"]["copied_pages"]
        name = "the parent" if i == 0 else f"worker {i}"
        did = f"copies {copied} pages" if copied else "reuses all"
        fill = AMBER if copied else BLUE
        x, y = (300, 50) if i == 0 else (20 + (720 / k) * (i - 1) + 40, 150)
        parts.append(box(x, y, 160, 46, [f"only {name} is left:", did], fill))
        if i:
            parts.append(arrow(380, 96, x + 80, 148))
    parts.append(label(380, 226, "Nobody else maps the memory in any of these runs: every copy is for nothing."))
    return svg(760, 244, "Which survivor of a fork tree copies", *parts)


def squares(asked: int = 5) -> str:
    """Three mappings, four cases: what the sum says, and what the sum of squares says."""
    cases = ((asked,) * 3, (asked - 1, asked, asked + 1), (asked - 2, asked + 1, asked + 1), (asked + 2,) * 3)
    title = f"MM {asked} asks. n = 3 mappings, S = sum of IDs, Q = sum of their squares"
    parts = [label(20, 26, title, anchor="start", size=14)]
    for row, ids in enumerate(cases):
        y, s, q = 84 + 58 * row, sum(ids), sum(i * i for i in ids)
        distance = q - 2 * asked * s + len(ids) * asked * asked
        parts.append(f'<line x1="30" y1="{y}" x2="330" y2="{y}" stroke="{GREY}"/>')
        for tick in range(2, 9):
            parts.append(label(30 + 50 * (tick - 2), y + 18, str(tick), GREY, size=10))
        for place, one in enumerate(ids):
            x, up = 30 + 50 * (one - 2), 14 * ids[:place].count(one)
            fill = BLUE if one == asked else AMBER
            parts.append(f'<circle cx="{x}" cy="{y - 8 - up}" r="6" fill="{fill}" stroke="{INK}"/>')
        sums = f"S = {s} {'=' if s == 3 * asked else '≠'} 3·{asked}"
        verdict = "exclusive" if distance == 0 else "shared"
        parts.append(label(370, y, f"{sums};  Q − 2·{asked}·S + 3·{asked}² = {distance}:  {verdict}", anchor="start"))
    why = "Q − 2xS + nx² is the sum of (id − x)²: squares are never negative, so it is 0 only if all are x's."
    parts.append(label(20, 322, why, anchor="start"))
    return svg(760, 340, "Why the sum of squares decides", *parts)


def collision(order: int = 7) -> str:
    """The refuter's smallest witness against the series' table as posted."""
    found = rmaplab.refute("generations", order).finding
    assert found.witness is not None
    n, x = found.witness.mapcount, 40.0
    title = f"generations as posted, order {order}: {n} mappings by others look like {n} of MM {found.witness.mm}'s"
    parts = [label(20, 26, title, anchor="start", size=14)]
    for i, (mm, pages) in enumerate(found.witness.mappings.items()):
        wide = 620 * pages / n
        fill = (BLUE, AMBER, GREY, RED)[i % 4]
        parts.append(f'<rect x="{x}" y="50" width="{wide}" height="36" fill="{fill}" stroke="{INK}"/>')
        parts.append(label(x + wide / 2, 106 if wide < 60 else 73, f"MM {mm}: {pages}"))
        x += wide
    parts.append(f'<rect x="40" y="136" width="620" height="36" fill="none" stroke="{RED}" stroke-dasharray="5 3"/>')
    parts.append(label(350, 159, f"taken for MM {found.witness.mm}: {n}"))
    for row, (left, right) in enumerate(found.witness.sides):
        parts.append(label(40, 202 + 18 * row, f"rmap value {row + 1}:  {left} = {right}  (mod 2^64)", anchor="start"))
    return svg(700, 250, f"The {n}-mapping collision", *parts)


def prices(results: Sequence[dict[str, Any]]) -> Any:
    """Ratios to mm-id. Of one run: median and interquartile range; of several: middle and range of their medians."""
    shown = [
        {**row, "order": "order 9", "kind": "cheaper" if row["ratio"] <= 1 else "dearer"}
        for row in ranges(results)
        if row["scheme"] != TODAY
    ]
    spread = "interquartile range" if len(results) == 1 else f"range of {len(results)} runs"
    return charts().price_chart(shown, f"Times mm-id, what Linux does today; the line is the {spread}")


def ranges(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Low, middle and high of the ratio per scheme and operation."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for place, title in LANES.items():
        for run in results:
            for row in run["results"]:
                if (row["op"], row["threads"], row["shared_folio"]) == place and row["ratio_mm_id"] is not None:
                    one = (row["ratio_mm_id"], row["ratio_mm_id_low"], row["ratio_mm_id_high"])
                    found.setdefault((title.replace("\n", " "), row["scheme"]), []).append(one)
    rows = []
    for (operation, scheme), runs in found.items():
        medians = sorted(one[0] for one in runs)
        low, high = runs[0][1:] if len(runs) == 1 else (medians[0], medians[-1])
        middle = medians[len(medians) // 2]
        rows.append({"operation": operation, "scheme": scheme, "ratio": middle, "low": low, "high": high})
    return rows


def kernel_prices(rows: Sequence[dict[str, Any]]) -> Any:
    """What a patched kernel pays: the plot of `rmaplab kernel bench`."""
    names = ("kernel", "scheme", "operation", "order", "instructions", "locked")
    compared = [Compared(Cost(*(row[name] for name in names)), row["ratio_off"], row["locked_off"]) for row in rows]
    return charts().kernel_prices(compared)


def main(measured: Sequence[str]) -> None:
    """Write the figures; the prices only from results that are named, a kernel's are a list."""
    HERE.mkdir(exist_ok=True)
    for draw in (stream, tree, squares, collision):
        (HERE / f"{draw.__name__}.svg").write_text(draw())
    results = [json.loads(Path(name).read_text()) for name in measured]
    if bench := [result for result in results if isinstance(result, dict)]:
        prices(bench).save(HERE / "prices.svg")
    if kernel := [row for result in results if isinstance(result, list) for row in result]:
        kernel_prices(kernel).save(HERE / "kernel-prices.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
