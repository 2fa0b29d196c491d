"""The C core: the schemes of `rmaplab.schemes` on real atomics.

For tests, the stress runs, benchmarks and whoever wants a replay at C speed. Not for definitions: those are
`rmaplab.schemes`, and tests compare the two word by word. Needs the extension modules that `pip install` builds
where a C compiler exists; where none did, `load` raises `CoreMissing` and everything else works.
"""

from rmaplab.core.loading import CoreMissing, Module, available, load, why_missing
from rmaplab.core.state import NAMES, Folios, Op, Variant, variants

__all__ = [
    "NAMES",
    "CoreMissing",
    "Folios",
    "Module",
    "Op",
    "Variant",
    "available",
    "load",
    "variants",
    "why_missing",
]
