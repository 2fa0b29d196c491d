"""Schemes that are no sums, searched exhaustively: the search's reading of them, its verdicts, and leaking programs."""

import json
import random
from collections import Counter

import numpy as np
import pytest

from commands import rmaplab
from rmaplab.schemes import SCHEMES
from rmaplab.trace import Verdict
from rmaplab.verify.refute.machines import NONLINEAR, Event, machine, moments_flag, own_id_bits
from rmaplab.verify.refute.problem import Budget, Decision
from rmaplab.verify.refute.programs import Program, Step, on_the_model, smallest_leak
from rmaplab.verify.refute.sequences import decide_sequences, search

PATIENCE = Budget.seconds(1e6)


def _words(row):
    return tuple(int(w) for field in row for w in np.ravel(field))


def _sequence(rng, ids, pages, length=12):
    """Events of `ids`; nobody unmaps what it has not mapped."""
    held = Counter()
    for _ in range(length):
        key = mm, page, entire = rng.choice(ids), rng.randrange(pages), rng.random() < 0.2
        nr = -1 if held[key] and rng.random() < 0.5 else 1
        held[key] += nr
        yield Event(mm, 0 if entire else page, nr, entire)


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_searched_machine_and_the_scheme_agree_after_every_event(name):
    rng, scheme, order = random.Random(name), SCHEMES[name], 2
    bits = own_id_bits(name, order)
    read = machine(name, order, bits, 64)
    for _ in range(60):
        ids = rng.sample([1, 2, 3, (1 << bits) - 1, (1 << bits) - 2], 3)
        state, held = read.start, scheme.start(order, 1)
        for e in _sequence(rng, ids, 1 << order):
            state = read.step(state, e)
            held = scheme.update(held, np.array([e.mm]), np.array([e.page]), np.array([e.nr]), np.array([e.entire]))
            assert [read.exclusive(state, mm) for mm in ids] == [
                scheme.verdict(held, mm)[0] == Verdict.EXCLUSIVE for mm in ids
            ]
            if not read.by_page:
                assert sorted(state) == sorted(_words(held.data[0]))


@pytest.mark.parametrize(
    ("name", "decision", "wrong"),
    [
        ("mm-id", "sound", {"shared": 5}),
        ("owner-counter", "sound", {"shared": 3}),
        ("moments-flag", "sound", {}),
        ("estimated-sharers", "refuted", {"exclusive": 2, "shared": 2}),
        ("likely-shared", "refuted", {"exclusive": 2, "shared": 2}),
    ],
)
def test_verdict_and_the_length_of_the_smallest_wrong_sequence(name, decision, wrong):
    found = decide_sequences(name, 2, None, 64, 3, 4, 60)
    assert found.finding.decision.value == decision
    assert {what: len(w.events) for what, w in found.wrong.items()} == wrong


@pytest.mark.parametrize(("mms", "mappings"), [(2, 2), (2, 7), (3, 2)])
def test_mm_id_is_right_with_two_mms_and_with_two_mappings(mms, mappings):
    assert decide_sequences("mm-id", 2, None, 64, mms, mappings, 60).wrong == {}


@pytest.mark.parametrize("sum_bits", range(1, 7))
def test_moments_flag_is_never_false_exclusive_where_the_sums_word_has_room(sum_bits):
    """Room: mappings * (largest ID), here 42, below 2^sum_bits. 4 mappings of an ID 4 apart are 0 modulo 2^4."""
    wrong, _ = search(moments_flag(sum_bits, 64, 3), range(1, 8), 6, 4, PATIENCE)
    assert "exclusive" not in wrong or 1 << sum_bits <= 42
    assert "exclusive" in wrong or sum_bits > 4


@pytest.mark.parametrize("square_bits", range(1, 9))
def test_moments_flag_with_short_squares_is_only_ever_false_shared_and_only_beyond_its_bound(square_bits):
    ids, bound = range(1, 4), ((1 << square_bits) - 1) // 3
    wrong, _ = search(moments_flag(8, square_bits, 2), ids, 6, 4, PATIENCE)
    assert wrong.keys() <= {"shared"}
    for found in wrong.values():
        assert sum(e.nr * e.mm for e in found.events) > bound
    assert bool(wrong) == (bound < 6 * 3)


def test_a_search_that_was_stopped_is_undecided_and_says_how_far_it_came():
    found = decide_sequences("mm-id", 2, None, 64, 12, 40, 0.3)
    assert (found.finding.decision, found.wrong) == (Decision.UNDECIDED, {})
    assert "states" in found.finding.reason


@pytest.mark.parametrize("name", ["mm-id", "moments-flag", "owner-counter", "moments", "packed", "truth"])
def test_no_small_program_leaks_where_a_scheme_is_never_false_exclusive(name):
    assert smallest_leak(SCHEMES[name], 2, 4, PATIENCE).program is None


@pytest.mark.parametrize(("name", "steps"), [("estimated-sharers", 3), ("likely-shared", 4)])
def test_the_smallest_leaking_program_leaks_on_the_model_and_only_with_that_scheme(name, steps):
    program = smallest_leak(SCHEMES[name], 2, steps, PATIENCE).program
    assert program is not None
    assert len(program.steps) == steps
    assert smallest_leak(SCHEMES[name], 2, steps - 1, PATIENCE).program is None
    assert "the page is reused" in on_the_model(program, SCHEMES[name])
    assert "0 pages reused" in on_the_model(program, SCHEMES["truth"])


def test_a_program_that_leaks_nothing_says_so():
    program = Program(2, (Step("fork", 1), Step("exit", 1), Step("write", 2, 0)), 2)
    assert on_the_model(program, SCHEMES["truth"]) == (
        "on the model: 1 pages reused, MM 2 reads what was written to its memory"
    )


def test_the_command_prints_sequences_and_programs_with_their_exit_codes():
    slots = rmaplab("refute", "mm-id", "--json")
    (row,) = json.loads(slots.stdout)
    assert (slots.returncode, row["verdict"], row["witness"], len(row["false_shared"]["events"])) == (0, "sound", None, 5)
    guess = rmaplab("refute", "estimated-sharers", "--json")
    (row,) = json.loads(guess.stdout)
    assert (guess.returncode, row["verdict"], sum(row["witness"]["mappings"].values())) == (1, "refuted", 2)
    leak = rmaplab("refute", "estimated-sharers", "--cow", "--json")
    (row,) = json.loads(leak.stdout)
    assert (leak.returncode, row["verdict"]) == (1, "refuted")
    assert "on the model" in row["reason"]
    assert "on this kernel" in row["reason"]
    stopped = rmaplab("refute", "mm-id", "--mms", "12", "--mappings", "40", "--seconds", "0.2", "--json")
    assert (stopped.returncode, json.loads(stopped.stdout)[0]["verdict"]) == (3, "undecided")
