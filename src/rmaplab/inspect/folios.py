"""The folios behind the mapped page frames: heads, orders, kinds.

For `rmaplab.inspect.snapshot`. kpageflags costs 100 ns a word, so a PMD-sized folio is recognised by
three words and only the rest is read page by page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect import fast
from rmaplab.inspect.growing import Growing
from rmaplab.inspect.join import Index, Join, spread
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.proc.pageflags import PageFlags

KINDS: Final = ("anon", "file", "shmem", "ksm", "hugetlb", "zero", "special")
"""The first four count as resident, as in smaps. hugetlb has counters of its own; zero pages (small and huge) and
special pages (device and PFN mappings, vdso, guest-only memory) carry no mapcount: no truth exists for them."""
ANON, FILE, SHMEM, KSM, HUGETLB, ZERO, SPECIAL = range(len(KINDS))
COUNTED: Final = 4

_PMD_ORDER: Final = 9
_CHUNK: Final = 1 << 14

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Folios:
    """One row per folio with at least one mapped page, ascending: `head` PFN (uint32, or uint64
    beyond 16 TiB), `order` uint8, `kind` uint8. 6 bytes a folio."""

    head: NDArray[Any]
    order: NDArray[np.uint8]
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.head)

    def __getitem__(self, which: Any) -> "Folios":
        return Folios(self.head[which], self.order[which], self.kind[which])

    @property
    def pages(self) -> Index:
        return np.int64(1) << self.order.astype(np.int64)

    def touch(self, joined: Join) -> NDArray[np.bool_]:
        """Which intervals have a page in one of these folios."""
        if not len(self):
            return np.zeros(len(joined), np.bool_)
        at = np.searchsorted(self.head, joined.end.astype(self.head.dtype)) - 1
        last = np.maximum(at, 0)
        end = self.head[last].astype(np.int64) + self[last].pages
        return (at >= 0) & (end > joined.start)

    @property
    def bytes(self) -> int:
        return self.head.nbytes + self.order.nbytes + self.kind.nbytes


def kinds(flags: Words, known: PageFlags) -> NDArray[np.uint8]:
    """KINDS index of folios by the KPF_* bits of their heads: uint8. Bits that `known` refutes are not looked at."""
    out = np.full(len(flags), FILE, np.uint8)
    flags = known.of(flags)
    out[(flags & procfs.KPF_SWAPBACKED) != 0] = SHMEM
    out[(flags & procfs.KPF_ANON) != 0] = ANON
    out[(flags & procfs.KPF_KSM) != 0] = KSM
    out[(flags & procfs.KPF_MMAP) == 0] = SPECIAL
    out[(flags & procfs.KPF_HUGETLB) != 0] = HUGETLB
    out[(flags & procfs.KPF_ZERO_PAGE) != 0] = ZERO
    return out


def folios(joined: Join, known: PageFlags) -> Folios:
    """The folios of all mapped frames. Raises procfs.Missing without root. One kpageflags word a small page."""
    low, high = _spans(joined)
    if fast.available():
        return _by_c(low, high, known)
    heads, flags = _pmd_sized(low, high)
    narrow = np.uint32 if not len(high) or int(high[-1]) < 1 << 32 else np.uint64
    large = Folios(heads.astype(narrow), np.full(len(heads), _PMD_ORDER, np.uint8), kinds(flags, known))
    none = np.zeros(0, np.uint8)
    found, last = [Folios(none.astype(narrow), none, none)], -1
    for pfns in _others(low, high, heads):
        seen = procfs.folios(pfns.astype(np.uint64))
        new = np.append(int(seen.head[0]) != last, seen.head[1:] != seen.head[:-1])
        last = int(seen.head[-1])
        found.append(Folios(seen.head[new].astype(narrow), seen.order[new], kinds(seen.flags[new], known)))
    columns = [np.concatenate([getattr(f, name) for f in found]) for name in ("head", "order", "kind")]
    at = np.searchsorted(columns[0], large.head)
    return Folios(*(np.insert(c, at, new) for c, new in zip(columns, (large.head, large.order, large.kind), strict=True)))


def _by_c(low: Index, high: Index, known: PageFlags) -> Folios:
    narrow = np.uint32 if not len(high) or int(high[-1]) < 1 << 32 else np.uint64
    found = Growing(narrow, np.uint8, np.uint8)
    with procfs.words_of("kpageflags") as fd:
        for head, order, flags in fast.find_folios(fd, low, high):
            found.add(head, order, kinds(flags, known))
    return Folios(*found.columns())


def _spans(joined: Join) -> tuple[Index, Index]:
    """Runs of mapped frames [low, high), neighbouring intervals joined."""
    if not len(joined):
        return joined.start, joined.start
    end = joined.end
    apart = joined.start[1:] != end[:-1]
    return joined.start[np.append(True, apart)], end[np.append(apart, True)]


def _pmd_sized(low: Index, high: Index) -> tuple[Index, Words]:
    """Heads of the folios of exactly PMD order that are mapped all over, and the heads' flags.

    A head whose page half-way through is a tail has that order or more (folios are naturally aligned), and not more
    if the page behind it is no tail.
    """
    size = 1 << _PMD_ORDER
    first = -(-low // size)
    blocks = spread(first, np.maximum(high // size - first, 0)) * size
    flags = procfs.kpageflags(blocks.astype(np.uint64))
    blocks = blocks[headed := (flags & procfs.KPF_COMPOUND_HEAD) != 0]
    flags = flags[headed]
    half = procfs.kpageflags((blocks + size // 2).astype(np.uint64))
    behind = procfs.kpageflags((blocks + size).astype(np.uint64))
    good = ((half & procfs.KPF_COMPOUND_TAIL) != 0) & ((behind & procfs.KPF_COMPOUND_TAIL) == 0)
    return blocks[good], flags[good]


def _others(low: Index, high: Index, done: Index) -> Iterator[Index]:
    """The frames of the spans outside the PMD-sized folios `done`, in chunks of about `_CHUNK`."""
    cut_low = np.sort(np.concatenate((low, done + (1 << _PMD_ORDER))))
    cut_high = np.sort(np.concatenate((high, done)))
    total = cut_high - cut_low
    kept = total > 0
    cut_low, total = cut_low[kept], total[kept]
    group = (np.cumsum(total) - total) // _CHUNK
    bounds = np.flatnonzero(np.diff(group, prepend=-1, append=-2))
    for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield spread(cut_low[a:b], total[a:b])
