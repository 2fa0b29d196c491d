"""Are the counters a race left exactly what its history says?

For `rmaplab stress` and the tests. A linear scheme's words are the sum over all updates in whatever order, so they
are compared word by word with `rmaplab.schemes`; of the others, what does not depend on the order is compared.
"""

import numpy as np
from numpy.typing import NDArray

from rmaplab.schemes import LinearScheme
from rmaplab.stress.judge import Finding
from rmaplab.stress.races import DUP, MAP, PIN, REMAP, UNMAP, UNPIN, History


def wrong_counters(history: History) -> list[Finding]:
    """Every counter that differs; empty if all are exact."""
    findings: list[Finding] = []
    for folio in range(history.race.folios):
        held, pins = _held(history, folio)
        name = f"{history.race.variant.name}: folio {folio}"
        references = int(held.sum()) + pins
        if history.folios.refcount(folio) != references:
            findings.append(Finding(f"{name}: refcount {history.folios.refcount(folio)}: must be {references}"))
        words = [int(word) for word in history.folios.words(folio)]
        expected = _expected(history, held, words)
        if words[: len(expected)] != expected:
            findings.append(Finding(f"{name}: state words {words}: must be {expected}"))
    return findings


def _held(history: History, folio: int) -> tuple[NDArray[np.int64], int]:
    """Mappings per MM that are left, and references that are no mappings."""
    records = history.records[history.records["folio"] == folio]
    sign = np.isin(records["op"], (MAP, DUP, REMAP, PIN)).astype(np.int64)
    sign -= np.isin(records["op"], (UNMAP, UNPIN))
    amount = sign * records["nr"]
    foreign = np.isin(records["op"], (PIN, UNPIN))
    held = np.zeros(history.race.mms, np.int64)
    np.add.at(held, records["mm"][~foreign], amount[~foreign])
    return held, int(amount[foreign].sum())


def _expected(history: History, held: NDArray[np.int64], words: list[int]) -> list[int]:
    """State words that the mappings left must give; of order-dependent schemes as many as are determined."""
    scheme, total = history.race.variant.scheme, int(held.sum())
    if isinstance(scheme, LinearScheme):
        state = scheme.start(history.race.order, 1)
        for mm, nr in zip(history.folios.ids, held, strict=True):
            state = scheme.update(state, mm, 0, nr, False)
        return [int(word) for word in state.data[0]]
    if scheme is not None and scheme.name == "owner-counter":
        owner = words[1]
        if not total:
            return [0, 0, 0]
        mine = int(held[history.folios.ids.index(owner)]) if owner in history.folios.ids else -1
        return [total, owner, total - mine]
    return [total]
