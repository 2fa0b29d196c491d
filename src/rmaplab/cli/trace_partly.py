"""`rmaplab trace partly`: partly mapped folios, and which rule without per-page map counts notices them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from rmaplab.engine.partly import Noticed
from rmaplab.engine.partly import partly as noticed
from rmaplab.report.console import emit_json, say, show, table
from rmaplab.trace import read


def partly(
    source: Annotated[Path, typer.Argument(help="A trace's directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with every count.")] = False,
) -> None:
    """Partly mapped folios, and whether an average or a sum of page weights notices them without per-page map counts."""
    recorded = read(source)
    found = noticed(recorded)
    meta = recorded.meta
    if as_json:
        kinds = {kind.replace(" ", "_").lower(): asdict(one) for kind, one in found.items()}
        emit_json({"exactness": meta.exactness, "why": meta.why, **kinds})
        return
    show(table("after unmappings", ("mapped by", *_MOMENTS), _rows(found, _MOMENTS)))
    show(table("folios", ("mapped by", *_FOLIOS), _rows(found, _FOLIOS)))
    lost, average, uniform = (sum(getattr(one, name) for one in found.values()) for name in _LOST)
    say(f"pages nobody maps at the last look: {lost}; of folios the average noticed {average}, uniform {uniform}")
    say(f"truth: {meta.exactness}" + (f" ({meta.why})" if meta.why else ""))


_LOST: Final = ("lost_pages", "average_pages", "uniform_pages")
_MOMENTS: Final = {
    "folios": "folios",
    "moments": "moments",
    "partly": "partly",
    "average": "average",
    "uniform": "uniform",
    "false alarms": "false_alarms",
}
_FOLIOS: Final = {
    "ever partly": "partly_folios",
    "average": "average_folios",
    "uniform": "uniform_folios",
    "never, alarmed": "alarmed_folios",
}
"""Columns, and what of `Noticed` stands in them."""


def _rows(found: Mapping[str, Noticed], columns: Mapping[str, str]) -> list[list[str]]:
    return [[kind, *(str(getattr(one, name)) for name in columns.values())] for kind, one in found.items()]
