"""Physical memory: frames and folios, who counts what, and the rmap updates that change it.

For the model's address spaces. Frame 0 is no memory; frame `ZERO` is the zero page and `HUGE_ZERO` starts the huge
zero folio: both are mapped without rmap, and nobody counts them. Knows nothing of page tables.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.answers import Answers
from rmaplab.machine.model.physical.columns import Columns, Index, Pool, Runs, add_at, alike, distinct, runs_of, spread
from rmaplab.machine.model.physical.recorder import Recorder
from rmaplab.machine.model.policy import KernelPolicy, Phase
from rmaplab.machine.protocol import PMD_ORDER
from rmaplab.trace import KINDS, Verdict

ZERO: Final = 1
HUGE_ZERO: Final = 1 << PMD_ORDER
_FIRST_FRAME: Final = 2 << PMD_ORDER

_ANON: Final = KINDS.index("anon")
_SMALL, _HUGE = 1, 2
"""Folio slots of the zero page and of the huge zero folio; slot 0 is no folio."""

_FIRST, _ONE = np.zeros(1, np.int64), np.ones(1, np.int64)

Frames = NDArray[np.uint32]

Observer = Callable[["Memory", str, NDArray[Any]], None]
"""Called with the memory, what was just done ("map refs", "unmap values", ...) and the folio slots it was done to."""


@dataclass(slots=True)
class Counters:
    """What a kernel's /proc/vmstat would say, and more: whole numbers since the machine started."""

    faults: int = 0
    copies: int = 0
    reuses: int = 0
    splits: int = 0
    pages: int = 0
    peak_pages: int = 0


class Memory:
    """Columnar frames and folios. Bytes per frame in use: 15, per small folio 30, per large folio 60 and the scheme.

    `frame["folio"]` is a frame's folio slot, `frame["head"]` whether it is the folio's first, `frame["mapcount"]` its
    PTE mappings, `frame["exclusive"]` PageAnonExclusive, `frame["version"]` and `frame["value"]` its contents. A folio
    slot is reused after the folio is freed; `folio["ident"]`, its id in the trace, is not. `folio["swapcache"]` is its
    first swap slot, 0 if it is not in the swap cache, `folio["lazy"]` whether it was freed lazily (not SwapBacked),
    `folio["mlocked"]` whether it stays PG_mlocked though nobody locks it any more.
    """

    def __init__(self, policy: KernelPolicy, recorder: Recorder) -> None:
        self.policy = policy
        self.recorder = recorder
        self.answers = Answers(policy.scheme)
        self.counters = Counters()
        self.observer: Observer | None = None
        self.frame = Columns(
            {
                "folio": np.uint32,
                "head": np.bool_,
                "mapcount": np.int32,
                "exclusive": np.bool_,
                "version": np.uint32,
                "value": np.uint8,
            }
        )
        self.folio = Columns(
            {
                "head": np.uint32,
                "order": np.uint8,
                "kind": np.uint8,
                "refs": np.int32,
                "mapcount": np.int32,
                "entire": np.int32,
                "pins": np.int32,
                "row": np.uint32,
                "ident": np.uint32,
                "swapcache": np.uint32,
                "dirty": np.bool_,
                "lazy": np.bool_,
                "mlocked": np.bool_,
                "partial": np.bool_,
            }
        )
        self._free_frames: dict[int, Pool] = defaultdict(Pool)
        self._free_slots = Pool()
        self.frame.extend(_FIRST_FRAME)
        self.folio.extend(3)
        self.frame["folio"][ZERO] = _SMALL
        self.frame["folio"][HUGE_ZERO : HUGE_ZERO << 1] = _HUGE
        self.folio["head"][[_SMALL, _HUGE]] = ZERO, HUGE_ZERO
        self.folio["order"][_HUGE] = PMD_ORDER

    # --- folios -------------------------------------------------------------------------------------------------

    def allocate(self, order: int, count: int, kind: str) -> Frames:
        """`count` new folios of zeroed memory without references; returns their head frames."""
        heads = self._take_frames(order, count)
        slots = self._open(heads, order, KINDS.index(kind))
        self.frame["folio"][self.pages_of(heads, order)] = np.repeat(slots, 1 << order)
        self.counters.pages += count << order
        self.counters.peak_pages = max(self.counters.peak_pages, self.counters.pages)
        return heads

    def _open(self, heads: Frames, order: int, kind: int) -> Frames:
        """Slots for folios that begin at `heads`."""
        count = len(heads)
        slots = self._take_slots(count)
        self.folio["head"][slots] = heads
        self.folio["order"][slots] = order
        self.folio["kind"][slots] = kind
        self.folio["ident"][slots] = self.recorder.folios(order, kind, count) + np.arange(count)
        if order:
            self.folio["row"][slots] = self.answers.open(order, count)
        self.frame["head"][heads] = True
        return slots

    def release(self, slots: Frames) -> None:
        """Free those of these folios (which may repeat) that have no reference left."""
        dead = slots[self.folio["refs"][slots] == 0]
        if not len(dead):
            return
        dead = np.unique(dead)
        for order in np.unique(self.folio["order"][dead]).tolist():
            those = dead[self.folio["order"][dead] == order]
            heads = self.folio["head"][those].copy()
            if order:
                self.answers.close(order, self.folio["row"][those].copy())
            wide = np.sort(heads).astype(np.int64)
            pages = Runs(wide, wide, np.full(len(wide), 1 << order))
            for name in ("folio", "head", "exclusive", "version", "value"):
                pages.fill(self.frame[name], 0)
            self.counters.pages -= len(heads) << order
            self._free_frames[order].give(heads)
        for name in ("head", "pins", "dirty", "lazy", "mlocked", "partial"):
            self.folio[name][dead] = 0
        self._free_slots.give(dead)

    def break_up(self, slot: int, kept: Frames) -> None:
        """Make small folios of the frames `kept` of a large folio that has one reference and no mapping left (it
        goes); its other frames are freed."""
        order, head = int(self.folio["order"][slot]), int(self.folio["head"][slot])
        frames = np.arange(head, head + (1 << order), dtype=np.uint32)
        gone = np.setdiff1d(frames, kept)
        self.answers.close(order, self.folio["row"][slot : slot + 1].copy())
        for name in ("folio", "head", "exclusive", "version", "value"):
            self.frame[name][gone] = 0
        self._free_frames[0].give(gone)
        inherited = {name: bool(self.folio[name][slot]) for name in ("dirty", "lazy", "mlocked")}
        for name in ("head", "pins", "refs", "partial", *inherited):
            self.folio[name][slot] = 0
        self._free_slots.give(np.array([slot], np.uint32))
        self.counters.pages -= len(gone)
        slots = self._open(kept, 0, int(self.folio["kind"][slot]))
        self.frame["folio"][kept] = slots
        for name, value in inherited.items():
            self.folio[name][slots] = value

    def divide(self, slot: int, heads: Frames, sizes: Index) -> None:
        """Make folios of `sizes` pages, which begin at the frames `heads`, of all of a large folio that only its file
        refers to (it goes); they have no reference yet."""
        order, kind = int(self.folio["order"][slot]), int(self.folio["kind"][slot])
        self.answers.close(order, self.folio["row"][slot : slot + 1].copy())
        for name in ("head", "refs"):
            self.folio[name][slot] = 0
        self._free_slots.give(np.array([slot], np.uint32))
        for size in np.unique(sizes).tolist():
            those, order = heads[sizes == size], size.bit_length() - 1
            slots = self._open(those, order, kind)
            self.frame["folio"][self.pages_of(those, order)] = np.repeat(slots, size)

    @staticmethod
    def pages_of(heads: Frames, order: int) -> Index:
        """All frames of folios of one order, folio by folio."""
        wide = heads.astype(np.int64)
        return wide if order == 0 else (wide[:, None] + np.arange(1 << order)).ravel()

    def _take_frames(self, order: int, count: int) -> Frames:
        heads = self._free_frames[order].take(count)
        left = count - len(heads)
        if not left:
            return heads
        hole = -self.frame.rows % (1 << order)
        if hole:
            first = self.frame.extend(hole)
            self._free_frames[0].give(np.arange(first, first + hole, dtype=np.uint32))
        first = self.frame.extend(left << order)
        return np.concatenate((heads, np.arange(first, self.frame.rows, 1 << order, dtype=np.uint32)))

    def _take_slots(self, count: int) -> Frames:
        slots = self._free_slots.take(count)
        left = count - len(slots)
        if not left:
            return slots
        first = self.folio.extend(left)
        return np.concatenate((slots, np.arange(first, first + left, dtype=np.uint32)))

    # --- rmap ---------------------------------------------------------------------------------------------------

    def runs(self, frames: Frames) -> Runs:
        """Runs of mapped frames as an rmap batch sees them."""
        if len(frames) == 1:
            return Runs(_FIRST, frames.astype(np.int64), _ONE)
        return runs_of(frames, self.frame["head"])

    def slots(self, runs: Runs) -> Frames:
        """Folio slot of every run."""
        slots: Frames = self.frame["folio"][runs.first]
        return slots

    def map_pages(self, runs: Runs, mm: int, step: int | Index) -> None:
        """PTE-map the pages of every run once more, by `mm`; `step` is one for all or one per run."""
        self._rmap(runs, mm, step, None, sign=1)

    def map_run(self, first: int, size: int, mm: int, step: int) -> None:
        """`map_pages` of one run: the frames [first, first + size)."""
        self._update_one(self.frame.cells["folio"][first], first, size, mm, step, sign=1, entire=False)

    def unmap_page(self, frame: int, mm: int, step: int) -> None:
        """`unmap_pages` of one frame."""
        slot = self.frame.cells["folio"][frame]
        self._update_one(slot, frame, 1, mm, step, sign=-1, entire=False)
        self._note_partial_one(slot, frame, 1)
        self._release_one(slot)

    def unmap_thp(self, slot: int, mm: int, step: int, *, bare: bool = True) -> None:
        """`unmap_entire` of one folio; not `bare`: PTEs map every page of it."""
        head = self.folio.cells["head"][slot]
        self._update_one(slot, head, 1 << PMD_ORDER, mm, step, sign=-1, entire=True)
        if bare:
            self._note_partial_one(slot, head, 1 << PMD_ORDER)
            self._release_one(slot)

    def _release_one(self, slot: int) -> None:
        if not self.folio.cells["refs"][slot]:
            self.release(np.array([slot], np.uint32))

    def unmap_pages(self, runs: Runs, mm: int, step: int | Index, *, each: Index | None = None) -> None:
        """Take away one PTE mapping of every page of every run, then free folios nobody refers to.

        With `each` (a step per page) the trace shows page by page what the counters see run by run.
        """
        slots = self.slots(runs)
        self._rmap(runs, mm, step, each, sign=-1)
        self._note_partial(runs, slots)
        self.release(slots)

    def _note_partial(self, runs: Runs, slots: Frames) -> None:
        """Large anonymous folios of which some page of `runs` is not mapped any more, but others are, are partially
        mapped from now on, whatever is mapped later (folio_set_partially_mapped())."""
        folio = self.folio
        if len(slots) == 1:
            self._note_partial_one(int(slots[0]), int(runs.first[0]), int(runs.size[0]))
            return
        some = (folio["order"][slots] > 1) & (folio["kind"][slots] == _ANON) & (folio["mapcount"][slots] > 0)
        some &= (folio["entire"][slots] == 0) & ~folio["partial"][slots]
        if some.any():
            bare = self.frame["mapcount"][runs[some].frames()] == 0
            folio["partial"][np.repeat(slots[some], runs.size[some])[bare]] = True

    def _rmap(self, runs: Runs, mm: int, step: int | Index, each: Index | None, *, sign: int) -> None:
        if not len(runs):
            return
        slots = self.slots(runs)
        if len(runs) == 1 and each is None:
            one = int(np.ravel(step)[0])
            self._update_one(int(slots[0]), int(runs.first[0]), int(runs.size[0]), mm, one, sign=sign, entire=False)
            return
        page, nr = alike(runs.first - self.folio["head"][slots]), alike(runs.size * sign)
        ident, where = self.folio["ident"][slots], distinct(slots)
        if each is None:
            self.recorder.events(step, ident, mm, page, nr, entire=False)
        else:
            pages = spread(runs.first - self.folio["head"][slots], runs.size)
            self.recorder.events(each, np.repeat(ident, runs.size), mm, pages, sign, entire=False)
        for phase in self.policy.mapping if sign > 0 else self.policy.unmapping:
            if phase is Phase.PAGES:
                runs.add(self.frame["mapcount"], sign)
            else:
                self._count(phase, slots, where, mm, page, nr, entire=False)
            self._show(phase, slots, sign)

    def _update_one(self, slot: int, first: int, size: int, mm: int, step: int, *, sign: int, entire: bool) -> None:
        """`_rmap` or `_entire` of a single run, in plain numbers: map (`sign` +1) or unmap (-1) the `size` frames from
        `first` on of the folio in `slot`. Arrays of one element would cost ten times as much."""
        cells = self.folio.cells
        page, nr = first - cells["head"][slot], sign if entire else sign * size
        self.recorder.event(step, cells["ident"][slot], mm, page, nr, entire=entire)
        for phase in self.policy.mapping if sign > 0 else self.policy.unmapping:
            if phase is Phase.VALUES:
                order = cells["order"][slot]
                if order:
                    self.answers.update_one(order, cells["row"][slot], mm, page, nr, entire=entire)
            elif phase is not Phase.PAGES:
                cells[phase][slot] += nr
            elif entire:
                cells["entire"][slot] += sign
            elif size == 1:
                self.frame.cells["mapcount"][first] += sign
            else:
                self.frame["mapcount"][first : first + size] += np.int32(sign)
            if self.observer is not None:
                self.observer(self, f"{'map' if sign > 0 else 'unmap'} {phase}", np.array([slot], np.uint32))

    def _note_partial_one(self, slot: int, first: int, size: int) -> None:
        """`_note_partial` of a single run."""
        cells = self.folio.cells
        if cells["order"][slot] <= 1 or cells["kind"][slot] != _ANON or cells["partial"][slot]:
            return
        if cells["mapcount"][slot] > 0 and not cells["entire"][slot]:
            bare = not self.frame.cells["mapcount"][first]
            cells["partial"][slot] = bare or not self.frame["mapcount"][first : first + size].all()

    def map_entire(self, slots: Frames, mm: int, step: int | Index) -> None:
        """PMD-map each of these large folios once more."""
        self._entire(slots, mm, step, sign=1)

    def unmap_entire(self, slots: Frames, mm: int, step: int | Index) -> None:
        """Take away one PMD mapping of each, then free what nobody refers to."""
        if len(slots) == 1:
            self.unmap_thp(int(slots[0]), mm, int(np.ravel(step)[0]))
            return
        self._entire(slots, mm, step, sign=-1)
        heads = self.folio["head"][slots].astype(np.int64)
        self._note_partial(Runs(heads, heads, np.full(len(slots), 1 << PMD_ORDER)), slots)
        self.release(slots)

    def _entire(self, slots: Frames, mm: int, step: int | Index, *, sign: int) -> None:
        if not len(slots):
            return
        if len(slots) == 1:
            slot, one = int(slots[0]), int(np.ravel(step)[0])
            self._update_one(slot, self.folio.cells["head"][slot], 1 << PMD_ORDER, mm, one, sign=sign, entire=True)
            return
        where = distinct(slots)
        self.recorder.events(step, self.folio["ident"][slots], mm, 0, sign, entire=True)
        for phase in self.policy.mapping if sign > 0 else self.policy.unmapping:
            if phase is Phase.PAGES:
                add_at(self.folio["entire"], slots, where, sign)
            else:
                self._count(phase, slots, where, mm, 0, sign, entire=True)
            self._show(phase, slots, sign)

    def _count(
        self,
        phase: Phase,
        slots: Frames,
        where: slice | Frames | None,
        mm: int,
        page: Index | int,
        nr: Index | int,
        *,
        entire: bool,
    ) -> None:
        if phase is not Phase.VALUES:
            add_at(self.folio[phase], slots, where, nr if isinstance(nr, int) else nr.astype(np.int32))
            return
        for order, part in self._large(slots):
            rows = self.folio["row"][slots[part]].astype(np.int64)
            pages, nrs = (n if isinstance(n, int) else n[part] for n in (page, nr))
            self.answers.update(order, rows, mm, pages, nrs, entire=entire)

    def _show(self, phase: Phase, slots: Frames, sign: int) -> None:
        if self.observer is not None:
            self.observer(self, f"{'map' if sign > 0 else 'unmap'} {phase}", slots)

    def hold(self, slots: Frames, nr: int = 1, *, longterm: bool = False) -> None:
        """Take `nr` references without a mapping on each (slots may repeat); `longterm`: they are FOLL_PINs."""
        np.add.at(self.folio["refs"], slots, np.int32(nr))
        if longterm:
            np.add.at(self.folio["pins"], slots, np.int32(nr))

    def drop(self, slots: Frames, nr: int = 1, *, longterm: bool = False) -> None:
        """Give them back."""
        np.subtract.at(self.folio["refs"], slots, np.int32(nr))
        if longterm:
            np.subtract.at(self.folio["pins"], slots, np.int32(nr))
        self.release(slots[slots > _HUGE])

    def pinned_exclusive(self, frames: Frames) -> NDArray[np.bool_]:
        """Which pages are exclusive and of a folio somebody holds FOLL_PINs on: fork must copy them."""
        return np.asarray(self.frame["exclusive"][frames] & (self.folio["pins"][self.frame["folio"][frames]] > 0))

    # --- the question -------------------------------------------------------------------------------------------

    def verdicts(self, slots: Frames, mm: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What the policy's scheme says to `mm` about each folio, and the truth: two arrays of `Verdict`."""
        return self._ask(slots, mm, truth=False), self._ask(slots, mm, truth=True)

    def _ask(self, slots: Frames, mm: int, *, truth: bool) -> NDArray[np.uint8]:
        small = self.folio["mapcount"][slots] <= 1
        answer = np.where(small, Verdict.EXCLUSIVE, Verdict.SHARED).astype(np.uint8)
        ask = self.answers.truth if truth else self.answers.verdict
        for order, part in self._large(slots):
            answer[part] = ask(order, self.folio["row"][slots[part]].astype(np.int64), mm)
        return answer

    def _large(self, slots: Frames) -> Iterator[tuple[int, slice | NDArray[np.bool_]]]:
        """The large folios among `slots`, one order at a time: the order, and which they are."""
        orders = self.folio["order"][slots]
        first = int(orders[0]) if len(orders) else 0
        if (orders == first).all():
            if first:
                yield first, slice(None)
            return
        for order in np.unique(orders[orders > 0]).tolist():
            yield order, orders == order

    @property
    def bytes(self) -> int:
        """Memory of frames, folios and the scheme's state."""
        return self.frame.bytes + self.folio.bytes + self.answers.bytes
