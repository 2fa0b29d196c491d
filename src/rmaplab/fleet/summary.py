"""A host's memory as a table of some hundred rows: no PFN, no PID, no command line; names only, hashed on wish.

For `rmaplab fleet collect`. One row per (image, command, cgroup, age, kind, order) with mapped memory, and one per
(image, command, cgroup, age) that counts its MMs. Summaries add up (`merge`), in any order; `nothing()` is neutral.
"""

import hashlib
import hmac
import io
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rmaplab.inspect.folios import COUNTED, KINDS
from rmaplab.inspect.look import Look
from rmaplab.inspect.processes import Mm, cgroup_of
from rmaplab.machine.live.proc import procfs
from rmaplab.text import for_json

VERSION: Final = 1
MOST_BYTES: Final = 100_000
"""Of a summary on disk. What is too much goes into rows called OTHER, smallest first: the sums stay."""
OTHER: Final = "(other)"
UNKNOWN: Final = "(unknown)"

AGES: Final = (60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
"""Seconds since a process began: ends of the age classes 0, 1, ...; the last class has no end."""
AGE_NAMES: Final = ("< 1 min", "< 10 min", "< 1 h", "< 6 h", "< 1 d", "< 7 d", ">= 7 d")

_NAMES: Final = ("image", "command", "cgroup")
_KEYS: Final[Mapping[str, Any]] = {
    "version": pl.UInt8,
    "taken": pl.Int64,
    "kernel": pl.String,
    "exactness": pl.String,
    **dict.fromkeys(_NAMES, pl.String),
    "age": pl.UInt8,
    "kind": pl.String,
    "order": pl.UInt8,
}
_SUMS: Final[Mapping[str, Any]] = dict.fromkeys(("mms", "resident", "exclusive", "false_shared", "needless"), pl.Int64)
SCHEMA: Final = pl.Schema({**_KEYS, **_SUMS})
"""`taken`: Unix time of the look. `image`: file name of the program; `command`: its name (comm). `kind`: anon, file,
shmem, ksm; or mms, and then only `mms` is not 0. `mms`: address spaces. In bytes, as often as they are mapped:
`resident`; `exclusive`: in folios that one MM maps; of these `false_shared`: in folios that the kernel takes for shared,
and `needless`: what a write would copy of them by the kernel's rule and not by a precise one. The last two are null where
the kernel could not be asked (large folios without BPF): unknown, not 0."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """Names replaced by a keyed hash: equal names stay equal within a fleet that shares the key, and cannot be guessed
    without it."""

    key: bytes

    def __call__(self, name: str) -> str:
        if name in (OTHER, UNKNOWN):
            return name
        return "h" + hmac.new(self.key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]


def summarise(look: Look, hashed: Hashed | None = None) -> pl.DataFrame:
    """The summary of a look at all processes: SCHEMA, sorted. O(mappings)."""
    snapshot = look.snapshot
    groups, of_mm = _groups(snapshot.mms, snapshot.began, hashed)
    wanted = np.isin(np.arange(len(snapshot.mms)), snapshot.targets)
    rows = [*_mms(groups, of_mm[wanted]), *_memory(look, groups, of_mm)]
    head = {
        "version": VERSION,
        "taken": int(snapshot.began),
        "kernel": for_json(os.uname().release),
        "exactness": look.exactness.label,
    }
    return merge(pl.DataFrame([{**head, **row} for row in rows], schema=SCHEMA), nothing())


def nothing() -> pl.DataFrame:
    """The summary of no host."""
    return pl.DataFrame(schema=SCHEMA)


def merge(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Both: rows of the same key are added; what one does not know, the sum does not."""
    both = pl.concat([one, other])
    sums = [pl.when(pl.col(name).null_count() > 0).then(None).otherwise(pl.col(name).sum()).alias(name) for name in _SUMS]
    return both.group_by(list(_KEYS)).agg(sums).select(list(SCHEMA)).sort(list(_KEYS), nulls_last=True)


def as_parquet(summary: pl.DataFrame) -> bytes:
    """At most MOST_BYTES of Parquet; names of the smallest groups give way if it has to be."""
    made = _parquet(summary)
    keep = summary.select(_NAMES).n_unique()
    while len(made) > MOST_BYTES and keep > 1:
        keep = min(keep // 2, keep * MOST_BYTES // len(made))
        made = _parquet(_folded(summary, keep))
    return made


def _folded(summary: pl.DataFrame, keep: int) -> pl.DataFrame:
    """The `keep` largest groups by name, all others as one."""
    sizes = summary.group_by(_NAMES).agg(pl.col("resident").sum()).sort("resident", *_NAMES, descending=True)
    kept = summary.join(sizes.head(keep), on=_NAMES, how="semi")
    rest = summary.join(sizes.head(keep), on=_NAMES, how="anti").with_columns(pl.lit(OTHER).alias(n) for n in _NAMES)
    return merge(kept, rest)


def _parquet(summary: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    summary.write_parquet(file, compression="zstd", statistics=False)
    return file.getvalue()


def _groups(mms: tuple[Mm, ...], now: float, hashed: Hashed | None) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """The distinct (image, command, cgroup, age), and which of them each MM has."""
    booted = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = os.sysconf("SC_CLK_TCK")
    known: dict[tuple[str, str, str, int], int] = {}
    which = []
    for mm in mms:
        leader = mm.leader
        names = [for_json(n) for n in (_image(leader.tid), leader.name or UNKNOWN, _cgroup(leader.pid))]
        image, command, cgroup = names if hashed is None else map(hashed, names)
        age = int(np.searchsorted(AGES, now - booted - leader.start / ticks, side="right"))
        which.append(known.setdefault((image, command, cgroup, age), len(known)))
    return [dict(zip((*_NAMES, "age"), key, strict=True)) for key in known], np.array(which, np.int64)


def _image(tid: int) -> str:
    """The file name of the program a process runs, without its directory."""
    try:
        path = os.readlink(f"{procfs.PROC}/{tid}/exe")
    except OSError:
        return UNKNOWN
    return os.path.basename(path.removesuffix(" (deleted)")) or UNKNOWN


def _cgroup(pid: int) -> str:
    from_kernel = cgroup_of(pid)
    return UNKNOWN if from_kernel == "?" else from_kernel


def _mms(groups: list[dict[str, Any]], chosen: NDArray[np.int64]) -> list[dict[str, Any]]:
    counts = np.bincount(chosen, minlength=len(groups)).tolist()
    none = dict.fromkeys(_SUMS, 0)
    return [
        {**group, "kind": "mms", "order": None, **none, "mms": n} for group, n in zip(groups, counts, strict=True) if n
    ]


def _memory(look: Look, groups: list[dict[str, Any]], of_mm: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Rows of groups, kinds and orders with mapped memory."""
    snapshot, sharing = look.snapshot, look.snapshot.sharing
    orders = int(sharing.folios.order.max(initial=0)) + 1
    cells = len(groups) * COUNTED * orders

    def cell(owner: NDArray[np.int64], folio: NDArray[np.int64]) -> NDArray[np.int64]:
        kind, order = sharing.folios.kind[folio].astype(np.int64), sharing.folios.order[folio].astype(np.int64)
        return (of_mm[owner] * COUNTED + kind) * orders + order

    resident, exclusive = np.zeros(cells), np.zeros(cells)
    targets = np.isin(np.arange(len(snapshot.mms)), snapshot.targets)
    for rows in sharing.rows():
        owner = sharing.owner[rows.extent].astype(np.int64)
        mine = (sharing.folios.kind[rows.folio] < COUNTED) & targets[owner]
        place = cell(owner[mine], rows.folio[mine])
        resident += np.bincount(place, rows.pages[mine], cells)
        exclusive += np.bincount(place, np.where(rows.folio_owners[mine] == 1, rows.pages[mine], 0), cells)
    false_shared, needless, asked = _wrongly(look, cell, cells)
    made = []
    for at in np.flatnonzero(resident).tolist():
        group, rest = divmod(at, COUNTED * orders)
        kind, order = divmod(rest, orders)
        known = asked or order == 0
        sizes = {"resident": resident[at], "exclusive": exclusive[at]}
        sizes |= {"false_shared": false_shared[at], "needless": needless[at]}
        in_bytes: dict[str, int | None] = {name: round(n * snapshot.page_size) for name, n in sizes.items()}
        if not known:
            in_bytes |= {"false_shared": None, "needless": None}
        made.append({**groups[group], "kind": KINDS[kind], "order": order, "mms": 0, **in_bytes})
    return made


def _wrongly(look: Look, cell: Any, cells: int) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Pages of folios one MM maps that the kernel takes for shared, and that it would copy needlessly; whether asked."""
    none = np.zeros(cells)
    large = look.scope.large
    if large is None or large.state is None:
        return none, none, False
    sharing = look.snapshot.sharing
    asked = large.asked
    row = large.row[large.false_shared]
    if not len(row):
        return none, none, asked
    mappings = sharing.mappings()
    owner = mappings.owner[np.searchsorted(mappings.folio, row)].astype(np.int64)
    place = cell(owner, row)
    mapped, needless = np.zeros(cells), np.zeros(cells)
    np.add.at(mapped, place, sharing.mapped_of(row))
    np.add.at(needless, place, large.needless[large.false_shared])
    return mapped, needless, asked
