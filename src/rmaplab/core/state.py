"""Folios in C memory: the operations of one scheme on them, and their state words.

For agreement tests, stress runs and benchmarks. The memory is anonymous and shared, so that forked processes see the
same folios; it is freed with the object.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.core.loading import Module, load
from rmaplab.schemes import SCHEMES, Scheme
from rmaplab.trace import Verdict

MAX_WORDS: Final = 32

_ALIASES: Final = MappingProxyType({"packed-fallback": "packed"})


class Op(IntEnum):
    """Updates of `Folios.apply` (core/lib/api.h)."""

    MAP = 0
    UNMAP = 1
    SET_FIRST = 2
    REMAP = 3


@dataclass(frozen=True)
class Variant:
    """A scheme as the core implements it: `moments`, `moments+exclusive`, `moments+exclusive-add`, ..."""

    name: str
    number: int

    @property
    def scheme_name(self) -> str:
        """Its definition's name in `rmaplab.schemes`."""
        plain = self.name.partition("+")[0]
        return _ALIASES.get(plain, plain)

    @property
    def scheme(self) -> Scheme | None:
        """Its definition; None for `total-mapcount`, which is only a price floor."""
        return SCHEMES.get(self.scheme_name)


@cache
def variants(core: Module | None = None) -> MappingProxyType[str, Variant]:
    """Every variant of `core` (the installed one if None) by name; raises CoreMissing."""
    core = core or load()
    count = core.lib.rmap_scheme_count()
    names = [core.ffi.string(core.lib.rmap_scheme_name(i)).decode() for i in range(count)]
    return MappingProxyType({name: Variant(name, i) for i, name in enumerate(names)})


NAMES: Final = (
    "total-mapcount",
    "estimated-sharers",
    "likely-shared",
    "owner-counter",
    "mm-id",
    *(
        f"{scheme}{writer}"
        for scheme in ("generations", "generations-safe", "bits", "moments", "one-value")
        for writer in ("", "+exclusive", "+exclusive-add")
    ),
    "packed",
    "packed-fallback",
    "moments-flag",
)
"""Names of the variants, known without the core; `packed` exists where the CPU has a 16-byte compare-exchange."""


class Folios:
    """`count` folios of `order` under one variant, mapped by MMs of the given rmap IDs.

    Folios and MMs are named by index. Raises OrderRangeError for an order the scheme does not cover and IdRangeError for
    an ID it does not take.
    """

    def __init__(self, variant: Variant, order: int, count: int, ids: Sequence[int], core: Module | None = None) -> None:
        if variant.scheme is not None and order:
            variant.scheme.check_order(order)
            variant.scheme.check_ids(order, np.asarray(ids))
        self.variant, self.order, self.count, self.ids = variant, order, count, tuple(ids)
        self.core = core or load()
        lib = self.core.lib
        folios, self._folio_memory = self.shared(count * lib.rmap_folio_size())
        pages, self._page_memory = self.shared(4 * count << order)
        mms, self._mm_memory = self.shared(len(ids) * lib.rmap_mm_size())
        self.folios, self.mms = folios, mms
        self._pages = self.core.ffi.cast("int32_t *", pages)
        lib.rmap_mms_init(mms, list(ids), len(ids))
        self.reset()

    def reset(self) -> None:
        """Nobody maps anything."""
        self.core.lib.rmap_folios_init(self.folios, self.count, self.order, self._pages)

    def shared(self, size: int) -> tuple[Any, mmap.mmap]:
        """Page-aligned memory that forked children share: the pointer, and the object that keeps it alive."""
        memory = mmap.mmap(-1, max(size, 1))
        return self.core.ffi.from_buffer("char[]", memory), memory

    def folio(self, index: int) -> Any:
        """Pointer to one folio."""
        return self.folios + index * self.core.lib.rmap_folio_size()

    def mm(self, index: int) -> Any:
        """Pointer to one MM."""
        return self.mms + index * self.core.lib.rmap_mm_size()

    def apply(self, op: Op, folio: int, mm: int, page: int = 0, nr: int = 1, entire: bool = False) -> None:
        """One update; `nr` > 0. References are the caller's business (`references`), as in C."""
        number = self.variant.number
        self.core.lib.rmap_apply(number, int(op), self.folio(folio), self.mm(mm), page, nr, int(entire))

    def dup(self, folio: int, child: int, page: int = 0, nr: int = 1, entire: bool = False) -> None:
        """Fork: take references, then map for the child."""
        self.core.lib.rmap_dup(self.variant.number, self.folio(folio), self.mm(child), page, nr, int(entire))

    def references(self, folio: int, nr: int) -> None:
        """Take (or, negative, drop) references."""
        self.core.lib.rmap_references(self.folio(folio), nr)

    def refcount(self, folio: int) -> int:
        """References held."""
        return int(self.core.lib.rmap_refcount(self.folio(folio)))

    def verdict(self, folio: int, mm: int) -> Verdict:
        """The scheme's answer to the asking MM."""
        return Verdict(self.core.lib.rmap_verdict(self.variant.number, self.folio(folio), self.mm(mm)))

    def cow_reuse(self, folio: int, mm: int) -> bool:
        """May a COW fault of `mm`, which maps the folio, keep the page? Large folios only."""
        return bool(self.core.lib.rmap_cow_reuse(self.variant.number, self.folio(folio), self.mm(mm)))

    def words(self, folio: int) -> NDArray[np.uint64]:
        """State words in the order of the scheme's definition: uint64, shape (words,)."""
        out = np.zeros(MAX_WORDS, np.uint64)
        pointer = self.core.ffi.cast("uint64_t *", self.core.ffi.from_buffer(out))
        used = self.core.lib.rmap_words(self.variant.number, self.folio(folio), pointer)
        return out[:used]
