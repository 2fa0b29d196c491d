"""Verdicts as one page: what was changed, and for each broken promise the smallest execution under each model, drawn.

For `rmaplab race --draw`. The page needs nothing beside it.
"""

import difflib
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from rmaplab.verify.race.draw import svg
from rmaplab.verify.race.programs import BOUND, PROMISES, Verdict
from rmaplab.verify.race.result import cells, smallest

_STYLE: Final = (
    "body{font-family:sans-serif;margin:2em}figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top;"
    "border:1px solid #ccc;padding:.5em}table{border-collapse:collapse}td,th{padding:.1em .7em;text-align:left;"
    "border-bottom:1px solid #ddd}.broken{color:#d00000;font-weight:bold}.undecided{color:#777}pre{background:#f7f7f7;"
    "padding:.7em;overflow-x:auto}"
)
_CONTEXT: Final = 3


def page(found: Sequence[Verdict], models: Sequence[str], change: str = "") -> str:
    """The HTML document. `change`: a unified diff to show first, if any."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>rmaplab race</title>',
        f"<style>{_STYLE}</style>",
    ]
    parts.append("<h1>rmaplab race</h1>")
    if change:
        parts.append(f"<h2>The change</h2><pre>{escape(change)}</pre>")
    parts.extend(_pictures(found, models))
    parts.extend(_table(found, models))
    return "\n".join((*parts, "</html>", ""))


def picture(verdict: Verdict) -> str:
    """The SVG of a broken promise. ValueError without a witness."""
    if verdict.witness is None:
        raise ValueError(f"{verdict.program}/{verdict.stage}: {verdict.promise} under {verdict.model}: has no witness")
    title = f"{verdict.program}/{verdict.stage} under {verdict.model}: broken: {PROMISES[verdict.promise]}"
    return svg(verdict.witness, verdict.roles, verdict.words, title)


def difference(core: Path, ours: Path) -> str:
    """How the headers in `core` differ from those in `ours`, as a unified diff; empty if they do not."""
    names = sorted({path.name for folder in (core, ours) for path in folder.glob("*.h") if path.is_file()})
    lines: list[str] = []
    for name in names:
        before, after = (_lines(folder / name) for folder in (ours, core))
        lines.extend(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", n=_CONTEXT, lineterm=""))
    return "\n".join(lines)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.is_file() else []


def _pictures(found: Sequence[Verdict], models: Sequence[str]) -> Iterator[str]:
    chosen = smallest(found)
    for ours, heading in ((True, "Broken"), (False, "Facts and the posted code: broken, and no promise of ours")):
        promises = [p for p in PROMISES if any(key[:2] == (ours, p) for key in chosen)]
        if ours and not promises:
            yield "<p>No promise of ours is broken.</p>"
        if promises:
            yield f"<h2>{heading}</h2>"
        for promise in promises:
            yield f"<h3>{promise}: {escape(PROMISES[promise])}</h3>"
            yield from (
                f"<figure>{picture(chosen[key])}</figure>" for m in models if (key := (ours, promise, m)) in chosen
            )
            others = [m for m in models if (ours, promise, m) not in chosen]
            if others:
                yield f"<p>Not seen to break under {', '.join(others)}.</p>"


def _table(found: Sequence[Verdict], models: Sequence[str]) -> Iterator[str]:
    yield f"<h2>Every promise</h2><p>{BOUND}</p><table><tr>"
    yield from (f"<th>{escape(name)}</th>" for name in ("program", "stage", "promise", *models))
    yield "</tr>"
    for row in cells(found, models):
        yield "<tr>" + "".join(f'<td class="{escape(cell)}">{escape(cell)}</td>' for cell in row) + "</tr>"
    yield "</table>"
