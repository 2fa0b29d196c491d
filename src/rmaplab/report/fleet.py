"""What a fleet's summaries say, for people and machines: tables, one page, OpenMetrics.

For `rmaplab fleet report`. From an `Answer`; computes nothing.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

import polars as pl

from rmaplab.extras import charts
from rmaplab.fleet import Answer
from rmaplab.fleet.summary import AGE_NAMES
from rmaplab.report.console import table
from rmaplab.report.run import size
from rmaplab.report.sheet import Sheet
from rmaplab.text import for_json, for_terminal

_SHOWN: Final = 8
"""Programs in the plot of erosion."""
_SUMS: Final = {
    "mms": "Address spaces",
    "resident": "Memory mapped, as often as it is mapped",
    "exclusive": "Memory in folios that one MM maps",
    "false_shared": "Memory one MM maps that the kernel takes for shared",
    "needless": "What a write to all memory would copy for nothing",
}
_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 2rem}
th,td{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}h1{font-size:1.4rem}h2{font-size:1.1rem}svg{max-width:100%;height:auto}
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}th,td{border-color:#444}svg{background:#fff}}
"""


def tables(answer: Answer) -> list[Sheet | str]:
    """What the terminal shows: a sentence, then the tables."""
    return [headline(answer), *(table(title, columns, rows) for title, columns, rows in _tables(answer) if rows)]


def headline(answer: Answer) -> str:
    """The answer in one sentence or two."""
    fleet = answer.fleet
    where = f"{_count(fleet['hosts'], 'host')}, {_count(fleet['days'], 'day')}, {_count(fleet['looks'], 'look')}"
    if fleet["needless"] is None:
        return f"{where}: what is copied for nothing is unknown: no kernel could be asked about its large folios."
    said = (
        f"{where}: a write to all memory would copy {size(fleet['needless'])} for nothing that a precise kernel "
        f"would reuse, of {size(fleet['resident'])} mapped by {fleet['mms']} MMs."
    )
    if fleet["unasked_hosts"]:
        said += f" Unknown on {_count(fleet['unasked_hosts'], 'host')}, whose kernel could not be asked."
    if fleet["estimate_hosts"]:
        said += f" An estimate on {_count(fleet['estimate_hosts'], 'host')}."
    return said


def page(answer: Answer) -> str:
    """One self-contained page; it fetches nothing, and names are text. Raises NotAvailable without the extra `plot`."""
    body = [f"<h1>{_safe(headline(answer))}</h1>"]
    for title, columns, rows in _tables(answer):
        if rows:
            body.append(f"<h2>{_safe(title)}</h2>{_html(columns, rows)}")
        if title.startswith("how sharing") and rows:
            body.append(_plot(answer))
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>rmaplab fleet</title><style>{_STYLE}</style>'
    return f"{head}<body>{''.join(body)}</body></html>\n"


def metrics(answer: Answer) -> str:
    """OpenMetrics text: the sums by program (as many as the answer has), by kernel, and of the fleet."""
    lines = []
    for scope, label, rows in (
        ("group", answer.by, answer.groups),
        ("kernel", "kernel", answer.kernels),
        ("fleet", None, [answer.fleet]),
    ):
        for name, words in _SUMS.items():
            metric = f"rmaplab_{scope}_{name}" + ("" if name == "mms" else "_bytes")
            lines += [f"# TYPE {metric} gauge", *(["# UNIT " + metric + " bytes"] if name != "mms" else [])]
            lines.append(f"# HELP {metric} {words}, on an average day.")
            lines += list(_samples(metric, label, name, rows))
    for name in ("hosts", "days", "looks", "estimate_hosts", "unasked_hosts"):
        lines += [f"# TYPE rmaplab_fleet_{name} gauge", f"rmaplab_fleet_{name} {answer.fleet[name]}"]
    return "\n".join([*lines, "# EOF", ""])


def _samples(metric: str, label: str | None, name: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One line a row; what is unknown has none."""
    for row in rows:
        if row[name] is None:
            continue
        if label is None:
            yield f"{metric} {row[name]}"
            continue
        value = for_json(str(row[label])).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        yield f'{metric}{{{label}="{value}"}} {row[name]}'


def _tables(answer: Answer) -> Iterator[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Title, columns and rows of each table."""
    sums = ("MMs", "mapped", "exclusive", "taken for\nshared", "copied for\nnothing")
    yield (
        f"who copies for nothing, by {answer.by} (on an average day)",
        (answer.by, "hosts", *sums),
        [(row[answer.by], row["hosts"], *_sums(row)) for row in answer.groups],
    )
    yield (
        "kernels side by side",
        ("kernel", "hosts", *sums, "of what\nis mapped"),
        [(row["kernel"], row["hosts"], *_sums(row), _percent(row["needless_share"])) for row in answer.kernels],
    )
    yield (
        "by kind and order of the folios",
        ("kind", "order", *sums[1:]),
        [(row["kind"], row["order"], *_sums(row)[1:]) for row in answer.orders],
    )
    yield (
        "how sharing erodes after start: anonymous memory that others map too, by age of the process",
        (answer.by, *AGE_NAMES),
        _erosion(answer),
    )
    yield (
        "outliers: far more copied for nothing per MM than on most hosts with the same program",
        ("host", answer.by, "MMs", "per MM", "median", "hosts"),
        [
            (row["host"], row[answer.by], row["mms"], size(row["per_mm"]), size(row["median"]), row["among"])
            for row in answer.outliers
        ],
    )


def _sums(row: dict[str, Any]) -> tuple[object, ...]:
    return (row.get("mms"), *(size(row[name]) for name in ("resident", "exclusive", "false_shared", "needless")))


def _erosion(answer: Answer) -> list[tuple[object, ...]]:
    shares: dict[str, dict[str, float]] = {}
    for row in answer.erosion:
        shares.setdefault(row[answer.by], {})[row["age"]] = row["shared_share"]
    return [(name, *(_percent(ages.get(age)) for age in AGE_NAMES)) for name, ages in shares.items()]


def _plot(answer: Answer) -> str:
    """The same as curves, as SVG."""
    largest = [row[answer.by] for row in answer.groups][:_SHOWN]
    rows = [row for row in answer.erosion if row[answer.by] in largest] or answer.erosion
    frame = pl.DataFrame(
        {
            "age": [row["age"] for row in rows],
            "shared": [row["shared_share"] for row in rows],
            "program": [for_terminal(row[answer.by]) for row in rows],
        }
    )
    drawn = charts()
    return str(drawn.svg(drawn.sharing_by_age(frame, AGE_NAMES)))


def _html(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{_safe(one.replace(chr(10), ' '))}</th>" for one in columns)
    body = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _safe(value: object) -> str:
    return escape(for_terminal(str(value)))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
