"""The inspector's rows as a table that fits a terminal.

For `rmaplab inspect`. Every column it can show is listed here once, with its heading; the JSON has them all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from rmaplab.inspect.exactness import stands_on_others
from rmaplab.inspect.extents import ABSENT
from rmaplab.inspect.fork_price import ForkPrice
from rmaplab.inspect.look import Family, Look
from rmaplab.inspect.price import Price
from rmaplab.inspect.sequence import SequencePrice
from rmaplab.inspect.views import By, Row
from rmaplab.report.sheet import Column, Sheet
from rmaplab.text import for_terminal

_SIZES: Final = {
    "resident": "RSS",
    "exclusive": "exclusive",
    "shared": "shared",
    "uss": "USS",
    "pss": "PSS",
    "pmd": "by PMD",
    "partial": "partial",
    "unmapped": "unmapped",
    "swapped": "swap",
    "hugetlb": "hugetlb",
    "unseen": "unseen",
    "kernel_uss": "smaps\nUSS",
    "kernel_pss": "smaps\nPSS",
    "false_shared": "false\nshared",
}

_COLUMNS: Final[dict[By, str]] = {
    "process": "pid name resident exclusive shared uss pss pmd hugetlb swapped kernel_uss kernel_pss false_shared unseen",
    "vma": "pid name resident exclusive shared uss pss partial hugetlb swapped kernel_pss false_shared unseen",
    "cgroup": "cgroup processes resident exclusive shared uss pss pmd hugetlb swapped false_shared unseen",
    "user": "user processes resident exclusive shared uss pss pmd hugetlb swapped false_shared unseen",
    "command": "command processes resident exclusive shared uss pss pmd hugetlb swapped false_shared unseen",
    "container": "container processes resident exclusive shared uss pss pmd hugetlb swapped false_shared unseen",
    "file": "file processes resident exclusive shared uss pss pmd hugetlb false_shared unseen",
    "worker": "pid name parent inherited still_shared alone copied born kept",
    "order": "order folio_size folios resident exclusive shared partial unmapped hugetlb max_owners false_shared unseen",
    "folio": "folio order kind resident owners mapcount kernel_mapcount kernel_refcount kernel_shared pids",
}
_IF_ANY: Final = frozenset({"hugetlb", "swapped", "unseen"})
"""Columns left out where no row has any."""

_NAMES: Final = frozenset({"name", "cgroup", "user", "command", "container", "file", "kind"})
_LEFT: Final = _NAMES | {"pids"}
_FIRST_TO_GO: Final = frozenset(
    {"kernel_uss", "kernel_pss", "uss", "pmd", "partial", "unmapped", "processes", "folio_size", "max_owners"}
    | {"kernel_mapcount", "kernel_refcount"}
)
"""Left out before others where a terminal is narrow; the rest goes from the right."""

_BYTES: Final = frozenset(
    {*_SIZES, *ABSENT, "folio_size", "zero", "special", "kernel_rss", "kernel_swap", "once"}
    | {"inherited", "still_shared", "alone", "copied", "born"}
)
_UNITS: Final = "BKMGTP"
_FEW: Final = 6
DEFAULT_TOP: Final = 40


def size(value: int) -> str:
    """Bytes in at most six characters: 0, 4K, 12.5M."""
    amount, unit = float(value), 0
    while abs(amount) >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    digits = f"{amount:.0f}" if amount >= 100 or amount == int(amount) else f"{amount:.1f}"
    return digits + _UNITS[unit] if value else "0"


def cell(name: str, value: Any) -> str:
    """One value as text; "-" where unknown."""
    if value is None:
        return "-"
    if name in _BYTES:
        return size(int(value))
    if name == "kept":
        return f"{value:.1%}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        few = ",".join(str(v) for v in value[:_FEW])
        return f"{few},+{len(value) - _FEW}" if len(value) > _FEW else few
    return str(value)


def table(
    rows: Sequence[Row],
    by: By,
    before: dict[object, Row] | None = None,
    columns: Sequence[str] | None = None,
    total: Row | None = None,
) -> Sheet:
    """The rows of grouping `by`; with `before` (rows of the last look, by `row_key`) what changed is marked.

    A number that is an estimate has a ~ before it. `columns` replaces the usual ones; `total` stands below.
    """
    names = [n for n in _COLUMNS[by].split() if rows and n in rows[0] and (n not in _IF_ANY or any(r[n] for r in rows))]
    if columns is not None:
        names = [name for name in columns if rows and name in rows[0]]
    cells = []
    for row in rows:
        old = None if before is None else before.get(row_key(row, by), {})
        cells.append([_marked(n, row, old) for n in names])
    if total is not None and names:
        last = [_marked(n, total, None) if n in total and n not in _NAMES else Text("") for n in names]
        cells.append([Text("total"), *last[1:]])
    return Sheet("", [_column(n) for n in names], cells, gap=1)


def _column(name: str) -> Column:
    heading = _SIZES.get(name, name.replace("_", "\n"))
    return Column(heading, "name" if name in _NAMES else "number", name in _LEFT, int(name in _FIRST_TO_GO))


def row_key(row: Row, by: By) -> object:
    """What stays the same of a row from look to look."""
    keys = {"process": ("pid",), "worker": ("pid",), "vma": ("pid", "name")}
    return tuple(row[k] for k in keys.get(by, (by,)))


def _marked(name: str, row: Row, old: Row | None) -> Text:
    value = row[name]
    estimate = value is not None and row["exactness"] != "exact" and stands_on_others(name)
    text = Text(("~" if estimate else "") + for_terminal(cell(name, value)))
    if old is None:
        return text
    if not old:
        text.stylize("green")
    elif name in _BYTES and old.get(name) is not None and value is not None and old[name] != value:
        text.stylize("bold yellow")
        sign = "+" if value > old[name] else "-"
        text.append(f"\n{sign}{size(abs(value - old[name]))}", "yellow")
    return text


def page(
    look: Look,
    rows: Sequence[Row],
    hidden: int,
    by: By,
    before: dict[object, Row] | None = None,
    columns: Sequence[str] | None = None,
    total: Row | None = None,
) -> RenderableType:
    """The whole answer: table, what was cut off, and the lines of `footer`."""
    parts: list[RenderableType] = [table(rows, by, before, columns, total)]
    if look.statistics is not None:
        parts += [Text(""), statistics_table(look.without_page_mapcounts(), by)]
    if hidden:
        parts.append(Text(f"... and {hidden} more (--top N shows N)", "dim"))
    parts += [Text(for_terminal(line)) for line in footer(look)]
    return Group(*parts)


def footer(look: Look) -> Iterator[str]:
    """How exact, how long, what moved, what was left out, where the kernel disagrees, and the price."""
    yield ""
    yield trust(look) + (": see the numbers with ~" if look.exactness.label != "exact" else "")
    for reason in look.exactness.reasons:
        yield f"estimate: {reason}" + (f"; {_numbers(reason.rows)}" if reason.rows else "")
    moved, snapshot = look.moved, look.snapshot
    yield (
        f"scan: {snapshot.seconds:.3f} s, {len(snapshot.mms)} address spaces; second pass: {moved.changed} of"
        f" {moved.checked} checked runs of pages changed ({moved.share:.1%})"
        + (f", {moved.gone} processes gone" if moved.gone else "")
    )
    for source in look.sources:
        yield f"kernel: {source.name}: {source.exactness} ({source.why})"
    for line in snapshot.notes.lines():
        yield f"left out: {line}"
    if look.apart:
        yield "in none of these sums: " + ", ".join(f"{_APART[name]} {size(value)}" for name, value in look.apart.items())
    if look.family is not None:
        yield from family_lines(look.family)
        for line in look.advice():
            yield f"advice: {line}"
    for found in look.disagreements:
        yield f"disagreement: {found.count} {found.what}: {size(found.bytes)}"
    if look.needless is not None:
        untold = 0 if look.scope.large is None else look.scope.large.untold
        unknown = f", and of {untold} large folios it is not known" if untold else ""
        yield f"needless because of the two slots: {size(look.needless)}{unknown}"
    if look.statistics is not None:
        yield from statistics_lines(look.without_page_mapcounts()["all"])
    for pid, price in look.prices.items():
        yield from price_lines(pid, price, look)
    if look.sequence is not None:
        yield sequence_line(look.sequence)
    for pid, forked in look.forks.items():
        yield fork_line(pid, forked)


def sequence_line(price: SequencePrice) -> str:
    """What the family's writes in turn cost."""
    begins = "if the family wrote all that, one after the other by PID: "
    if not price.sure:
        return f"{begins}no price ({price.exactness.why})"
    all_of_it = price.together
    needless = " to ".join(dict.fromkeys(map(size, (all_of_it.least, all_of_it.most))))
    trust = "" if price.exactness.label == "exact" else f" (estimate: {price.exactness.why})"
    precise = size(all_of_it.precise)
    return f"{begins}copied {precise} by a precise rule, and needlessly beside by this kernel {needless}{trust}"


def family_lines(family: Family) -> Iterator[str]:
    """What all, some and one of the family map; and how much of the workers' inheritance is still shared."""
    common = family.common
    outside = sum(common.outside)
    yield (
        f"family of {len(common.by_members)} address spaces, every page once: all of them map {size(common.all)},"
        f" some {size(common.some)}, one {size(common.one)}; others map {size(outside)} of it too"
    )
    pages = sum(one.pages.sum(axis=0) for one in family.workers)
    if family.workers and (inherited := int(pages[:3].sum())):
        yield (
            f"inheritance: {len(family.workers)} workers still share {int(pages[0]) / inherited:.1%} of what they"
            f" inherited; copied {int(pages[2]) / inherited:.1%}, mine alone by now {int(pages[1]) / inherited:.1%}"
        )


def statistics_table(found: Mapping[str, Any], by: By) -> Sheet:
    """Statistics without per-page mapcounts, by cgroup if the rows are, else by process: true, now, then."""
    group, rows = ("cgroup", found["cgroups"]) if by == "cgroup" else ("pid", found["processes"])
    names = [group, *(["name"] if group == "pid" else []), "uss_true", "uss_now", "uss_then", "pss_true", "pss_now"]
    names += ["pss_then", "bit_true", "bit_now", "bit_then", "unknown"]
    names = [name for name in names if rows and name in rows[0]]
    cells = [
        [cell(n, r[n]) if n in (group, "name") else "-" if r[n] is None else size(r[n]) for n in names]
        for r in rows[:DEFAULT_TOP]
    ]
    columns = [
        Column(
            n.replace("_", "\n").replace("uss", "USS").replace("pss", "PSS"),
            "name" if n in _NAMES else "number",
            n in _LEFT,
        )
        for n in names
    ]
    return Sheet(
        "without per-page mapcounts: true, as said now, as said then (bit: pages marked exclusive)", columns, cells, gap=1
    )


def statistics_lines(found: Mapping[str, int]) -> Iterator[str]:
    """What the kernel would say of all the memory shown, without per-page mapcounts."""
    yield (
        f"without per-page mapcounts: AnonPages {size(found['anon_then'])} instead of {size(found['anon_now'])};"
        f" {found['partial_noticed']} of {found['partial']} partly mapped anonymous folios noticed;"
        f" kpagecount wrong for {size(found['average_wrong'])}"
    )


_APART: Final = {
    "hugetlb": "hugetlb",
    "zero": "zero pages",
    "special": "pages without a mapcount (devices, vdso)",
    "swapped": "swap",
    "guard": "guard regions",
    "markers": "PTE markers",
    "elsewhere": "migrating, poisoned or in a device's memory",
}


def trust(look: Look) -> str:
    """The label of the whole look, in one line."""
    if look.exactness.label == "exact":
        return f"truth: exact ({look.exactness.proof})"
    return f"truth: estimate, for {len(look.exactness.reasons)} reason{'s' * (len(look.exactness.reasons) > 1)}"


def _numbers(rows: Sequence[int]) -> str:
    return "folios " + ", ".join(map(str, rows[:_FEW])) + (", ..." if len(rows) > _FEW else "")


def fork_line(pid: int, price: ForkPrice) -> str:
    """What the next fork costs, in words."""
    bounds = size(price.least) if price.least == price.most else f"{size(price.least)} to {size(price.most)}"
    return (
        f"if PID {pid} forked now: {bounds} copied while the child lives for {price.seconds:g} s (by {price.by}), at most"
        f" {size(price.private)} while it stays; {size(price.huge)} by PMDs, split when written; page tables"
        f" {size(price.tables)}; estimate"
    )


def price_lines(pid: int, price: Price, look: Look) -> Iterator[str]:
    """A price in words; what it leaves out, and what makes it an estimate besides the look, in lines of their own."""

    def amount(low: int, high: int) -> str:
        return f"{size(low)} ({low} bytes)" if low == high else f"{size(low)} to {size(high)} ({low} to {high} bytes)"

    parts = {"page cache": price.page_cache, "KSM": price.ksm, "hugetlb": price.hugetlb}
    yield (
        f"if PID {pid} wrote all its private memory ({size(price.written)}):"
        f" copied {amount(price.kernel, price.kernel_most)} by this kernel,"
        f" {amount(price.precise, price.precise_most)} by a precise rule; of what is written"
        f" {', '.join(f'{name} {size(value)}' for name, value in parts.items())}; {price.exactness.label}"
    )
    for reason in price.exactness.reasons[len(look.exactness.reasons) :]:
        yield f"estimate: the price of PID {pid}: {reason}"
    more = []
    if price.swapped:
        more.append(f"{size(price.swapped)} in swap: read back, of which {size(price.swapped_shared)} copied for others")
    if price.zero:
        more.append(f"{size(price.zero)} of zero pages: allocated, not copied")
    if price.special:
        more.append(f"{size(price.special)} without a mapcount: not priced")
    if more:
        yield f"not in this price of PID {pid}: " + "; ".join(more)
