"""The inspector's rows as a table that fits a terminal.

For `rmaplab inspect`. Every column it can show is listed here once, with its heading; the JSON has them all.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rmaplab.inspect.look import Look
from rmaplab.inspect.views import By, Row

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
    "kernel_uss": "smaps\nUSS",
    "kernel_pss": "smaps\nPSS",
    "false_shared": "false\nshared",
}

_COLUMNS: Final[dict[By, str]] = {
    "process": "pid name resident exclusive shared uss pss pmd kernel_uss kernel_pss false_shared",
    "vma": "pid name resident exclusive shared uss pss partial kernel_pss false_shared",
    "cgroup": "cgroup processes resident exclusive shared uss pss pmd swapped false_shared",
    "order": "order folio_size folios resident exclusive shared partial unmapped max_owners false_shared",
    "folio": "folio order kind resident owners mapcount kernel_mapcount kernel_refcount kernel_shared pids",
}

_TEXT: Final = frozenset({"name", "cgroup", "kind", "pids"})
_BYTES: Final = frozenset({*_SIZES, "folio_size"})
_UNITS: Final = "BKMGTP"
_FEW: Final = 6
_NAME_WIDTH: Final = 16
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        few = ",".join(str(v) for v in value[:_FEW])
        return f"{few},+{len(value) - _FEW}" if len(value) > _FEW else few
    text = str(value)
    if name == "name" and len(text) > _NAME_WIDTH:
        return "…" + text[1 - _NAME_WIDTH :]
    return text


def table(rows: Sequence[Row], by: By, before: dict[object, Row] | None = None) -> Table:
    """The rows of grouping `by`; with `before` (rows of the last look, by `row_key`) what changed is marked."""
    names = [n for n in _COLUMNS[by].split() if rows and n in rows[0]]
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in names:
        heading, text = _SIZES.get(name, name.replace("_", "\n")), name in _TEXT
        made.add_column(heading, justify="left" if text else "right", no_wrap=True)
    for row in rows:
        old = None if before is None else before.get(row_key(row, by), {})
        made.add_row(*(_marked(n, row[n], old) for n in names))
    return made


def row_key(row: Row, by: By) -> object:
    """What stays the same of a row from look to look."""
    keys = {"process": ("pid",), "vma": ("pid", "name"), "cgroup": ("cgroup",), "order": ("order",), "folio": ("folio",)}
    return tuple(row[k] for k in keys[by])


def _marked(name: str, value: Any, old: Row | None) -> Text:
    text = Text(cell(name, value))
    if old is None:
        return text
    if not old:
        text.stylize("green")
    elif name in _BYTES and old.get(name) is not None and value is not None and old[name] != value:
        text.stylize("bold yellow")
        sign = "+" if value > old[name] else "-"
        text.append(f"\n{sign}{size(abs(value - old[name]))}", "yellow")
    return text


def page(look: Look, rows: Sequence[Row], hidden: int, by: By, before: dict[object, Row] | None = None) -> RenderableType:
    """The whole answer: table, what was cut off, and the lines of `footer`."""
    parts: list[RenderableType] = [table(rows, by, before)]
    if hidden:
        parts.append(Text(f"... and {hidden} more (--top N shows N)", "dim"))
    parts += [Text(line) for line in footer(look)]
    return Group(*parts)


def footer(look: Look) -> Iterator[str]:
    """How exact, how long, what moved, what was left out, where the kernel disagrees, and the price."""
    yield ""
    yield f"truth: {look.exactness} ({look.why})"
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
    for found in look.disagreements:
        yield f"disagreement: {found.count} {found.what}: {size(found.bytes)}"
    for pid, price in look.prices.items():
        yield (
            f"if PID {pid} wrote all its private memory ({size(price.written)}): copied {size(price.kernel)}"
            f" ({price.kernel} bytes) by this kernel, {size(price.precise)} ({price.precise} bytes) by a precise rule;"
            f" of these page cache {size(price.page_cache)}, KSM {size(price.ksm)}; {price.exactness} ({price.why})"
        )
