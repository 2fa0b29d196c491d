"""Where a command writes its plot: what the name must end in, and saving.

For commands with `--plot`.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from rmaplab.errors import RmaplabError
from rmaplab.extras import charts
from rmaplab.system.files import check_place, write_file

if TYPE_CHECKING:
    import altair as alt

_KINDS: Final[Mapping[str, Literal["svg", "png", "html"]]] = MappingProxyType(
    {".svg": "svg", ".png": "png", ".html": "html"}
)


def check_plot(path: Path) -> None:
    """Before minutes go into what shall be drawn. Raises RmaplabError, and NotAvailable without the extra `plot`."""
    if path.suffix not in _KINDS:
        raise RmaplabError(f"--plot: {path}: must end in {', '.join(_KINDS)}")
    check_place(path)
    charts()


def save_plot(chart: "alt.Chart | alt.VConcatChart", path: Path) -> None:
    """Whole or not at all. `path` passed `check_plot`."""
    kind = _KINDS[path.suffix]
    made: io.BytesIO | io.StringIO = io.BytesIO() if kind == "png" else io.StringIO()
    chart.save(made, format=kind)
    write_file(path, made.getvalue())
