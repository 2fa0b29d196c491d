"""Find the extension modules, or say why they are not there.

For the rest of `rmaplab.core`.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal

from rmaplab.errors import NotAvailable

SeqcountBits = Literal[64, 32]
_REMEDY: Final = "install a C compiler and the Python headers, then reinstall rmaplab"


class CoreMissing(NotAvailable):
    """The C core was not built here: says what is missing and what to do. CLI exit code 3."""


@dataclass(frozen=True)
class Module:
    """One build of the C core: cffi's `lib` and `ffi` (declarations: core/lib/api.h, driver.h)."""

    lib: Any
    ffi: Any

    @classmethod
    def of(cls, extension: ModuleType) -> "Module":
        """Wrap a cffi extension module and initialise it."""
        extension.lib.rmap_lib_init()
        return cls(extension.lib, extension.ffi)


@cache
def load(bits: SeqcountBits = 64) -> Module:
    """The core with 64-bit or 32-bit sequence counts; raises CoreMissing."""
    try:
        extension = import_module(f"rmaplab.core._core{bits}")
    except ImportError as error:
        raise CoreMissing(f"the C core is missing: {error}; {_REMEDY}") from error
    return Module.of(extension)


def why_missing() -> str | None:
    """None if the core is there, else the reason in one line."""
    try:
        load()
    except CoreMissing as error:
        return str(error)
    return None


def available() -> bool:
    """Was the C core built?"""
    return why_missing() is None
