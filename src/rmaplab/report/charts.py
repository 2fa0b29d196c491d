"""Plots of results (Altair): grouped bars with names, never a colour one has to look up among twenty.

For the face, `rmaplab bench --plot` and the site's figures. Loaded through `rmaplab.extras.charts`: needs the extra
`plot`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import polars as pl
import vl_convert

from rmaplab.bench.operations import LANES, TODAY, Row, lane
from rmaplab.kernels.bench import Compared
from rmaplab.text import for_terminal
from rmaplab.verify.refute.problem import Finding

RIGHT, WASTE, DANGER, NEUTRAL = "#4c78a8", "#f2a541", "#c23b22", "#9aa5b1"
_MOST_ROWS: Final = 30
_PRICES: Final = (1 / 8, 64)
"""Ratios that a price's scale has room for."""


def answers(rows: pl.DataFrame) -> alt.Chart:
    """Answers of each scheme, in parts: right, false shared (needless copies), false exclusive (unsafe), unknown.

    `rows` as from `rmaplab.Run.to_polars`.
    """
    wrong = ("false exclusive", "false shared", "unknown")
    totals = rows.group_by("scheme", maintain_order=True).agg(
        pl.col("questions", "false_exclusive", "false_shared", "unknown").cast(pl.Int64).sum()
    )
    totals = totals.rename({"false_exclusive": wrong[0], "false_shared": wrong[1]})
    totals = totals.with_columns(right=pl.col("questions") - pl.sum_horizontal(wrong))
    long = totals.drop("questions").unpivot(index="scheme", variable_name="answer", value_name="questions")
    scale = alt.Scale(domain=["right", *wrong], range=[RIGHT, DANGER, WASTE, NEUTRAL])
    return _bars(long, "scheme", alt.X("questions:Q", title="questions"), "answer", scale, "What each scheme answered")


def kernels(rows: pl.DataFrame) -> alt.Chart:
    """Pages each kernel copied, for nothing and with a reason. `rows` as from `rmaplab.Comparison.to_polars`."""
    parts = rows.with_columns(pl.col("copied") - pl.col("for_nothing").fill_null(0))
    parts = parts.rename({"copied": "with a reason", "for_nothing": "for nothing"})
    long = parts.unpivot(("for nothing", "with a reason"), index="kernel", variable_name="copy", value_name="pages")
    scale = alt.Scale(domain=["for nothing", "with a reason"], range=[WASTE, NEUTRAL])
    return _bars(long, "kernel", alt.X("pages:Q", title="pages copied"), "copy", scale, "What each kernel copied")


def memory(rows: pl.DataFrame, by: str) -> alt.Chart:
    """Exclusive and shared memory of the largest rows of an inspection. `by` is its grouping."""
    named = {"process": ("name", "pid"), "worker": ("name", "pid"), "vma": ("name", "pid")}
    parts = [pl.col(name).cast(pl.String) for name in named.get(by, (by,))]
    if "exclusive" not in rows.columns:  # a folio is mapped by one or by several as a whole
        alone = pl.col("owners") == 1
        rows = rows.with_columns(
            exclusive=pl.when(alone).then("resident").otherwise(0), shared=pl.when(alone).then(0).otherwise("resident")
        )
    label = pl.concat_str(parts, separator=" ").map_elements(for_terminal, pl.String)
    top = rows.head(_MOST_ROWS).with_columns(label.alias(by))
    top = top.with_columns(pl.col("exclusive", "shared") / (1 << 20))
    long = top.unpivot(("exclusive", "shared"), index=by, variable_name="mapped", value_name="MiB")
    scale = alt.Scale(domain=["exclusive", "shared"], range=[RIGHT, WASTE])
    return _bars(long, by, alt.X("MiB:Q"), "mapped", scale, "Who maps the memory")


def erosion(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    """What each MM still shares of its inheritance, over the steps of a trace. `rows` as `rmaplab trace erosion --json`
    has its points."""
    schema = {"mm": pl.Int64, "name": pl.String, "step": pl.Int64, "kept": pl.Float64}
    # A control character in a name is no XML: the library that draws would end the program.
    rows = [{**row, "name": for_terminal(str(row["name"]))} for row in rows]
    named = pl.concat_str(pl.lit("MM"), pl.col("mm").cast(pl.String), "name", separator=" ").alias("process")
    data = pl.DataFrame([{key: row[key] for key in schema} for row in rows], schema=schema).with_columns(named)
    lines = alt.Chart(data, title="Inheritance still shared").mark_line(interpolate="step-after")
    chart: alt.Chart = lines.encode(
        x=alt.X("step:Q", title="step of the trace"),
        y=alt.Y("kept:Q", title="kept", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        detail="mm:N",
        color=alt.Color("process:N", title=None, sort=None),
        strokeDash=alt.StrokeDash("process:N", title=None, sort=None),
    ).properties(width=560, height=260)
    return chart


def witness(finding: Finding) -> alt.Chart:
    """Pages of each MM of the witness beside what they are taken for: as many pages of the asking MM's own."""
    found = finding.witness
    c = finding.config
    rows = [
        {"side": "mapped by others", "mm": f"MM {mm}", "pages": n} for mm, n in (found.mappings if found else {}).items()
    ]
    if found:
        rows.append({"side": f"taken for MM {found.mm}'s own", "mm": f"MM {found.mm}", "pages": found.mapcount})
    data = pl.DataFrame(rows, schema={"side": pl.String, "mm": pl.String, "pages": pl.UInt32})
    bars = alt.Chart(data, title=f"{c.scheme}, order {c.order}: {finding.decision.value}").mark_bar(stroke="white")
    chart: alt.Chart = bars.encode(
        x=alt.X("pages:Q", title=f"pages mapped, of {c.pages}", stack="zero"),
        y=alt.Y("side:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
        color=alt.Color("mm:N", sort=None, title=None),
        order=alt.Order("mm:N"),
    ).properties(width=460, height=90)
    return chart


def prices(rows: Sequence[Row]) -> alt.VConcatChart:
    """Ratio to `mm-id` of every scheme, an operation a column and an order a row; a bar begins at 1, its line is the
    interquartile range over the rounds, its number the ratio, also where the bar ends at the edge.
    """
    shown = [
        {
            "scheme": row.scheme,
            "operation": title,
            "order": f"order {row.order}",
            "ratio": row.ratio_mm_id,
            "low": row.ratio_mm_id_low,
            "high": row.ratio_mm_id_high,
            "kind": _kind(row),
        }
        for row in sorted(rows, key=_place)
        if (title := lane(row)) is not None and row.ratio_mm_id is not None and row.scheme != TODAY
    ]
    return price_chart(shown, "Price of each scheme, as a ratio to mm-id, what Linux does today")


def price_chart(shown: Sequence[dict[str, Any]], title: str) -> alt.VConcatChart:
    """The bars of `prices`, all on one scale. `shown`: scheme, operation, order (a heading), ratio, low, high, kind
    (cheaper, dearer). A place without rows stays empty and says so: a facet would move its neighbours there."""
    schema = {"scheme": pl.String, "operation": pl.String, "order": pl.String, "kind": pl.String}
    data = pl.DataFrame(shown, schema={**schema, **dict.fromkeys(("ratio", "low", "high"), pl.Float64)})
    orders, operations = (data[name].unique(maintain_order=True).to_list() for name in ("order", "operation"))
    rows = [
        alt.hconcat(
            *(_price_cell(data, order, operation, operation == operations[0]) for operation in operations), spacing=34
        )
        for order in orders
    ]
    chart: alt.VConcatChart = alt.vconcat(*rows, title=title, spacing=24)
    return chart


def _price_cell(data: pl.DataFrame, order: str, operation: str, leftmost: bool) -> Any:
    """One operation on folios of one order: a bar a scheme; it ends at the edge where the ratio is beyond the scale."""
    schemes = data.filter(pl.col("order") == order)["scheme"].unique(maintain_order=True).to_list()
    part = data.filter(pl.col("order") == order, pl.col("operation") == operation)
    part = part.with_columns(pl.max_horizontal("high", pl.lit(1.0)).alias("beside"))
    heading = alt.TitleParams(f"{order}: {operation}", fontSize=11, anchor="start")
    names = alt.Axis(labelLimit=200) if leftmost else None
    y = alt.Y("scheme:N", sort=schemes, scale=alt.Scale(domain=schemes), title=None, axis=names)
    base = alt.Chart(part).encode(y=y)
    if part.is_empty():
        nothing = alt.Chart(pl.DataFrame({"scheme": schemes[:1], "said": ["not measured"]})).mark_text(align="left")
        return nothing.encode(y=y, x=alt.value(4), text="said:N").properties(
            width=190, height=alt.Step(13), title=heading
        )
    axis = alt.Axis(values=[0.25, 1, 4, 16, 64], format="~g")
    scale = alt.Scale(type="log", base=2, domain=_PRICES, clamp=True, nice=False)
    colour = alt.Scale(domain=["cheaper", "dearer"], range=[RIGHT, WASTE])
    bar = base.mark_bar(height=9).encode(
        x=alt.X("ratio:Q", scale=scale, axis=axis, title="times mm-id"),
        x2=alt.datum(1),
        color=alt.Color("kind:N", scale=colour, legend=None),
        tooltip=["scheme", "operation", "order", "ratio", "low", "high"],
    )
    spread = base.mark_rule(color="#222").encode(x="low:Q", x2="high:Q")
    one = alt.Chart(part).mark_rule(color="#222", strokeWidth=1.5).encode(x=alt.datum(1))
    told = alt.Text("ratio:Q", format=".2f")
    label = base.mark_text(align="left", dx=4, fontSize=9).encode(x=alt.X("beside:Q", scale=scale), text=told)
    return alt.layer(bar, spread, one, label).properties(width=190, height=alt.Step(13), title=heading)


def kernel_prices(compared: Sequence[Compared]) -> alt.Chart:
    """Instructions of every operation, as their change against the yardstick; an order a column, a scheme a colour.

    What a scheme saves may be a hundred times what it costs, so the axis is linear near 0 and logarithmic beyond 1 %.
    """
    shown = [
        {
            "operation": one.cost.operation,
            "order": "4 KiB pages" if not one.cost.order else f"order {one.cost.order}",
            "scheme": one.cost.scheme or "as it is",
            "change": 100 * (one.ratio_off - 1),
        }
        for one in compared
        if one.ratio_off is not None and not (one.cost.scheme in (None, "off") and one.ratio_off == 1)  # the yardstick
    ]
    schema = {"operation": pl.String, "order": pl.String, "scheme": pl.String, "change": pl.Float64}
    data = pl.DataFrame(shown, schema=schema)
    base = alt.Chart(data).encode(
        y=alt.Y("operation:N", sort=None, title=None), yOffset=alt.YOffset("scheme:N", sort=None)
    )
    axis = alt.Axis(values=[-100, -10, -1, 0, 1, 10, 100], format="+d")
    x = alt.X("change:Q", scale=alt.Scale(type="symlog", constant=1), axis=axis, title="% instructions")
    bar = base.mark_bar().encode(x=x, color=alt.Color("scheme:N", sort=None, title=None))
    label = base.mark_text(align="left", dx=4, fontSize=9).encode(x=x, text=alt.Text("change:Q", format="+.2f"))
    schemes = data["scheme"].n_unique()
    layers = alt.layer(bar, label).properties(width=230, height=alt.Step(10 if schemes > 1 else 16))
    chart: alt.Chart = layers.facet(
        column=alt.Column("order:N", sort=data["order"].unique(maintain_order=True).to_list(), title=None),
        title="Instructions of 16 MiB, against the kernel's own rule",
    ).resolve_scale(x="shared")
    return chart


def _place(row: Row) -> int:
    """Operations in the order of the table."""
    titles = [title.replace("\n", " ") for title in LANES.values()]
    title = lane(row)
    return len(titles) if title is None else titles.index(title)


def _kind(row: Row) -> str:
    return "cheaper" if (row.ratio_mm_id or 0) <= 1 else "dearer"


def _bars(data: pl.DataFrame, name: str, x: alt.X, part: str, scale: alt.Scale, title: str) -> alt.Chart:
    """One bar per `name`, in the order of the rows, stacked of its `part`s in the order of the scale."""
    chart: alt.Chart = (
        alt.Chart(data, title=title)
        .mark_bar()
        .encode(
            x=x,
            y=alt.Y(f"{name}:N", sort=None, title=None, axis=alt.Axis(labelLimit=240)),
            color=alt.Color(f"{part}:N", scale=scale, title=None),
            tooltip=data.columns,
        )
        .properties(width=420, height=alt.Step(18))
    )
    return chart


def sharing_by_age(rows: pl.DataFrame, ages: Sequence[str]) -> alt.Chart:
    """How much of its anonymous memory each program still shares, by age. `rows`: `age`, `shared` (0 to 1), `program`."""
    chart: alt.Chart = (
        alt.Chart(rows, width=640, height=260)
        .mark_line(point=True)
        .encode(
            x=alt.X("age:O", sort=list(ages), title="age of the process"),
            y=alt.Y("shared:Q", axis=alt.Axis(format="%"), title="anonymous memory others map too"),
            color=alt.Color("program:N"),
            strokeDash=alt.StrokeDash("program:N"),
        )
    )
    return chart


def svg(chart: alt.Chart) -> str:
    """The chart as an SVG element, to stand in a page."""
    return str(vl_convert.vegalite_to_svg(chart.to_dict()))
