"""Cut a trace into parts by folio, in bounded memory.

For `rmaplab trace split`. First the events are counted by ranges of folios, and the ranges cut into parts of about equal
size; then the tables are read once, in pieces, and what belongs to a part is put into files of its own; at last each
part is put together, validated and written. O(rows); memory: a piece of `_ROWS` rows, then the largest part.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.errors import RmaplabError
from rmaplab.system.files import told, write_folder
from rmaplab.trace.errors import TraceError
from rmaplab.trace.parquet import check_replaceable, read_meta, sha256_of
from rmaplab.trace.parts import MOST_PARTS, Part, fill_parts, part_name
from rmaplab.trace.tables import EVENTS, FOLIOS, QUESTIONS, Meta, Trace
from rmaplab.trace.validate import EVENTS_FILE, FOLIOS_FILE, META_FILE, QUESTIONS_FILE

USUAL_EVENTS: Final = 4_000_000
"""Events a part has where nobody says how many parts: judged in about 1 GB."""

_SCHEMAS: Final = {FOLIOS_FILE: FOLIOS, EVENTS_FILE: EVENTS, QUESTIONS_FILE: QUESTIONS}
_ROWS: Final = 8_000_000
_RANGES: Final = 1 << 20


def split(source: str | os.PathLike[str], target: str | os.PathLike[str], parts: int | None = None) -> int:
    """Write the trace in directory `source` as a trace in parts to `target`; how many parts it has.

    `parts`: at most so many, of about as many events each; fewer where there are fewer folios. A folio is never cut.
    `target` appears whole or not at all. Raises TraceError, RmaplabError.
    """
    place, folder = Path(target), Path(source)
    if parts is not None and not 1 <= parts <= MOST_PARTS:
        raise RmaplabError(f"parts: {parts}: must be in 1 .. {MOST_PARTS}")
    if os.path.realpath(place) == os.path.realpath(folder):
        raise RmaplabError(f"{place}: must be another directory than the trace that is split")
    try:
        meta = _checked(folder)
    except TraceError as error:
        raise TraceError(str(folder / error.file), error.row, error.rule) from error.__cause__
    cuts = _cuts(folder, parts)

    def fill(into: Path) -> None:
        for name in (EVENTS_FILE, QUESTIONS_FILE):
            _spill(folder, name, cuts, into)
        fill_parts(into, meta, _put_together(folder, meta, cuts, into), len(cuts) - 1)
        for spilled in into.glob("part-*/*.spill"):
            spilled.unlink()

    with told(place, pl.exceptions.PolarsError):
        check_replaceable(place)
        write_folder(place, fill)
    return len(cuts) - 1


def parts_of(trace: Trace, parts: int) -> Iterator[Part]:
    """A trace in memory, in at most `parts` parts; with `write_parts`. A trace without folios is one part."""
    counts = np.bincount(trace.events["folio"].to_numpy(), minlength=len(trace.folios))
    cuts = _cut(counts, len(trace.folios), 1, parts)
    events, questions = (table.with_row_index("row") for table in (trace.events, trace.questions))
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        mine = pl.col("folio").is_between(low, high - 1)
        yield _part(trace.folios[low:high], events.filter(mine), questions.filter(mine), low, trace.meta)


def _checked(folder: Path) -> Meta:
    """The trace's Meta, once its files are known to be whole and of the right schemas."""
    meta, sums = read_meta(folder)
    for name, schema in _SCHEMAS.items():
        try:
            if (found := sha256_of(folder / name)) != sums.get(name):
                raise TraceError(name, None, f"SHA-256 {found}: must be {sums.get(name)} as in {META_FILE}")
            columns = _scan(folder, name).collect_schema()
        except OSError as error:
            raise TraceError(name, None, f"cannot be read: {error.strerror or error}") from error
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise TraceError(name, None, f"is not Parquet: {error}") from error
        if columns != schema:
            raise TraceError(name, None, f"columns {', '.join(columns)}: must be {', '.join(schema)}")
    return meta


def _scan(folder: Path, name: str) -> pl.LazyFrame:
    """A table, unread. Polars takes no path that is not UTF-8."""
    path = os.fspath(folder / name)
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise TraceError(name, None, "cannot be split: its path is not UTF-8") from error
    return pl.scan_parquet(path, glob=False)


def _cuts(folder: Path, parts: int | None) -> NDArray[np.int64]:
    """First folio of each part, and at last the number of folios."""
    folios = int(_scan(folder, FOLIOS_FILE).select(pl.len()).collect().item())
    width = folios // _RANGES + 1
    counted = (
        _scan(folder, EVENTS_FILE)
        .group_by(pl.col("folio") // width)
        .agg(pl.len().cast(pl.Int64))
        .collect(engine="streaming")
    )
    counts = np.zeros(folios // width + 1, np.int64)
    known = counted.filter(pl.col("folio") < len(counts))
    counts[known["folio"].to_numpy()] = known["len"].to_numpy()
    wanted = parts or max(1, -(-int(counts.sum()) // USUAL_EVENTS))
    return _cut(counts, folios, width, min(wanted, MOST_PARTS))


def _cut(counts: NDArray[np.int64], folios: int, width: int, parts: int) -> NDArray[np.int64]:
    """Cuts at multiples of `width`, so that each part has about as many events; a folio weighs something too."""
    weight = np.cumsum(counts.astype(np.float64) + 1e-3 * width)
    goals = weight[-1] * np.arange(1, parts) / parts if len(weight) else np.zeros(0)
    inner = np.minimum((np.searchsorted(weight, goals) + 1) * width, folios)
    return np.unique(np.concatenate([[0], inner, [folios]])).astype(np.int64) if folios else np.zeros(2, np.int64)


def _spill(folder: Path, name: str, cuts: NDArray[np.int64], into: Path) -> None:
    """Put every part's rows of one table into files of its own, in order."""
    scanned = _scan(folder, name).with_row_index("row").with_columns(pl.col("row").cast(pl.UInt64))
    waiting: list[pl.DataFrame] = []
    number = 0
    for batch in scanned.collect_batches(maintain_order=True, engine="streaming"):
        waiting.append(batch)
        if sum(map(len, waiting)) >= _ROWS:
            _flush(waiting, f"{name}.{number:05d}.spill", cuts, into)
            number += 1
            waiting = []
    if waiting:
        _flush(waiting, f"{name}.{number:05d}.spill", cuts, into)


def _flush(waiting: list[pl.DataFrame], name: str, cuts: NDArray[np.int64], into: Path) -> None:
    rows = pl.concat(waiting)
    place = np.searchsorted(cuts[1:-1], rows["folio"].to_numpy(), side="right")
    for (index,), some in rows.with_columns(at=place).partition_by("at", as_dict=True, maintain_order=True).items():
        part = into / part_name(index)
        part.mkdir(exist_ok=True)
        with (part / name).open("wb") as file:
            some.drop("at").write_ipc(file)


def _put_together(folder: Path, meta: Meta, cuts: NDArray[np.int64], into: Path) -> Iterator[Part]:
    for index, (low, high) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
        folios = _scan(folder, FOLIOS_FILE).slice(low, high - low).collect()
        spilled = into / part_name(index)
        yield _part(folios, _gather(spilled, EVENTS_FILE, EVENTS), _gather(spilled, QUESTIONS_FILE, QUESTIONS), low, meta)


def _gather(folder: Path, name: str, schema: pl.Schema) -> pl.DataFrame:
    """What was spilled of one table, in order."""
    none = pl.DataFrame(schema={"row": pl.UInt64, **schema})
    return pl.concat([none, *(pl.read_ipc(one.read_bytes()) for one in sorted(folder.glob(f"{name}.*.spill")))])


def _part(folios: pl.DataFrame, events: pl.DataFrame, questions: pl.DataFrame, first: int, meta: Meta) -> Part:
    """A part from rows of the whole, with their `row`."""

    def own(table: pl.DataFrame) -> pl.DataFrame:
        return table.drop("row", strict=False).with_columns(folio=pl.col("folio") - pl.lit(first, pl.UInt32))

    rows = (table["row"].cast(pl.UInt64).to_numpy() for table in (events, questions))
    return Part(Trace(own(folios), own(events), own(questions), meta), first, *rows)
