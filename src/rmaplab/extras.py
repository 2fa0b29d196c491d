"""Packages that a plain install leaves out, and the one line that says which to install.

For the command line and the face: `explained` stands around what may need one, nothing else has to know of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Final

from rmaplab.errors import NotAvailable

EXTRAS: Final = MappingProxyType(
    {"cluster": ("distributed", "dask"), "plot": ("altair", "vl_convert"), "refute": ("z3", "flint")}
)
"""The modules of each extra of pyproject.toml."""

_DISTRIBUTIONS: Final = MappingProxyType({"vl_convert": "vl-convert-python", "z3": "z3-solver", "flint": "python-flint"})


def remedy(error: ModuleNotFoundError) -> str | None:
    """The line for a missing module of an extra; None for any other."""
    missing = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if missing in modules:
            name = _DISTRIBUTIONS.get(missing, missing)
            return f"{name}: is not installed: must be, for this: pip install 'rmaplab[{extra}]'"
    return None


@contextmanager
def explained() -> Iterator[None]:
    """Turn a missing extra into NotAvailable with its `remedy`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (line := remedy(error)) is None:
            raise
        raise NotAvailable(line) from error


def charts() -> ModuleType:
    """`rmaplab.report.charts`; raises NotAvailable where the extra `plot` is not installed."""
    with explained():
        for module in EXTRAS["plot"]:  # altair looks for the other one only when it writes
            if find_spec(module) is None:
                raise ModuleNotFoundError(name=module)
        return import_module("rmaplab.report.charts")
