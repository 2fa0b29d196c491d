"""The sum of a watch as tables: processes, mappings and stacks, as CSV or Parquet.

For `rmaplab watch --csv` and `--parquet`. What is a list in the JSON is a table of its own, joined by `number`.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rmaplab.system import files
from rmaplab.text import plain

Row = dict[str, Any]


def processes(found: Row) -> list[Row]:
    """A row a process: what is one value in the JSON."""
    return [
        {key: value for key, value in row.items() if not isinstance(value, list)} for row in plain(found["processes"])
    ]


def _parts(found: Row, key: str) -> list[Row]:
    return [{"number": one["number"]} | row for one in plain(found["processes"]) for row in one.get(key, [])]


def _stacks(found: Row) -> list[Row]:
    return [row | {"frames": " < ".join(row["frames"])} for row in plain(found["stacks"])]


def write_csv(found: Row, path: Path) -> None:
    """The processes. Raises RmaplabError, NotAvailable."""
    rows, out = processes(found), io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # All texts in quotes: csv leaves a carriage return alone, and readers take one for the end of the row.
    writer = csv.DictWriter(out, columns, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(rows)
    files.write_file(path, out.getvalue(), private=True)


def write_parquet(found: Row, folder: Path) -> None:
    """processes, vmas, ages, cgroups and stacks, a file each. Raises RmaplabError, NotAvailable."""
    import polars as pl  # noqa: PLC0415  (only who asks for Parquet waits for it)

    tables: dict[str, Callable[[], list[Row]]] = {
        "processes": lambda: processes(found),
        "vmas": lambda: _parts(found, "by_vma"),
        "ages": lambda: _parts(found, "by_age"),
        "cgroups": lambda: plain(found["cgroups"]),
        "stacks": lambda: _stacks(found),
    }

    def fill(place: Path) -> None:
        for name, rows in tables.items():
            pl.DataFrame(rows(), infer_schema_length=None).write_parquet(place / f"{name}.parquet")

    with files.told(folder):
        files.write_folder(folder, fill)
