"""Does any order of the operations explain a whole history? Just-in-time linearisation, folio by folio.

For `rmaplab stress` and the tests. The algorithm is Lowe's ("Testing for linearizability", 2017), in
core/lib/linearize.c.
`judge` looks at one answer at a time; this sees answers that are possible each but not together, a COW decision that was
refused although nothing spoke against it, and "unknown" where there was nothing not to know.
"""

import numpy as np

from rmaplab.core import load
from rmaplab.schemes import Exactness, LinearScheme, Predicate, Scheme
from rmaplab.schemes.moments_flag import MomentsFlag
from rmaplab.stress.judge import Finding
from rmaplab.stress.races import COW, MAP, VERDICT, History
from rmaplab.trace import Verdict


def promises(history: History) -> bool:
    """Whether the scheme promises anything about its answers."""
    scheme = history.race.variant.scheme
    return scheme is not None and not (scheme.exact is Exactness.HEURISTIC and scheme.predicate is Predicate.ANY_OWNER)


def judged_answers(history: History) -> int:
    """How many answers the search holds the scheme to: all, if it promises anything."""
    return int(np.isin(history.records["op"], (VERDICT, COW)).sum()) if promises(history) else 0


def not_linearizable(history: History) -> list[Finding]:
    """At most one finding a folio: where no order is left. Empty if there is one, or if the scheme promises nothing."""
    if not promises(history):
        return []
    return [found for folio in range(history.race.folios) if (found := _of_folio(history, folio)) is not None]


def _of_folio(history: History, folio: int) -> Finding | None:
    core = load()
    scheme = history.race.variant.scheme
    assert scheme is not None
    records = np.ascontiguousarray(history.records[history.records["folio"] == folio])
    by_return = np.argsort(records["ret"], kind="stable").astype(np.uint32)
    never_wrong, trusted = _trusted(scheme, history.race.order)
    promise = core.ffi.new(
        "struct rmap_promise *",
        {
            "trusted": trusted,
            "mms": history.race.mms,
            "by_caller": scheme.predicate is Predicate.BY_CALLER,
            "never_wrong": never_wrong,
            "exclusive": int(Verdict.EXCLUSIVE),
            "shared": int(Verdict.SHARED),
        },
    )
    place = core.lib.rmap_linearize(
        core.ffi.cast("struct rmap_record *", records.ctypes.data),
        core.ffi.cast("uint32_t *", by_return.ctypes.data),
        len(records),
        promise,
    )
    name = f"{history.race.variant.name}: folio {folio}"
    if place == core.lib.RMAP_LINEARIZE_LIMIT:
        return Finding(f"{name}: more operations at once than the search for an order holds: not judged")
    if place == core.lib.RMAP_LINEARIZE_FINE:
        return None
    return Finding(f"{name}: impossible: no order of the operations explains {_words(history, records[place])}")


def _trusted(scheme: Scheme, order: int) -> tuple[bool, int]:
    """Whether the scheme is exact, and the largest mapcount up to which. One that is not knows one mapping."""
    if isinstance(scheme, MomentsFlag):
        return True, scheme.exact_mapcount()
    never_wrong = scheme.exact is Exactness.NEVER_WRONG
    if isinstance(scheme, LinearScheme):
        return never_wrong, min(scheme.trusted_mapcount(order), (1 << 63) - 1)
    return never_wrong, (1 << 31) - 1 if never_wrong else 1


def _words(history: History, record: np.void) -> str:
    op, worker = int(record["op"]), int(record["worker"])
    if op == COW:
        what = "a COW decision to reuse" if record["answer"] else "a COW decision to copy"
    elif op == VERDICT:
        what = f"the answer {Verdict(int(record['answer'])).name}"
    else:
        what = f"{'a mapping' if op == MAP else 'an update'} of {int(record['nr'])} pages"
    rmap_id = history.folios.ids[int(record["mm"])]
    return f"{what} for rmap ID {rmap_id}, worker {worker}, ticks {record['call']} to {record['ret']}"
