"""Snapshots become a trace: its events are the differences between one snapshot and the next.

For `rmaplab record` and `inspect --parquet`. A difference is exact; what happened between two snapshots (a mapping made
and undone, the order of updates) is not seen, so that the trace says "estimate" unless it is a single snapshot. A folio
is the same as before if frame, order and kind are, and at least one mapping of it is; else it is a new one. Within a
step mappings come before unmappings: a fork is seen whole before anybody leaves.
"""

import hashlib
import os
import platform
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.bpf import BpfError
from rmaplab.inspect.folio_state import FolioReader
from rmaplab.inspect.folios import KINDS
from rmaplab.inspect.join import Index, spread
from rmaplab.inspect.mapping_rows import Runs, runs
from rmaplab.inspect.processes import Mm
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.text import for_json
from rmaplab.trace import UNOBSERVED, Meta, Trace, TraceBuilder

_SALT: Final = os.urandom(16)


@dataclass(frozen=True, slots=True)
class _State:
    """One snapshot's runs in the trace's numbers. `folio` and `mm` are the trace's; int64, one element a run."""

    folio: Index
    mm: Index
    page: Index
    nr: Index
    entire: NDArray[np.bool_]

    def __getitem__(self, which: NDArray[np.bool_] | Index) -> "_State":
        return _State(*(getattr(self, f.name)[which] for f in fields(self)))

    def keys(self) -> NDArray[np.void]:
        """Rows as opaque values that can be compared and sorted."""
        columns = np.stack([getattr(self, f.name).astype(np.int64) for f in fields(self)], axis=1)
        return np.ascontiguousarray(columns).view(np.dtype((np.void, 8 * columns.shape[1])))[:, 0]


@dataclass(frozen=True, slots=True)
class _Known:
    """Folios of the last snapshot: head PFN, order, kind, the trace's id; int64, ascending by head."""

    head: Index
    order: Index
    kind: Index
    folio: Index


class Recorder:
    """Add snapshots, then `trace()`. Follows the folios that the targets map, and once followed, until they are gone."""

    def __init__(self, reader: FolioReader | None = None, flag_bit: int = -1, *, pfns: bool = False) -> None:
        self._builder = TraceBuilder()
        self._reader, self._flag_bit, self._pfns = reader, flag_bit, pfns
        self._mms: dict[tuple[int, int, tuple[str, ...]], int] = {}
        self._names: dict[int, str] = {}
        none = np.zeros(0, np.int64)
        self._known = _Known(none, none, none, none)
        self._state = _State(none, none, none, none, np.zeros(0, np.bool_))
        self._snapshots = 0
        self._seconds = 0.0
        self._complete = True

    def add(self, snapshot: Snapshot, mms: Index, wanted: NDArray[np.bool_] | None = None) -> None:
        """Append what changed since the last snapshot, and ask about every folio concerned.

        `mms` (indices) are followed: the trace keeps their names, and nobody else's who maps the same folios. `wanted`
        (bool, per folio of the snapshot; None: all) says which folios to follow from now on.
        """
        folios = snapshot.sharing.folios
        heads = folios.head.astype(np.int64)
        followed = np.isin(heads, self._known.head) if wanted is not None else np.ones(len(heads), np.bool_)
        if wanted is not None:
            followed |= wanted
        found = runs(snapshot.sharing, followed)
        rmap_ids = np.array([self._rmap_id(mm) for mm in snapshot.mms], np.int64)
        for one in mms.tolist():
            if name := snapshot.mms[one].leader.name:
                self._names[int(rmap_ids[one])] = for_json(name)
        rows = np.unique(found.folio)
        ids = self._identify(snapshot, rows, found, rmap_ids)
        names = np.full(len(folios), -1, np.int64)
        names[rows] = ids
        state = _State(names[found.folio], rmap_ids[found.owner], found.page, found.nr, found.entire)
        changed = self._emit(state)
        self._ask(snapshot, rows, ids, state, changed)
        self._known = _Known(heads[rows], folios.order[rows].astype(np.int64), folios.kind[rows].astype(np.int64), ids)
        self._state = state
        self._snapshots += 1
        self._seconds += snapshot.seconds
        self._complete = self._complete and snapshot.exactness.label == "exact"

    def trace(self, scenario: str = "", **stats: float) -> Trace:
        """The trace of all snapshots so far. Where nothing was seen of what was followed, its exactness is unknown.

        `stats` go into the trace's own.
        """
        single = self._snapshots == 1 and self._complete
        why = "one snapshot: every mapping, in unknown order" if single else "differences between snapshots"
        if not self._complete:
            why += "; not all page tables could be read"
        seen = any(self._builder.rows)
        if not seen:
            why = "no snapshot saw a mapping of what was followed: it ended before the first, or maps nothing"
        made = self._builder.build(
            Meta(
                source="inspect",
                kernel=platform.release(),
                page_size=os.sysconf("SC_PAGE_SIZE"),
                exactness="unknown" if not seen else "exact" if single else "estimate",
                why=why,
                scenario=for_json(scenario),
                host=hashlib.sha256(_SALT + platform.node().encode()).hexdigest()[:16],
                pfns=self._pfns,
                stats={"snapshots": float(self._snapshots), "scan_seconds": self._seconds, **stats},
                unobserved=UNOBSERVED,
            )
        )
        names = {mm: self._names[mm] for mm in made.events["mm"].unique().sort().to_list() if mm in self._names}
        return replace(made, meta=replace(made.meta, names=names))

    def _rmap_id(self, mm: Mm) -> int:
        leader = mm.leader
        return self._mms.setdefault((leader.pid, leader.start, leader.identity), len(self._mms) + 1)

    def _identify(self, snapshot: Snapshot, rows: Index, found: Runs, rmap_ids: Index) -> Index:
        """The trace's folio ids of the folio-table rows `rows`, new ones opened."""
        folios, known = snapshot.sharing.folios[rows], self._known
        head = folios.head.astype(np.int64)
        at = np.minimum(np.searchsorted(known.head, head), max(len(known.head) - 1, 0))
        ids = np.full(len(rows), -1, np.int64)
        if len(known.head):
            same = (known.head[at] == head) & (known.order[at] == folios.order) & (known.kind[at] == folios.kind)
            same &= self._still_mapped(known.folio[at], rows, found, rmap_ids)
            ids[same] = known.folio[at][same]
        for kind in np.unique(folios.kind[ids < 0]).tolist():
            new = np.flatnonzero((ids < 0) & (folios.kind == kind))
            pfn = head[new].astype(np.uint64) if self._pfns else None
            ids[new] = self._builder.folios(folios.order[new], KINDS[kind], pfn)
        return ids

    def _still_mapped(self, before: Index, rows: Index, found: Runs, rmap_ids: Index) -> NDArray[np.bool_]:
        """Whether an MM that mapped folio `before[i]` maps folio-table row `rows[i]` now."""
        width = len(self._mms) + 1
        old = np.unique(self._state.folio * width + self._state.mm)
        place = np.searchsorted(rows, found.folio)
        pairs = before[place] * width + rmap_ids[found.owner]
        return np.bincount(place, np.isin(pairs, old), len(rows)) > 0

    def _emit(self, state: _State) -> NDArray[np.bool_]:
        """Events from the last state to `state`; returns which trace folios they concern (bool, by id)."""
        old_keys, new_keys = self._state.keys(), state.keys()
        gone, come = self._state[~np.isin(old_keys, new_keys)], state[~np.isin(new_keys, old_keys)]
        folio, mm, page, entire, count = _per_page_difference(gone, come)
        for sign in (1, -1):
            part = np.flatnonzero(np.sign(count) == sign)
            first, length = _consecutive(folio[part], mm[part], page[part], entire[part], count[part])
            row = part[first]
            nr = np.where(entire[row], count[row], length * sign)
            times = np.where(entire[row], 1, np.abs(count[row]))
            for _ in range(int(times.max(initial=0))):
                left = times > 0
                self._builder.events(folio[row][left], mm[row][left], page[row][left], nr[left], entire[row][left])
                times = times - 1
        changed = np.zeros(int(max(state.folio.max(initial=0), self._state.folio.max(initial=0))) + 1, np.bool_)
        changed[folio] = True
        self._builder.tick()
        return changed

    def _ask(self, snapshot: Snapshot, rows: Index, ids: Index, state: _State, changed: NDArray[np.bool_]) -> None:
        """One question per (folio, MM) concerned: what smaps and MADV_COLD would want to know."""
        pairs = np.unique(state.folio * (len(self._mms) + 1) + state.mm)
        folio, mm = pairs // (len(self._mms) + 1), pairs % (len(self._mms) + 1)
        asked = changed[folio] if len(folio) else np.zeros(0, np.bool_)
        folio, mm = folio[asked], mm[asked]
        order = np.argsort(ids)
        row = rows[order][np.searchsorted(ids[order], folio)]
        truth = np.where(snapshot.sharing.owners[row] == 1, "exclusive", "shared")
        for known, word in self._kernel_says(snapshot, row):
            if known.any():
                self._builder.questions(
                    folio[known],
                    mm[known],
                    "stat",
                    pages=snapshot.sharing.folios.pages[row[known]],
                    kernel=word,
                    truth=truth[known].tolist(),
                )
        self._builder.tick()

    def _kernel_says(self, snapshot: Snapshot, row: Index) -> list[tuple[NDArray[np.bool_], str | None]]:
        """The kernel's answer per row, where it was read: (which rows, verdict)."""
        flag = np.full(len(row), -1, np.int8)
        large = snapshot.sharing.folios.order[row] > 0
        if self._reader is not None and self._flag_bit >= 0 and large.any():
            heads = snapshot.sharing.folios.head[row[large]].astype(np.uint64)
            try:
                state = self._reader.read(heads, np.ones(len(heads), np.bool_), self._flag_bit)
                flag[large] = np.where(state.known, state.maybe_shared, -1)
            except BpfError:
                self._reader = None
        return [(flag == -1, None), (flag == 0, "exclusive"), (flag == 1, "shared")]


def _per_page_difference(gone: _State, come: _State) -> tuple[Index, Index, Index, NDArray[np.bool_], Index]:
    """Mappings per (folio, mm, page, entire), new minus old, where not 0: columns folio, mm, page, entire, count."""
    parts = [_expand(gone, -1), _expand(come, 1)]
    folio, mm, page, entire, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((page, entire, mm, folio))
    folio, mm, page, entire, count = (column[order] for column in (folio, mm, page, entire, count))
    if not len(folio):
        return folio, mm, page, entire.astype(np.bool_), count
    new = np.flatnonzero(
        (np.diff(folio, prepend=-1) != 0)
        | (np.diff(mm, prepend=-1) != 0)
        | (np.diff(page, prepend=-1) != 0)
        | (np.diff(entire, prepend=-1) != 0)
    )
    count = np.add.reduceat(count, new)
    kept = new[count != 0]
    return folio[kept], mm[kept], page[kept], entire[kept].astype(np.bool_), count[count != 0]


def _expand(state: _State, sign: int) -> tuple[Index, Index, Index, Index, Index]:
    """One row per page (one per entire run): folio, mm, page, entire, signed mappings."""
    length = np.where(state.entire, 1, state.nr)
    row = np.repeat(np.arange(len(length)), length)
    page = spread(state.page, length)
    count = np.where(state.entire, state.nr, 1)[row] * sign
    return state.folio[row], state.mm[row], page, state.entire[row].astype(np.int64), count


def _consecutive(folio: Index, mm: Index, page: Index, entire: NDArray[np.bool_], count: Index) -> tuple[Index, Index]:
    """Runs of rows that continue each other: position of the first, length."""
    if not len(folio):
        return folio, folio
    same = (folio[1:] == folio[:-1]) & (mm[1:] == mm[:-1]) & (count[1:] == count[:-1]) & ~entire[1:] & ~entire[:-1]
    first = np.flatnonzero(np.append(True, ~(same & (page[1:] == page[:-1] + 1))))
    return first, np.diff(first, append=len(folio))
