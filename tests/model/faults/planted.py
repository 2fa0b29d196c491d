"""The list of planted faults: each one line of the model changed, with the rule of Linux mm that it breaks.

A fault is named by its text, which must occur once below `rmaplab/machine/model`, so files may move. `equivalent` says
why nobody can tell the changed line from the right one; such a fault counts neither as found nor as missed.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """Replace `old` by `new`; `rule` is what does not hold any more."""

    name: str
    old: str
    new: str
    rule: str
    equivalent: str = ""


PLANTED: Final = (
    Fault(
        "reclaim-passes-locked-folios-by",
        "        unmap_up_to_lock(world, slot)\n",
        "        pass\n",
        "reclaim of a folio of a file that a locked VMA maps takes it from the VMAs before that one",
    ),
    Fault(
        "no-room-is-a-part-of-its-neighbour",
        ".start <= start < end <= vma.end:\n            return [vma]",
        ".start <= start <= end <= vma.end:\n            return [vma]",
        "a block loses its table of PTEs with its last VMA, also where a neighbour begins or ends at its edge",
    ),
    # --- writes that userfaultfd tracks --------------------------------------------------------------------------
    Fault(
        "tracked-thp-asks-as-a-whole",
        '        if what == "cow" and leaf.flags[lo] & WP:\n',
        '        if what == "unshare" and leaf.flags[lo] & WP:\n',
        "a tracked PMD mapping is split before a write asks, and not for a reader",
    ),
    Fault(
        "tracked-page-stays-tracked",
        "    leaf.flags[index] &= ~np.uint8(CLEAN | WP)\n",
        "    leaf.flags[index] &= ~np.uint8(CLEAN)\n",
        "a write takes the mark from its page",
    ),
    Fault(
        "child-is-tracked",
        "    copy.flags &= ~np.uint8(WP)\n",
        "",
        "a child's memory is not tracked",
    ),
    Fault(
        "leaf-with-marks-is-shared-by-fork",
        "    tracked = any_of(leaf.flags, WP)",
        "    tracked = False",
        "a child's memory is not tracked, also where it gets all of a leaf",
    ),
    Fault(
        "childs-vma-is-tracked",
        "cloned=True, locked=False, uffd=False)",
        "cloned=True, locked=False)",
        "a child's VMAs have no userfaultfd: gaps do not keep them from collapse",
    ),
    Fault(
        "moved-memory-is-tracked",
        "        to.leaf.flags[to.lo : to.lo + hi - lo] &= ~np.uint8(WP)\n",
        "",
        "mremap takes marks away",
    ),
    Fault(
        "moved-vma-is-tracked",
        "pgoff=pgoff, uffd=False))",
        "pgoff=pgoff))",
        "a VMA that moved has no userfaultfd",
    ),
    Fault(
        "tracked-table-moves",
        "        if pages == BLOCK and not vma.uffd:",
        "        if pages == BLOCK:",
        "a tracked table of PTEs stays where it was: its entries move one by one",
    ),
    Fault(
        "gaps-are-not-marked",
        "            guards = (leaf.frame[here] == GUARD)",
        "            guards = (leaf.frame[here] % GUARD == 0)",
        "pages that are not there are marked too; guards are not",
    ),
    Fault(
        "marks-need-no-table",
        "            leaf.tables[blocks[leaf.flags[first] & PMD == 0]] = True\n",
        "",
        "marks stand in tables of PTEs, so that no THP fits over them",
    ),
    Fault(
        "tracked-memory-gets-mthp",
        "        return 0 if vma.uffd and order < PMD_ORDER else order\n",
        "        return order\n",
        "where writes are tracked faults bring single pages or THPs",
    ),
    Fault(
        "resolved-page-needs-a-fault",
        "        space.protect(lo, hi, writable=vma.writable)\n",
        "",
        "what is exclusive is writable again without a fault once it is not tracked any more",
    ),
    Fault(
        "swap-in-forgets-marks",
        "    kept = leaf.flags[index] & (0 if write else WP)\n",
        "    kept = leaf.flags[index] & 0\n",
        "a page that was read back is tracked as its swap entry was",
    ),
    Fault(
        "swap-out-forgets-marks",
        "SWAP) | leaf.flags[index] & WP\n",
        "SWAP)\n",
        "a swap entry is tracked as the page was",
    ),
    Fault(
        "unshared-page-loses-its-mark",
        "access | (0 if access & W else leaf.flags[index] & WP)",
        "access",
        "unsharing is no write: the copy is tracked as the page was",
    ),
    Fault(
        "read-takes-marks-from-gaps",
        "    leaf.flags[missing] &= WP\n",
        "    leaf.flags[missing] = 0\n",
        "a page of zeroes where nothing was is tracked as that was",
    ),
    Fault(
        "marked-page-collapses",
        "    stops = np.flatnonzero(marked | empty)\n",
        "    stops = np.flatnonzero(empty)\n",
        "a block with a mark is not collapsed",
    ),
    Fault(
        "tracked-gap-collapses",
        "    stops = np.flatnonzero(marked | empty)\n",
        "    stops = np.flatnonzero(marked)\n",
        "a block with a gap is not collapsed where writes are tracked",
    ),
    Fault(
        "tracked-gap-does-not-end-the-call",
        "    return True, bool(empty[first]) and not",
        "    return True, bool(marked[first]) and not",
        "MADV_COLLAPSE ends at a gap where writes are tracked, not at a mark",
    ),
    Fault(
        "mprotect-makes-tracked-pages-writable",
        "            free = leaf.flags[index] & WP == 0\n",
        "            free = leaf.flags[index] >= 0\n",
        "mprotect gives no write access to a tracked page",
    ),
    Fault(
        "advice-does-not-see-marks",
        "np.diff((leaf.flags[index] & WP)",
        "np.diff((leaf.flags[index] & 0)",
        "advice goes by runs of entries that are marked alike: a folio with two is covered in part",
    ),
    Fault(
        "tracked-vma-joins-others",
        "self.mergeable, self.locked, self.uffd)\n",
        "self.mergeable, self.locked)\n",
        "a VMA that userfaultfd tracks joins only others like it",
    ),
    # --- PG_mlocked ----------------------------------------------------------------------------------------------
    Fault(
        "dontunmap-unlocks-folios",
        "        keep_mlocked(space, vma)\n",
        "        pass\n",
        "what MREMAP_DONTUNMAP leaves keeps PG_mlocked: reclaim passes it by",
    ),
    Fault(
        "locked-parts-of-large-folios-stay",
        '        folio["mlocked"][found[whole & (by_pmd | (folio["order"][found] < PMD_ORDER))]] = True\n',
        '        folio["mlocked"][found] = True\n',
        "of large folios only those that the locked VMA maps whole are PG_mlocked",
    ),
    Fault(
        "zeroes-of-a-locked-page-stay-for-all",
        "    for vma, number in sorted(vmas, key=lambda each: (each[0].pgoff, each[0].placed)):\n",
        "    for vma, number in sorted(vmas, key=lambda each: not each[0].locked):\n",
        "in a split, mappings before the locked one in the reverse map get the zero page",
    ),
    # --- copy-on-write -------------------------------------------------------------------------------------------
    Fault(
        "cow-held-large-folio-is-reused",
        "    large = (answer == Verdict.EXCLUSIVE) & ~held & ~lone\n",
        "    large = (answer == Verdict.EXCLUSIVE) & ~lone\n",
        "a large folio with references besides its mappings is copied",
    ),
    Fault(
        "cow-lone-page-is-reused",
        "    lone = policy.frees_lone_page & (mapcount <= 1)\n",
        "    lone = policy.frees_lone_page & (mapcount <= 0)\n",
        "the last mapped page of a large folio is copied, so that the folio goes",
    ),
    Fault(
        "cow-small-folio-asks-the-scheme",
        "    reuse = np.where(small, sole, large)\n",
        "    reuse = np.where(small, refs <= 2, large)\n",
        "a small folio is reused iff its reference is the only one",
    ),
    Fault(
        "cow-reused-page-is-not-exclusive",
        '        memory.frame["exclusive"][leaf.frame[index[keep]]] = True\n        if copy.any():\n',
        "        if copy.any():\n",
        "a reused page is AnonExclusive",
    ),
    Fault(
        "cow-copy-is-not-exclusive",
        '    memory.frame["exclusive"][new] = True\n    wide = new.astype(np.int64)\n',
        "    wide = new.astype(np.int64)\n",
        "the copy of a COW fault is AnonExclusive",
    ),
    Fault(
        "cow-unshared-copy-is-writable",
        '_COPY: Final[dict[What, int]] = {"cow": W, "unshare": CLEAN}\n',
        '_COPY: Final[dict[What, int]] = {"cow": W, "unshare": W}\n',
        "a page unshared for reading stays write-protected",
    ),
    Fault(
        "cow-unshare-grants-write",
        '_GRANT: Final[dict[What, int]] = {"cow": W, "unshare": 0}\n',
        '_GRANT: Final[dict[What, int]] = {"cow": W, "unshare": W}\n',
        "a page kept by unsharing stays write-protected",
        equivalent="W is not shown; the page is exclusive, and a write to an exclusive page asks nothing and "
        "copies nothing",
    ),
    Fault(
        "cow-pmd-kept-with-two-references",
        '    alone = bool(memory.folio["refs"][slot[0]] == 1)\n',
        '    alone = bool(memory.folio["refs"][slot[0]] <= 2)\n',
        "a PMD-mapped THP is reused whole iff its reference is the only one",
    ),
    Fault(
        "cow-pmd-reuse-marks-one-page",
        '        memory.frame["exclusive"][head : head + BLOCK] = True\n',
        '        memory.frame["exclusive"][head : head + 1] = True\n',
        "a THP reused whole is exclusive on all its pages",
    ),
    Fault(
        "cow-huge-zero-gives-small-pages",
        "        if head == HUGE_ZERO and memory.policy.huge_zero_cow:\n",
        "        if head == HUGE_ZERO and not memory.policy.huge_zero_cow:\n",
        "writing to the huge zero folio gives a THP (6.18)",
    ),
    Fault(
        "cow-ksm-page-is-asked-about",
        "    foreign = ~exclusive & (~space.counted(frames) | (kinds != _ANON))\n",
        "    foreign = ~exclusive & (~space.counted(frames) | ((kinds != _ANON) & (kinds != _KSM)))\n",
        "KSM pages are copied, whoever maps them",
    ),
    Fault(
        "cow-first-answer-for-all",
        "    return reuse, np.where(steady, count, 1)\n",
        "    return reuse, np.where(steady | ~reuse, count, 1)\n",
        "a folio is asked about again after every copy, for the last sharer may have gone by it",
    ),
    Fault(
        "unshare-leaves-exclusive-pages-of-others",
        '    return np.asarray(space.counted(frames) & anon & ~space.memory.frame["exclusive"][frames])\n',
        "    return np.asarray(space.counted(frames) & anon & False)\n",
        "GUP for reading unshares what is not AnonExclusive",
    ),
    # --- first touch ----------------------------------------------------------------------------------------------
    Fault(
        "fault-thp-over-a-table",
        "    return blocks[fits & ~leaf.tables[blocks]]\n",
        "    return blocks[fits]\n",
        "a block with a table of PTEs gets no THP",
    ),
    Fault(
        "fault-thp-beyond-the-vma",
        "    fits = (first >= vma.start) & (first + BLOCK <= vma.end)\n    return blocks",
        "    fits = first >= vma.start\n    return blocks",
        "a THP fits into its VMA",
    ),
    Fault(
        "fault-mthp-over-pages",
        "    return np.asarray(fits & (leaf.frame[span] == 0).all(axis=1))\n",
        "    return np.asarray(fits & (leaf.frame[span] == 0).any(axis=1))\n",
        "an mTHP comes only where nothing is mapped yet",
    ),
    Fault(
        "fault-mthp-beyond-the-vma",
        "    fits = (first >= vma.start) & (first + (1 << order) <= vma.end)\n",
        "    fits = first >= vma.start\n",
        "an mTHP fits into its VMA",
    ),
    Fault(
        "fault-mthp-not-exclusive",
        '    leaf.tables[where // BLOCK] = True\n    memory.frame["exclusive"][frames] = True\n',
        "    leaf.tables[where // BLOCK] = True\n",
        "new anonymous memory is AnonExclusive",
    ),
    Fault(
        "fault-no-huge-zero",
        "        leaf.flags[where] = PMD\n        space.memory.counters.faults += len(huge)\n",
        "        leaf.flags[where] = 0\n        space.memory.counters.faults += len(huge)\n",
        "a read of untouched THP memory maps the huge zero folio by a PMD",
    ),
    Fault(
        "fault-zero-page-makes-no-table",
        "    leaf.flags[missing] &= WP\n    leaf.tables[missing // BLOCK] = True\n",
        "    leaf.flags[missing] &= WP\n",
        "where the zero page is mapped stands a table of PTEs, so no THP fits any more",
    ),
    # --- fork -----------------------------------------------------------------------------------------------------
    Fault(
        "fork-leaves-pages-exclusive",
        '        memory.map_pages(runs, child.mm, step)\n        runs.fill(memory.frame["exclusive"], False)\n',
        "        memory.map_pages(runs, child.mm, step)\n",
        "after fork no page is exclusive any more",
    ),
    Fault(
        "fork-leaves-thp-exclusive",
        '    Runs(heads, heads, np.full(len(heads), BLOCK)).fill(memory.frame["exclusive"], False)\n',
        "",
        "after fork no page of a PMD-mapped THP is exclusive",
    ),
    Fault(
        "fork-shares-pinned-pages",
        "        pinned = _protect_parent(parent, region, number, ranges, step, pins=pins)\n",
        "        pinned = _protect_parent(parent, region, number, ranges, step, pins=pins)[:0]\n",
        "a child gets copies of pinned exclusive pages",
    ),
    Fault(
        "fork-parent-keeps-write-access",
        "            leaf.flags[lo:hi] &= ~np.uint8(W | SWAP_EXCLUSIVE)\n",
        "            leaf.flags[lo:hi] &= ~np.uint8(SWAP_EXCLUSIVE)\n",
        "fork takes write access from the parent",
    ),
    Fault(
        "fork-parent-with-pins-keeps-write-access",
        "    leaf.flags[inside] &= ~np.uint8(W | SWAP_EXCLUSIVE)\n",
        "    leaf.flags[inside] &= ~np.uint8(SWAP_EXCLUSIVE)\n",
        "fork takes write access from the parent, but for pinned exclusive pages",
    ),
    Fault(
        "zap-of-one-page-takes-guards",
        "        elif frame == GUARD and not guards:\n            return\n",
        "",
        "MADV_DONTNEED of a single page leaves a guard there",
    ),
    Fault(
        "fork-forgets-that-a-leaf-changed",
        "        leaf.mapped = region.inherited = None\n",
        "        leaf.mapped = None\n",
        "a child maps what its parent maps now, not what it mapped at an earlier fork",
    ),
    Fault(
        "fork-parent-keeps-swap-exclusive",
        "    leaf.flags[inside] &= ~np.uint8(W | SWAP_EXCLUSIVE)\n",
        "    leaf.flags[inside] &= ~np.uint8(W)\n",
        "fork takes the exclusive marks of swap entries",
    ),
    Fault(
        "fork-copies-dontfork",
        "VmaList([_child_vma(parent, v) for v in parent.vmas if not v.dontfork])",
        "VmaList([_child_vma(parent, v) for v in parent.vmas])",
        "MADV_DONTFORK areas are not in the child",
    ),
    Fault(
        "fork-copies-wipeonfork",
        "if v.private and not v.dontfork and not v.wipeonfork]\n",
        "if v.private and not v.dontfork]\n",
        "MADV_WIPEONFORK memory is empty in the child",
    ),
    Fault(
        "fork-copies-file-tables",
        "    copied = [v for v in inherited if v.anon_vma or v.guarded]\n",
        "    copied = [v for v in inherited if v.anon_vma or v.guarded or v.file]\n",
        "page tables of mappings that can be faulted in again are not copied",
    ),
    Fault(
        "fork-copies-file-pmds",
        '    return np.asarray(index[parent.counted(frames) & (kind != KINDS.index("anon"))], np.int64)\n',
        "    return np.asarray(index[:0], np.int64)\n",
        "PMDs of files are left to be faulted in again",
    ),
    Fault(
        "fork-counts-no-swap-entries",
        "                parent.swap.device.get(leaf.frame[lo",
        "                parent.swap.device.get(leaf.frame[hi",
        "a child's swap entries count",
    ),
    Fault(
        "fork-child-shares-anon-vma",
        "    return replace(vma, anon_vma=parent.world.next_anon_vma(), cloned=True,",
        "    return replace(vma, anon_vma=parent.world.next_anon_vma(), cloned=False,",
        "VMAs whose anon_vma came by fork do not merge with unfaulted neighbours",
    ),
    # --- advice ---------------------------------------------------------------------------------------------------
    Fault(
        "dontneed-keeps-the-table",
        "            _forget_empty_tables(space, -(-lo // BLOCK) * BLOCK, hi // BLOCK * BLOCK)\n",
        "            pass\n",
        "a table of PTEs that MADV_DONTNEED covers whole is freed (CONFIG_PT_RECLAIM)",
    ),
    Fault(
        "dontneed-frees-partly-covered-tables",
        "            _forget_empty_tables(space, -(-lo // BLOCK) * BLOCK, hi // BLOCK * BLOCK)\n",
        "            space.forget_tables(lo // BLOCK * BLOCK, -(-hi // BLOCK) * BLOCK)\n",
        "in pieces a table of PTEs stays",
    ),
    Fault(
        "dontneed-splits-no-edges",
        "        space.split_edges(vma, lo, hi, step)\n        space.zap(lo, hi, step, guards=False)\n",
        "        space.zap(lo, hi, step, guards=False)\n",
        "a PMD that is covered in part is split",
    ),
    Fault(
        "hugepage-and-nohugepage-both",
        "            setattr(part, _OPPOSITE[name], False)\n",
        "            pass\n",
        "MADV_HUGEPAGE undoes MADV_NOHUGEPAGE",
    ),
    Fault(
        "advice-does-not-merge-vmas",
        "        changed.append((part.start, part.end))\n",
        "",
        "VMAs that advice made equal again merge",
    ),
    Fault(
        "cold-splits-shared-folios",
        "    return free and not shared\n",
        "    return free\n",
        "advice leaves folios alone that others may map",
    ),
    Fault(
        "cold-splits-held-folios",
        "    return free and not shared\n",
        "    return not shared\n",
        "advice leaves folios alone that somebody holds",
    ),
    Fault(
        "advice-single-mapping-is-shared",
        '    return bool(memory.folio["mapcount"][slot[0]] > 1) and answer is Verdict.SHARED\n',
        '    return bool(memory.folio["mapcount"][slot[0]] > 0) and answer is Verdict.SHARED\n',
        "a folio mapped once is exclusive whatever the flag says",
    ),
    Fault(
        "split-keeps-zero-pages",
        '    staying = [memory.frame["value"][m.leaf.frame[m.index]] != 0 for m in mappings]\n',
        '    staying = [memory.frame["value"][m.leaf.frame[m.index]] >= 0 for m in mappings]\n',
        "pages full of zeroes give way to the zero page at a split",
    ),
    Fault(
        "split-zero-page-stays-writable",
        "        leaf.flags[index[~stays]] &= ~np.uint8(W)\n",
        "",
        "the zero page is mapped read-only",
    ),
    Fault(
        "free-whole-dirty-shared-folio",
        '        if not whole and folio["mapcount"][slot] != len(index):\n            return\n',
        "",
        "MADV_FREE leaves a dirty folio alone that others map",
    ),
    Fault(
        "free-keeps-swap-entries",
        "    for _, window in list(space.spans(start, end, write=True)):\n        _drop_swapped(space, window)\n",
        "    for _, window in list(space.spans(start, end, write=True)):\n",
        "MADV_FREE gives swap entries back at once",
    ),
    Fault(
        "free-does-not-clean",
        "    leaf.flags[index] |= CLEAN\n    folio",
        "    folio",
        "lazily freed pages are clean until they are written to",
    ),
    # --- reclaim --------------------------------------------------------------------------------------------------
    Fault(
        "pageout-takes-shared-folios",
        '                if memory.folio["mapcount"][memory.frame["folio"][leaf.frame[index[0]]]] == len(index):\n',
        "                if True:\n",
        "MADV_PAGEOUT takes folios that nobody else maps",
    ),
    Fault(
        "pageout-takes-pinned-folios",
        '        if folio["pins"][slot]:\n            return\n',
        "",
        "a FOLL_PIN keeps a folio mapped",
    ),
    Fault(
        "pageout-takes-held-large-folios",
        '        if order and folio["refs"][slot] != folio["mapcount"][slot]:\n            return\n',
        "",
        "a held large folio stays mapped",
    ),
    Fault(
        "pageout-partial-folio-goes-whole",
        'device.take(order) if device and not folio["partial"][slot] else 0\n',
        "device.take(order) if device else 0\n",
        "a partially mapped folio is split, not written whole",
    ),
    Fault(
        "pageout-rest-in-order",
        "            left = np.concatenate((index[:1], index[:0:-1]))\n",
        "            left = index\n",
        "pages of a folio split by reclaim go out from behind",
    ),
    Fault(
        "lazy-pages-drop-although-written",
        '            if folio["dirty"][slot] or not (leaf.flags[run] & CLEAN).all():\n',
        '            if folio["dirty"][slot]:\n',
        "a lazily freed page that was written to stays",
    ),
    Fault(
        "lazy-pages-drop-although-held",
        '            if folio["refs"][slot] != folio["mapcount"][slot]:\n                return\n',
        "",
        "a lazily freed page somebody holds stays",
    ),
    Fault(
        "lazy-runs-ignore-write-access",
        "        for run in np.split(index, np.flatnonzero(np.diff(writable.astype(np.int8))) + 1):\n",
        "        for run in (index,):\n",
        "reclaim takes lazily freed PTEs away run by run of equal write access",
    ),
    Fault(
        "lazy-pmd-stays",
        "        if leaf.flags[index[0]] & PMD:\n"
        "            self.space.split_pmd(leaf, int(index[0]), memory.recorder.tick(), anon=True)\n"
        "        writable",
        "        writable",
        "a lazily freed THP loses its PMD before it is dropped",
    ),
    Fault(
        "swapout-forgets-exclusive",
        "        leaf.flags[index] = np.where(exclusive, SWAP | SWAP_EXCLUSIVE, SWAP) |",
        "        leaf.flags[index] = SWAP |",
        "a swap entry remembers that its page was exclusive",
    ),
    Fault(
        "swapout-writes-held-folios",
        '    for slot in folios[memory.folio["refs"][folios] == size].tolist():\n',
        "    for slot in folios.tolist():\n",
        "a folio somebody holds stays in the swap cache",
    ),
    Fault(
        "swap-zero-per-page",
        '        device.zero[there] = not memory.frame["value"][here].any()\n',
        '        device.zero[there] = memory.frame["value"][here] == 0\n',
        "zeroes are told per folio at swap-out",
    ),
    Fault(
        "file-pageout-takes-held-folios",
        '        if memory.folio["refs"][slot] != pages:\n            continue\n',
        "",
        "page cache that somebody holds stays",
    ),
    Fault(
        "file-pageout-of-shared-folios",
        "        elif not maybe_shared(space, slot) if leaf.flags[at] & PMD else mapcount == size:\n",
        "        elif True:\n",
        "MADV_PAGEOUT takes file folios that only this mapping maps",
    ),
    # --- swap-in --------------------------------------------------------------------------------------------------
    Fault(
        "swapin-large-from-shared-slots",
        "        if not shared and swap.count[leaf.frame[at]] != 1:\n",
        "        if False:\n",
        "an mTHP comes back only if the faulting page's slot has one entry",
    ),
    Fault(
        "swapin-large-unaligned",
        "        in_a_row = slots[0] % size == 0 and bool((np.diff(slots) == 1).all())\n",
        "        in_a_row = bool((np.diff(slots) == 1).all())\n",
        "an mTHP comes back from aligned slots",
    ),
    Fault(
        "swapin-large-mixed-marks",
        "        alike = bool(flags[0] & SWAP) and bool((flags == flags[0]).all())\n",
        "        alike = bool((flags & SWAP).all())\n",
        "an mTHP comes back if all entries' exclusive marks agree",
    ),
    Fault(
        "swapin-large-mixed-zeroes",
        "        if swap.zero[slots].all() or not swap.zero[slots].any():\n",
        "        if True:\n",
        "an mTHP comes back if all or none of its pages are zeroes",
    ),
    Fault(
        "swapin-alone-through-the-cache",
        "    alone = (swap.count[slots] == 1) & (swap.folio[slots] == 0)\n",
        "    alone = swap.folio[slots] == 0\n",
        "a slot with several entries comes in through the swap cache",
    ),
    Fault(
        "swapin-shared-is-exclusive",
        "    exclusive = ~merged & ((leaf.flags[index] & SWAP_EXCLUSIVE != 0) | ",
        "    exclusive = ~merged & ((leaf.flags[index] & SWAP_EXCLUSIVE == 0) | ",
        "a page from the swap cache is exclusive by its entry's mark",
    ),
    Fault(
        "swapin-write-shares",
        "    if write and not exclusive.all():\n",
        "    if write and exclusive.all():\n",
        "a write fault that finds a shared swapped page copies it at once",
    ),
    Fault(
        "swapin-read-maps-read-only",
        "    access = np.where(exclusive & vma.writable & (kept == 0), W, 0)\n",
        "    access = np.where(exclusive & vma.writable & (kept == 0) & write, W, 0)\n",
        "an exclusive page is mapped writable after a read too",
    ),
    Fault(
        "swapcache-reference-counts",
        "(refs == 1) & (cached == 0) | (refs == 2) & (cached > 0) & (self.device.count[cached] == 0))\n",
        "(refs == 1) & (cached == 0))\n",
        "the swap cache's reference does not count once no entry is left",
    ),
    Fault(
        "swapcache-ignores-entries",
        "(refs == 2) & (cached > 0) & (self.device.count[cached] == 0))\n",
        "(refs == 2) & (cached > 0))\n",
        "the swap cache's reference counts while another page table holds an entry",
    ),
    Fault(
        "swapcache-stays-after-last-unmapping",
        '        self.leave_idle(slots[self._memory.folio["mapcount"][slots] == 0])\n',
        "",
        "the last unmapping takes a page out of the swap cache",
    ),
    Fault(
        "slots-first-fit-in-free-clusters",
        "        if self.used[cluster] < CLUSTER and first + size < base + CLUSTER:\n"
        "            self.next[order] = first + size\n",
        "",
        "a cluster is gone on with where the last folio ended",
    ),
    Fault(
        "slots-cluster-keeps-its-order",
        "            self.free[cluster] = None\n            self.order[cluster] = 0\n",
        "            self.free[cluster] = None\n",
        "a freed cluster has no order",
        "nobody asks: `take` passes free clusters by, no list has them, `_scan` gives one its order first",
    ),
    Fault(
        "slots-header-in-use",
        "        self.used[0] = 1\n        self.nonfull[0][0] = None\n",
        "        self.used[0] = 1\n",
        "the cluster with the header takes small folios first",
    ),
    # --- move, protect, unmap -------------------------------------------------------------------------------------
    Fault(
        "move-keeps-tables",
        "            leaf.tables[block] = False\n",
        "            pass\n",
        "a table of PTEs moves as a whole where both sides are aligned",
    ),
    Fault(
        "move-keeps-pmd-in-part",
        "        if huge and pages < BLOCK:\n",
        "        if huge and pages < 0:\n",
        "a PMD that moves in part is split",
    ),
    Fault(
        "move-dontunmap-keeps-anon-vma",
        "    if (vma.start, vma.end) == (source, source + pages):\n        vma.anon_vma, vma.cloned = 0, False\n",
        "",
        "after MREMAP_DONTUNMAP of a whole VMA it is unfaulted",
    ),
    Fault(
        "move-takes-ksm-pages",
        "        unmerge(space, source, source + pages, step)\n    if not keep_source",
        "        pass\n    if not keep_source",
        "KSM pages are taken apart before they move",
    ),
    Fault(
        "protect-does-not-merge",
        "        changed.append((lo, hi))\n",
        "",
        "VMAs that mprotect made equal again merge",
    ),
    Fault(
        "protect-grants-shared-pages",
        "            leaf.flags[index[free & (exclusive | (leaf.flags[index] & DIRTY != 0))]] |= W\n",
        "            leaf.flags[index[free]] |= W\n",
        "mprotect gives write access to exclusive pages only",
    ),
    Fault(
        "protect-forgets-accounting",
        "        elif self.private and self.anonymous and not self.anon_vma:\n            self.accounted = False\n",
        "",
        "memory made read-only before anything was written is not accounted, and merges with nothing that is",
    ),
    Fault(
        "unmap-splits-no-edges",
        "    space.split_at(start, step)\n"
        "    space.split_at(end, step)\n"
        "    for vma in space.vmas.within(start, end):\n"
        "        space.zap",
        "    space.vmas.cut(start)\n"
        "    space.vmas.cut(end)\n"
        "    for vma in space.vmas.within(start, end):\n"
        "        space.zap",
        "a PMD across the edge of what is unmapped is split",
    ),
    Fault(
        "partial-unmap-is-not-noted",
        '            folio["partial"][np.repeat(slots[some], runs.size[some])[bare]] = True\n',
        "            pass\n",
        "a folio with pages nobody maps is partially mapped",
    ),
    # --- files ----------------------------------------------------------------------------------------------------
    Fault(
        "file-fault-around-32",
        "FAULT_AROUND: Final = 16\n",
        "FAULT_AROUND: Final = 32\n",
        "a read fault maps what is cached within 64 KiB",
    ),
    Fault(
        "file-fault-around-crosses-vma",
        "    lo = max(at - at % FAULT_AROUND, vma.start - window.base)\n",
        "    lo = max(at - at % FAULT_AROUND, 0)\n",
        "fault-around stays within the VMA",
    ),
    Fault(
        "file-last-folio-is-mapped-whole",
        '    last = file.on_disk & (space.memory.frame["folio"][cached] =='
        ' space.memory.frame["folio"][file.frame[file.pages - 1]])\n',
        '    last = file.on_disk & (space.memory.frame["folio"][cached] == 0)\n',
        "fault-around of 6.18 takes a file's last folio for one beyond its end",
    ),
    Fault(
        "file-ahead-mark-is-ignored",
        "        hit = hit[~file.ahead[file.first_pages(pages[hit])]]\n",
        "        pass\n",
        "fault-around leaves the folio with the readahead mark alone",
    ),
    Fault(
        "file-folio-over-mapped-pages",
        "    if size > 1 and inside and not leaf.frame[first:last].any():\n",
        "    if size > 1 and inside:\n",
        "a fault maps a whole folio only where nothing is mapped yet",
    ),
    Fault(
        "file-pmd-over-a-table",
        "!= PMD_ORDER or leaf.tables[lo // BLOCK] or index",
        "!= PMD_ORDER or index",
        "a file's PMD does not replace a table of PTEs",
    ),
    Fault(
        "file-private-pmd-mapped-writable",
        "    if not (vma.shared and vma.writable):\n        return 0\n",
        "    if not vma.writable:\n        return 0\n",
        "private mappings of files are mapped read-only",
    ),
    Fault(
        "file-write-notify-skipped",
        "    return W | DIRTY if write else 0 if vma.on_disk else W\n",
        "    return W | DIRTY if write else W\n",
        "a shared page of a disk file is read-only until written",
    ),
    Fault(
        "shmem-order-ignores-alignment",
        "    if order and (vma.start - vma.pgoff) % (1 << order) == 0:\n",
        "    if order:\n",
        "shmem gets large folios where address and file offset agree",
    ),
    Fault(
        "shmem-group-over-cached",
        "        return np.asarray(((self.frame[span] == 0) & (self.swap[span] == 0)).all(axis=1))\n",
        "        return np.asarray(((self.frame[span] == 0) & (self.swap[span] == 0)).any(axis=1))\n",
        "a large shmem folio comes only where nothing is cached",
    ),
    Fault(
        "shmem-group-where-swapped",
        "        return np.asarray(((self.frame[span] == 0) & (self.swap[span] == 0)).all(axis=1))\n",
        "        return np.asarray((self.frame[span] == 0).all(axis=1))\n",
        "no large folio comes where pages are in swap",
    ),
    Fault(
        "disk-miss-in-two-calls",
        "        file.cache(missing, 0)\n        return\n",
        "        file.cache(missing[:1], 0)\n        file.cache(missing[1:], 0)\n        return\n",
        "a miss under MADV_RANDOM brings one page",
        equivalent="the same folios in two calls; frames are compared up to their names",
    ),
    Fault(
        "disk-readahead-mark-missing",
        "        file.ahead[page] |= page == start\n",
        "        pass\n",
        "the first folio read under MADV_HUGEPAGE carries the readahead mark",
    ),
    # --- collapse, KSM, migration ---------------------------------------------------------------------------------
    Fault(
        "collapse-held-blocks",
        "    if _held(space, leaf, lo) or (",
        "    if (",
        "a block with a held page does not collapse",
        equivalent="it is asked again after swap-in, which changes nothing of a held page",
    ),
    Fault(
        "collapse-leaves-the-table",
        "        memory.frame[name][leaf.frame[index]] = values\n    leaf.tables[lo // BLOCK] = False\n",
        "        memory.frame[name][leaf.frame[index]] = values\n",
        "a collapsed block has no table of PTEs",
    ),
    Fault(
        "collapse-goes-on-after-nothing",
        "if skips else takewhile(partial(has_pmd, space), pages)\n",
        "if skips else filter(partial(has_pmd, space), pages)\n",
        "nothing is tried after a block with nothing in its PMD",
    ),
    Fault(
        "collapse-needs-no-anon-vma",
        "    fits = vma.anon_vma != 0 if vma.anonymous else",
        "    fits = True if vma.anonymous else",
        "a VMA where nothing was ever written does not collapse",
    ),
    Fault(
        "collapse-nohugepage-allowed",
        "    return room and fits and not vma.nothp\n",
        "    return room and fits\n",
        "MADV_NOHUGEPAGE memory does not collapse",
    ),
    Fault(
        "collapse-file-held-pages",
        '        if (memory.folio["refs"][slots] != memory.folio["mapcount"][slots] + sizes).any():\n'
        "            return _Result.HELD\n",
        "",
        "shmem that somebody holds does not collapse",
    ),
    Fault(
        "collapse-file-retracts-private-tables",
        "            if vma.file is file and not vma.anon_vma:\n",
        "            if vma.file is file:\n",
        "tables that may hold private copies stay",
    ),
    Fault(
        "ksm-merges-at-first-sight",
        "        if item.value != value:\n            item.value, self._news = value, True\n            return\n",
        "        if item.value != value:\n            item.value, self._news = value, True\n",
        "KSM merges what was unchanged since the scan before",
    ),
    Fault(
        "ksm-merges-held-pages",
        "        if self._looks_held(leaf, at, int(slot)):\n            return False\n",
        "",
        "a page with references besides its mappings does not merge",
    ),
    Fault(
        "ksm-held-always-looked-for",
        '        if leaf.flags[at] & (W | CLEAN) == CLEAN and not memory.frame["exclusive"][leaf.frame[at]]:\n'
        "            return False\n"
        "        return bool",
        "        return bool",
        "references are not looked for where nothing could be written",
    ),
    Fault(
        "ksm-merges-with-unused-pages",
        "        return best if best.users else None\n",
        "        return best\n",
        "a KSM page no scanned page is known to use takes no more",
    ),
    Fault(
        "ksm-scans-in-order-of-mm",
        "        for mm in world.ksm_mms.copy():\n",
        "        for mm in sorted(world.ksm_mms):\n",
        "address spaces are scanned in the order of their first advice",
    ),
    Fault(
        "ksm-does-not-split",
        "            self._split(frame)\n\n",
        "            pass\n\n",
        "two equal pages of one folio split it",
    ),
    Fault(
        "ksm-page-does-not-follow",
        "            node.frame, node.ident = new, int(",
        "            node.ident = int(",
        "new pages merge with a KSM page where it went",
    ),
    Fault(
        "migrate-moves-shared-folios",
        "    return np.asarray(~shared)\n",
        "    return np.asarray(shared | ~shared)\n",
        "MPOL_MF_MOVE leaves folios that others may map",
    ),
    Fault(
        "migrate-moves-held-folios",
        '        if memory.folio["refs"][slot] == 1 + cached + world.swap.references(itself)[0]:\n',
        "        if True:\n",
        "folios somebody holds stay where they are",
    ),
    Fault(
        "migrate-unmaps-pinned-pages",
        '    return bool(memory.folio["pins"][slot] and memory.frame["exclusive"][_pages(memory, slot)].any())\n',
        "    return False\n",
        "a pinned exclusive page keeps its mapping",
    ),
    Fault(
        "migrate-keeps-partial-folios",
        '    if not folio["partial"][slot] or folio',
        '    if folio["partial"][slot] or folio',
        "a partially mapped folio is split before it moves",
    ),
    Fault(
        "migrate-leaves-no-partial-mark",
        '            memory.folio["partial"][to] |= _page_by_page(mine)\n',
        "            pass\n",
        "a folio unmapped page by page counts as partially mapped ever after (6.18)",
    ),
    # --- guards and memory without access ------------------------------------------------------------------------
    Fault(
        "guard-goes-with-dontneed",
        "        space.zap(lo, hi, step, guards=False)\n        if",
        "        space.zap(lo, hi, step)\n        if",
        "MADV_DONTNEED leaves guards where they are",
    ),
    Fault(
        "guard-lets-tables-go",
        "        if space.first_guard(block, block + BLOCK) is None:\n",
        "        if True:\n",
        "a table of PTEs that holds a guard stays",
    ),
    Fault(
        "guard-makes-no-anon-vma",
        "        if space.memory.policy.guards_need_anon_vma:\n            space.prepare_anon_vma(vma)\n",
        "        if space.memory.policy.guards_need_anon_vma:\n            pass\n",
        "a VMA with guards has an anon_vma, so that fork copies its page tables",
    ),
    Fault(
        "guard-splits-no-edges",
        "        space.split_edges(vma, lo, hi, step)\n        space.zap(lo, hi, step)\n",
        "        space.zap(lo, hi, step)\n",
        "guards in part of a THP remap it by PTEs",
    ),
    Fault(
        "guard-makes-no-table",
        "            window.leaf.tables[window.lo // BLOCK : -(-window.hi // BLOCK)] = True\n",
        "            pass\n",
        "guards stand in a table of PTEs",
    ),
    Fault(
        "guard-does-not-stop-collapse",
        "            if not _held(space, window.leaf, window.lo):\n                return\n",
        "            continue\n",
        "no block is collapsed after one with guards",
    ),
    Fault(
        "mprotect-no-access-is-read-only",
        "        self.writable, self.readable = writable, readable\n",
        "        self.writable, self.readable = writable, True\n",
        "memory without access is no VMA with memory that can be read",
    ),
    Fault(
        "mprotect-read-only-is-as-good-as-no-access",
        "        if (vma.writable, vma.readable) == (writable, readable):\n",
        "        if vma.writable == writable:\n",
        "memory made readable again can be read",
    ),
    Fault(
        "anon-vma-is-not-taken-over-from-memory-without-access",
        "replace(vma, writable=True, readable=True).attributes()",
        "replace(vma, writable=True).attributes()",
        "an anon_vma is taken over from a neighbour that differs in permissions only",
    ),
    # --- memory over other memory ---------------------------------------------------------------------------------
    Fault(
        "over-merges-with-nothing",
        "        if over is not None:\n            self.space.vmas.merge(start, start + pages)\n",
        "",
        "memory mapped over other memory joins the VMAs beside it",
    ),
    Fault(
        "over-moved-memory-is-new",
        "    pgoff = vma.offset_of(source) if vma.anon_vma or not vma.anonymous else target\n",
        "    pgoff = vma.offset_of(source) if not vma.anonymous else target\n",
        "moved memory keeps its place in its anon_vma, and joins no new memory",
    ),
    Fault(
        "over-unfaulted-memory-keeps-its-place",
        "    pgoff = vma.offset_of(source) if vma.anon_vma or not vma.anonymous else target\n",
        "    pgoff = vma.offset_of(source)\n",
        "memory in which nothing was faulted is as good as new where it comes to",
    ),
    Fault(
        "over-leaves-what-was-there",
        "        if self.space.vmas.within(start, end):\n            unmap(self.space, start, end)\n        self._areas",
        "        self._areas",
        "what was there is unmapped",
    ),
    # --- direct reads ---------------------------------------------------------------------------------------------
    Fault(
        "direct-pins-nothing-meanwhile",
        "        space.memory.hold(held[-1], longterm=True)\n    for vma",
        "        space.memory.hold(held[-1], longterm=True)\n        space.memory.drop(held[-1], longterm=True)\n"
        "    space.memory.hold(np.concatenate(held), longterm=True)\n    for vma",
        "a page pinned for a direct read is an extra reference where the next one of its folio asks",
    ),
    Fault(
        "direct-dirties-no-folio",
        '    space.memory.folio["dirty"][slots] = True\n    space.memory.drop(slots, longterm=True)\n',
        "    space.memory.drop(slots, longterm=True)\n",
        "a folio that a device wrote to is dirty, and no lazily freed one",
    ),
    # --- locked memory --------------------------------------------------------------------------------------------
    Fault(
        "lock-reads-writable-memory",
        "        if vma.private and vma.writable:\n            fault.populate_write(space, lo, hi)\n",
        "        if vma.shared and vma.writable:\n            fault.populate_write(space, lo, hi)\n",
        "private writable memory that is locked is faulted in by writes, which end COW",
    ),
    Fault(
        "lock-brings-nothing-in-when-memory-becomes-writable",
        "        if writable and part.locked and part.private and not part.writable:\n",
        "        if readable and part.locked and part.private and not readable:\n",
        "private locked memory that becomes writable has its COW broken by mprotect",
    ),
    Fault(
        "lock-brings-in-shared-memory-when-it-becomes-writable",
        "        if writable and part.locked and part.private and not part.writable:\n",
        "        if writable and part.locked and not part.writable:\n",
        "mprotect faults in private memory only",
    ),
    Fault(
        "lock-is-inherited",
        "cloned=True, locked=False, uffd=False)",
        "cloned=True, uffd=False)",
        "a child's memory is not locked",
    ),
    Fault(
        "lock-stays-where-nothing-was-unmapped",
        "    vma.locked = False\n    if (vma.start, vma.end) == (source, source + pages):\n",
        "    if (vma.start, vma.end) == (source, source + pages):\n",
        "mremap with MREMAP_DONTUNMAP unlocks all of the VMA it leaves",
    ),
    Fault(
        "lock-keeps-the-swap-slot",
        "    alone = np.full(len(index), vma.locked) | (",
        "    alone = np.full(len(index), False) | (",
        "a page that comes back to locked memory gives up its swap slot, and so is its process' own",
    ),
    Fault(
        "lock-is-no-attribute",
        "self.mergeable, self.locked, self.uffd)\n",
        "self.mergeable, self.uffd)\n",
        "locked memory does not join memory that is not",
    ),
    Fault(
        "lock-refuses-before-anything-is-done",
        "            end = max(locked[0].start, start)\n        if start < end:\n",
        "            end = start\n        if start < end:\n",
        "advice does its work up to the memory that is locked",
    ),
    Fault(
        "lock-allows-advice",
        "if vma.locked and advice in LOCK_FORBIDS]\n",
        'if vma.locked and advice == "pageout"]\n',
        "locked memory refuses advice that would take it away",
    ),
    Fault(
        "lock-lets-growth-wait",
        "            populate(self.space, end >> PAGE_SHIFT, vma.end)\n",
        "",
        "what locked memory grows by is faulted in at once",
    ),
    Fault(
        "lock-keeps-no-file-in-memory",
        '    free = ~np.isin(slots, memory.frame["folio"][locked_frames(world)])\n',
        '    free = ~np.isin(slots, memory.frame["folio"][locked_frames(world)][:0])\n',
        "a folio of a file that a locked VMA maps is not reclaimed through another one",
    ),
    Fault(
        "lock-keeps-no-zeroes",
        "        staying[number] |= here & np.isin(frames, held)\n",
        "",
        "a locked page of zeroes stays when its folio is split",
    ),
    Fault(
        "flag-joins-though-nothing-changed",
        "        changed.append((part.start, part.end))\n    for lo, hi in changed:\n        space.vmas.merge(lo, hi)\n",
        "    space.vmas.merge(start, end)\n",
        "VMAs join where an advice changed one of them only",
    ),
    # --- khugepaged -----------------------------------------------------------------------------------------------
    Fault(
        "khugepaged-asks-nobody",
        "shared_pages(space, frames[there]) > limits.shared:\n",
        "shared_pages(space, frames[there]) > BLOCK:\n",
        "khugepaged counts the pages of folios that are maybe shared before it reads anything back",
    ),
    Fault(
        "khugepaged-asks-once",
        "or shared_pages(space, frames[space.counted(frames)]) > most_shared:\n",
        "or most_shared < 0:\n",
        "khugepaged counts shared pages again once all are there",
    ),
    Fault(
        "khugepaged-counts-folios",
        "    return sum(int(n) for slot, n in zip(slots[:, None], times, strict=True) if maybe_shared(space, slot))\n",
        "    return sum(1 for slot, n in zip(slots[:, None], times, strict=True) if maybe_shared(space, slot))\n",
        "a shared folio counts with each of its pages",
    ),
    Fault(
        "khugepaged-fills-holes",
        "    if BLOCK - used - swapped > limits.none or swapped > limits.swap:\n",
        "    if swapped > limits.swap:\n",
        "khugepaged leaves blocks alone of which too much is missing",
    ),
    Fault(
        "khugepaged-reads-back-anything",
        "    if BLOCK - used - swapped > limits.none or swapped > limits.swap:\n",
        "    if BLOCK - used - swapped > limits.none:\n",
        "khugepaged leaves blocks alone of which too much is in swap",
    ),
    Fault(
        "khugepaged-reads-back-for-few",
        "    if not used or (swapped and used < BLOCK // 2) or",
        "    if not used or",
        "where something is in swap, khugepaged wants half of the block used",
    ),
    Fault(
        "khugepaged-collapses-zero-pages",
        "    there = ~away & space.counted(frames)\n",
        "    there = ~away & (frames != 0)\n",
        "zero pages count as missing",
    ),
    Fault(
        "khugepaged-visits-once",
        "    while sum(_visit(space, limits, step) for space in list(world.spaces.values())):\n        pass\n",
        "    sum(_visit(space, limits, step) for space in list(world.spaces.values()))\n",
        "what one process gives up by a collapse is no longer shared for the next visit",
    ),
    Fault(
        "khugepaged-goes-uninvited",
        "    return [vma for vma in room if vma.anonymous and vma.private and vma.thp]\n",
        "    return [vma for vma in room if vma.anonymous and vma.private]\n",
        "khugepaged collapses memory under MADV_HUGEPAGE",
    ),
    # --- advice by others -----------------------------------------------------------------------------------------
    Fault(
        "adviser-s-own-memory-is-advised",
        "            ADVICE[advice](self.space, start, end)\n",
        '            ADVICE[advice](getattr(by, "space", self.space), start, end)\n',
        "process_madvise() is about the memory of the process behind the descriptor",
    ),
    Fault(
        "adviser-may-advise-anything",
        "        if by is not None:\n            check_adviser(self._family, by, advice)\n",
        "",
        "another process may advise little: nothing that loses contents",
    ),
    # --- files that shrink, grow, or get holes --------------------------------------------------------------------
    Fault(
        "truncate-keeps-private-copies",
        "        _unmap(world, file, pages, end, copies=True)\n",
        "        _unmap(world, file, pages, end, copies=False)\n",
        "private copies of what is beyond the new end go with it",
    ),
    Fault(
        "hole-takes-private-copies",
        "    _unmap(world, file, first, first + pages, copies=False)\n",
        "    _unmap(world, file, first, first + pages, copies=True)\n",
        "a hole leaves private copies where they are",
    ),
    Fault(
        "hole-leaves-the-rest-of-a-pmd-mapped",
        "            space.split_edges(vma, lo, hi, step)\n            if copies:\n",
        "            if copies:\n",
        "a PMD of a file that the hole covers in part is unmapped",
    ),
    Fault(
        "hole-of-a-folio-drops-it",
        "        if first <= start and start + size <= end:\n            _forget(file, start, size)\n",
        "        if first <= start:\n            _forget(file, start, size)\n",
        "a folio goes only if the range covers all of it",
    ),
    Fault(
        "hole-splits-at-its-beginning-only",
        "    if hi < start + size:\n        _split(",
        "    if hi < start:\n        _split(",
        "a folio is split where the hole ends, too",
    ),
    Fault(
        "hole-halves-the-wrong-half",
        "        inside = page >= start + size\n",
        "        inside = page > start + size\n",
        "the half with the edge is split again",
    ),
    Fault(
        "hole-splits-held-folio",
        '    if memory.folio["refs"][slot[0]] != memory.folio["mapcount"][slot[0]] + size:\n        if file.on_disk:\n',
        "    if size == 0:\n        if file.on_disk:\n",
        "a folio with references besides its mappings and the cache's is not split",
    ),
    Fault(
        "hole-keeps-held-disk-folio-cached",
        "        if file.on_disk:\n            unmap_everywhere(world, slot)\n            _forget(file, start, size)\n",
        "        if file.on_disk:\n            unmap_everywhere(world, slot)\n",
        "a held clean folio of a disk file leaves the cache as a whole",
    ),
    Fault(
        "hole-in-held-folio-shows-what-was-there",
        '    for name, value in (("version", file.expect[lo]), ("value", 0)):\n',
        '    for name, value in (("version", file.expect[lo]),):\n',
        "what a held folio has of the hole is filled with zeroes",
    ),
    Fault(
        "hole-leaves-the-rest-clean",
        "    if not file.on_disk:\n        file.dirty[start : start + size] = True\n",
        "    if file.on_disk:\n        file.dirty[start : start + size] = True\n",
        "a cut folio of shmem is dirty, and goes to swap where it was only read",
    ),
    Fault(
        "hole-remembers-that-it-was-written",
        "    file.dirty[start : start + size] = False\n",
        "",
        "what comes in place of a page that went was not written to",
    ),
    Fault(
        "hole-leaves-swap-slots",
        "            file.swap[start : start + size] = 0\n            device.put(slots)\n",
        "            file.swap[start : start + size] = 0\n",
        "swap slots of what is gone are free",
    ),
    Fault(
        "hole-takes-all-of-a-folio-in-swap",
        "        if device is not None and first <= start and start + size <= end:\n",
        "        if device is not None:\n",
        "of a folio in swap that the range covers in part the rest comes back",
    ),
    Fault(
        "shmem-folio-ends-with-the-file",
        "        return np.asarray(((self.frame[span] == 0) & (self.swap[span] == 0)).all(axis=1))\n",
        "        inside = first + (1 << order) <= self.pages\n"
        "        return np.asarray(inside & ((self.frame[span] == 0) & (self.swap[span] == 0)).all(axis=1))\n",
        "a large folio of shmem may reach beyond the file's end",
    ),
    # --- no large folios for a process ----------------------------------------------------------------------------
    Fault(
        "thp-disabled-yet-by-faults",
        "        order = 0 if self.thp_disabled else vma.fault_order\n",
        "        order = vma.fault_order\n",
        "faults of a process without THPs bring small folios",
    ),
    Fault(
        "thp-disabled-yet-mapped-by-a-pmd",
        "        return vma.maps_by_pmd and not self.thp_disabled\n",
        "        return vma.maps_by_pmd\n",
        "a process without THPs maps those of a file by PTEs",
    ),
    Fault(
        "thp-disabled-yet-collapsed",
        "        if space.thp_disabled or not allows_collapse(vma):\n",
        "        if not allows_collapse(vma):\n",
        "nothing of a process without THPs is collapsed",
    ),
    Fault(
        "thp-disabled-for-the-parent-only",
        "    child.forebears, child.thp_disabled = parent.forebears | {parent.mm}, parent.thp_disabled\n",
        "    child.forebears, child.thp_disabled = parent.forebears | {parent.mm}, False\n",
        "children of a process without THPs have none either",
    ),
)
"""At least eighty; a name, `old` and `rule` stand for one fault."""
