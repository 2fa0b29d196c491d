"""One folio of the model as plain numbers, for who looks at it: `ModelProcess.folio`.

A copy of what memory knows at that moment, not memory itself.
"""

from dataclasses import dataclass

import numpy as np

from rmaplab.machine.model.space.addressspace import AddressSpace
from rmaplab.trace import KINDS, Verdict


@dataclass(frozen=True, slots=True)
class Folio:
    """`ident` is its id in the trace. `refs`, `mapcount`, `entire` are counts, `pins` those with FOLL_PIN; `mapped` says
    how often each page is mapped by PTEs, `exclusive` which pages are AnonExclusive. `says` is what the kernel's tracker
    answers to the process that was asked, `truth` what is so."""

    ident: int
    order: int
    kind: str
    refs: int
    mapcount: int
    entire: int
    pins: int
    mapped: tuple[int, ...]
    exclusive: tuple[bool, ...]
    says: Verdict
    truth: Verdict

    def __repr__(self) -> str:
        counts = f"refs {self.refs}, mapcount {self.mapcount}, entire {self.entire}, pins {self.pins}"
        exclusive = f"{sum(self.exclusive)} of {1 << self.order} pages AnonExclusive"
        answer = f"says {self.says.name.lower()}, is {self.truth.name.lower()}"
        return f"<Folio {self.ident} ({self.kind}, order {self.order}): {counts}; {exclusive}; {answer}>"


def folio_at(space: AddressSpace, page: int) -> Folio | None:
    """The folio mapped at virtual page `page`; None where nothing is, or a zero page."""
    memory = space.memory
    slots = space.folios(page, page + 1)
    if not len(slots):
        return None
    slot = int(slots[0])
    folio, order = memory.folio, int(memory.folio["order"][slot])
    pages = np.arange(1 << order) + int(folio["head"][slot])
    says, truth = (Verdict(int(verdict[0])) for verdict in memory.verdicts(slots, space.mm))
    return Folio(
        ident=int(folio["ident"][slot]),
        order=order,
        kind=KINDS[int(folio["kind"][slot])],
        refs=int(folio["refs"][slot]),
        mapcount=int(folio["mapcount"][slot]),
        entire=int(folio["entire"][slot]),
        pins=int(folio["pins"][slot]),
        mapped=tuple(memory.frame["mapcount"][pages].tolist()),
        exclusive=tuple(memory.frame["exclusive"][pages].tolist()),
        says=says,
        truth=truth,
    )
