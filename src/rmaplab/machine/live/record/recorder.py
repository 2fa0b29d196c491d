"""From snapshots to the trace: after each operation the differences become events, COW answers become questions.

For `LiveMachine`. Knows folios and steps; not processes, sockets or addresses' owners.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import polars as pl

from rmaplab.machine.live.record import cow
from rmaplab.machine.live.record.snapshot import (
    KIND_NAMES,
    MM_SHIFT,
    Bools,
    Index,
    Pairing,
    Snapshot,
    Space,
    carry_exclusive,
    moved,
    pair,
    read_slots,
    take,
)
from rmaplab.trace import OUTCOMES, Trace, TraceBuilder
from rmaplab.trace.tables import Meta
from rmaplab.trace.vocabulary import OUTCOME, VERDICT

_VERDICTS: Final = pl.Series([None, "exclusive", "shared"], dtype=VERDICT)
_UNKNOWN, _EXCLUSIVE, _SHARED = range(3)
_OUTCOMES: Final = pl.Series(OUTCOMES, dtype=OUTCOME)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes [address, address + length) that MM `mm` wrote one byte a page of, ascending; or that were unshared page
    by page for a reader. `holds`: each page is pinned before the next is faulted in. `parts`: only these, as (address,
    length, cut), were written, by a call that did more than that: it made boundaries of VMAs around the cut ones."""

    mm: int
    address: int
    length: int
    what: Literal["cow", "unshare"] = "cow"
    holds: bool = False
    parts: tuple[cow.Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """An mremap of MM `mm` that moved the page tables of `length` bytes from `source` to `target`."""

    mm: int
    source: int
    target: int
    length: int


@dataclass(slots=True)
class _Rows:
    """Mappings that came (`sign` +1) or went (-1), one element each; `rank` orders the faults of a write."""

    rank: Index
    sign: Index
    key: Index
    folio: Index
    page: Index
    entire: Bools

    def __getitem__(self, which: Index | Bools) -> "_Rows":
        return _Rows(*(getattr(self, name)[which] for name in self.__slots__))

    def run_starts(self) -> Bools:
        """Where a new event begins: rows of one fault that follow each other in slot and page are one update."""
        first = np.ones(len(self.key), np.bool_)
        goes_on = (np.diff(self.key) == 1) & (np.diff(self.page) == 1) & ~self.entire[1:]
        for column in (self.rank, self.sign, self.folio):
            goes_on &= column[1:] == column[:-1]
        first[1:] = ~goes_on
        return first

    @staticmethod
    def join(parts: Sequence["_Rows"]) -> "_Rows":
        return _Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in _Rows.__slots__))


def _rows(snapshot: Snapshot, which: Index, sign: int) -> _Rows:
    page = snapshot.page[which]
    return _Rows(
        rank=np.zeros(len(which), np.int64),
        sign=np.full(len(which), sign),
        key=snapshot.key[which],
        folio=snapshot.pages.folio_id[snapshot.pages.local[page]],
        page=snapshot.pages.offset[page],
        entire=snapshot.pmd[which],
    )


@dataclass(slots=True)
class Recorder:
    """The state last seen, and the trace so far."""

    keep_pfns: bool = False
    builder: TraceBuilder = field(default_factory=TraceBuilder)
    state: Snapshot = field(default_factory=lambda: take([]))
    stats: dict[str, float] = field(default_factory=dict)
    _pins: dict[int, Index] = field(default_factory=dict)
    """Folio id of every pinned page, by pin."""

    @property
    def rows(self) -> tuple[int, int]:
        """Event and question rows so far."""
        return self.builder.rows

    def count(self, name: str, amount: float = 1) -> None:
        self.stats[name] = self.stats.get(name, 0) + amount

    def advance(
        self,
        spaces: Sequence[Space],
        touched: frozenset[int] | None,
        write: Write | None = None,
        move: Move | None = None,
    ) -> cow.Questions | None:
        """Look at the world after an operation and record what changed.

        Changes in MMs outside `touched` (None: all may change), and those a write does not explain, get a step of
        their own and count as `background_changes`. Returns the questions of a write.
        """
        old = self.state if move is None else moved(self.state, move.mm, move.source, move.target, move.length)
        new = take(spaces)
        pairing = pair(old, new)
        self._open_folios(new)
        rows = self._changes(old, new, pairing)
        judged = None
        if write is not None:
            tracked = write.what == "cow"
            judged = cow.judge(old, new, write.mm, write.address, write.length, write.parts, tracked=tracked)
            rows = _rank(rows, judged, old, write.mm)
        if touched is not None:
            rows.rank[~np.isin(rows.key >> MM_SHIFT, list(touched))] = cow.BACKGROUND
        reused = np.searchsorted(new.key, judged.reused) if judged else np.zeros(0, np.int64)
        carry_exclusive(old, new, pairing, reused)
        self._emit(rows, judged, old, write)
        self.state = new
        return judged.questions if judged else None

    def settle(self, spaces: Sequence[Space], mm: int) -> None:
        """Before a write of `mm`: if its page tables changed behind our back, record that first."""
        space = next(s for s in spaces if s.mm == mm)
        key, pfn, pmd, _ = read_slots(space)
        mine = slice(*np.searchsorted(self.state.key, [mm << MM_SHIFT, (mm + 1) << MM_SHIFT]).tolist())
        known = np.isin(key, self.state.key[mine], assume_unique=True)
        as_was = (
            np.array_equal(key[known], self.state.key[mine])
            and np.array_equal(pfn[known], self.state.pages.pfn[self.state.page[mine]])
            and np.array_equal(pmd[known], self.state.pmd[mine])
        )
        if not as_was:
            self.advance(spaces, frozenset())

    def ask(self, mm: int, address: int, length: int) -> None:
        """One question "stat" per folio that `mm` maps in the range, from its first page there on."""
        state, pages = self.state, self.state.pages
        here = state.page[state.rows(mm, address, length)]
        folio, first, times = np.unique(pages.local[here], return_index=True, return_counts=True)
        total, own = state.mapcounts(mm)
        if len(folio):
            self.builder.questions(
                pages.folio_id[folio],
                mm,
                "stat",
                page=pages.offset[here[first]],
                pages=np.minimum(times, 1 << pages.folio_order[folio].astype(np.int64)),
                truth=_VERDICTS.gather(np.where(total[folio] > own[folio], _SHARED, _EXCLUSIVE)),
            )
        self.builder.tick()

    def migrated(self, old: Snapshot, mm: int, address: int, length: int, step: int | None) -> int:
        """How many pages of the range lie elsewhere than in `old`, the world before `mm` asked to move them.

        With `step`, that of the move: one question "migrate" a folio. That it moved says the kernel's EXCLUSIVE; that it
        stayed says SHARED if no reference we know of can have held it.
        """
        here, pages = old.rows(mm, address, length), old.pages
        at = np.minimum(np.searchsorted(self.state.key, old.key[here]), max(len(self.state.key) - 1, 0))
        gone = np.ones(len(at), np.bool_)
        if len(self.state.key):
            now = self.state.pages.pfn[self.state.page[at]]
            gone = (self.state.key[at] != old.key[here]) | (now != pages.pfn[old.page[here]])
        if step is not None and len(gone):
            self._ask_to_move(old, mm, old.page[here], gone, step)
        return int(gone.sum())

    def _ask_to_move(self, old: Snapshot, mm: int, page: Index, gone: Bools, step: int) -> None:
        pages = old.pages
        folio, first, times = np.unique(pages.local[page], return_index=True, return_counts=True)
        total, own = old.mapcounts(mm)
        extra = self._extra_refs(pages.folio_id)[folio]
        order = np.argsort(first)  # the kernel asks in the order of addresses
        folio, first, times, extra = folio[order], first[order], times[order], extra[order]
        stayed = np.where((extra == 0) & (total[folio] > 1) & self._pins_seen(pages.folio_id), _SHARED, _UNKNOWN)
        self.builder.questions(
            pages.folio_id[folio],
            mm,
            "migrate",
            page=pages.offset[page[first]],
            pages=np.minimum(times, 1 << pages.folio_order[folio].astype(np.int64)),
            kernel=_VERDICTS.gather(np.where(np.isin(folio, pages.local[page[gone]]), _EXCLUSIVE, stayed)),
            truth=_VERDICTS.gather(np.where(total[folio] > own[folio], _SHARED, _EXCLUSIVE)),
            step=step,
        )

    def _pins_seen(self, present: Index) -> bool:
        """Do we know which folios are pinned now? One that was unmapped meanwhile has come back under another id."""
        return all(bool(np.isin(pinned, present).all()) for pinned in self._pins.values())

    def pin(self, key: int, mm: int, address: int, length: int) -> None:
        """One reference more on the folio of every page in the range; zero pages have none to count."""
        rows = self.state.rows(mm, address, length)
        pages = self.state.pages
        self._pins[key] = pages.folio_id[pages.local[self.state.page[rows]]]

    def unpin(self, key: int) -> None:
        self._pins.pop(key, None)

    def trace(self, meta: Meta) -> Trace:
        return self.builder.build(meta)

    def _open_folios(self, new: Snapshot) -> None:
        pages = new.pages
        fresh = pages.folio_id < 0
        for code, kind in enumerate(KIND_NAMES):
            which = np.flatnonzero(fresh & (pages.folio_kind == code))
            if len(which):
                pfn = pages.folio_head[which] if self.keep_pfns else None
                pages.folio_id[which] = self.builder.folios(pages.folio_order[which], kind, pfn)

    def _changes(self, old: Snapshot, new: Snapshot, pairing: Pairing) -> _Rows:
        """Every mapping that came or went. A folio that was split in place is left and entered, page by page."""
        same = np.flatnonzero(pairing.same)
        then = pairing.row[same]
        alike = (old.pmd[then] == new.pmd[same]) & (
            old.pages.folio_id[old.pages.local[old.page[then]]] == new.pages.folio_id[new.pages.local[new.page[same]]]
        )
        came, went = new.counted.copy(), old.counted.copy()
        came[same[alike]] = False
        went[then[alike]] = False
        return _Rows.join([_rows(new, np.flatnonzero(came), 1), _rows(old, np.flatnonzero(went), -1)])

    def _emit(self, rows: _Rows, judged: cow.Judged | None, old: Snapshot, write: Write | None) -> None:
        asked = judged.questions.rank if judged else np.zeros(0, np.int64)
        background = int((rows.rank == cow.BACKGROUND).sum())
        self.count("background_changes", background)
        base = self.builder.step
        ranks = np.unique(np.concatenate([rows.rank, asked]))
        if judged and write:
            self._ask(judged.questions, old, write, base + np.searchsorted(ranks, asked))
        rows = rows[np.lexsort((rows.key, -rows.sign, rows.rank))]
        starts = np.flatnonzero(rows.run_starts())
        run = np.diff(np.append(starts, len(rows.key)))
        rows = rows[starts]
        if len(starts):
            step = base + np.searchsorted(ranks, rows.rank)
            self.builder.events(rows.folio, rows.key >> MM_SHIFT, rows.page, run * rows.sign, rows.entire, step=step)
        self.builder.tick(max(len(ranks), 1))

    def _ask(self, questions: cow.Questions, old: Snapshot, write: Write, step: Index) -> None:
        if not len(step):
            return
        pages = old.pages
        local = pages.local[questions.page]
        extra = self._extra_refs(pages.folio_id)[local]
        unknown = cow.extra_refs_unknown(old, questions) | write.holds
        alone = (pages.folio_order[local] > 0) & (questions.mapcount <= 1) & (questions.pages == 1)
        told = (extra == 0) & ~unknown & ~alone
        kernel = np.where(questions.outcome == cow.REUSED, _EXCLUSIVE, np.where(told, _SHARED, _UNKNOWN))
        self.builder.questions(
            pages.folio_id[local],
            write.mm,
            write.what,
            page=pages.offset[questions.page],
            pages=questions.pages,
            kernel=_VERDICTS.gather(kernel),
            truth=_VERDICTS.gather(np.where(questions.foreign > 0, _SHARED, _EXCLUSIVE)),
            outcome=_OUTCOMES.gather(questions.outcome),
            extra_refs=pl.Series(extra).set(pl.Series(unknown), None),
            step=step,
        )
        self.count(f"{write.what}_faults", len(step))
        if write.what == "cow":
            self.count("reused_pages", questions.count(cow.REUSED))
            self.count("copied_pages", questions.count(cow.COPIED))

    def _extra_refs(self, folio_id: Index) -> Index:
        pinned = np.concatenate([np.zeros(0, np.int64), *self._pins.values()])
        if not len(pinned):
            return np.zeros(len(folio_id), np.int64)
        return np.bincount(pinned, minlength=int(folio_id.max(initial=0)) + 1)[folio_id]


def _rank(rows: _Rows, judged: cow.Judged, old: Snapshot, mm: int) -> _Rows:
    """Give the changes of a write their faults' ranks, and add what came and went within it."""
    slot = rows.key - judged.first_key
    here = (slot >= 0) & (slot < len(judged.added)) & (rows.key >> MM_SHIFT == mm)
    rank = np.full(len(slot), judged.rest)
    came = rows.sign[here] > 0
    rank[here] = np.where(came, judged.added[slot[here]], judged.removed[slot[here]])
    rows.rank = rank
    if not len(judged.passing):
        return rows
    passing = _rows(old, np.searchsorted(old.key, judged.passing + judged.first_key), 1)
    passing.entire[:] = False
    came_by = _Rows(judged.split_rank, passing.sign, passing.key, passing.folio, passing.page, passing.entire)
    went_by = _Rows(judged.added[judged.passing], -passing.sign, passing.key, passing.folio, passing.page, passing.entire)
    return _Rows.join([rows, came_by, went_by])
