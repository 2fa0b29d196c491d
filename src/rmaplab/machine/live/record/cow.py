"""What one `write` was asked and answered: COW questions and the order of its page faults, read off two snapshots.

For the recorder. The snapshots stand before and after a write of one byte per page, ascending. A fault's place in
the write is its *rank*: 2i for the PMD fault whose first written page is page i of the range, 2i + 1 for the PTE
fault on page i. Changes no fault of this write explains (migration, collapse) have rank BACKGROUND.

The rules are those of do_wp_page() and do_huge_pmd_wp_page(): an anonymous page that is mapped read-only for COW and
not PageAnonExclusive asks; the answer shows in whether the slot still holds the same page. A PMD-mapped folio is
asked about as a whole first, and page by page after a split. KSM pages are always copied, file pages too: no question.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.live.proc.procfs import KPF_SWAPCACHE, PAGE_SHIFT
from rmaplab.machine.live.record.snapshot import PMD_PAGES, Bools, Index, Snapshot, key_of

Part = tuple[int, int, bool]
"""Bytes [address, address + length) of a write, and whether boundaries of VMAs were made around them just before."""

BACKGROUND: Final = np.iinfo(np.int64).max
_BEFORE: Final = -1
"""Rank of what a call does besides its faults."""
REUSED, COPIED, SPLIT = range(3)
"""Codes of `Questions.outcome`, in the order of `rmaplab.trace.OUTCOMES`."""


@dataclass(frozen=True, slots=True)
class Questions:
    """One element per question, ascending by rank. `page`: row of the old snapshot's pages; `mapcount`: the folio's
    when asked; `foreign`: how many of its mappings are other MMs'. `pages` as in the trace."""

    rank: Index
    page: Index
    pages: Index
    outcome: NDArray[np.uint8]
    mapcount: Index
    foreign: Index

    def count(self, outcome: int) -> int:
        return int(self.pages[self.outcome == outcome].sum())


@dataclass(frozen=True, slots=True)
class Judged:
    """`added`, `removed`: rank of every slot of the hull (`first_key` on) that gained or lost a mapping.

    `passing`: slots whose page was mapped by a PTE only between the split of its PMD mapping and its own copy.
    `reused`: slots whose page became PageAnonExclusive. `rest`: rank of what no fault explains.
    """

    first_key: int
    added: Index
    removed: Index
    passing: Index
    split_rank: Index
    reused: Index
    rest: int
    questions: Questions


class _Hull:
    """The written range widened to whole PMD ranges, one element per slot; page -1: not mapped."""

    def __init__(
        self,
        old: Snapshot,
        new: Snapshot,
        mm: int,
        address: int,
        length: int,
        parts: tuple[Part, ...],
        *,
        tracked: bool,
    ) -> None:
        low = key_of(mm, address)
        high = low + (length >> PAGE_SHIFT)
        self.first_key = low & -PMD_PAGES
        size = -(-high // PMD_PAGES) * PMD_PAGES - self.first_key
        self.low = low - self.first_key
        slots = np.arange(size)
        self.place = slots - self.low
        self.inside, self.cut = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        for start, bytes_, cut in parts or ((address, length, False),):
            first = key_of(mm, start) - self.first_key
            self.inside[first : first + (bytes_ >> PAGE_SHIFT)] = True
            self.cut[first : first + (bytes_ >> PAGE_SHIFT)] = cut
        self._by_block(size)
        if tracked:
            self._cut_tracked(old)
        self.block_rank = 2 * np.maximum(slots // PMD_PAGES * PMD_PAGES - self.low, 0)
        self.old, self.old_pmd = self._dense(old, size)
        self.new, self.new_pmd = self._dense(new, size)
        self.differs = np.append(old.pages.pfn, 0)[self.old] != np.append(new.pages.pfn, 0)[self.new]
        kind = np.append(old.pages.folio_kind, 255)[np.append(old.pages.local, -1)[self.old]]
        self.anon, self.ksm = kind == 0, kind == 3
        self.exclusive = np.append(old.pages.exclusive, False)[self.old]

    def _by_block(self, size: int) -> None:
        """`touched`: slots of blocks of which something was written; `cut`: of those that a boundary runs through."""
        blocks = self.inside.reshape(-1, PMD_PAGES)
        some, whole = blocks.any(axis=1), blocks.all(axis=1)
        self.touched = np.repeat(some, PMD_PAGES)
        self.cut = np.repeat(self.cut.reshape(-1, PMD_PAGES).any(axis=1) & ~whole, PMD_PAGES)

    def _cut_tracked(self, old: Snapshot) -> None:
        """A PMD mapping that userfaultfd tracks is split before anybody asks, as one is that a boundary runs through."""
        rows = slice(*np.searchsorted(old.key, [self.first_key, self.first_key + len(self.cut)]).tolist())
        self.cut[old.key[rows][old.tracked[rows] & old.pmd[rows]] - self.first_key] = True
        self.cut &= self.touched

    def _dense(self, snapshot: Snapshot, size: int) -> tuple[Index, Bools]:
        rows = slice(*np.searchsorted(snapshot.key, [self.first_key, self.first_key + size]).tolist())
        page, pmd = np.full(size, -1, np.int64), np.zeros(size, np.bool_)
        where = snapshot.key[rows] - self.first_key
        page[where], pmd[where] = snapshot.page[rows], snapshot.pmd[rows]
        return page, pmd


def judge(
    old: Snapshot,
    new: Snapshot,
    mm: int,
    address: int,
    length: int,
    parts: tuple[Part, ...] = (),
    *,
    tracked: bool = True,
) -> Judged:
    """Judge the write of bytes [address, address + length), or of `parts` of them only, by `mm`. O(slots of the hull +
    rows of `old`). `tracked`: what userfaultfd protects loses that, as it does not where somebody only reads."""
    hull = _Hull(old, new, mm, address, length, parts, tracked=tracked)
    rest = _BEFORE if parts else BACKGROUND
    broken = hull.old_pmd & ~hull.new_pmd & (hull.cut | ~(hull.anon & hull.exclusive))
    split = broken & hull.anon
    # What stands in the slot once the PMD fault is done and the PTE fault begins.
    between = np.where(broken & ~hull.anon, -1, hull.old)
    exclusive = hull.exclusive & (hull.cut | ~split)
    at_pte = hull.inside & (between >= 0) & (hull.new >= 0) & ~hull.new_pmd & (~hull.old_pmd | split)
    asks = at_pte & hull.anon & ~exclusive
    moves = at_pte & hull.differs & (asks | ~hull.anon)
    whole = hull.old_pmd & hull.new_pmd
    block_asks = hull.old_pmd & hull.anon & ~hull.exclusive & hull.touched & ~hull.cut
    block_asks &= np.arange(len(split)) % PMD_PAGES == 0

    fresh = (between < 0) & (hull.new >= 0)
    pte_rank = 2 * hull.place + 1
    added = np.full(len(split), rest)
    added[fresh] = _leaders(hull, new, fresh)[fresh]
    added[moves] = pte_rank[moves]
    in_place = split & ~hull.differs
    at_pmd = in_place | (whole & hull.differs & ~hull.exclusive)
    added[at_pmd] = hull.block_rank[at_pmd]
    removed = np.full(len(split), rest)
    removed[moves] = pte_rank[moves]
    gone = broken | (whole & hull.differs & ~hull.exclusive)
    removed[gone] = hull.block_rank[gone]

    passing = np.flatnonzero(split & moves)
    reused_pte = np.flatnonzero(asks & ~hull.differs)
    return Judged(
        first_key=hull.first_key,
        added=added,
        removed=removed,
        passing=passing,
        split_rank=hull.block_rank[passing],
        reused=reused_pte + hull.first_key,
        rest=rest,
        questions=_questions(old, hull, mm, np.flatnonzero(block_asks), np.flatnonzero(asks), split),
    )


def _leaders(hull: _Hull, new: Snapshot, fresh: Bools) -> Index:
    """Rank of the fault that mapped each fresh slot: that on its folio's first written slot, else its block's."""
    folio = np.append(new.pages.local, -1)[hull.new]
    first = np.full(len(new.pages.folio_id) + 1, BACKGROUND)
    written = np.flatnonzero(fresh & hull.inside)
    np.minimum.at(first, folio[written], 2 * hull.place[written] + 1)
    leader = first[folio]
    return np.where(leader == BACKGROUND, hull.block_rank + 1, leader)


def _questions(old: Snapshot, hull: _Hull, mm: int, blocks: Index, ptes: Index, split: Bools) -> Questions:
    slots = np.concatenate([blocks, ptes])
    at_pmd = np.arange(len(slots)) < len(blocks)
    differs, page = hull.differs[slots], hull.old[slots]
    outcome = np.where(differs, COPIED, REUSED).astype(np.uint8)
    outcome[at_pmd & split[slots]] = SPLIT
    rank = np.where(at_pmd, hull.block_rank[slots], 2 * hull.place[slots] + 1)

    counted = old.counted
    local, of_mm = old.pages.local[old.page[counted]], old.mm[counted] == mm
    total = np.bincount(local, minlength=len(old.pages.folio_id))
    foreign = total - np.bincount(local[of_mm], minlength=len(total))
    folio = old.pages.local[page]
    order = np.lexsort((rank, folio))
    mapcount = total[folio] + np.where(~at_pmd & split[slots], PMD_PAGES - 1, 0)
    mapcount[order] -= _earlier(folio[order], (outcome == COPIED)[order] & ~at_pmd[order])
    by_rank = np.argsort(rank, kind="stable")
    return Questions(
        rank=rank[by_rank],
        page=page[by_rank],
        pages=np.where(at_pmd, PMD_PAGES, 1)[by_rank],
        outcome=outcome[by_rank],
        mapcount=mapcount[by_rank],
        foreign=foreign[folio][by_rank],
    )


def _earlier(group: Index, mark: Bools) -> Index:
    """For each element of the sorted `group`, how many marked ones of its group stand before it."""
    before: Index = np.cumsum(mark) - mark
    starts = np.searchsorted(group, group)
    return before - before[starts] if len(group) else before


def extra_refs_unknown(old: Snapshot, questions: Questions) -> Bools:
    """Whether the swap cache may hold a reference too."""
    unknown: Bools = old.pages.flags[questions.page] & KPF_SWAPCACHE != 0
    return unknown
