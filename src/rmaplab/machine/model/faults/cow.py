"""Copy-on-write: what a write fault on a present, write-protected page does, for many pages at once.

For `fault`. The faults of one sweep happen in address order; folios do not influence one another, so the i-th fault of
every folio is decided together, and a folio whose answer cannot change before its last page is decided at once.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.physical.columns import Index, Runs
from rmaplab.machine.model.physical.memory import HUGE_ZERO, Frames
from rmaplab.machine.model.physical.recorder import NOBODY_ASKED
from rmaplab.machine.model.policy import LargeCow
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, DIRTY, PMD, WP, Leaf, W, Window
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.protocol import PMD_ORDER
from rmaplab.schemes import Exactness
from rmaplab.trace import KINDS, OUTCOMES, Verdict

REUSED: Final = OUTCOMES.index("reused")
COPIED: Final = OUTCOMES.index("copied")
SPLIT: Final = OUTCOMES.index("split")
_ANON: Final = KINDS.index("anon")
_KSM: Final = KINDS.index("ksm")

What = Literal["cow", "unshare"]
"""Who asks: a write fault, which makes pages writable, or GUP for reading, which makes them exclusive only."""
_GRANT: Final[dict[What, int]] = {"cow": W, "unshare": 0}
_COPY: Final[dict[What, int]] = {"cow": W, "unshare": CLEAN}


@dataclass(slots=True)
class Tally:
    """Pages COW faults kept and replaced."""

    reused: int = 0
    copied: int = 0


def write_protected(space: AddressSpace, vma: Vma, window: Window, index: Index, step: Index) -> Tally:
    """Write faults on the pages at `index` (ascending, present, not writable): afterwards all are writable.

    Each has two steps: the PMD's question stands in `step`, the PTE's in `step` + 1.
    """
    tally, leaf, base = Tally(), window.leaf, window.base
    huge = leaf.flags[index] & PMD != 0
    if huge.any():
        tally.reused += _pmd_faults(space, vma, leaf, index[huge], step[huge], "cow")
        still = (leaf.flags[index] & W == 0) & (leaf.frame[index] != 0)
        index, step = index[still], step[still]
    leaf.flags[index] &= ~np.uint8(CLEAN | WP)
    frames = leaf.frame[index]
    kinds = space.memory.folio["kind"][space.memory.frame["folio"][frames]]
    space.memory.counters.faults += len(index)
    if vma.shared:
        leaf.flags[index] |= W | DIRTY
        return tally
    exclusive = space.memory.frame["exclusive"][frames]
    leaf.flags[index[exclusive]] |= W
    foreign = ~exclusive & (~space.counted(frames) | (kinds != _ANON))
    ask = ~exclusive & ~foreign
    if foreign.any():
        space.prepare_anon_vma(vma)
        if vma.file is not None:
            cached = index[foreign & (kinds != _KSM)]
            leaf.expect[cached] = vma.file.expect[vma.offset_of(base) + cached]
        replace_pages(space, leaf, index[foreign], step[foreign] + 1)
    answered = _sweep(space, leaf, index[ask], step[ask] + 1, "cow")
    return Tally(tally.reused + answered.reused, tally.copied + answered.copied)


def unshare(space: AddressSpace, vma: Vma, window: Window, step: Index) -> None:
    """FAULT_FLAG_UNSHARE faults on `window`, one step pair a page: its anonymous pages are exclusive afterwards, of KSM
    pages it has copies.

    gup_must_unshare(): zero pages and the file's own pages are left alone, and so is write protection.
    """
    leaf = window.leaf
    index = leaf.present(window.lo, window.hi)
    index = index[_to_unshare(space, leaf, index)]
    huge = leaf.flags[index] & PMD != 0
    if huge.any():
        _pmd_faults(space, vma, leaf, index[huge], step[index[huge] - window.lo], "unshare")
        index = index[_to_unshare(space, leaf, index)]
    space.memory.counters.faults += len(index)
    _sweep(space, leaf, index, step[index - window.lo] + 1, "unshare")
    unmerge(space, window, step + 1)


def unmerge(space: AddressSpace, window: Window, step: Index) -> None:
    """Unsharing faults on the KSM pages of `window`, one step a page: each becomes a copy, read-only as it was."""
    leaf = window.leaf
    index = leaf.present(window.lo, window.hi)
    index = index[space.memory.folio["kind"][space.memory.frame["folio"][leaf.frame[index]]] == _KSM]
    if len(index):
        replace_pages(space, leaf, index, step[index - window.lo], CLEAN)


def _to_unshare(space: AddressSpace, leaf: Leaf, index: Index) -> NDArray[np.bool_]:
    frames = leaf.frame[index]
    anon = space.memory.folio["kind"][space.memory.frame["folio"][frames]] == _ANON
    return np.asarray(space.counted(frames) & anon & ~space.memory.frame["exclusive"][frames])


def _pmd_faults(space: AddressSpace, vma: Vma, leaf: Leaf, index: Index, step: Index, what: What) -> int:
    """One fault per PMD mapping: keep it whole if nobody else refers to the folio, else split it.

    Returns the pages kept by answering a question: all of a mapping, as `Written` counts them.
    """
    memory, kept = space.memory, 0
    blocks, first = np.unique(index // BLOCK, return_index=True)
    for block, at in zip(blocks.tolist(), step[first].tolist(), strict=True):
        lo, hi = block * BLOCK, (block + 1) * BLOCK
        head = int(leaf.frame[lo])
        if what == "cow" and leaf.flags[lo] & WP:
            space.split_pmd(leaf, lo, at, anon=True)  # before anybody asks (wp_huge_pmd())
            continue
        if head == HUGE_ZERO and memory.policy.huge_zero_cow:
            map_thp(space, leaf, np.array([block]), np.array([at]))
        elif head == HUGE_ZERO or vma.on_disk or (vma.file is not None and vma.private):
            space.split_pmd(leaf, lo, at, anon=vma.anonymous)
            continue
        elif vma.private and not memory.frame["exclusive"][head]:
            if not _keep_whole(space, head, at, what):
                space.split_pmd(leaf, lo, at, anon=True)
                continue
            kept += BLOCK
        memory.counters.faults += 1
        leaf.flags[lo:hi] |= _GRANT[what]
    return kept


def _keep_whole(space: AddressSpace, head: int, step: int, what: What) -> bool:
    memory = space.memory
    slot = memory.frame["folio"][head : head + 1]
    alone = bool(memory.folio["refs"][slot[0]] == 1)
    _record(space, what, slot, step, page=0, pages=BLOCK, outcome=REUSED if alone else SPLIT, asked=False)
    if alone:
        memory.frame["exclusive"][head : head + BLOCK] = True
        memory.counters.reuses += BLOCK
    return alone


def map_thp(space: AddressSpace, leaf: Leaf, blocks: Index, step: Index) -> None:
    """A new THP behind every block, PMD-mapped, writable and exclusive."""
    memory = space.memory
    heads = memory.allocate(PMD_ORDER, len(blocks), "anon")
    frames = memory.pages_of(heads, PMD_ORDER)
    where = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
    leaf.frame[where] = frames
    leaf.flags[where] = W | PMD
    memory.frame["exclusive"][frames] = True
    memory.map_entire(memory.frame["folio"][heads], space.mm, step)


def map_anon(space: AddressSpace, leaf: Leaf, first: Index, order: int, step: Index) -> None:
    """New anonymous folios of `order`, PTE-mapped from each index of `first` on."""
    if not len(first):
        return
    memory, size = space.memory, 1 << order
    heads = memory.allocate(order, len(first), "anon")
    where = (first[:, None] + np.arange(size)).ravel()
    frames = memory.pages_of(heads, order)
    leaf.frame[where] = frames
    leaf.flags[where] = W
    leaf.tables[where // BLOCK] = True
    memory.frame["exclusive"][frames] = True
    memory.counters.faults += len(first)
    memory.map_pages(Runs(where[::size], heads.astype(np.int64), np.full(len(first), size)), space.mm, step)


def map_copies(space: AddressSpace, leaf: Leaf, index: Index, step: Index, access: int = W) -> None:
    """Give each page at `index` a small folio of its own with the same contents, exclusive; `access` W or CLEAN."""
    memory = space.memory
    old = leaf.frame[index]
    new = memory.allocate(0, len(index), "anon")
    for name in ("version", "value"):
        memory.frame[name][new] = memory.frame[name][old]
    memory.frame["exclusive"][new] = True
    wide = new.astype(np.int64)
    memory.map_pages(Runs(wide, wide, np.ones(len(new), np.int64)), space.mm, step)
    leaf.frame[index] = new
    leaf.flags[index] = access | (0 if access & W else leaf.flags[index] & WP)


def replace_pages(space: AddressSpace, leaf: Leaf, index: Index, step: Index, access: int = W) -> None:
    """Copy, then unmap the originals: the old mapping goes after the new one came, as in wp_page_copy()."""
    old = leaf.frame[index]
    map_copies(space, leaf, index, step, access)
    mapped = space.counted(old)
    slots = space.memory.frame["folio"][old[mapped]]
    space.memory.unmap_pages(space.memory.runs(old[mapped]), space.mm, 0, each=step[mapped])
    space.swap.leave_unmapped(slots)


def _sweep(space: AddressSpace, leaf: Leaf, index: Index, step: Index, what: What) -> Tally:
    """Ask about every page, in order, and reuse or copy it."""
    memory, tally = space.memory, Tally()
    slots = memory.frame["folio"][leaf.frame[index]]
    while len(index):
        folios, which, count = np.unique(slots, return_inverse=True, return_counts=True)
        reuse, now = decide(space, folios, count)
        rank = np.arange(len(index)) - _first_of_group(which)
        chosen = rank < now[which]
        keep = chosen & reuse[which]
        copy = chosen & ~reuse[which]
        page = leaf.frame[index] - memory.folio["head"][slots]
        for part, outcome in ((keep, REUSED), (copy, COPIED)):
            if part.any():
                _record(space, what, slots[part], step[part], page[part], 1, outcome, asked=True)
        space.swap.leave(np.unique(slots[keep & (memory.folio["swapcache"][slots] > 0)]))
        leaf.flags[index[keep]] |= _GRANT[what]
        memory.frame["exclusive"][leaf.frame[index[keep]]] = True
        if copy.any():
            replace_pages(space, leaf, index[copy], step[copy], _COPY[what])
        tally.reused += int(keep.sum())
        tally.copied += int(copy.sum())
        left = ~chosen
        index, step, slots = index[left], step[left], slots[left]
    memory.counters.reuses += tally.reused
    memory.counters.copies += tally.copied
    return tally


def _first_of_group(which: NDArray[np.int64]) -> Index:
    """For every element the position that makes `arange - position` its rank among equal elements."""
    order = np.argsort(which, kind="stable")
    ordered = which[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    rank = np.empty(len(which), np.int64)
    rank[order] = np.arange(len(which)) - np.repeat(starts, np.diff(starts, append=len(which)))
    return np.arange(len(which)) - rank


def decide(space: AddressSpace, folios: Frames, count: Index) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """May each folio's next page be reused, and for how many of its `count` coming faults does that hold at least?

    A copy takes away one mapping and one reference of the folio, by the asking MM; a reuse changes no counter.
    """
    memory, policy, folio = space.memory, space.memory.policy, space.memory.folio
    if policy.swapin_keeps_folios and space.swap.device is not None:
        space.swap.leave_idle(folios[folio["order"][folios] > 0])
    refs, mapcount = folio["refs"][folios], folio["mapcount"][folios]
    small = folio["order"][folios] == 0
    sole = space.swap.sole(folios)
    if policy.large_cow is LargeCow.NEVER:
        return small & sole, count
    if policy.large_cow is LargeCow.SOLE_REFERENCE:
        return sole, np.where(sole, count, np.minimum(count, refs - 1))
    verdict, truth = memory.verdicts(folios, space.mm)
    answer = np.where(verdict == Verdict.UNKNOWN, policy.unknown, verdict)
    held = refs != mapcount
    lone = policy.frees_lone_page & (mapcount <= 1)
    large = (answer == Verdict.EXCLUSIVE) & ~held & ~lone
    reuse = np.where(small, sole, large)
    guesses = policy.scheme.exact is Exactness.HEURISTIC
    # Others' mappings stay while we only take away our own: who never says EXCLUSIVE wrongly goes on saying SHARED.
    steady = reuse | small | held | ((truth == Verdict.SHARED) & ~np.bool_(guesses))
    return reuse, np.where(steady, count, 1)


def _record(
    space: AddressSpace,
    what: What,
    slots: Frames,
    step: Index | int,
    page: NDArray[np.uint32] | int,
    pages: int,
    outcome: int,
    *,
    asked: bool,
) -> None:
    """Questions about folios as they stand now. `asked`: the policy's scheme was (large folios only)."""
    memory = space.memory
    verdict, truth = memory.verdicts(slots, space.mm)
    small = memory.folio["order"][slots] == 0
    said = small | (asked and memory.policy.large_cow is LargeCow.EXCLUSIVE)
    memory.recorder.questions(
        what,
        step=step,
        folio=memory.folio["ident"][slots],
        mm=space.mm,
        page=page,
        pages=pages,
        kernel=np.where(said, verdict, NOBODY_ASKED),
        truth=truth,
        outcome=outcome,
        extra_refs=memory.folio["refs"][slots] - memory.folio["mapcount"][slots],
    )
