"""The definitions the proofs are about, evaluated in Rocq, equal `rmaplab.schemes`, value by value.

States and verdicts after every event of random and of edge sequences; what one mapping adds, for edge and random IDs.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rocq import build, evaluate, needs_coqc

from rmaplab.schemes import SCHEMES, LinearScheme, Scheme
from rmaplab.schemes.generations import POSTED
from rmaplab.schemes.moments_flag import MomentsFlag
from rmaplab.schemes.truth import Truth

pytestmark = needs_coqc

STEPS = 8
SEQUENCES = 2
MACHINE_SEQUENCES = 50
MACHINE_ORDERS = (1, 2, 3, 9)

PRELUDE = """
From Rmaplab Require Import Definitions. Import ListNotations. Open Scope Z_scope.
Definition code v := match v with UNKNOWN => 0 | EXCLUSIVE => 1 | SHARED => 2 end.
Definition report {S} (state : list event -> S) (words : S -> list Z) (verdict : S -> Z -> verdict) es asks :=
  map (fun k => let s := state (firstn k es) in words s ++ map (fun x => code (verdict s x)) asks) (seq 1 (length es)).
Definition linear addends := report (run (2^64) addends) (fun s => s).
Definition added (addends : list (Z -> Z)) ids := map (fun id => map (fun a => a id mod 2^64) addends) ids.
Definition flag (b : bool) := if b then 1 else 0.
Definition one_shape o := let t := one_value_bits 64 o in (t - t / 2, t / 2).
Definition one_addends o := let '(a, c) := one_shape o in one_value_addends o a c.
Definition one_verdict o := let '(a, c) := one_shape o in one_value_verdict 64 o a c.
Definition posted_addends o := let '(K, B, base) := posted o in generations_addends base B K.
Definition mm_id_words s := [total s; owner (slot0 s); owner (slot1 s); held (slot0 s); held (slot1 s);
  flag (maybe_shared s)].
Definition moments_flag_words s := [mf_total s; mf_sum s; mf_squares s; flag (mf_shared s)].
Definition first_page_words s := [fp_total s; fp_entire s; fp_first s].
"""

LINEAR = {
    "generations": ("posted_addends {o}", "posted_verdict {o}"),
    "generations-safe": ("safe_addends 64 {o} 24", "safe_verdict 64 {o} 24"),
    "bits": ("bits_addends 24", "bits_verdict (2^64) 24"),
    "moments": ("moments_addends", "moments_verdict 64 (moments_bits 64 {o})"),
    "one-value": ("one_addends {o}", "one_verdict {o}"),
    "packed": ("packed_addends 24", "packed_verdict 64 24 (packed_bits 64 24 {o})"),
}
"""Addends and verdict of every linear scheme at order {o}, in Rocq."""

MACHINES = {
    "mm-id": "report mm_id_run mm_id_words (fun s _ => mm_id_verdict s)",
    "moments-flag": "report (moments_flag_run 62 64 (moments_flag_bound 64 22)) moments_flag_words "
    "(fun s _ => moments_flag_verdict s)",
    "owner-counter": "report owner_counter_run (fun s => [oc_total s; first s; others s]) owner_counter_verdict",
    "estimated-sharers": "report first_page_run first_page_words (fun s _ => estimated_sharers_verdict s)",
    "likely-shared": "report first_page_run first_page_words (fun s _ => likely_shared_verdict (2^{o}) s)",
}
"""The same for the state machines: state, its words, verdict."""


@dataclass(frozen=True)
class Event:
    mm: int
    page: int
    nr: int
    entire: bool

    def __str__(self) -> str:
        return f"Ev {self.mm} {self.page} ({self.nr}) {str(self.entire).lower()}"


@pytest.fixture(scope="module")
def rocq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("definitions"), ["Definitions"])


def edge_ids(limit: int, rng: random.Random, count: int = 6) -> list[int]:
    """IDs below `limit`: the ends, around every power of two, and some in between."""
    powers = [1 << b for b in range(limit.bit_length())]
    edges = {1, 2, 3, limit - 1, limit - 2, *powers, *(p - 1 for p in powers), *(p + 1 for p in powers)}
    return sorted(i for i in edges | {rng.randrange(1, limit) for _ in range(count)} if 1 <= i < limit)


def random_sequence(order: int, ids: list[int], rng: random.Random) -> list[Event]:
    """STEPS events; no MM unmaps what it has not mapped."""
    held: Counter[int] = Counter()
    events = []
    for _ in range(STEPS):
        mm, entire = rng.choice(ids), rng.random() < 0.2
        mapped = held[mm] > 0 and rng.random() < 0.6
        nr = -rng.randint(1, min(held[mm], 1 << order)) if mapped else rng.randint(1, min(4, 1 << order))
        page = 0 if entire else rng.randrange((1 << order) - abs(nr) + 1)
        held[mm] += nr
        events.append(Event(mm, page, nr, entire))
    return events


def edge_sequence(ids: list[int], limit: int) -> list[Event]:
    """One MM crosses the largest mapcount that is trusted, `limit`, then another joins it and leaves."""
    x, y = ids[0], ids[-1]
    steps = [(x, limit - 1), (x, 1), (x, 1), (y, 1), (x, -2), (y, -1), (x, 1), (x, -limit)]
    return [Event(mm, 0, nr, False) for mm, nr in steps if nr]


def replay(scheme: Scheme, order: int, events: list[Event], asks: list[int]) -> list[list[int]]:
    """State words and verdicts for all of `asks` after every event."""
    state, rows = scheme.start(order, 1), []
    for e in events:
        state = scheme.update(state, e.mm, e.page, e.nr, e.entire)
        words = [int(w) for field in state.data[0] for w in np.ravel(field)]
        rows.append(words + [int(scheme.verdict(state, x)[0]) for x in asks])
    return rows


def rocq_list(items: Iterable[object]) -> str:
    return "[" + "; ".join(str(i) for i in items) + "]"


def command(report: str, events: list[Event], asks: list[int]) -> str:
    return f"Eval vm_compute in ({report} {rocq_list(events)} {rocq_list(asks)}).\n"


def linear_cases(scheme: LinearScheme, rng: random.Random) -> Iterable[tuple[int, list[Event], list[int]]]:
    for order in scheme.orders:
        limit = scheme.accepted_ids(order)
        edges = edge_ids(limit, rng)
        for _ in range(SEQUENCES):
            ids = [rng.choice(edges) for _ in range(3)]
            yield order, random_sequence(order, ids, rng), sorted({*ids, rng.randrange(1, limit)})
        trusted = min(scheme.trusted_mapcount(order), scheme.mapcount_limit - 3, 1 << 62)
        yield order, edge_sequence(edges, trusted), [edges[0], edges[-1]]


@pytest.mark.parametrize("name", LINEAR)
def test_linear_scheme_equals_its_rocq_definition(rocq: Path, name: str) -> None:
    scheme = SCHEMES[name]
    assert isinstance(scheme, LinearScheme)
    addends, verdict = LINEAR[name]
    cases = list(linear_cases(scheme, random.Random(name)))
    script = "".join(
        command(f"linear ({addends.format(o=o)}) ({verdict.format(o=o)})", events, asks) for o, events, asks in cases
    )
    answers = evaluate(rocq, PRELUDE + script)
    assert answers == [replay(scheme, *case) for case in cases]


@pytest.mark.parametrize("name", LINEAR)
def test_addends_equal_their_rocq_definition(rocq: Path, name: str) -> None:
    scheme = SCHEMES[name]
    assert isinstance(scheme, LinearScheme)
    rng = random.Random(name)
    cases = [(order, edge_ids(scheme.accepted_ids(order), rng)) for order in scheme.orders]
    script = "".join(
        f"Eval vm_compute in (added ({LINEAR[name][0].format(o=o)}) {rocq_list(ids)}).\n" for o, ids in cases
    )
    for (order, ids), answer in zip(cases, evaluate(rocq, PRELUDE + script), strict=True):
        columns = [scheme.addend(order, w, np.array(ids, np.uint64)) for w in range(scheme.words(order))]
        assert answer == np.stack(columns, axis=1).tolist(), order


@pytest.mark.parametrize("name", MACHINES)
def test_state_machine_equals_its_rocq_definition(rocq: Path, name: str) -> None:
    scheme, rng = SCHEMES[name], random.Random(name)
    cases = []
    for order in MACHINE_ORDERS:
        for _ in range(MACHINE_SEQUENCES):
            ids = rng.sample([1, 2, 3, (1 << scheme.capacity(order)) - 1], rng.randint(1, 4))
            cases.append((order, random_sequence(order, ids, rng), [1, ids[0]]))
    script = "".join(command(MACHINES[name].format(o=o), events, asks) for o, events, asks in cases)
    answers = evaluate(rocq, PRELUDE + script)
    assert answers == [replay(scheme, *case) for case in cases]


def test_moments_flag_equals_its_rocq_definition_at_its_limits(rocq: Path) -> None:
    """Asked to clear at the bound, one mapping below and above it, and where the squares have wrapped."""
    scheme = SCHEMES["moments-flag"]
    assert isinstance(scheme, MomentsFlag)
    largest = (1 << scheme.id_bits) - 1
    limits = {(x, scheme.bound // x) for x in (largest, largest - 1, 1 << 21)} | {(1, (1 << 31) - 4)}
    cases = [
        (9, [*edge_sequence([x, y], n), Event(y, 0, 2, False), Event(y, 0, -1, False)], [x, y])
        for x, limit in sorted(limits)
        for n in (limit, limit + 1, limit + 2, min(2 * limit, (1 << 31) - 4))
        for y in (1, largest - 2)
        if x != y
    ]
    script = "".join(command(MACHINES[scheme.name].format(o=o), events, asks) for o, events, asks in cases)
    assert evaluate(rocq, PRELUDE + script) == [replay(scheme, *case) for case in cases]


def test_truth_equals_the_list_of_current_mappings(rocq: Path) -> None:
    rng, truth = random.Random("truth"), Truth()
    sequences = [random_sequence(2, [1, 2, 9], rng) for _ in range(100)]
    script = "Definition now es := match mappings es with Some ids => ids | None => [-1] end.\n"
    script += "".join(f"Eval vm_compute in (now {rocq_list(events)}).\n" for events in sequences)
    for events, answer in zip(sequences, evaluate(rocq, PRELUDE + script), strict=True):
        state = truth.start(2, 1)
        for e in events:
            state = truth.update(state, e.mm, e.page, e.nr, e.entire)
        assert Counter(answer) == state.data[0]


def test_posted_table_and_its_smallest_collision_equal_the_rocq_definition(rocq: Path) -> None:
    orders = [o for row in POSTED for o in range(row.first, row.last + 1)]
    script = """
Definition row o := let '(K, B, base) := posted o in [o; Z.of_nat K; Z.of_nat B; base].
Definition clean o P := let '(K, B, base) := posted o in flag (decide base B P (2^64)).
"""
    script += f"Eval vm_compute in (map row {rocq_list(orders)}).\n"
    known = [(row, 1 << row.last) for row in POSTED]
    asked = [(row.last, p, int(row.collides_from is None or p < row.collides_from)) for row, p in known]
    asked += [(row.last, row.collides_from - i, i) for row in POSTED if row.collides_from for i in (0, 1)]
    script += f"Eval vm_compute in {rocq_list(f'clean {o} {p}' for o, p, _ in asked)}.\n"
    table, verdicts = evaluate(rocq, PRELUDE + script)
    assert table == [[o, row.values, row.bits, row.base] for row in POSTED for o in range(row.first, row.last + 1)]
    assert verdicts == [sound for _, _, sound in asked]
