"""madvise: what pages and VMAs become by advice.

For the model's processes. One function an advice, in `ADVICE`; each takes the address space and a range of virtual pages
that is mapped throughout.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rmaplab.machine.model.faults import fault
from rmaplab.machine.model.ksm.scanner import unmerge
from rmaplab.machine.model.reclaim.cold import cold, free
from rmaplab.machine.model.reclaim.pageout import pageout
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.machine.model.space.pagetable import BLOCK, GUARD
from rmaplab.machine.model.space.vma import Vma
from rmaplab.machine.model.thp.collapse import collapse
from rmaplab.machine.protocol import BadOperation


def dontneed(space: AddressSpace, start: int, end: int) -> None:
    """Unmap the pages. A block the range covers whole may lose its table of PTEs (CONFIG_PT_RECLAIM)."""
    step = space.memory.recorder.tick()
    for vma in space.vmas.within(start, end):
        lo, hi = max(vma.start, start), min(vma.end, end)
        space.split_edges(vma, lo, hi, step)
        space.zap(lo, hi, step, guards=False)
        if hi - lo >= BLOCK and space.memory.policy.empties_tables:
            _forget_empty_tables(space, -(-lo // BLOCK) * BLOCK, hi // BLOCK * BLOCK)


def _forget_empty_tables(space: AddressSpace, start: int, end: int) -> None:
    """The tables of the blocks of [start, end), but for those that hold guards."""
    if not space.world.guards:
        space.forget_tables(start, end)
        return
    for block in range(start, end, BLOCK):
        if space.first_guard(block, block + BLOCK) is None:
            space.forget_tables(block, block + BLOCK)


def guard_install(space: AddressSpace, start: int, end: int) -> None:
    """Guards instead of pages. Fork has to know of them: up to 6.18 the VMA gets an anon_vma, later a flag of its own."""
    if not space.memory.policy.guards:
        raise BadOperation("madvise", "guard_install", "this kernel has no guards")
    step = space.memory.recorder.tick()
    space.world.guards = True
    for vma in space.vmas.within(start, end):
        lo, hi = max(vma.start, start), min(vma.end, end)
        if space.memory.policy.guards_need_anon_vma:
            space.prepare_anon_vma(vma)
        else:
            vma.guarded = True
        space.split_edges(vma, lo, hi, step)
        space.zap(lo, hi, step)
        for window in space.table.windows(lo, hi, write=True, create=True):
            window.leaf.frame[window.lo : window.hi] = GUARD
            window.leaf.tables[window.lo // BLOCK : -(-window.hi // BLOCK)] = True


def guard_remove(space: AddressSpace, start: int, end: int) -> None:
    """Nothing instead of guards; their table of PTEs stays."""
    if not space.memory.policy.guards:
        raise BadOperation("madvise", "guard_remove", "this kernel has no guards")
    space.memory.recorder.tick()
    for window in space.table.windows(start, end, write=True):
        window.leaf.frame[window.leaf.guards(window.lo, window.hi)] = 0


def populate_read(space: AddressSpace, start: int, end: int) -> None:
    """Fault everything in for reading."""
    fault.read(space, start, end)


def mergeable(space: AddressSpace, start: int, end: int) -> None:
    """Let KSM scan private mappings; it comes to new address spaces last. Of shared ones the advice is ignored."""
    private = [vma for vma in space.vmas.within(start, end) if vma.private and not vma.mergeable]
    if private and space.mm not in space.world.ksm_mms:
        space.world.ksm_mms.append(space.mm)
    set_flag(space, private, start, end, "mergeable", value=True)


def unmergeable(space: AddressSpace, start: int, end: int) -> None:
    """Take KSM pages apart, and keep KSM away."""
    merging = [vma for vma in space.vmas.within(start, end) if vma.mergeable]
    step = space.memory.recorder.tick()
    for vma in merging:
        unmerge(space, max(vma.start, start), min(vma.end, end), step)
    set_flag(space, merging, start, end, "mergeable", value=False)


_OPPOSITE: Final[Mapping[str, str]] = {"thp": "nothp", "nothp": "thp"}


def _flag(name: str, value: bool, *, anonymous: bool = False) -> Callable[[AddressSpace, int, int], None]:
    """An advice that sets attribute `name` of the VMAs; `anonymous`: private anonymous ones only."""

    def apply(space: AddressSpace, start: int, end: int) -> None:
        vmas = space.vmas.within(start, end)
        ordinary = [vma.anonymous and vma.private for vma in vmas]
        if anonymous and not all(ordinary):
            vmas = vmas[: ordinary.index(False)]
        set_flag(space, vmas, start, end, name, value=value)
        if anonymous and not all(ordinary):
            raise BadOperation("madvise", name, "only private anonymous memory can be wiped on fork")

    return apply


def set_flag(space: AddressSpace, vmas: Sequence[Vma], start: int, end: int, name: str, *, value: bool) -> None:
    """Set attribute `name` of the parts of `vmas` within [start, end), which become VMAs of their own if need be, or join
    their neighbours. A VMA that has it already joins nobody."""
    step, changed = space.memory.recorder.tick(), []
    for vma in vmas:
        if getattr(vma, name) == value:
            continue
        part = _cut_out(space, vma, max(vma.start, start), min(vma.end, end), step)
        setattr(part, name, value)
        if name in _OPPOSITE:
            setattr(part, _OPPOSITE[name], False)
        changed.append((part.start, part.end))
    for lo, hi in changed:
        space.vmas.merge(lo, hi)


def _cut_out(space: AddressSpace, vma: Vma, lo: int, hi: int, step: int) -> Vma:
    if (vma.start, vma.end) == (lo, hi):
        return vma
    space.split_at(lo, step)
    space.split_at(hi, step)
    return space.vmas.within(lo, hi)[0]


ADVICE: Final[Mapping[str, Callable[[AddressSpace, int, int], None]]] = {
    "dontneed": dontneed,
    "populate_read": populate_read,
    "free": free,
    "cold": cold,
    "pageout": pageout,
    "collapse": collapse,
    "hugepage": _flag("thp", True),
    "nohugepage": _flag("nothp", True),
    "dontfork": _flag("dontfork", True),
    "dofork": _flag("dontfork", False),
    "mergeable": mergeable,
    "unmergeable": unmergeable,
    "wipeonfork": _flag("wipeonfork", True, anonymous=True),
    "keeponfork": _flag("wipeonfork", False),
    "guard_install": guard_install,
    "guard_remove": guard_remove,
}
"""Advice by name; `populate_write` is a write without a value and stands with the process."""
