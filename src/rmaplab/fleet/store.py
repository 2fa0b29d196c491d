"""Summaries on disk or in an object store: `day=YYYY-MM-DD/host=NAME/TIME.parquet` below one place.

For `rmaplab fleet`. Reading is lazy: nothing is loaded but the columns a question needs.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.fleet.summary import SCHEMA, VERSION, as_parquet
from rmaplab.system.files import told, write_file

_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_PIECE: Final = 5_000
"""Files that are read together."""
NO_SUMMARY: Final = "holds no summary (day=.../host=.../*.parquet)"
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://.+")


def checked_host(name: str) -> str:
    """`name`, if it can be a directory's and a partition's. Raises RmaplabError."""
    if not _HOST.fullmatch(name):
        rule = "must be 1 .. 253 letters, digits, '.', '_' or '-', the first a letter or digit"
        raise RmaplabError(f"host {name[:40]!r}: {rule}")
    return name


def store(summary: pl.DataFrame, directory: Path, host: str) -> Path:
    """Write one host's summary below `directory`; where it is. Raises RmaplabError."""
    checked_host(host)
    when = time.gmtime(summary["taken"].max() or 0)  # type: ignore[arg-type]
    folder = directory / f"day={time.strftime('%Y-%m-%d', when)}" / f"host={host}"
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%H%M%S', when)}.parquet"
    write_file(path, as_parquet(summary), private=True)
    return path


def scan(place: str) -> Iterator[pl.LazyFrame]:
    """All summaries below a directory or URL, unread, in pieces: SCHEMA with `day` and `host`. What a host says of a
    day is in one piece. Raises RmaplabError."""
    if _URL.fullmatch(place):
        yield _lazy(place.rstrip("/") + "/**/*.parquet")
        return
    root = Path(place)
    if not root.is_dir():
        raise RmaplabError(f"{place}: must be a directory or a URL")
    waiting: list[str] = []
    folder = None
    for path in _files(root):
        if len(waiting) >= _PIECE and os.path.dirname(path) != folder:
            yield _lazy(waiting)
            waiting = []
        waiting.append(path)
        folder = os.path.dirname(path)
    if folder is None:
        raise RmaplabError(f"{place}: {NO_SUMMARY}")
    yield _lazy(waiting)


def _files(root: Path) -> Iterator[str]:
    """The summaries, those of a host and day side by side. Directories are listed once, one host's at a time."""
    for day in _within(root, "day="):
        for host in _within(day, "host="):
            for entry in _within(host):
                if not entry.name.endswith(".parquet"):
                    continue
                if not entry.stat().st_size:  # Polars would pass over it
                    raise RmaplabError(f"{entry.path}: is not Parquet: it is empty")
                yield entry.path


def _within(place: os.PathLike[str], prefix: str = "") -> list[os.DirEntry[str]]:
    """A directory's entries whose names begin so, in order; of what is no directory, none."""
    try:
        with os.scandir(place) as entries:
            return sorted((one for one in entries if one.name.startswith(prefix)), key=lambda one: one.name)
    except NotADirectoryError:
        return []


def _lazy(files: str | list[str]) -> pl.LazyFrame:
    hive = {"day": pl.String, "host": pl.String}
    return pl.scan_parquet(files, schema=SCHEMA, hive_partitioning=True, hive_schema=hive)


def whose_fault(place: str, error: Exception) -> RmaplabError:
    """The error that names the summary that cannot be read, found by reading each; else what `error` says."""
    if _URL.fullmatch(place):
        return NotAvailable(f"{place}: cannot be read: {str(error).partition(chr(10))[0]}")
    for path in sorted(Path(place).glob("day=*/host=*/*.parquet")):
        try:
            found = pl.read_parquet(path.read_bytes())
        except OSError as failure:
            return RmaplabError(f"{path}: cannot be read: {failure.strerror}")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as failure:
            return RmaplabError(f"{path}: is not Parquet: {str(failure).partition(chr(10))[0]}")
        if "version" in found.columns and (other := [v for v in found["version"].unique() if v != VERSION]):
            return RmaplabError(f"{path}: version {other[0]}: must be {VERSION}")
        if found.schema != SCHEMA:
            return RmaplabError(f"{path}: columns {', '.join(found.columns)}: must be {', '.join(SCHEMA)}")
    return RmaplabError(f"{place}: cannot be read: {str(error).partition(chr(10))[0]}")
