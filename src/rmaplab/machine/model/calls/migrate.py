"""Migration: folios move to other frames, everything else about them stays.

For `ModelProcess`. mbind(2) with MPOL_MF_MOVE: queue_folios_pte_range(), migrate_folio_add(), migrate_pages_batch(). All
mappings of a folio are taken away, in the order of the reverse map, and made again; what cannot move gets the old
ones back, which resets whatever a scheme remembered of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rmaplab.machine.model.backing.pagecache import ModelFile
from rmaplab.machine.model.ksm.scanner import Scanner
from rmaplab.machine.model.physical.columns import Index, Runs
from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import BLOCK, CLEAN, LEAF, PMD, Leaf
from rmaplab.machine.model.thp.split import split_folio
from rmaplab.trace import KINDS, Verdict

_NONE: Final = 255
_ANON, _KSM = KINDS.index("anon"), KINDS.index("ksm")
_UNCACHED: Final = (_ANON, _KSM)
"""Kinds of folios that no page cache holds."""


@dataclass(frozen=True, slots=True)
class _Mapping:
    """Indexes of `leaf` at which `space` maps one folio, by PMDs or by PTEs. `first` is where the VMA begins in its file
    or anon_vma: the reverse map is walked in this order, and of VMAs of an anon_vma that begin alike by `placed`."""

    space: AddressSpace
    leaf: Leaf
    index: Index
    huge: bool
    first: int
    placed: int

    def change(self, slot: int, step: int, *, there: bool) -> None:
        """Make the mappings, or take them away, one by one."""
        memory, mm = self.space.memory, self.space.mm
        if self.huge:
            slots = np.full(len(self.index) // BLOCK, slot, np.uint32)
            (memory.map_entire if there else memory.unmap_entire)(slots, mm, step)
            return
        runs = _singles(self.leaf.frame[self.index])
        (memory.map_pages if there else memory.unmap_pages)(runs, mm, step)


def migrate(space: AddressSpace, start: int, end: int, files: Iterable[ModelFile], ksm: Scanner, *, shared: bool) -> int:
    """Move the folios under [start, end) that nobody else may map, or all with `shared`; returns the pages of the range
    that changed their frame. `files`: all there are, for what they cache moves too; `ksm` knows
    the reverse map of KSM pages."""
    memory, world = space.memory, space.world
    before = _frames(space, start, end)
    slots = np.unique(memory.frame["folio"][before[space.counted(before)]])
    step = memory.recorder.tick()
    if not shared and len(slots):
        slots = slots[_may_move(space, slots, before, step)]
    whole = [part for slot in slots.tolist() for part in _split_if_partial(world, slot)]
    slots, step = np.array(whole, np.uint32), memory.recorder.tick()
    plain = _plain(memory, slots)
    _move_small(world, slots[plain], list(files), step)
    _move(world, ksm, slots[~plain], list(files), step)
    return int((before != _frames(space, start, end)).sum())


def _frames(space: AddressSpace, start: int, end: int) -> Frames:
    """Frame of every present page of [start, end)."""
    parts = [np.zeros(0, np.uint32)]
    for _, window in space.spans(start, end):
        parts.append(window.leaf.frame[window.leaf.present(window.lo, window.hi)])
    return np.concatenate(parts)


def _may_move(space: AddressSpace, slots: Frames, frames: Frames, step: int) -> NDArray[np.bool_]:
    """folio_maybe_mapped_shared() is asked about each of `slots` (ascending): which of them may move."""
    memory, folio = space.memory, space.memory.folio
    verdict, truth = memory.verdicts(slots, space.mm)
    answer = np.where(verdict == Verdict.UNKNOWN, memory.policy.unknown, verdict)
    twice = folio["mapcount"][slots] > 1
    shared = twice & (answer == Verdict.SHARED)
    frames = frames[space.counted(frames)]
    _, first, times = np.unique(memory.frame["folio"][frames], return_index=True, return_counts=True)
    asked = np.argsort(first)  # in the order of addresses
    slots, first = slots[asked], first[asked]
    memory.recorder.questions(
        "migrate",
        step=step,
        folio=folio["ident"][slots],
        mm=space.mm,
        page=frames[first] - folio["head"][slots],
        pages=np.minimum(times[asked], 1 << folio["order"][slots].astype(np.int64)),
        kernel=np.where(shared[asked], Verdict.SHARED, Verdict.EXCLUSIVE),
        truth=np.where(twice[asked] & (folio["order"][slots] == 0), _NONE, truth[asked]),
        outcome=_NONE,
        extra_refs=folio["refs"][slots] - folio["mapcount"][slots],
    )
    return np.asarray(~shared)


def _split_if_partial(world: World, slot: int) -> list[int]:
    """The folio's slot; or those of its pieces if it is partially mapped and nobody holds it: then it is split."""
    memory, folio = world.memory, world.memory.folio
    if not folio["partial"][slot] or folio["refs"][slot] != folio["mapcount"][slot]:
        return [slot]
    pages = _pages(memory, slot)
    split_folio(world, slot, memory.recorder.tick())
    left: list[int] = memory.frame["folio"][pages].tolist()
    return [piece for piece in left if piece]


def _pages(memory: Memory, slot: int) -> Index:
    """All frames of a folio."""
    return np.arange(1 << int(memory.folio["order"][slot])) + int(memory.folio["head"][slot])


def _plain(memory: Memory, slots: Frames) -> NDArray[np.bool_]:
    """Which of these are small, held by nobody but mappings and page cache, and so move whatever else is."""
    folio = memory.folio
    kind = folio["kind"][slots]
    free = folio["refs"][slots] == folio["mapcount"][slots] + (kind != _ANON)
    return np.asarray(free & (folio["order"][slots] == 0) & (folio["swapcache"][slots] == 0) & (kind != _KSM))


def _move_small(world: World, slots: Frames, files: list[ModelFile], step: int) -> None:
    """Move folios that are `_plain`, all at once: of small folios no scheme remembers the order of mappings."""
    memory, folio = world.memory, world.memory.folio
    old = folio["head"][slots].copy()
    wanted, new_of = _marked(memory, slots), np.arange(memory.frame.rows, dtype=np.uint32)
    for kind in np.unique(folio["kind"][slots]).tolist():
        which = old[folio["kind"][slots] == kind]
        new_of[which] = memory.allocate(0, len(which), KINDS[kind])
    for name in ("version", "value", "exclusive"):
        memory.frame[name][new_of[old]] = memory.frame[name][old]
    memory.hold(slots)
    for space, leaf, _ in _leaves(world, wanted):
        index = np.flatnonzero(wanted[memory.frame["folio"][leaf.memory()]])
        frames = leaf.frame[index]
        folio["dirty"][memory.frame["folio"][frames[leaf.flags[index] & CLEAN == 0]]] = True
        memory.unmap_pages(_singles(frames), space.mm, step)
        leaf.frame[index] = new_of[frames]
        memory.map_pages(_singles(leaf.frame[index]), space.mm, step)
    new = memory.frame["folio"][new_of[old]]
    for name in ("dirty", "lazy"):
        folio[name][new] = folio[name][slots]
    for file in files:
        here = wanted[memory.frame["folio"][file.frame]]
        cached = file.frame[here]
        file.frame[here] = new_of[cached]
        memory.hold(memory.frame["folio"][file.frame[here]])
        memory.drop(memory.frame["folio"][cached])
    memory.drop(slots)


def _singles(frames: Frames) -> Runs:
    """Every frame a run of its own."""
    wide = frames.astype(np.int64)
    return Runs(wide, wide, np.ones(len(wide), np.int64))


def _marked(memory: Memory, slots: Frames) -> NDArray[np.bool_]:
    """A flag for every folio slot: is it one of `slots`? With room for the slots `_move_small` opens."""
    marks = np.zeros(memory.folio.rows + len(slots), np.bool_)
    marks[slots] = True
    return marks


def _leaves(world: World, wanted: NDArray[np.bool_]) -> Iterator[tuple[AddressSpace, Leaf, int]]:
    """Leaves that map a wanted folio, each its space's own from now on, and the page each begins at."""
    memory = world.memory
    for space in world.spaces.values():
        for region in space.table.regions:
            for number, shared in list(region.leaves.items()):
                if wanted[memory.frame["folio"][shared.memory()]].any():
                    yield space, space.table.own(region, number), region.start + number * LEAF


def _move(world: World, ksm: Scanner, slots: Frames, files: list[ModelFile], step: int) -> None:
    """Unmap every folio, move those without references but their mappings' and the page cache's, and map all again."""
    memory, mappings = world.memory, _mappings(world, slots)
    for slot in slots.tolist():
        if _cannot_unmap(memory, ksm, slot):
            continue
        anon = memory.folio["kind"][slot] == _ANON
        mine = sorted(mappings[slot], key=lambda m: (m.first, m.placed if anon else m.space.mm))
        itself = np.array([slot], np.uint32)
        memory.hold(itself)
        memory.folio["dirty"][slot] |= any((m.leaf.flags[m.index] & CLEAN == 0).any() for m in mine)
        for mapping in mine:
            mapping.change(slot, step, there=False)
        cached = 0 if memory.folio["kind"][slot] in _UNCACHED else len(_pages(memory, slot))
        to = slot
        if memory.folio["refs"][slot] == 1 + cached + world.swap.references(itself)[0]:
            to = _twin(world, ksm, slot, mine, files, cached)
        if not cached and memory.folio["order"][to] > 1:
            memory.folio["partial"][to] |= _page_by_page(mine)
        for mapping in mine:
            mapping.change(to, step, there=True)
        memory.drop(itself)


def _page_by_page(mappings: list[_Mapping]) -> bool:
    """While these were taken away in order, were some pages mapped and others not? Then the folio counts as partially
    mapped ever after, wherever it is: a folio that moved takes its place on the deferred split queue along."""
    last = max((number for number, mapping in enumerate(mappings) if mapping.huge), default=-1)
    pages = [mapping.leaf.frame[mapping.index] for mapping in mappings[last + 1 :]]
    return len(np.unique(np.concatenate([np.zeros(0, np.uint32), *pages]))) > (0 if last >= 0 else 1)


def _cannot_unmap(memory: Memory, ksm: Scanner, slot: int) -> bool:
    """folio_try_share_anon_rmap_pte(): a pinned exclusive page keeps its mapping. Of a KSM page all must be found."""
    if memory.folio["kind"][slot] == _KSM:
        return not ksm.reaches(int(memory.folio["head"][slot]))
    return bool(memory.folio["pins"][slot] and memory.frame["exclusive"][_pages(memory, slot)].any())


def _twin(world: World, ksm: Scanner, slot: int, mappings: list[_Mapping], files: list[ModelFile], cached: int) -> int:
    """A folio like `slot`, which nobody maps now, in its place in page tables and page cache; returns its slot."""
    memory = world.memory
    old, order = _pages(memory, slot), int(memory.folio["order"][slot])
    head = int(memory.allocate(order, 1, KINDS[memory.folio["kind"][slot]])[0])
    for name in ("version", "value", "exclusive"):
        memory.frame[name][head : head + len(old)] = memory.frame[name][old]
    for mapping in mappings:
        mapping.leaf.frame[mapping.index] = mapping.leaf.frame[mapping.index].astype(np.int64) + head - old[0]
    new = memory.frame["folio"][head : head + 1]
    if memory.folio["kind"][slot] == _KSM:
        ksm.follow(int(old[0]), head)
    for file in files if cached else ():
        here = (file.frame >= old[0]) & (file.frame <= old[-1])
        file.frame[here] = file.frame[here].astype(np.int64) + head - old[0]
    for name in ("dirty", "lazy"):
        memory.folio[name][new] = memory.folio[name][slot]
    world.swap.move(slot, int(new[0]))
    memory.hold(new, cached)
    memory.drop(np.array([slot], np.uint32), cached)
    return int(new[0])


def _mappings(world: World, slots: Frames) -> dict[int, list[_Mapping]]:
    """Who maps these folios, by folio slot."""
    found: dict[int, list[_Mapping]] = {slot: [] for slot in slots.tolist()}
    wanted = _marked(world.memory, slots)
    for space, leaf, base in _leaves(world, wanted):
        for slot, mapping in _of_leaf(space, leaf, base, wanted):
            found[slot].append(mapping)
    return found


def _of_leaf(space: AddressSpace, leaf: Leaf, base: int, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, _Mapping]]:
    """Mappings in a leaf that begins at page `base`, by folio, VMA, and how they are mapped."""
    slot = space.memory.frame["folio"][leaf.memory()]
    for vma in space.vmas.within(base, base + len(leaf.frame)):
        inside = np.arange(max(vma.start - base, 0), min(vma.end - base, len(leaf.frame)))
        inside = inside[wanted[slot[inside]]]
        if not len(inside):
            continue
        key = 2 * slot[inside].astype(np.int64) + (leaf.flags[inside] & PMD != 0)
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        for part in np.split(inside[order], starts[1:]):
            huge = bool(leaf.flags[part[0]] & PMD)
            yield int(slot[part[0]]), _Mapping(space, leaf, part, huge, vma.pgoff, vma.placed)
