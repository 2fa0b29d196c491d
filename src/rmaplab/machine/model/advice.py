"""madvise: what pages and VMAs become by advice.

For the model's processes. One function an advice, in `ADVICE`; each takes the address space and a range of virtual pages
that is mapped throughout.
"""

from collections.abc import Callable, Mapping
from typing import Final

from rmaplab.machine.model import faults
from rmaplab.machine.model.collapse import collapse
from rmaplab.machine.model.pagetable import BLOCK
from rmaplab.machine.model.space import AddressSpace
from rmaplab.machine.model.split import cold, free, pageout
from rmaplab.machine.model.vma import Vma
from rmaplab.machine.protocol import BadOperation


def dontneed(space: AddressSpace, start: int, end: int) -> None:
    """Unmap the pages. A block the range covers whole loses its table of PTEs (CONFIG_PT_RECLAIM)."""
    step = space.memory.recorder.tick()
    for vma in space.vmas.within(start, end):
        lo, hi = max(vma.start, start), min(vma.end, end)
        space.split_edges(vma, lo, hi, step)
        space.zap(lo, hi, step)
        space.forget_tables(-(-lo // BLOCK) * BLOCK, hi // BLOCK * BLOCK)


def populate_read(space: AddressSpace, start: int, end: int) -> None:
    """Fault everything in for reading."""
    faults.read(space, start, end)


_OPPOSITE: Final[Mapping[str, str]] = {"thp": "nothp", "nothp": "thp"}


def _flag(name: str, value: bool, *, anonymous: bool = False) -> Callable[[AddressSpace, int, int], None]:
    """An advice that sets attribute `name` of the VMAs; `anonymous`: private anonymous ones only."""

    def apply(space: AddressSpace, start: int, end: int) -> None:
        step = space.memory.recorder.tick()
        for vma in space.vmas.within(start, end):
            if anonymous and not (vma.anonymous and vma.private):
                raise BadOperation("madvise", name, "only private anonymous memory can be wiped on fork")
            if getattr(vma, name) == value:
                continue
            part = _cut_out(space, vma, max(vma.start, start), min(vma.end, end), step)
            setattr(part, name, value)
            if name in _OPPOSITE:
                setattr(part, _OPPOSITE[name], False)
        space.vmas.merge(start, end)

    return apply


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
    "wipeonfork": _flag("wipeonfork", True, anonymous=True),
    "keeponfork": _flag("wipeonfork", False),
}
"""Advice by name; `populate_write` is a write without a value and stands with the process."""
