"""What a run's report says of what nobody observed, and of whom it names."""

import json
from typing import Any

import pytest

from rmaplab.judge import avoidable_copies, judge
from rmaplab.report.run import conclusion, run_json, run_tables
from rmaplab.schemes import select
from rmaplab.trace import UNOBSERVED, Meta, Trace, TraceBuilder, validate


def recording(*, asked: bool, **meta: Any) -> Trace:
    """MM 1 maps a THP, forks MM 2 and leaves; `asked`: somebody wants to know about MM 2."""
    builder = TraceBuilder()
    (folio,) = builder.folios([9], "anon")
    builder.events(folio, mm=1, page=0, nr=512)
    builder.tick()
    builder.events(folio, mm=2, page=0, nr=512)
    builder.tick()
    builder.events(folio, mm=1, page=0, nr=-512)
    builder.tick()
    if asked:
        builder.questions(folio, mm=2, what="stat", pages=512)
    trace = builder.build(Meta("inspect", **meta))
    validate(trace)
    return trace


def lines(trace: Trace) -> list[str]:
    return [line.plain for sheet in run_tables(trace, judge(trace, select())) for line in sheet.lines(200)]


@pytest.mark.parametrize("asked", [False, True])
def test_what_was_not_observed_is_null_and_never_0(asked: bool) -> None:
    trace = recording(asked=asked, unobserved=UNOBSERVED)
    said = json.loads(json.dumps(run_json(trace, judge(trace, select()))))
    nothing = {"pages": None, "bytes": None, "unknown_pages": None}
    assert said["avoidable_copies"] == nothing
    assert said["happened"]["cow_faults"] is None
    assert [said["kernel"][key] for key in ("reused_pages", "copied_pages", "write_seconds")] == [None] * 3
    assert said["happened"]["questions"] == (1 if asked else None)
    for one in said["schemes"].values():
        assert one["saved"] == nothing
        assert one["questions"] == (1 if asked else None)
        assert (one["false_shared"] is None) == (not asked)
    assert avoidable_copies(trace).pages is None


def test_the_same_events_completely_observed_count_0() -> None:
    trace = recording(asked=False)
    said = run_json(trace, judge(trace, select()))
    assert said["happened"]["cow_faults"] == said["kernel"]["copied_pages"] == said["avoidable_copies"]["pages"] == 0
    assert {one["questions"] for one in said["schemes"].values()} == {0}


def test_tables_say_unknown_and_why_and_that_nothing_was_asked() -> None:
    trace = recording(asked=False, unobserved=UNOBSERVED)
    shown = "\n".join(lines(trace))
    assert "the recorder did not see" in shown
    assert "unknown COW faults" in shown
    for word in ("0 pages", "0 copies", "0 COW", "0 questions", "right"):
        assert word not in shown.replace("10 ", "")
    assert "unknown" in conclusion(trace, judge(trace, select()))
    assert "copied nothing" not in conclusion(trace, judge(trace, select()))


def test_mms_are_shown_with_their_names() -> None:
    trace = recording(asked=True, unobserved=UNOBSERVED, names={2: "redis-\x1b[2J"})
    wrong = [line for line in lines(trace) if "MM 2 (" in line]
    assert wrong
    assert all("MM 2 (redis-\\x1b[2J): 512" in line for line in wrong)
    assert not any("\x1b" in line for line in wrong)
