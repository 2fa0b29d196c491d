"""The rmap update of a single run, in plain numbers: what `Memory` does to arrays of runs, for one.

For `memory` alone. Operations on one page or one THP are single updates; arrays of one element would cost ten times as
much. `tests/model/test_single.py` holds the two against each other.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from rmaplab.machine.model.physical.columns import Index
from rmaplab.machine.model.policy import Phase
from rmaplab.trace import KINDS

if TYPE_CHECKING:
    from rmaplab.machine.model.physical.memory import Memory

_ANON: Final = KINDS.index("anon")


def update_one(
    memory: "Memory", slot: int, first: int, size: int, mm: int, step: int | Index, *, sign: int, entire: bool
) -> None:
    """Map (`sign` +1) or unmap (-1) the `size` frames from `first` on of the folio in `slot`, once more or once less, by
    `mm`; `entire`: all of it by one PMD. Every counter in the policy's order."""
    folio = memory.folio
    page, nr = first - int(folio["head"][slot]), sign if entire else sign * size
    memory.recorder.events(step, folio["ident"][slot], mm, page, nr, entire=entire)
    for phase in memory.policy.mapping if sign > 0 else memory.policy.unmapping:
        if phase is Phase.VALUES:
            order = int(folio["order"][slot])
            if order:
                memory.answers.update_one(order, int(folio["row"][slot]), mm, page, nr, entire=entire)
        elif phase is not Phase.PAGES:
            folio[phase][slot] += nr
        elif entire:
            folio["entire"][slot] += sign
        else:
            memory.frame["mapcount"][first : first + size] += np.int32(sign)
        if memory.observer is not None:
            memory.observer(memory, f"{'map' if sign > 0 else 'unmap'} {phase}", np.array([slot], np.uint32))


def note_partial_one(memory: "Memory", slot: int, first: int, size: int) -> None:
    """After an unmapping of these frames: a large anonymous folio that PTEs still map some pages of, but not all of
    these, is partially mapped from now on."""
    folio = memory.folio
    if folio["order"][slot] <= 1 or folio["kind"][slot] != _ANON or folio["partial"][slot]:
        return
    if folio["mapcount"][slot] > 0 and not folio["entire"][slot]:
        folio["partial"][slot] = not memory.frame["mapcount"][first : first + size].all()
