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
_TABLES: Final = (FOLIOS_FILE, EVENTS_FILE, QUESTIONS_FILE)
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
        _check_replaceable(target)
        write_folder(target, partial(_write_files, trace))


def check_place(directory: str | os.PathLike[str]) -> None:
    """Raise RmaplabError where `write` to `directory` is bound to fail: for recorders, before they begin."""
    target = Path(directory)
    with told(target):
        _check_replaceable(target)
        above = next(parent for parent in Path(os.path.realpath(target)).parents if os.path.lexists(parent))
    if not above.is_dir():
        raise failure(target, None, f"{above} is not a directory")
    if not os.access(above, os.W_OK | os.X_OK):
        raise failure(target, None, f"{above} is not writable")


def read(directory: str | os.PathLike[str]) -> Trace:
    """Load and validate a trace. Raises TraceError naming file, row and rule for whatever is wrong with it."""
    source = Path(directory)
    try:
        meta, sums = _read_meta(source)
        folios, events, questions = (_read_table(source, name, sums.get(name)) for name in _TABLES)
        trace = Trace(folios, events, questions, meta)
        validate(trace)
    except TraceError as error:
        raise TraceError(str(source / error.file), error.row, error.rule) from error.__cause__
    return trace


def _check_replaceable(target: Path) -> None:
    try:
        os.stat(target)
    except FileNotFoundError:
        return
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from error
    names = {entry.name for entry in target.iterdir()} if target.is_dir() else {target.name}
    if names and (META_FILE not in names or not names <= {*_TABLES, META_FILE}):
        raise TraceError(str(target), None, "exists and is not a trace: will not be replaced")
    if names:
        _meta_object(target, str(target / META_FILE))


def _write_files(trace: Trace, directory: Path) -> None:
    folios = trace.folios
    if not trace.meta.pfns:
        folios = folios.with_columns(pfn=pl.lit(None, pl.UInt64))
    for name, table in zip(_TABLES, (folios, trace.events, trace.questions), strict=True):
        with (directory / name).open("wb") as file:  # a path that is no UTF-8 is none to Polars
            table.write_parquet(file)
    sums = {name: _sha256(directory / name) for name in _TABLES}
    names = {str(mm): name for mm, name in sorted(trace.meta.names.items())}
    own = {"stats": dict(trace.meta.stats), "names": names, "sha256": sums}
    meta = {"format": FORMAT, **asdict(trace.meta), **own}
    text = json.dumps(meta, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        text = for_json(text)  # a name that was no UTF-8; valid text stays as it is
    (directory / META_FILE).write_text(text + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _meta_object(directory: Path, shown: str) -> dict[str, Any]:
    """The JSON object in meta.json, if it says that it belongs to a trace."""
    try:
        found = json.loads((directory / META_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise TraceError(shown, None, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TraceError(shown, None, f"is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise TraceError(shown, None, f'must be an object with "format": "{FORMAT}"')
    return found


def _read_meta(directory: Path) -> tuple[Meta, dict[str, Any]]:
    found = _meta_object(directory, META_FILE)
    if found.get("version") != FORMAT_VERSION:
        raise TraceError(META_FILE, None, f"version {found.get('version')!r}: must be {FORMAT_VERSION}")
    sums = found.get("sha256")
    if not isinstance(sums, dict):
        raise TraceError(META_FILE, None, "sha256: must give a sum for each table")
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
    return Meta(**values), sums


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


def _read_table(directory: Path, name: str, expected: object) -> pl.DataFrame:
    path = directory / name
    try:
        found = _sha256(path)
        if found != expected:
            raise TraceError(name, None, f"SHA-256 {found}: must be {expected} as in {META_FILE}; cut off or changed")
        with path.open("rb") as file:
            return pl.read_parquet(file)
    except OSError as error:
        raise TraceError(name, None, f"cannot be read: {error.strerror or error}") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise TraceError(name, None, f"is not Parquet: {error}") from error
