"""The judge counts what the definitions say, shows wrong cases as they were, and prices avoidable copies."""

import json
from collections import Counter

import pytest
from hypothesis import given

from rmaplab.engine import replay, truth
from rmaplab.judge import SHOWN, Tally, WrongCase, avoidable_copies, judge
from rmaplab.schemes import SCHEMES, Predicate, Scheme
from rmaplab.trace import Meta, Trace, TraceBuilder, Verdict
from strategies import traces

ALL = [s for s in SCHEMES.values() if s.name not in ("generations", "one-value")]


def mappings(trace: Trace, folio: int, step: int) -> dict[int, int]:
    """Who maps `folio` before `step`, counted row by row."""
    counts: Counter[int] = Counter()
    for at, where, mm, _, nr, _ in trace.events.iter_rows():
        if at < step and where == folio:
            counts[mm] += nr
    return {mm: n for mm, n in counts.items() if n}


@given(trace=traces(max_crowd=70, details=True, id_bits=22))
def test_the_judge_counts_every_question_once_and_shows_what_was_mapped(trace: Trace) -> None:
    found = judge(trace, ALL)
    orders = trace.folios["order"].to_list()
    json.dumps(found.to_dict())
    for scheme in ALL:
        one = found.schemes[scheme.name]
        verdicts = replay(trace, scheme)
        expected: Counter[str] = Counter()
        for row, (step, folio, asker) in enumerate(trace.questions.select("step", "folio", "mm").iter_rows()):
            who = mappings(trace, folio, step)
            by_caller = scheme.predicate is Predicate.BY_CALLER and (orders[folio] > 0 or scheme.name == "truth")
            alone = set(who) <= {asker} if by_caller else len(who) <= 1
            expected["questions"] += 1
            expected["false_exclusive"] += verdicts[row] == Verdict.EXCLUSIVE and not alone
            expected["false_shared"] += verdicts[row] == Verdict.SHARED and alone
            expected["unknown"] += verdicts[row] == Verdict.UNKNOWN
        assert one.total == Tally(**expected)
        assert sum(one.by_order().values(), Tally()) == sum(one.by_what().values(), Tally()) == one.total
        assert len(one.wrong) == min(SHOWN, one.total.false_exclusive + one.total.false_shared)
        for case in one.wrong:
            assert case.mappings == mappings(trace, case.folio, case.step)
            assert case.verdict == verdicts[case.row]
            assert case.order == orders[case.folio]


@given(trace=traces(orders=(0, 2, 9), max_crowd=70, details=True, id_bits=22))
def test_avoidable_copies_are_anonymous_copied_pages_of_one_mm_that_nothing_else_refers_to(trace: Trace) -> None:
    kinds = trace.folios["kind"].to_list()
    pages = unknown = 0
    for row in trace.questions.iter_rows(named=True):
        alone = set(mappings(trace, row["folio"], row["step"])) == {row["mm"]}
        if row["outcome"] == "copied" and kinds[row["folio"]] == "anon" and alone:
            pages += row["pages"] if row["extra_refs"] == 0 else 0
            unknown += row["pages"] if row["extra_refs"] is None else 0
    found = avoidable_copies(trace)
    assert (found.pages, found.bytes, found.unknown_pages) == (pages, pages * trace.meta.page_size, unknown)
    judged = judge(trace, ALL)
    assert judged.avoidable_copies == found == judged.schemes["truth"].saved
    assert all(one.saved.pages <= pages for one in judged.schemes.values())


def copied_after_three() -> Trace:
    """Three MMs map a THP in turn, the last survives and writes: the kernel copies a page, then splits."""
    builder = TraceBuilder()
    folio = builder.folios(9, "anon")[0]
    for mm in (1, 2, 3):
        builder.events(folio, mm, 0, 512)
        builder.tick()
    builder.events(folio, [1, 2], 0, -512)
    builder.tick()
    for outcome, refs, pages in (("copied", 0, 1), ("split", 0, 512), ("copied", 1, 1), ("copied", None, 1)):
        builder.questions(folio, 3, pages=pages, outcome=outcome, extra_refs=refs)
    return builder.build(Meta("test"))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_a_scheme_saves_the_copies_it_would_have_called_exclusive(scheme: Scheme) -> None:
    found = judge(copied_after_three(), [scheme])
    assert (found.avoidable_copies.pages, found.avoidable_copies.unknown_pages) == (1, 1)
    blind = scheme.name in ("mm-id", "owner-counter")
    assert found.schemes[scheme.name].saved.bytes == (0 if blind else 4096)


def test_a_wrong_case_is_shown_in_full() -> None:
    found = judge(copied_after_three(), [SCHEMES["mm-id"]]).schemes["mm-id"]
    assert found.total == Tally(questions=4, false_shared=4)
    assert (found.total.sound, found.total.precise) == (True, False)
    shared, exclusive = Verdict.SHARED, Verdict.EXCLUSIVE
    assert found.wrong[0] == WrongCase(0, 4, 0, 9, "cow", 3, {3: 512}, shared, exclusive)
    assert found.to_dict()["wrong"][0]["mappings"] == [{"mm": 3, "mappings": 512}]


def test_false_exclusive_cases_are_shown_first() -> None:
    builder = TraceBuilder()
    folio = builder.folios([9, 9], "anon")
    builder.events(folio[0], 1, 0, [1, 1])
    builder.events(folio[1], [1, 2], [1, 2], 1)
    builder.tick()
    for _ in range(SHOWN):
        builder.questions(folio[0], 1)
    builder.questions(folio[1], 1)
    found = judge(builder.build(Meta("test")), [SCHEMES["estimated-sharers"]]).schemes["estimated-sharers"]
    assert found.total == Tally(questions=SHOWN + 1, false_exclusive=1, false_shared=SHOWN)
    assert [case.row for case in found.wrong] == [SHOWN, *range(SHOWN - 1)]


def test_an_unknown_is_neither_error_but_not_precise() -> None:
    builder = TraceBuilder()
    folio = builder.folios(21, "anon")[0]
    builder.events(folio, 1, 0, 1)
    builder.questions(folio, 1, step=1)
    found = judge(builder.build(Meta("test")), [SCHEMES["one-value"]]).schemes["one-value"]
    assert found.total == Tally(questions=1, unknown=1)
    assert (found.total.sound, found.total.precise) == (True, False)
    assert found.to_dict()["state_bytes"] is None


def test_each_scheme_is_judged_by_the_question_it_answers() -> None:
    """MM 2 asks about a folio that only MM 1 maps: exclusive by any-owner, shared by-caller."""
    builder = TraceBuilder()
    builder.events(builder.folios(9, "anon"), 1, 0, 1)
    builder.questions(0, 2, step=1)
    trace = builder.build(Meta("test"))
    for scheme in SCHEMES.values():
        expected = Verdict.EXCLUSIVE if scheme.predicate is Predicate.ANY_OWNER else Verdict.SHARED
        assert replay(trace, scheme).tolist() == truth(trace, scheme.predicate).tolist() == [expected]
        assert judge(trace, [scheme]).schemes[scheme.name].total == Tally(questions=1)


def test_small_folios_left_to_their_mapcount_are_judged_by_any_owner() -> None:
    builder = TraceBuilder()
    builder.events(builder.folios(0, "anon"), 1, 0, 1)
    builder.questions(0, 2, step=1)
    trace = builder.build(Meta("test"))
    found = judge(trace, SCHEMES.values())
    for scheme in SCHEMES.values():
        expected = Verdict.SHARED if scheme.name == "truth" else Verdict.EXCLUSIVE
        assert replay(trace, scheme).tolist() == [expected]
        assert found.schemes[scheme.name].total == Tally(questions=1)
