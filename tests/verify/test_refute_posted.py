"""What was posted: which orders are refuted, by which witness, and that the engine shows the wrong verdict."""

import re
from pathlib import Path

import pytest

from rmaplab.core import available
from rmaplab.engine import replay, truth
from rmaplab.schemes import SCHEMES
from rmaplab.schemes.generations import POSTED
from rmaplab.trace import Verdict
from rmaplab.verify.refute.decide import decide
from rmaplab.verify.refute.digits import enumerate_relations
from rmaplab.verify.refute.elsewhere import on_the_core, on_the_model
from rmaplab.verify.refute.posted import needs, posted_findings
from rmaplab.verify.refute.problem import Budget, Config, Decision, Witness
from rmaplab.verify.refute.replay import as_trace, replayed
from rmaplab.verify.refute.words import check, chunks, configure

WITNESSES = Path(__file__).parents[2] / "proofs" / "theories" / "Witnesses.v"


def test_only_orders_7_to_9_of_the_posted_table_are_refuted_and_nothing_of_the_4_value_stage():
    findings = list(posted_findings(60))
    assert [f.config.order for f in findings] == [*range(2, 11), *range(2, 16)]
    assert {(f.config.order, f.config.values) for f in findings if f.decision is Decision.REFUTED} == {
        (7, 3),
        (8, 3),
        (9, 3),
    }
    assert all(f.decision is not Decision.UNDECIDED for f in findings)


def test_the_smallest_witness_against_the_row_of_orders_6_to_9_has_70_mappings_of_4_mms():
    for order in (7, 8, 9):
        found = decide(configure("generations", order, None, None, 64))
        assert found.witness is not None
        assert found.witness.size == (70, 4)
        assert "fewest MMs" in found.reason


def test_the_collision_of_the_row_is_the_seventh_power_of_512():
    assert 2 * (513 - 1) ** 7 == 1 << 64
    found = enumerate_relations(chunks(configure("generations", 9, None, None, 64)), 512, Budget.seconds(60))
    (relation,) = found.vectors
    assert tuple(-v for v in relation) == (-2, 14, -42, 70, -70, 42, -14, 2)


def test_collides_from_in_the_scheme_is_what_the_enumeration_finds():
    for row in POSTED:
        read = chunks(configure("generations", row.last, None, None, 64))
        assert enumerate_relations(read, 1 << row.last, Budget.seconds(60)).cheapest == row.collides_from


@pytest.mark.parametrize("order", [7, 8, 9])
def test_the_engine_answers_exclusive_for_the_witness_though_it_is_shared(order):
    config = configure("generations", order, None, None, 64)
    witness = decide(config).witness
    assert witness is not None
    trace = as_trace(config, witness)
    assert len(trace.questions) == 2
    assert set(replay(trace, SCHEMES["generations"]).tolist()) == {Verdict.EXCLUSIVE}
    assert set(truth(trace).tolist()) == {Verdict.SHARED}
    for other in ("generations-safe", "moments", "packed", "bits"):
        assert set(replay(trace, SCHEMES[other]).tolist()) == {Verdict.SHARED}


@pytest.mark.parametrize(
    ("scheme", "order", "values", "id_bits", "word_bits"),
    [
        ("generations", 9, 2, 24, 64),
        ("generations-safe", 5, 1, 10, 20),
        ("bits", 5, None, 3, 4),
        ("moments", 3, None, 32, 64),
        ("one-value", 9, None, 20, 64),
        ("packed", 17, None, 24, 64),
    ],
)
def test_every_kind_of_witness_replays_as_exclusive(scheme, order, values, id_bits, word_bits):
    config = configure(scheme, order, values, id_bits, word_bits)
    witness = decide(config).witness
    assert witness is not None
    answer = replayed(config, witness)
    assert answer is not None
    assert answer.startswith("replayed by the engine: exclusive")
    assert answer.endswith("the truth: shared")


def test_a_changed_witness_is_rejected():
    config = configure("generations", 9, None, None, 64)
    witness = decide(config).witness
    assert witness is not None
    first = next(iter(witness.mappings))
    with pytest.raises(AssertionError, match="do not hold"):
        check(config, Witness(witness.mm, {**witness.mappings, first: witness.mappings[first] + 1}))
    with pytest.raises(AssertionError, match="out of range"):
        check(configure("generations", 6, None, None, 64), witness)


def test_witnesses_in_the_rocq_proofs_pass_the_refuters_check_and_have_as_few_mappings():
    text = WITNESSES.read_text()
    lists = {
        name: {int(a): int(b) for a, b in re.findall(r"\((\d+), (\d+)\)", body)}
        for name, body in re.findall(r"Definition (\w+) : list \(Z \* Z\) :=(.*?)\.\n", text, re.DOTALL)
    }
    entries = re.findall(r"Witness \(Generations (\d+) (\d+) (\d+)\) (\d+) (\d+) (\d+) (\d+) (\w+)", text)
    assert entries
    for base, _, values, order, id_bits, word_bits, asked, name in entries:
        config = Config("generations", int(order), int(values), int(id_bits), int(word_bits), int(base))
        witness = check(config, Witness(int(asked), lists[name]))
        smallest = decide(config).witness
        assert smallest is not None
        assert witness.mapcount == smallest.mapcount


def test_needs_says_unsound_where_the_refuter_does():
    assert [o for o in range(1, 16) if needs(o, 60).posted_sound is False] == [7, 8, 9]
    assert [needs(o, 60).safe_values_24 for o in (2, 5, 6, 9, 10, 13)] == [1, 2, 3, 4, 4, 6]


@pytest.mark.parametrize("order", range(1, 22))
@pytest.mark.parametrize("id_bits", [22, 24])
def test_the_safe_table_is_sound_for_every_order(order, id_bits):
    assert decide(configure("generations-safe", order, None, id_bits, 64)).decision is Decision.SOUND


@pytest.mark.parametrize("order", range(3, 22))
def test_one_value_fewer_than_the_safe_table_is_refuted_where_its_digits_do_not_fit(order):
    config = configure("generations-safe", order, None, 24, 64)
    fewer = configure("generations-safe", order, config.values - 1, 24, 64)
    assert decide(fewer).decision is Decision.REFUTED


@pytest.mark.parametrize("order", [7, 8, 9])
def test_on_the_model_one_process_reads_what_another_wrote(order):
    config = configure("generations", order, None, None, 64)
    witness = decide(config).witness
    assert witness is not None
    assert on_the_model(config, witness) == "on the model: the page is reused, and MM 43 reads what MM 85 wrote"


def test_on_the_model_the_write_copies_where_the_mappings_are_no_collision():
    config = configure("generations", 9, None, None, 64)
    assert on_the_model(config, Witness(85, {43: 14, 77: 28})) == "on the model: the write copies the page"


@pytest.mark.skipif(not available(), reason="the C core is not built")
def test_the_c_core_answers_exclusive_for_the_witness_and_shared_for_another():
    config = configure("generations", 9, None, None, 64)
    witness = decide(config).witness
    assert witness is not None
    assert on_the_core(config, witness) == "on the C core: exclusive"
    assert on_the_core(config, Witness(85, {43: 14, 77: 28})) == "on the C core: shared"
