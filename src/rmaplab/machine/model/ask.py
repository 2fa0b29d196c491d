"""Questions without consequences: what `Process.ask` does.

For `ModelProcess`. One question "stat" per folio in a range, from its first page there on.
"""

from typing import Final

import numpy as np

from rmaplab.machine.model.cow import NOBODY_ASKED
from rmaplab.machine.model.space import AddressSpace

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
