"""Traces larger than memory: a directory of parts, each with some of the folios and all that happens to them.

For `split`, recorders and whoever judges part by part. Folios are independent of each other, so parts are. On disk:
`meta.json` (the trace's `Meta`, and the parts with their sums) and `part-00000`, ... with three Parquet files and a
`part.json` that says which part of what it is. Events and questions have one more column, `row`: their row in the whole
trace. Steps, folio ids and rmap IDs are the whole trace's.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.system.files import told, write_folder
from rmaplab.trace.errors import TraceError
from rmaplab.trace.parquet import (
    PARTED,
    check_replaceable,
    meta_object,
    meta_of,
    read_object,
    read_table,
    sha256_of,
    sums_of,
    write_object,
    write_tables,
)
from rmaplab.trace.tables import Meta, Trace
from rmaplab.trace.validate import EVENTS_FILE, FOLIOS_FILE, META_FILE, QUESTIONS_FILE, validate

PART_FORMAT: Final = "rmaplab part of a trace"
PART_FILE: Final = "part.json"
PARTS_VERSION: Final = 1
MOST_PARTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `trace` is a trace of its own, its folios numbered from 0: folio i of it is `first_folio` + i of the
    whole. `event_rows`, `question_rows` (uint64): where its rows stand in the whole, ascending."""

    trace: Trace
    first_folio: int
    event_rows: NDArray[np.uint64]
    question_rows: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PartedTrace:
    """A trace in parts, of which nothing is loaded but what `meta.json` says."""

    path: Path
    meta: Meta
    identity: str
    """Names this trace; every part has it."""
    parts: tuple[dict[str, Any], ...]
    """What `meta.json` says of each: first_folio, folios, events, questions, sha256 of its part.json."""

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Part]:
        return map(self.part, range(len(self)))

    def part(self, index: int) -> Part:
        """Load and validate part `index`. Raises TraceError naming part, file, row (of the part) and rule."""
        folder = self.path / part_name(index)
        try:
            return self._read(index, folder)
        except TraceError as error:
            raise TraceError(str(folder / error.file), error.row, error.rule) from error.__cause__

    def _read(self, index: int, folder: Path) -> Part:
        known = self.parts[index]
        if not folder.is_dir():
            raise TraceError("", None, f"missing: the trace has {len(self)} parts")
        about = read_object(folder / PART_FILE, PART_FILE, PART_FORMAT)
        for name, must in (("version", PARTS_VERSION), ("trace", self.identity), ("part", index), ("of", len(self))):
            if about.get(name) != must:
                raise TraceError(PART_FILE, None, f"{name} {about.get(name)!r}: must be {must!r} as in {META_FILE}")
        if (found := sha256_of(folder / PART_FILE)) != known["sha256"]:
            raise TraceError(PART_FILE, None, f"SHA-256 {found}: must be {known['sha256']} as in {META_FILE}")
        sums = sums_of(about, PART_FILE)
        folios, events, questions = (
            read_table(folder, name, sums.get(name)) for name in (FOLIOS_FILE, EVENTS_FILE, QUESTIONS_FILE)
        )
        first = known["first_folio"]
        made = Part(
            Trace(_renumbered(FOLIOS_FILE, folios, first), *self._plain(events, questions, first), self.meta),
            first,
            _rows(EVENTS_FILE, events),
            _rows(QUESTIONS_FILE, questions),
        )
        validate(made.trace)
        for name, rows in (("folios", folios), ("events", events), ("questions", questions)):
            if len(rows) != known[name]:
                raise TraceError(f"{name}.parquet", None, f"{len(rows)} rows: must be {known[name]} as in {META_FILE}")
        return made

    @staticmethod
    def _plain(events: pl.DataFrame, questions: pl.DataFrame, first: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        return (
            _renumbered(EVENTS_FILE, events.drop("row", strict=False), first),
            _renumbered(QUESTIONS_FILE, questions.drop("row", strict=False), first),
        )


def is_parted(directory: str | os.PathLike[str]) -> bool:
    """Whether `directory` says that it holds a trace in parts."""
    try:
        return bool(read_object(Path(directory) / META_FILE, META_FILE, PARTED))
    except TraceError:
        return False


def open_parts(directory: str | os.PathLike[str]) -> PartedTrace:
    """What `meta.json` says of a trace in parts; a part is read when it is asked for. Raises TraceError."""
    path = Path(directory)
    try:
        found = read_object(path / META_FILE, META_FILE, PARTED)
        parts = found.get("parts")
        if not isinstance(parts, dict) or parts.get("version") != PARTS_VERSION:
            raise TraceError(META_FILE, None, f"parts: must be an object of version {PARTS_VERSION}")
        listed, identity = parts.get("listed"), parts.get("trace")
        if not isinstance(identity, str) or not isinstance(listed, list) or not listed:
            raise TraceError(META_FILE, None, "parts: must name the trace and list its parts")
        for one in listed:
            _check_entry(one)
        return PartedTrace(path, meta_of(found), identity, tuple(listed))
    except TraceError as error:
        raise TraceError(str(path / error.file), error.row, error.rule) from error.__cause__


def write_parts(directory: str | os.PathLike[str], meta: Meta, parts: Iterable[Part], of: int) -> None:
    """Store a trace part by part: `of` parts, in order, of which one at a time is looked at.

    `directory` appears whole or not at all, as with `write`; each part is validated. Raises TraceError, RmaplabError.
    """
    target = Path(directory)

    def fill(folder: Path) -> None:
        fill_parts(folder, meta, parts, of)

    with told(target, pl.exceptions.PolarsError):
        check_replaceable(target)
        write_folder(target, fill)


def fill_parts(folder: Path, meta: Meta, parts: Iterable[Part], of: int) -> None:
    """Write the files of a trace in parts into `folder`. What else a part's directory holds is left alone."""
    identity = secrets.token_hex(8)
    listed = []
    for index, part in enumerate(parts):
        validate(part.trace)
        place = folder / part_name(index)
        place.mkdir(exist_ok=True)
        listed.append(_write_part(place, part, {"trace": identity, "part": index, "of": of}))
    if len(listed) != of:
        raise ValueError(f"{len(listed)} parts: must be {of}")
    own = {"parts": {"version": PARTS_VERSION, "trace": identity, "listed": listed}}
    write_object(folder / META_FILE, {"format": PARTED, **meta_object(meta), **own})


def part_name(index: int) -> str:
    """The directory of a part."""
    return f"part-{index:05d}"


def _write_part(folder: Path, part: Part, place: dict[str, object]) -> dict[str, object]:
    """Write one; what meta.json says of it."""
    trace, first = part.trace, pl.lit(part.first_folio, pl.UInt32)
    tables = {
        "folios": trace.folios.with_columns(folio=pl.col("folio") + first),
        "events": trace.events.with_columns(folio=pl.col("folio") + first, row=pl.Series(part.event_rows)),
        "questions": trace.questions.with_columns(folio=pl.col("folio") + first, row=pl.Series(part.question_rows)),
    }
    sums = write_tables(folder, *tables.values(), pfns=trace.meta.pfns)
    about = {"format": PART_FORMAT, "version": PARTS_VERSION, **place, "sha256": sums}
    write_object(folder / PART_FILE, about)
    sizes = {name: len(table) for name, table in tables.items()}
    return {"first_folio": part.first_folio, **sizes, "sha256": sha256_of(folder / PART_FILE)}


def _check_entry(one: object) -> None:
    numbers = ("first_folio", "folios", "events", "questions")
    if not isinstance(one, dict) or not isinstance(one.get("sha256"), str):
        raise TraceError(META_FILE, None, f"parts: {str(one)[:40]!r}: must be an object with a sha256")
    for name in numbers:
        if type(one.get(name)) is not int or not 0 <= one[name] < 1 << 32:
            raise TraceError(META_FILE, None, f"parts: {name} {one.get(name)!r}: must be in 0 .. {(1 << 32) - 1}")


def _rows(file: str, table: pl.DataFrame) -> NDArray[np.uint64]:
    if table.schema.get("row") != pl.UInt64 or table["row"].null_count():
        raise TraceError(file, None, "row: must be a column of 64-bit numbers, none null")
    rows: NDArray[np.uint64] = table["row"].to_numpy()
    if len(falls := np.flatnonzero(rows[1:] <= rows[:-1])):
        raise TraceError(file, int(falls[0]) + 1, f"row {rows[falls[0] + 1]}: rows must ascend")
    return rows


def _renumbered(file: str, table: pl.DataFrame, first: int) -> pl.DataFrame:
    """Folios counted from the part's first."""
    if table.schema.get("folio") != pl.UInt32:
        raise TraceError(file, None, "folio: must be a column of 32-bit numbers")
    if len(below := np.flatnonzero((table["folio"] < first).fill_null(False).to_numpy())):
        at = int(below[0])
        raise TraceError(file, at, f"folio {table['folio'][at]}: the part begins at folio {first}")
    return table.with_columns(folio=pl.col("folio") - pl.lit(first, pl.UInt32))
