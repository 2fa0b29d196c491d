"""Did we see everybody? The kernel's own counts of each folio, held against the mappings found.

For every look: without this nothing is called exact. A folio's mapcount is the number of page-table entries that map it,
whoever has them; where as many were found, nobody unseen maps it. Reads struct folio by BPF, else kpagecount. Not here:
what follows for the numbers (`exactness`), and what else a look stands on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.exactness import OTHERS, Concern, Reason
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.inspect.folios import COUNTED, HUGETLB, KINDS
from rmaplab.inspect.join import Index, spread
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.sharing import Sharing, member
from rmaplab.machine.live.proc import procfs

_CHUNK: Final = 1 << 14
_FEW: Final = 20
_NONE: Final = np.zeros(0, np.int64)
_UNTOLD: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Account:
    """Rows of the folio table, int64, ascending: of `asked` folios that have a mapcount, the kernel counts `more`
    mappings than were found, or `fewer`; of `unknown` ones it did not tell; of `tabled` ones (hugetlb), whose page tables
    several MMs may share, its count says nothing about who was not seen. `by`: who counted.

    `nameless`: of `more`, the small folios that several MMs were found to map: the kernel's count says how often they are
    mapped, and who else does is all that is open. `unseen` with `times` (float64): all that somebody unseen maps, and how
    many mappings there are for one found: `more`, and the kernel's own pages that every process maps (the vdso), which
    need no seeing.
    """

    asked: int
    more: Index = field(default_factory=lambda: _NONE)
    fewer: Index = field(default_factory=lambda: _NONE)
    unknown: Index = field(default_factory=lambda: _NONE)
    tabled: Index = field(default_factory=lambda: _NONE)
    nameless: Index = field(default_factory=lambda: _NONE)
    unseen: Index = field(default_factory=lambda: _NONE)
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    by: str = ""

    @property
    def agrees(self) -> bool:
        """Whether every folio was asked about, and has the mappings found."""
        return not len(self.doubtful)

    @property
    def doubtful(self) -> Index:
        """All rows that do not add up."""
        return np.unique(np.concatenate((self.more, self.fewer, self.unknown, self.tabled)))

    @property
    def missized(self) -> Index:
        """Those of them about which more is open than who else maps them."""
        rows = self.doubtful
        return rows[~member(self.nameless, rows)]

    def reasons(self, sharing: Sharing, without: str) -> list[Reason]:
        """What does not add up, one reason a kind. `without`: why the kernel could not be asked, where it was not."""
        rest = self.more[~member(self.nameless, self.more)]
        told: tuple[tuple[Index, str, tuple[Concern, ...]], ...] = (
            (rest, "the kernel counts more mappings than were found: somebody unseen maps them too", OTHERS),
            (self.nameless, "shared, and mapped by others too that were not seen", ("names",)),
            (self.fewer, "mappings found that the kernel counts no more: they went while being read", OTHERS),
            (self.unknown, without, OTHERS),
            (self.tabled, "not everybody is seen, and page tables that several share are counted once", OTHERS),
        )
        return [
            Reason(
                f"{text} ({_kinds(sharing, rows)})",
                spoils,
                len(rows),
                int(sharing.mapped_of(rows).sum()),
                tuple(rows[:_FEW].tolist()),
            )
            for rows, text, spoils in told
            if len(rows)
        ]


def _kinds(sharing: Sharing, rows: Index) -> str:
    """ "12 anon of order 9, 3 file", most first."""
    part = sharing.folios[rows]
    key, count = np.unique(part.kind.astype(np.int64) << 8 | part.order, return_counts=True)
    named = []
    for at in np.argsort(-count).tolist():
        order = int(key[at]) & 0xFF
        named.append(f"{count[at]} {KINDS[int(key[at]) >> 8]}" + (f" of order {order}" if order else ""))
    return ", ".join(named)


def account(sharing: Sharing, view: KernelView, *, pmds: bool, everybodys: Index, tabled: Index = _NONE) -> Account:
    """Ask the kernel about every folio of `sharing` that has a mapcount. `pmds`: PMD mappings were told from others;
    `everybodys` (rows, ascending): pages of the kernel's own that every process maps; `tabled` (rows): folios that
    somebody unseen may map by a page table that the kernel counts once for all who share it.

    O(folios) where BPF reads them, 16 bytes a folio of a part; kpagecount takes 100 ns a page.
    """
    folios = sharing.folios
    rows = np.flatnonzero((folios.kind < COUNTED) | (folios.kind == HUGETLB))
    large = folios.order[rows] > 0
    unknown, by = rows, ""
    parts: list[Account] = []
    reader = view.reader
    if reader is not None:
        readable = np.where(large, reader.counts_large and pmds, reader.counts_small)
        unknown, by = rows[~readable], "struct folio, read by BPF"
        try:
            parts = [_compare(sharing, *counted, everybodys) for counted in _by_bpf(sharing, rows[readable], reader)]
        except BpfError:
            parts, unknown, by = [], rows, ""
    try:
        by_page = np.full(len(unknown), view.by_page) & (view.per_page | (folios.order[unknown] == 0))
        parts += [
            _compare(sharing, part, *_by_page(sharing, part), everybodys)
            for part in _parts(unknown[by_page], folios.pages)
        ]
        unknown, by = unknown[~by_page], by or "kpagecount"
    except procfs.Missing:
        pass
    return replace(_together(parts, unknown[~member(everybodys, unknown)], len(unknown)), tabled=tabled, by=by)


def _together(parts: list[Account], untold: Index, uncounted: int) -> Account:
    """The parts as one, and `uncounted` folios that nobody was asked about: of these `untold` (rows) count as unknown."""

    def rows(name: str) -> Index:
        return np.concatenate([_NONE, *(getattr(part, name) for part in parts)])

    unseen = rows("unseen")
    order = np.argsort(unseen)
    return Account(
        sum(part.asked for part in parts) + uncounted,
        more=np.sort(rows("more")),
        fewer=np.sort(rows("fewer")),
        unknown=np.sort(np.concatenate((rows("unknown"), untold))),
        nameless=np.sort(rows("nameless")),
        unseen=unseen[order],
        times=np.concatenate([np.zeros(0), *(part.times for part in parts)])[order],
    )


def _by_bpf(sharing: Sharing, rows: Index, reader: FolioReader) -> Iterator[tuple[Index, Index, Index]]:
    """Some of the folios `rows` at a time: their rows, the mappings found, and the kernel's (_UNTOLD: not readable)."""
    folios = sharing.folios
    for low in range(0, len(rows), _CHUNK):
        part = rows[low : low + _CHUNK]
        state = reader.read(folios.head[part].astype(np.uint64), folios.order[part] > 0)
        yield part, _found(sharing, part), np.where(state.known, state.mapcount, _UNTOLD)


def _compare(sharing: Sharing, row: Index, found: Index, count: Index, everybodys: Index) -> Account:
    """Mappings found of the folios `row` (ascending) against those counted (_UNTOLD where the kernel did not tell)."""
    folios = sharing.folios
    extra = np.where(count == _UNTOLD, _UNTOLD, count - found)
    # Page tables that several MMs share (hugetlb) are counted once, and seen in each.
    extra[(folios.kind[row] == HUGETLB) & (extra < 0) & (extra != _UNTOLD)] = 0
    differs = np.flatnonzero(extra)
    row, extra, times, asked = row[differs], extra[differs], count[differs] / np.maximum(found[differs], 1), len(row)
    common = member(everybodys, row)
    more, fewer = extra > 0, (extra < 0) & (extra != _UNTOLD) & ~common
    nameless = row[more & ~common & (folios.order[row] == 0)]
    return Account(
        asked=asked,
        more=row[more & ~common],
        fewer=row[fewer],
        unknown=row[(extra == _UNTOLD) & ~common],
        nameless=nameless[sharing.owners_of(nameless) > 1],
        unseen=row[more],
        times=times[more],
    )


def _parts(rows: Index, pages: Index) -> Iterator[Index]:
    """`rows` in parts of about _CHUNK pages."""
    size = pages[rows]
    part = (np.cumsum(size) - size) // _CHUNK
    bounds = np.flatnonzero(np.diff(part, prepend=-1, append=-2)) if len(rows) else _NONE
    for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield rows[a:b]


def _found(sharing: Sharing, rows: Index) -> Index:
    """Mappings found, as the kernel counts them: a hugetlb folio's are all entire."""
    found = sharing.mapcount_of(rows)
    part = sharing.folios[rows]
    hugetlb = part.kind == HUGETLB
    found[hugetlb] //= np.maximum(part.pages[hugetlb] // 512, 1)
    return found


def _by_page(sharing: Sharing, rows: Index) -> tuple[Index, Index]:
    """Mappings found of each folio, and kpagecount's, over all its pages, mapped or not: int64.

    Page by page: one mapping too few of a page is not made up for by one too many of another.
    """
    part, joined = sharing.folios[rows], sharing.joined
    pfn = spread(part.head.astype(np.int64), part.pages)
    at = np.maximum(np.searchsorted(joined.start, pfn, side="right") - 1, 0)
    depth = np.where((pfn >= joined.start[at]) & (pfn < joined.end[at]), joined.depth[at], 0)
    count = procfs.kpagecount(pfn.astype(np.uint64)).astype(np.int64)
    first = np.cumsum(part.pages) - part.pages
    found: Index = np.add.reduceat(depth, first)
    more: Index = np.add.reduceat(np.maximum(count - depth, 0), first)
    less: Index = np.add.reduceat(np.minimum(count - depth, 0), first)
    return found, found + np.where(more > 0, more, less)
