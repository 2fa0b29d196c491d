"""Schemes that are no sums: every sequence of events of a few MMs with a few mappings at a time, whatever its length.

For the command line. A node is the scheme's state with the true mappings; these are finitely many, and a breadth-first
search visits all that events reach. So "none" holds for sequences of any length within the bounds, and what is found is
shortest.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rmaplab.errors import RmaplabError
from rmaplab.schemes import SCHEMES
from rmaplab.trace import Verdict
from rmaplab.verify.refute.machines import (
    LOCK_AND_FLAG,
    MOST_MAPCOUNT,
    NONLINEAR,
    Event,
    Machine,
    State,
    machine,
    own_id_bits,
)
from rmaplab.verify.refute.problem import Budget, Config, Decision, Finding, OutOfBudget

MOST_MMS = 16
MOST_MAPPINGS = 64
_BATCH = 2
_CHECK = 1024

Held = tuple[int, ...]
"""Mappings per kind and MM: kind-major."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A shortest sequence after which MM `mm`, which maps the folio, is told what is not so."""

    mm: int
    events: tuple[Event, ...]

    def row(self) -> dict[str, object]:
        left: Counter[int] = Counter()
        for e in self.events:
            left[e.mm] += e.nr
        mappings = {str(mm): n for mm, n in sorted(left.items()) if n}
        return {"mm": self.mm, "mappings": mappings, "events": [list(e) for e in self.events]}


@dataclass(frozen=True, slots=True)
class Searched:
    """A finding of this search: `wrong`, by what is said wrongly ("exclusive", "shared")."""

    finding: Finding
    wrong: dict[str, Wrong]

    def row(self) -> dict[str, object]:
        false_exclusive, false_shared = self.wrong.get("exclusive"), self.wrong.get("shared")
        return {
            **self.finding.row(),
            "witness": false_exclusive and false_exclusive.row(),
            "false_shared": false_shared and false_shared.row(),
        }


def decide_sequences(
    scheme: str, order: int, id_bits: int | None, word_bits: int, mms: int, mappings: int, seconds: float
) -> Searched:
    """Can it ever be wrong, with at most `mms` MMs and `mappings` mappings at a time? Raises RmaplabError."""
    if scheme not in NONLINEAR:
        raise RmaplabError(f"scheme {scheme!r}: must be one of {', '.join(NONLINEAR)}")
    SCHEMES[scheme].check_order(order)
    own = own_id_bits(scheme, order)
    bits = own if id_bits is None else id_bits
    if not 1 <= bits <= max(own, 31):
        raise RmaplabError(f"ID bits: {bits}: must be in 1 .. {max(own, 31)}")
    config = Config(scheme, order, 0, bits, word_bits)
    ids = some_ids(bits, mms)
    searched = machine(scheme, order, bits, word_bits)
    who = f"MMs {', '.join(map(str, ids))}, at most {mappings} mappings at a time"
    try:
        wrong, nodes = search(searched, ids, mappings, 1 << order, Budget.seconds(seconds))
    except OutOfBudget as stopped:
        return Searched(Finding(config, Decision.UNDECIDED, f"{who}: stopped: {stopped}"), {})
    reason = f"{who}: all sequences of events, {nodes} states"
    for what, found in wrong.items():
        _check(scheme, config, found, what)
        reason += f"; false {what} after {len(found.events)} events"
    reason += "".join(f"; never false {what}" for what in ("exclusive", "shared") if what not in wrong)
    reason += _beyond(config)
    decision = Decision.REFUTED if "exclusive" in wrong else Decision.SOUND
    return Searched(Finding(config, decision, reason), wrong)


def _beyond(config: Config) -> str:
    """What is proved without these bounds."""
    sum_bits, largest = config.word_bits - LOCK_AND_FLAG, (1 << config.id_bits) - 1
    if config.scheme == "moments-flag" and MOST_MAPCOUNT * largest >= 1 << sum_bits:
        return ""
    theorem = {
        "mm-id": "mm_id_never_false_exclusive",
        "owner-counter": "owner_counter_never_false_exclusive",
        "moments-flag": "moments_flag_never_false_exclusive",
    }.get(config.scheme)
    return f"; beyond these bounds: theorem {theorem}" if theorem else ""


def some_ids(id_bits: int, mms: int) -> list[int]:
    """The smallest and the largest IDs, `mms` in all; all of them if there are no more."""
    largest = (1 << id_bits) - 1
    if largest <= mms:
        return list(range(1, largest + 1))
    low = (mms + 1) // 2
    return [*range(1, low + 1), *range(largest - (mms - low) + 1, largest + 1)]


def search(
    machine: Machine, ids: Sequence[int], mappings: int, pages: int, budget: Budget
) -> tuple[dict[str, Wrong], int]:
    """The shortest sequence for each error, and how many nodes there are. Raises OutOfBudget."""
    start = (machine.start, (0,) * (len(ids) * len(_kinds(machine))))
    came: dict[tuple[State, Held], tuple[tuple[State, Held], Event] | None] = {start: None}
    wrong: dict[str, Wrong] = {}
    layer, depth = [start], 0
    while layer:
        found = []
        for node in layer:
            for what, mm in _errors(machine, ids, node):
                wrong.setdefault(what, Wrong(mm, _path(came, node)))
            for event, held in _events(machine, ids, mappings, pages, node[1]):
                after = machine.step(node[0], event), held
                if after not in came:
                    came[after] = node, event
                    found.append(after)
                    if len(came) % _CHECK == 0:
                        budget.check(_so_far(wrong, depth, len(came)))
        budget.check(_so_far(wrong, depth, len(came)))
        layer, depth = found, depth + 1
    return wrong, len(came)


def _so_far(wrong: dict[str, Wrong], depth: int, nodes: int) -> str:
    known = ", ".join(f"false {what}" for what in wrong) or "no error"
    return f"{known} after up to {depth} events, {nodes} states"


def _kinds(machine: Machine) -> tuple[tuple[int, bool], ...]:
    """The pages and ways of mapping that a scheme can tell apart: (page, entire)."""
    return ((0, False), (1, False), (0, True)) if machine.by_page else ((0, False),)


def _events(machine: Machine, ids: Sequence[int], mappings: int, pages: int, held: Held) -> Iterator[tuple[Event, Held]]:
    total = sum(held)
    for kind, (page, entire) in enumerate(_kinds(machine)):
        for k, mm in enumerate(ids):
            at = kind * len(ids) + k
            for nr in range(1, 1 + (1 if machine.by_page else min(_BATCH, pages))):
                for signed in (nr, -nr):
                    if total + signed <= mappings and held[at] + signed >= 0:
                        yield Event(mm, page, signed, entire), (*held[:at], held[at] + signed, *held[at + 1 :])


def _errors(machine: Machine, ids: Sequence[int], node: tuple[State, Held]) -> Iterator[tuple[str, int]]:
    state, held = node
    mapping = [mm for k, mm in enumerate(ids) if any(held[k :: len(ids)])]
    for mm in mapping:
        said = machine.exclusive(state, mm)
        if said != (len(mapping) == 1):
            yield "exclusive" if said else "shared", mm


def _path(
    came: dict[tuple[State, Held], tuple[tuple[State, Held], Event] | None], node: tuple[State, Held]
) -> tuple[Event, ...]:
    events = []
    step = came[node]
    while step is not None:
        events.append(step[1])
        step = came[step[0]]
    return tuple(reversed(events))


def _check(name: str, config: Config, wrong: Wrong, what: str) -> None:
    """AssertionError if the scheme itself, at its own width, does not answer so: a bug of this search."""
    scheme = SCHEMES[name]
    if config.word_bits != 64 or config.id_bits != own_id_bits(name, config.order):
        return
    state = scheme.start(config.order, 1)
    for e in wrong.events:
        state = scheme.update(state, np.array([e.mm]), np.array([e.page]), np.array([e.nr]), np.array([e.entire]))
    said = Verdict(int(scheme.verdict(state, wrong.mm)[0])).name.lower()
    if said != what:
        raise AssertionError(f"{name}: {wrong}: the scheme says {said}")
