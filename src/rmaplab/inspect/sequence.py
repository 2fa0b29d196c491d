"""What it costs if the members of a family write all they share, one after the other: bytes copied for each of them.

For `rmaplab inspect --family --what-if write`. Alone, each of them would copy all that is shared; in sequence whoever
copies a page leaves its folio, and the last one may reuse it. There a tracker of two slots errs, and only there: while
several MMs map a folio every rule copies. The last one's pages are reused iff one of the slots is its own and it has more
than one mapping; a folio that PMDs map, or a small one, is reused by its references alone. Nobody is forked meanwhile.

Whose a slot is, is told by elimination: the MM that maps as many pages as the slot counts, in every folio that has the
slot's ID. Where several are left, the price is a pair of bounds. Where memory moved meanwhile, or a huge page may be
wanting, there is no price.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmaplab.inspect.disagree import LargeFolios
from rmaplab.inspect.exactness import Exactness
from rmaplab.inspect.folios import HUGETLB, SPECIAL
from rmaplab.inspect.join import Index
from rmaplab.inspect.price import moved, reasons, slots_of, without_a_page
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.snapshot import Snapshot
from rmaplab.inspect.write_rule import Pages, Verdict, anonymous, judge, mapped_only, private_pages


@dataclass(frozen=True, slots=True)
class Turn:
    """One member's bytes: copied by a precise rule, and needlessly beside by this kernel's (`least` to `most`)."""

    pid: int
    precise: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class SequencePrice:
    """The turns, in the order of writing. `sure`: whether every page stayed what it was while it was priced."""

    turns: tuple[Turn, ...]
    sure: bool
    exactness: Exactness

    @property
    def together(self) -> Turn:
        """The sum of the turns, of no PID."""
        return Turn(0, *(sum(getattr(t, name) for t in self.turns) for name in ("precise", "least", "most")))

    def as_json(self) -> dict[str, Any]:
        """For the JSON. `needless`: null unless the bounds agree; all of it unless `sure`."""
        rows = [{"pid": t.pid} | self._numbers(t) for t in self.turns]
        trust = {"exactness": self.exactness.label, "why": self.exactness.why}
        return self._numbers(self.together) | trust | {"turns": rows}

    def _numbers(self, turn: Turn) -> dict[str, Any]:
        return {
            "precise": turn.precise if self.sure else None,
            "needless": turn.least if self.sure and turn.least == turn.most else None,
            "needless_bounds": [turn.least, turn.most] if self.sure else None,
        }


def what_if_sequence(snapshot: Snapshot, large: LargeFolios, view: KernelView) -> SequencePrice:
    """The targets write all their private memory, in the order of their PIDs. O(pages written log pages written).

    First the pages that are asked about become rows (folio, turn, pages), then of each folio the last row is told from
    the others, and what the kernel's two slots know of it. Raises BpfError if reading fails.
    """
    targets = sorted(snapshot.targets.tolist(), key=lambda mm: snapshot.mms[mm].leader.pid)
    place = np.full(len(snapshot.mms), -1, np.int64)
    place[targets] = np.arange(len(targets))
    pages = private_pages(snapshot, np.array(targets))
    verdict = judge(snapshot, view, pages)
    asked = anonymous(snapshot, pages) & ~verdict.unasked
    always = np.bincount(place[pages.mm[verdict.precise & ~asked]], minlength=len(targets))
    key = pages.folio[asked] * len(targets) + place[pages.mm[asked]]
    rows, which, count = np.unique(key, return_inverse=True, return_counts=True)
    folio, turn = rows // len(targets), rows % len(targets)
    huge = np.bincount(which, pages.huge[asked], len(rows)) > 0
    last = np.append(folio[1:] != folio[:-1], True) if len(folio) else np.zeros(0, np.bool_)
    leaving = np.unique(folio, return_counts=True)[1]
    owners = snapshot.sharing.owners_of(folio)
    mms = np.array(targets)[turn]
    mapped = _mapped(snapshot, folio, mms)
    # Who holds more pages of the folio than it writes (exclusive or read-only ones) stays in it.
    first = np.flatnonzero(np.diff(folio, prepend=-1))
    stays = mapped > count
    others = np.repeat(np.add.reduceat(stays.astype(np.int64), first), leaving) if len(folio) else turn
    alone = last & (owners == np.repeat(leaving, leaving)) & (others - stays == 0)
    alone &= mapped_only(snapshot, view, folio) | (snapshot.sharing.folios.kind[folio] == HUGETLB)
    precise = np.bincount(turn, np.where(alone, 0, count), len(targets)) + always
    size = snapshot.page_size
    no, maybe = _untracked(snapshot, large, folio, mms, mapped)
    slots_decide = alone & (snapshot.sharing.folios.order[folio] > 0) & ~huge
    least = np.bincount(turn, np.where(slots_decide & no, count, 0), len(targets))
    most = np.bincount(turn, np.where(slots_decide & (no | maybe), count, 0), len(targets))
    return SequencePrice(
        tuple(
            Turn(snapshot.mms[mm].leader.pid, int(precise[n]) * size, int(least[n]) * size, int(most[n]) * size)
            for n, mm in enumerate(targets)
        ),
        *_trust(snapshot, view, pages, verdict),
    )


def _trust(snapshot: Snapshot, view: KernelView, pages: Pages, verdict: Verdict) -> tuple[bool, Exactness]:
    """Whether the pages are what they were, and what the price may be called."""
    edges = np.flatnonzero(np.diff(pages.mm, prepend=-1, append=-1))
    adrift = verdict.unsure.copy()
    for low, high in pairwise(edges.tolist()):
        adrift[low:high] |= moved(snapshot, int(pages.mm[low]), pages[slice(low, high)])
    wanting = without_a_page(snapshot, pages, verdict)
    slots = slots_of(snapshot, snapshot.vmas.of(snapshot.targets))
    special = int((snapshot.sharing.folios.kind[pages.folio] == SPECIAL).sum()) * snapshot.page_size
    found = reasons(snapshot, view, pages, adrift, wanting, len(slots), special)
    return not (adrift.any() or wanting.any()), snapshot.exactness.and_also(found)


def _mapped(snapshot: Snapshot, folio: Index, mm: Index) -> Index:
    """Pages of each folio that the MM maps: int64, of rows (folio, MM)."""
    found = snapshot.sharing.mappings()
    width = len(snapshot.mms)
    keys = found.folio * width + found.owner
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys[order], folio * width + mm), max(len(keys) - 1, 0))
    sizes = found.ptes + found.pmds * snapshot.sharing.folios.pages[found.folio]
    return np.asarray(sizes[order][at], np.int64)


def _untracked(
    snapshot: Snapshot, large: LargeFolios, folio: Index, mm: Index, mapped: Index
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Per row (folio, MM): whether certainly no slot is its own or its only mapping is the last; whether that may be."""
    none = np.zeros(len(folio), np.bool_)
    state = large.state
    if state is None or not len(large.row):
        return none, ~none
    at = np.minimum(np.searchsorted(large.row, folio), len(large.row) - 1)
    here = large.row[at] == folio
    ids, counts = state.slot_id[at], state.slot_count[at]
    sole = mapped == 1
    fits = (counts == mapped[:, None]) & (ids > 0) & here[:, None]
    owner = _owners_of_ids(snapshot, large)
    mine, others = none.copy(), none.copy()
    for slot in range(2):
        candidates = [owner.get(one, frozenset()) for one in ids[:, slot].tolist()]
        is_mine = np.array([c == {m} for c, m in zip(candidates, mm.tolist(), strict=True)], np.bool_)
        may_be = np.array([m in c for c, m in zip(candidates, mm.tolist(), strict=True)], np.bool_)
        mine |= fits[:, slot] & is_mine
        others |= fits[:, slot] & may_be & ~is_mine
    # As many slots in use as MMs map the folio: each has its own, whichever it is.
    mine |= here & (((ids > 0) & (counts > 0)).sum(axis=1) >= snapshot.sharing.owners_of(folio))
    untracked = here & ~mine & ~others
    return untracked | (here & sole), here & others & ~mine & ~sole


def _owners_of_ids(snapshot: Snapshot, large: LargeFolios) -> dict[int, frozenset[int]]:
    """By slot ID the MMs that it may be: those that have, in every folio with that ID, as many mappings as it counts."""
    assert large.state is not None
    found = snapshot.sharing.mappings()
    of_large = np.isin(found.folio, large.row)
    folio, owner, mapcount = found.folio[of_large], found.owner[of_large], found.mapcount[of_large]
    at = np.searchsorted(large.row, folio)
    candidates: dict[int, frozenset[int]] = {}
    seen: dict[tuple[int, int], set[int]] = {}
    for slot in range(2):
        ids, counts = large.state.slot_id[:, slot], large.state.slot_count[:, slot]
        for row in np.flatnonzero((ids > 0) & (counts > 0)).tolist():
            seen.setdefault((int(ids[row]), row), set())
        match = (ids[at] > 0) & (counts[at] == mapcount)
        for row, one, mm in zip(at[match].tolist(), ids[at][match].tolist(), owner[match].tolist(), strict=True):
            seen[one, row].add(mm)
    for (one, _), mms in seen.items():
        candidates[one] = candidates.get(one, frozenset(mms)) & mms
    return candidates
