"""Traces on disk: a directory with three Parquet files and `meta.json`.

For recorders and commands. `meta.json` is the `Meta` plus a format name and the SHA-256 of each table's file, so that
a cut off, changed or mixed up file is found before it is believed.
"""

import errno
import hashlib
import json
import os
import re
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from rmaplab.system.files import failure, told, write_folder
from rmaplab.text import for_json
from rmaplab.trace.errors import TraceError
from rmaplab.trace.tables import FORMAT_VERSION, Meta, Trace
from rmaplab.trace.validate import EVENTS_FILE, FOLIOS_FILE, META_FILE, QUESTIONS_FILE, validate
from rmaplab.trace.vocabulary import UNOBSERVED

FORMAT: Final = "rmaplab trace"
PARTED: Final = "rmaplab trace in parts"
PART: Final = re.compile(r"part-[0-9]{5}")
"""Directories of a trace in parts (`rmaplab.trace.parts`)."""
TABLES: Final = (FOLIOS_FILE, EVENTS_FILE, QUESTIONS_FILE)
_RMAP_ID: Final = re.compile(r"[1-9][0-9]{0,9}")
_META_TYPES: Final[dict[str, type]] = {
    "source": str,
    "kernel": str,
    "page_size": int,
    "exactness": str,
    "why": str,
    "scenario": str,
    "host": str,
    "pfns": bool,
    "stats": dict,
    "version": int,
}


def write(trace: Trace, directory: str | os.PathLike[str]) -> None:
    """Store a valid trace. `directory` appears whole or not at all; an older trace of that name is replaced.

    PFNs are left out unless `meta.pfns`. Raises TraceError for an invalid trace and where `directory` exists and is
    neither a trace nor an empty directory; RmaplabError, or NotAvailable (a full disk), where it cannot be written.
    """
    target = Path(directory)
    validate(trace)
    with told(target, pl.exceptions.PolarsError):
        check_replaceable(target)
        write_folder(target, partial(_write_files, trace))


def check_place(directory: str | os.PathLike[str]) -> None:
    """Raise RmaplabError where `write` to `directory` is bound to fail: for recorders, before they begin."""
    target = Path(directory)
    with told(target):
        check_replaceable(target)
        above = next(parent for parent in Path(os.path.realpath(target)).parents if os.path.lexists(parent))
    if not above.is_dir():
        raise failure(target, None, f"{above} is not a directory")
    if not os.access(above, os.W_OK | os.X_OK):
        raise failure(target, None, f"{above} is not writable")


def read(directory: str | os.PathLike[str]) -> Trace:
    """Load and validate a trace. Raises TraceError naming file, row and rule for whatever is wrong with it."""
    source = Path(directory)
    try:
        meta, sums = read_meta(source)
        folios, events, questions = (read_table(source, name, sums.get(name)) for name in TABLES)
        trace = Trace(folios, events, questions, meta)
        validate(trace)
    except TraceError as error:
        raise TraceError(str(source / error.file), error.row, error.rule) from error.__cause__
    return trace


def check_replaceable(target: Path) -> None:
    """Raise TraceError unless `target` is nothing yet, an empty directory or a trace, whole or in parts."""
    try:
        os.stat(target)
    except FileNotFoundError:
        return
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from error
    names = {entry.name for entry in target.iterdir()} if target.is_dir() else {target.name}
    known = all(name in (*TABLES, META_FILE) or PART.fullmatch(name) for name in names)
    if names and (META_FILE not in names or not known):
        raise TraceError(str(target), None, "exists and is not a trace: will not be replaced")
    if names:
        read_object(target / META_FILE, str(target / META_FILE), FORMAT, PARTED)


def _write_files(trace: Trace, directory: Path) -> None:
    sums = write_tables(directory, trace.folios, trace.events, trace.questions, pfns=trace.meta.pfns)
    write_object(directory / META_FILE, {"format": FORMAT, **meta_object(trace.meta), "sha256": sums})


def write_tables(
    directory: Path, folios: pl.DataFrame, events: pl.DataFrame, questions: pl.DataFrame, *, pfns: bool
) -> dict[str, str]:
    """Write the three files of a trace, or of a part of one; the SHA-256 of each."""
    if not pfns:
        folios = folios.with_columns(pfn=pl.lit(None, pl.UInt64))
    for name, table in zip(TABLES, (folios, events, questions), strict=True):
        with (directory / name).open("wb") as file:  # a path that is no UTF-8 is none to Polars
            table.write_parquet(file)
    return {name: sha256_of(directory / name) for name in TABLES}


def meta_object(meta: Meta) -> dict[str, Any]:
    """A Meta as it stands in JSON."""
    names = {str(mm): name for mm, name in sorted(meta.names.items())}
    return {**asdict(meta), "stats": dict(meta.stats), "names": names}


def write_object(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object as text that every reader takes."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        text = for_json(text)  # a name that was no UTF-8; valid text stays as it is
    path.write_text(text + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_object(path: Path, shown: str, *formats: str) -> dict[str, Any]:
    """The JSON object in a file, if its "format" is one of `formats`. Raises TraceError, calling the file `shown`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TraceError(shown, None, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TraceError(shown, None, f"is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") not in formats:
        raise TraceError(shown, None, f'must be an object with "format": "{formats[0]}"')
    return found


def read_meta(directory: Path) -> tuple[Meta, dict[str, Any]]:
    """The Meta of a trace, and the SHA-256 of its tables. Raises TraceError."""
    found = read_object(directory / META_FILE, META_FILE, FORMAT)
    return meta_of(found), sums_of(found, META_FILE)


def sums_of(found: dict[str, Any], file: str) -> dict[str, Any]:
    """The SHA-256 of each table, as `file` says."""
    sums = found.get("sha256")
    if not isinstance(sums, dict):
        raise TraceError(file, None, "sha256: must give a sum for each table")
    return sums


def meta_of(found: dict[str, Any]) -> Meta:
    """The Meta in the object of meta.json. Raises TraceError."""
    if found.get("version") != FORMAT_VERSION:
        raise TraceError(META_FILE, None, f"version {found.get('version')!r}: must be {FORMAT_VERSION}")
    values: dict[str, Any] = {}
    for name, expected in _META_TYPES.items():
        value = found.get(name)
        if type(value) is not expected:
            raise TraceError(META_FILE, None, f"{name} {value!r}: must be of type {expected.__name__}")
        values[name] = value
    for name, value in values["stats"].items():
        if type(value) not in (int, float):
            raise TraceError(META_FILE, None, f"stats {name} {value!r}: must be a number")
    values["unobserved"] = _unobserved(found.get("unobserved"), values["source"])
    values["names"] = _names(found.get("names", {}))
    return Meta(**values)


def _unobserved(found: object, source: str) -> tuple[str, ...]:
    """A recording of before the field was saw no more than one of today."""
    if found is None:
        return UNOBSERVED if source == "inspect" else ()
    if not isinstance(found, list) or not all(isinstance(what, str) for what in found):
        raise TraceError(META_FILE, None, f"unobserved {found!r}: must be a list of names")
    return tuple(found)


def _names(found: object) -> dict[int, str]:
    if not isinstance(found, dict):
        raise TraceError(META_FILE, None, f"names {found!r}: must be an object of rmap ID: name")
    for mm, name in found.items():
        if not _RMAP_ID.fullmatch(mm) or not isinstance(name, str):
            raise TraceError(META_FILE, None, f"names, {mm!r}: {name!r}: must be rmap ID: name")
    return {int(mm): name for mm, name in found.items()}


def read_table(directory: Path, name: str, expected: object) -> pl.DataFrame:
    """One table of a trace or a part, if its SHA-256 is `expected`. Raises TraceError."""
    path = directory / name
    try:
        found = sha256_of(path)
        if found != expected:
            raise TraceError(name, None, f"SHA-256 {found}: must be {expected} as in {META_FILE}; cut off or changed")
        with path.open("rb") as file:
            return pl.read_parquet(file)
    except OSError as error:
        raise TraceError(name, None, f"cannot be read: {error.strerror or error}") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise TraceError(name, None, f"is not Parquet: {error}") from error
