"""What a fleet's summaries say together: who copies for nothing, what a precise kernel would save, and where to look.

For `rmaplab fleet report`. Sums are of an average day: a host's looks of one day count as one, their mean; days count as
one too. Polars reads lazily and in pieces; O(rows), memory by the number of (host, image) pairs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from rmaplab.errors import RmaplabError
from rmaplab.fleet.store import NO_SUMMARY, scan, whose_fault
from rmaplab.fleet.summary import AGE_NAMES, VERSION

_KNOWN: Final = ("mms", "resident", "exclusive")
_ASKED: Final = ("false_shared", "needless")
"""Sums that are known wherever there was a look, and those that take a kernel that answers."""
_FEWEST: Final = 8
"""Hosts that have a program, for one of them to be an outlier."""
_FAR: Final = 6.0
"""Outlier: so many times the median distance from the median, and at least _LEAST bytes of it."""
_LEAST: Final = 1 << 20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """Tables, as rows; bytes unless named otherwise. None is unknown.

    `fleet`: hosts, days, looks, MMs, `resident`, `exclusive`, `false_shared`, `needless`; hosts whose looks were no more
    than an estimate, and hosts whose kernel could not be asked: the last two sums are without these. `groups`: the same
    by `by`, most needless first. `erosion`: of anonymous memory by `by` and age, how much is shared. `kernels`, `orders`:
    the same sums by kernel release, and by kind and order of the folios. `outliers`: hosts on which a program has far
    more that is copied for nothing, per MM, than on most.
    """

    by: str
    fleet: Row
    groups: list[Row]
    erosion: list[Row]
    kernels: list[Row]
    orders: list[Row]
    outliers: list[Row]

    def to_dict(self) -> dict[str, Any]:
        names = ("by", "fleet", "groups", "erosion", "kernels", "orders", "outliers")
        return {name: getattr(self, name) for name in names}


def answer(place: str, by: str = "image", top: int = 20) -> Answer:
    """Read all summaries below `place` (directory or URL). `by`: image, command or cgroup; `top`: rows of each table.

    Raises RmaplabError naming a summary that cannot be read, or where there is none.
    """
    try:
        frames = _collected(scan(place), by)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise whose_fault(place, error) from error
    if frames["looks"].is_empty():
        raise RmaplabError(f"{place}: {NO_SUMMARY}")
    if set(frames["looks"]["version"].unique()) - {VERSION}:
        raise whose_fault(place, RmaplabError("an unknown version"))
    return _answer(frames, by, top)


def _collected(pieces: Iterable[pl.LazyFrame], by: str) -> dict[str, pl.DataFrame]:
    """The few aggregates that everything else is made of; each piece is read once, and forgotten.

    Pieces fit in memory, and Polars' streaming engine gains nothing on many small files.
    """
    columns = ["day", "host", "taken", "kernel", "exactness", "version", by, "age", "kind", "order", *_KNOWN, *_ASKED]
    found = [_aggregated(piece.select(columns).collect(), by) for piece in pieces]
    return {name: pl.concat([one[name] for one in found]) for name in found[0]}


def _aggregated(rows: pl.DataFrame, by: str) -> dict[str, pl.DataFrame]:
    """Sums within each host and day."""
    sums = [pl.col(name).sum() for name in _KNOWN] + [_unless_unknown(name) for name in _ASKED]
    lazy, memory = rows.lazy(), pl.col("kind") != "mms"
    queries = {
        "looks": lazy.group_by("day", "host", "kernel").agg(
            pl.col("taken").n_unique().alias("looks"),
            (pl.col("exactness") != "exact").any().alias("estimate"),
            pl.col("version").max(),
            pl.col("needless").is_null().any().alias("unasked"),
        ),
        "groups": lazy.group_by("day", "host", "kernel", by).agg(*sums),
        "ages": lazy.filter(pl.col("kind") == "anon")
        .group_by("day", "host", by, "age")
        .agg(pl.col("resident", "exclusive").sum()),
        "orders": lazy.filter(memory).group_by("day", "host", "kind", "order").agg(*sums[1:]),
    }
    return dict(zip(queries, pl.collect_all(list(queries.values())), strict=True))


def _answer(frames: Mapping[str, pl.DataFrame], by: str, top: int) -> Answer:
    looks = frames["looks"]
    days = looks["day"].n_unique()
    per_day = looks.group_by("day", "host").agg(pl.col("looks").sum())
    groups = _weighted(frames["groups"], per_day, days)
    named = groups.group_by(by).agg(pl.col("host").n_unique().alias("hosts"), *_totals())
    kernels = groups.group_by("kernel").agg(pl.col("host").n_unique().alias("hosts"), *_totals())
    return Answer(
        by=by,
        fleet=_fleet(looks, groups, days),
        groups=_rows(named.sort("needless", "resident", by, descending=[True, True, False]).head(top)),
        erosion=_erosion(_weighted(frames["ages"], per_day, days), by, named, top),
        kernels=_rows(_shares(kernels).sort("resident", "kernel", descending=[True, False])),
        orders=_rows(
            _weighted(frames["orders"], per_day, days)
            .group_by("kind", "order")
            .agg(*(one for one in _totals() if one.meta.output_name() != "mms"))
            .sort("kind", "order")
        ),
        outliers=_outliers(groups, by, top),
    )


def _weighted(frame: pl.DataFrame, per_day: pl.DataFrame, days: int) -> pl.DataFrame:
    """A host's looks of a day as one, all days as one: sums of an average day."""
    sums = [name for name in (*_KNOWN, *_ASKED) if name in frame.columns]
    joined = frame.join(per_day, on=["day", "host"])
    return joined.with_columns(pl.col(sums) / (pl.col("looks") * days)).drop("looks", "day")


def _unless_unknown(name: str) -> pl.Expr:
    """The sum within a host; unknown if part of it is."""
    return pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name)


def _totals() -> list[pl.Expr]:
    """Sums over hosts: of those that know; unknown if none does."""
    known = [pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in _ASKED]
    return [*(pl.col(name).sum() for name in _KNOWN), *known]


def _shares(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        (pl.col(name) / pl.col("resident")).alias(f"{name}_share") for name in ("exclusive", "false_shared", "needless")
    )


def _fleet(looks: pl.DataFrame, groups: pl.DataFrame, days: int) -> Row:
    (sums,) = _rows(groups.select(_totals()))
    return {
        "hosts": looks["host"].n_unique(),
        "days": days,
        "looks": int(looks["looks"].sum()),
        **sums,
        "estimate_hosts": looks.filter("estimate")["host"].n_unique(),
        "unasked_hosts": looks.filter("unasked")["host"].n_unique(),
    }


def _erosion(ages: pl.DataFrame, by: str, named: pl.DataFrame, top: int) -> list[Row]:
    """Share of anonymous memory that others map too, by age, of the programs with most memory."""
    largest = named.sort("resident", by, descending=[True, False]).head(top).select(by)
    found = (
        ages.join(largest, on=by, how="semi")
        .group_by(by, "age")
        .agg(pl.col("resident", "exclusive").sum())
        .with_columns(shared_share=(1 - pl.col("exclusive") / pl.col("resident")))
        .sort(by, "age")
    )
    return [{**row, "age": AGE_NAMES[min(row["age"], len(AGE_NAMES) - 1)]} for row in _rows(found)]


def _outliers(groups: pl.DataFrame, by: str, top: int) -> list[Row]:
    """Hosts far from the median of all hosts with the same program, in bytes copied for nothing per MM."""
    each = (
        groups.group_by("host", by)
        .agg(pl.col("mms").sum(), _unless_unknown("needless"))
        .filter((pl.col("mms") > 0) & pl.col("needless").is_not_null())
        .with_columns(per_mm=pl.col("needless") / pl.col("mms"))
        .with_columns(median=pl.col("per_mm").median().over(by), among=pl.len().over(by))
        .with_columns(spread=(pl.col("per_mm") - pl.col("median")).abs().median().over(by))
        .with_columns(above=pl.col("per_mm") - pl.col("median"))
        .filter((pl.col("among") >= _FEWEST) & (pl.col("above") > _FAR * pl.col("spread")) & (pl.col("above") >= _LEAST))
        .sort("above", "host", by, descending=[True, False, False])
        .head(top)
        .select("host", by, "mms", "needless", "per_mm", "median", "among")
    )
    return _rows(each)


def _rows(frame: pl.DataFrame) -> list[Row]:
    """Rows with bytes and counts as whole numbers, shares as they are."""
    whole = [name for name in (*_KNOWN, *_ASKED, "per_mm", "median") if name in frame.columns]
    return frame.with_columns(pl.col(whole).round().cast(pl.Int64)).to_dicts()
