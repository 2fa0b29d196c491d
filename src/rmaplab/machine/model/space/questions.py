"""Questions outside of COW: what `Process.ask` does, and what advice asks before it splits a folio.

For `ModelProcess` and `split`. Nothing here changes anything. Of `ask`, one question "stat" per folio in a range, from
its first page there on.
"""

from typing import Final

import numpy as np

from rmaplab.machine.model.physical.memory import Frames, Memory
from rmaplab.machine.model.physical.recorder import NOBODY_ASKED
from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.trace import OUTCOMES, Verdict

_NO_OUTCOME: Final = 255
_UNTOLD: Final = 255
"""Of a small folio the model counts mappings, not MMs: mapped twice, it may still be one MM's."""


def ask(space: AddressSpace, start: int, end: int) -> None:
    """Ask about every folio mapped in the virtual pages [start, end)."""
    memory = space.memory
    parts = [window.leaf.frame[window.leaf.present(window.lo, window.hi)] for _, window in space.spans(start, end)]
    frames = np.concatenate([np.zeros(0, np.uint32), *parts])
    frames = frames[space.counted(frames)]
    step = memory.recorder.tick()
    slots, first, times = np.unique(memory.frame["folio"][frames], return_index=True, return_counts=True)
    if not len(slots):
        return
    folios = memory.folio
    _, truth = memory.verdicts(slots, space.mm)
    uncertain = (folios["order"][slots] == 0) & (folios["mapcount"][slots] > 1)
    memory.recorder.questions(
        "stat",
        step=step,
        folio=folios["ident"][slots],
        mm=space.mm,
        page=frames[first] - folios["head"][slots],
        pages=np.minimum(times, 1 << folios["order"][slots].astype(np.int64)),
        kernel=NOBODY_ASKED,
        truth=np.where(uncertain, _UNTOLD, truth),
        outcome=_NO_OUTCOME,
        extra_refs=folios["refs"][slots] - folios["mapcount"][slots],
    )


def maybe_shared(space: AddressSpace, slot: Frames) -> bool:
    """folio_maybe_mapped_shared() of the folio in `slot` (one element): a single mapping is exclusive."""
    memory = space.memory
    if memory.policy.unmapped_first_is_shared and not _first_page_mapped(memory, int(slot[0])):
        return True
    verdict, _ = memory.verdicts(slot, space.mm)
    answer = memory.policy.unknown if verdict[0] == Verdict.UNKNOWN else Verdict(int(verdict[0]))
    return bool(memory.folio["mapcount"][slot[0]] > 1) and answer is Verdict.SHARED


def shared_pages(space: AddressSpace, frames: Frames) -> int:
    """How many of these pages are of folios that the kernel takes for maybe shared."""
    slots, times = np.unique(space.memory.frame["folio"][frames], return_counts=True)
    return sum(int(n) for slot, n in zip(slots[:, None], times, strict=True) if maybe_shared(space, slot))


def _first_page_mapped(memory: Memory, slot: int) -> bool:
    head = memory.folio["head"][slot]
    return bool(memory.folio["entire"][slot] or memory.frame["mapcount"][head])


def may_split(space: AddressSpace, frame: int, pages: int, step: int, *, cached: int = 0) -> bool:
    """Ask whether the folio of `frame` is this MM's alone; true if so and every reference is a mapping's or one of the
    swap cache's or the page cache's, which holds `cached`."""
    slot = space.memory.frame["folio"][frame]
    cached += int(space.swap.references(np.array([slot]))[0])
    free = bool(space.memory.folio["refs"][slot] - space.memory.folio["mapcount"][slot] == cached)
    shared = shared_in_advice(space, frame, pages, step, OUTCOMES.index("split") if free else _NO_OUTCOME)
    return free and not shared


def shared_in_advice(space: AddressSpace, frame: int, pages: int, step: int, outcome: int = _NO_OUTCOME) -> bool:
    """`maybe_shared` of the folio of `frame`, on record with the `outcome` that not being shared has."""
    memory = space.memory
    slot = memory.frame["folio"][frame : frame + 1]
    _, truth = memory.verdicts(slot, space.mm)
    shared = maybe_shared(space, slot)
    memory.recorder.questions(
        "madvise",
        step=step,
        folio=memory.folio["ident"][slot],
        mm=space.mm,
        page=frame - memory.folio["head"][slot],
        pages=pages,
        kernel=Verdict.SHARED if shared else Verdict.EXCLUSIVE,
        truth=truth,
        outcome=_NO_OUTCOME if shared else outcome,
        extra_refs=int(memory.folio["refs"][slot[0]] - memory.folio["mapcount"][slot[0]]),
    )
    return shared
