"""KSM: the scanner that merges equal pages, and what takes its pages apart again.

For the model's machine, madvise and mremap. `Scanner` does what ksmd does, page by page in its order, because order
decides which pages merge where references, forks or older KSM pages stand in the way (mm/ksm.c:
cmp_and_merge_page()). Contents are equal where the value bytes are: the rest of a page is zero. The system's knobs are
those the live machine sets: no smart scan, no zero-page merging, no limit to the sharing of one page.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from rmaplab.machine.model.faults import cow
from rmaplab.machine.model.physical.columns import Runs
from rmaplab.machine.model.physical.memory import Memory
from rmaplab.machine.model.space.addressspace import AddressSpace, World
from rmaplab.machine.model.space.pagetable import CLEAN, LEAF, WP, Leaf, W
from rmaplab.machine.model.thp.split import split_folio
from rmaplab.trace import KINDS

_ANON: Final = KINDS.index("anon")
_KSM: Final = KINDS.index("ksm")


def unmerge(space: AddressSpace, start: int, end: int, step: int) -> None:
    """Take the KSM pages of [start, end) apart: break_ksm()."""
    for window in space.table.windows(start, end, write=True):
        cow.unmerge(space, window, np.full(window.hi - window.lo, step))


@dataclass(slots=True, eq=False)
class _Node:
    """A page of the stable tree. `users`: the scanned pages known to map it (the hlist); none: it takes no more."""

    frame: int
    ident: int
    users: set["_Item"] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Item:
    """What the scanner knows of a virtual page: its contents at the last look, and the KSM page it merged into."""

    space: AddressSpace
    page: int
    value: int = -1
    node: _Node | None = None

    def join(self, node: _Node | None) -> None:
        """Be a user of `node` and of no other."""
        if self.node is not None:
            self.node.users.discard(self)
        if node is not None:
            node.users.add(self)
        self.node = node


@dataclass(slots=True)
class Scanner:
    """The system's one scanner. `merge` is O(full scans x mergeable pages), page by page."""

    world: World
    _items: dict[int, dict[int, _Item]] = field(default_factory=dict)
    """By MM and virtual page."""
    _stable: dict[int, list[_Node]] = field(default_factory=dict)
    """By contents; duplicates in the order they are looked at."""
    _unstable: dict[int, _Item] = field(default_factory=dict)
    """By contents: pages met in this full scan that nobody equals yet."""
    _moved: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """By MM: pages that page tables no longer map and the KSM pages there now, whose counters do not know it yet."""
    _news: bool = False
    """Did this full scan change anything that the next would meet?"""
    _step: int = 0
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self.memory = self.world.memory

    def merge(self) -> None:
        """Full scans until one changes nothing."""
        self._step = self.memory.recorder.tick()
        self._news = True
        while self._news:
            self._news = False
            self._scan_all()

    def leave(self, mm: int) -> None:
        """Forget an address space that has ended."""
        _forget(self._items.pop(mm, {}))

    def _scan_all(self) -> None:
        world = self.world
        self._unstable.clear()
        world.ksm_mms[:] = [mm for mm in world.ksm_mms if mm in world.spaces]
        for mm in [mm for mm in self._items if mm not in world.spaces]:
            self.leave(mm)
        for mm in world.ksm_mms.copy():
            space = world.spaces[mm]
            if any(vma.mergeable for vma in space.vmas):
                self._scan(space)
            else:
                world.ksm_mms.remove(mm)
                _forget(self._items.pop(mm, {}))
        self._count_moved()

    def _scan(self, space: AddressSpace) -> None:
        """One address space, ascending. Items of pages that are not there any more go as the scan passes them."""
        old = self._items.pop(space.mm, {})
        passed = sorted(old, reverse=True)
        items = self._items[space.mm] = {}
        for vma in [v for v in space.vmas if v.mergeable and v.anon_vma]:
            for window in list(space.table.windows(vma.start, vma.end)):
                for page in (window.base + window.leaf.present(window.lo, window.hi)).tolist():
                    frame = self._scanned(space, page)
                    if not frame:
                        continue
                    while passed and passed[-1] <= page:
                        if (at := passed.pop()) < page:
                            old[at].join(None)
                    item = items[page] = old.get(page) or _Item(space, page)
                    self._meet(item, frame)
        for at in passed:
            old[at].join(None)

    def _scanned(self, space: AddressSpace, page: int) -> int:
        """The anonymous or KSM page mapped at `page`, 0 if there is none (any more)."""
        leaf, at = _entry(space, page)
        frame = int(leaf.frame[at])
        return frame if self._kind(frame) in (_ANON, _KSM) and space.counted(leaf.frame[at : at + 1])[0] else 0

    def _kind(self, frame: int) -> int:
        return int(self.memory.folio["kind"][self.memory.frame["folio"][frame]])

    def _meet(self, item: _Item, frame: int) -> None:
        """cmp_and_merge_page(): contents must have been seen before, then equal pages are looked for."""
        value = int(self.memory.frame["value"][frame])
        node = self._node_of(frame, value)
        if node is not None:
            if item.node is not node:
                item.join(node)
                self._news = True
            return
        item.join(None)
        if item.value != value:
            item.value, self._news = value, True
            return
        if (node := self._find(value)) is not None:
            if self._merge_one(item, frame, node.frame):
                item.join(node)
            return
        other = self._unstable.setdefault(value, item)
        theirs = self._scanned(other.space, other.page)
        if theirs in (frame, 0):
            return
        if self._merge_two(item, frame, other, theirs):
            node = _Node(frame, int(self.memory.folio["ident"][self.memory.frame["folio"][frame]]))
            self._stable.setdefault(value, []).insert(0, node)
            other.join(node)
            item.join(node)
        elif self.memory.frame["folio"][frame] == self.memory.frame["folio"][theirs]:
            # With two pages of one folio in hand nobody can split it; with one it works.
            self._split(frame)

    # --- the stable tree ----------------------------------------------------------------------------------------

    def _alive(self, node: _Node) -> bool:
        slot = self.memory.frame["folio"][node.frame]
        return bool(self.memory.folio["kind"][slot] == _KSM and self.memory.folio["ident"][slot] == node.ident)

    def _chain(self, value: int) -> list[_Node]:
        """KSM pages of these contents, without those that are gone."""
        chain = self._stable.get(value, [])
        chain[:] = [node for node in chain if self._alive(node)]
        return chain

    def _node_of(self, frame: int, value: int) -> _Node | None:
        if self._kind(frame) != _KSM:
            return None
        return next((node for node in self._chain(value) if node.frame == frame), None)

    def _find(self, value: int) -> _Node | None:
        """The page to merge with: of several the one with the most users (stable_node_dup())."""
        chain = self._chain(value)
        if not chain:
            return None
        best = max(chain, key=lambda node: len(node.users))
        if best.users:
            chain.remove(best)
            chain.insert(0, best)
        return best if best.users else None

    # --- the reverse map ----------------------------------------------------------------------------------------

    def reaches(self, frame: int) -> bool:
        """Does the reverse map find every mapping of KSM page `frame`? It looks where scanned pages mapped it, and at the
        same place in what was forked from there (rmap_walk_ksm()); of a page in no tree it finds none."""
        node = self._node_of(frame, int(self.memory.frame["value"][frame]))
        if node is None:
            return False
        places: dict[int, set[int]] = {}
        for item in node.users:
            places.setdefault(item.page, set()).add(item.space.mm)
        return all(
            not places.get(page, set()).isdisjoint({space.mm, *space.forebears})
            for space, page in _mappings(self.world, frame)
        )

    def follow(self, old: int, new: int) -> None:
        """The KSM page `old` moved to frame `new`."""
        node = self._node_of(old, int(self.memory.frame["value"][old]))
        if node is not None:
            node.frame, node.ident = new, int(self.memory.folio["ident"][self.memory.frame["folio"][new]])

    # --- merging ------------------------------------------------------------------------------------------------

    def _merge_two(self, item: _Item, frame: int, other: _Item, theirs: int) -> bool:
        """Make `frame` a KSM page and map it where `theirs` is; if that fails, take it apart again."""
        twice = bool(self.memory.frame["folio"][frame] == self.memory.frame["folio"][theirs])
        if twice or not self._merge_one(item, frame, 0):
            return False
        if self._merge_one(other, theirs, frame):
            del self._unstable[item.value]
            return True
        # Who else maps it keeps a KSM page that is in no tree.
        self._news |= bool(self.memory.frame["mapcount"][frame] > 1)
        unmerge(item.space, item.page, item.page + 1, self._step)
        return False

    def _merge_one(self, item: _Item, frame: int, onto: int) -> bool:
        """Map KSM page `onto` (0: `frame` itself, which becomes one) where `item` maps `frame`, if nobody but page tables
        refers to it (write_protect_page()). A large folio is split first, whatever comes of the rest."""
        memory = self.memory
        if memory.folio["order"][memory.frame["folio"][frame]] and not self._split(frame):
            return False
        leaf, at = _entry(item.space, item.page)
        slot = memory.frame["folio"][frame]
        if int(leaf.frame[at]) != frame or self._kind(frame) == _KSM:
            return False
        if self._looks_held(leaf, at, int(slot)):
            return False
        (own,) = item.space.table.windows(item.page, item.page + 1, write=True)
        memory.folio["dirty"][slot] |= own.leaf.flags[own.lo] & CLEAN == 0
        own.leaf.flags[own.lo] = own.leaf.flags[own.lo] & ~np.uint8(W) | CLEAN
        memory.frame["exclusive"][frame] = False
        if onto:
            own.leaf.flags[own.lo] &= ~np.uint8(WP)  # replace_page() makes the entry anew
            own.leaf.frame[own.lo], own.leaf.expect[own.lo] = onto, memory.frame["version"][onto]
            self._moved.setdefault(item.space.mm, []).append((frame, onto))
            self._news = True
        else:
            self._become_ksm(int(slot))
        return True

    def _looks_held(self, leaf: Leaf, at: int, slot: int) -> bool:
        """Are there references besides the mappings? Nobody counts them where nothing could be written meanwhile."""
        memory = self.memory
        if leaf.flags[at] & (W | CLEAN) == CLEAN and not memory.frame["exclusive"][leaf.frame[at]]:
            return False
        return bool(memory.folio["refs"][slot] != memory.folio["mapcount"][slot] + (memory.folio["swapcache"][slot] > 0))

    def _split(self, frame: int) -> bool:
        memory = self.memory
        slot = int(memory.frame["folio"][frame])
        if not memory.folio["order"][slot] or memory.folio["refs"][slot] != memory.folio["mapcount"][slot]:
            return False
        split_folio(self.world, slot, self._step)
        self._news = True
        return True

    def _count_moved(self) -> None:
        """Counters and trace follow the page tables, all at once: what the scan asks of a page, whether it has references
        but its mappings, is the same before and after."""
        for mm, moved in self._moved.items():
            old, new = np.array(moved, np.int64).T
            each = np.ones(len(moved), np.int64)
            self.memory.map_pages(Runs(new, new, each), mm, self._step)
            self.memory.unmap_pages(Runs(old, old, each), mm, self._step)
        self._moved.clear()

    def _become_ksm(self, slot: int) -> None:
        """An anonymous page turns into a KSM page in place: in the trace another folio, with the same mappings."""
        self._count_moved()
        memory = self.memory
        frame = int(memory.folio["head"][slot])
        users = Counter(space.mm for space, _ in _mappings(self.world, frame))
        old, new = int(memory.folio["ident"][slot]), memory.recorder.folios(0, _KSM, 1)
        for mm, times in users.items():
            memory.recorder.events(self._step, np.full(times, old), mm, 0, -1, entire=False)
            memory.recorder.events(self._step, np.full(times, new), mm, 0, 1, entire=False)
        memory.folio["kind"][slot], memory.folio["ident"][slot], memory.folio["dirty"][slot] = _KSM, new, True


def _forget(items: dict[int, _Item]) -> None:
    for item in items.values():
        item.join(None)


def _entry(space: AddressSpace, page: int) -> tuple[Leaf, int]:
    """Leaf and index of a page that is mapped."""
    (window,) = space.table.windows(page, page + 1)
    return window.leaf, window.lo


def _mappings(world: World, frame: int) -> list[tuple[AddressSpace, int]]:
    """Every place where a small folio is mapped: the address space, and the virtual page."""
    found = []
    for space in world.spaces.values():
        for region in space.table.regions:
            for number, leaf in region.leaves.items():
                base = region.start + number * LEAF
                found += [(space, base + at) for at in np.flatnonzero(leaf.memory() == frame).tolist()]
    return found
