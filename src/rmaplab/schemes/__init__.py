"""Ways to answer "mapped exclusively or mapped shared?", one module each, and the registry of them.

Definitions in prose: docs/schemes.md.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from rmaplab.errors import RmaplabError
from rmaplab.names import must_be
from rmaplab.schemes.base import (
    Cost,
    Exactness,
    Field,
    IdRangeError,
    Layout,
    LinearScheme,
    Op,
    Predicate,
    Scheme,
    State,
    Verdicts,
)
from rmaplab.schemes.bits import Bits
from rmaplab.schemes.estimated_sharers import EstimatedSharers
from rmaplab.schemes.generations import Generations, GenerationsSafe
from rmaplab.schemes.likely_shared import LikelyShared
from rmaplab.schemes.mm_id import MmId
from rmaplab.schemes.moments import Moments
from rmaplab.schemes.moments_flag import MomentsFlag
from rmaplab.schemes.one_value import OneValue
from rmaplab.schemes.owner_counter import OwnerCounter
from rmaplab.schemes.packed import Packed
from rmaplab.schemes.small import responsible
from rmaplab.schemes.truth import Truth

SCHEMES: Final = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            Truth(),
            EstimatedSharers(),
            LikelyShared(),
            OwnerCounter(),
            MmId(),
            Generations(),
            GenerationsSafe(),
            Bits(),
            Moments(),
            OneValue(),
            Packed(),
            MomentsFlag(),
        )
    }
)
"""Every scheme by name, oldest idea first."""


class UnknownScheme(RmaplabError, ValueError):
    """A scheme's name that nobody registered."""


def select(names: Iterable[str] | None = None) -> tuple[Scheme, ...]:
    """The schemes of these names (all if None), in registry order; UnknownScheme names the one that does not exist."""
    if names is None:
        return tuple(SCHEMES.values())
    wanted = set(names)
    for name in sorted(wanted - set(SCHEMES)):
        raise UnknownScheme(f"scheme {name!r}: {must_be(name, SCHEMES)}")
    return tuple(s for s in SCHEMES.values() if s.name in wanted)


__all__ = [
    "SCHEMES",
    "Cost",
    "Exactness",
    "Field",
    "IdRangeError",
    "Layout",
    "LinearScheme",
    "Op",
    "Predicate",
    "Scheme",
    "State",
    "UnknownScheme",
    "Verdicts",
    "responsible",
    "select",
]
