"""A trace judged in parts gives what the whole gives; judgements add up in any order."""

import json
import shutil
from functools import reduce
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import rmaplab
from rmaplab.judge import Happened, Judged, Judgement, judge, judge_part, judge_parts
from rmaplab.judge.storage import judged_of, judged_to_json
from rmaplab.report.run import run_json
from rmaplab.schemes import SCHEMES
from rmaplab.trace import UNOBSERVED, Meta, Trace, TraceBuilder, open_parts, parts_of, split, write, write_parts
from strategies import traces

ALL = [s for s in SCHEMES.values() if s.name not in ("generations", "one-value")]
SOME = [SCHEMES[name] for name in ("truth", "mm-id", "estimated-sharers", "owner-counter")]


def shown(happened: Trace | Happened, judgement: Judgement) -> str:
    return json.dumps(run_json(happened, judgement))


@given(trace=traces(max_crowd=70, details=True, id_bits=22), parts=st.integers(1, 5), data=st.data())
def test_parts_judged_in_any_order_and_grouping_add_up_to_the_whole_byte_for_byte(
    trace: Trace, parts: int, data: st.DataObject
) -> None:
    whole = shown(trace, judge(trace, ALL))
    judged = [judge_part(part, ALL) for part in parts_of(trace, parts)]
    shuffled = data.draw(st.permutations([*judged, Judged.nothing(trace.meta)]))
    cut = data.draw(st.integers(0, len(shuffled)))
    nothing = Judged.nothing(trace.meta)
    halves = [reduce(Judged.merge, some, nothing) for some in (shuffled[:cut], shuffled[cut:])]
    both = halves[0].merge(halves[1])
    assert shown(both.happened, both.judgement) == whole
    assert both == halves[1].merge(halves[0])


@given(trace=traces(details=True, max_crowd=70, id_bits=22))
def test_nothing_is_neutral(trace: Trace) -> None:
    one = judge(trace, SOME)
    assert one.merge(Judgement.nothing()) == one == Judgement.nothing().merge(one)
    happened = Happened.of(trace)
    assert happened.merge(Happened(trace.meta)) == happened


@settings(max_examples=15)
@given(trace=traces(details=True, max_crowd=70, id_bits=22), parts=st.integers(1, 6))
def test_a_trace_split_on_disk_is_judged_as_the_whole(
    trace: Trace, parts: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    write(trace, folder / "whole")
    made = split(folder / "whole", folder / "parts", parts)
    assert made <= parts
    found = judge_parts(open_parts(folder / "parts"), SOME)
    assert shown(found.happened, found.judgement) == shown(trace, judge(trace, SOME))


def test_what_one_part_does_not_know_the_whole_does_not(tmp_path: Path) -> None:
    recording = Meta("inspect", unobserved=UNOBSERVED)
    trace = Trace(*_tables(), recording)
    write_parts(tmp_path / "t", recording, parts_of(trace, 2), 2)
    found = judge_parts(open_parts(tmp_path / "t"), SOME)
    assert found.judgement.avoidable_copies.pages is None
    assert run_json(found.happened, found.judgement)["happened"]["cow_faults"] is None


@settings(max_examples=15)
@given(trace=traces(details=True, max_crowd=70, id_bits=22))
def test_a_judged_part_in_a_file_is_what_it_was(trace: Trace) -> None:
    (part,) = parts_of(trace, 1)
    judged = judge_part(part, ALL)
    assert judged_of(json.loads(json.dumps(judged_to_json(judged))), trace.meta) == judged


def test_judged_in_shards_and_merged_is_printed_byte_for_byte_as_the_whole(tmp_path: Path) -> None:
    trace = Trace(*_tables(), Meta("test"))
    write(trace, tmp_path / "whole")
    write_parts(tmp_path / "parts", Meta("test"), parts_of(trace, 2), 2)
    for number in (2, 1):
        words = ("--shard", f"{number}/2", "--resume", str(tmp_path / "r"))
        rmaplab("trace", "judge", str(tmp_path / "parts"), *words, check=True)
    shutil.rmtree(tmp_path / "parts")
    whole = rmaplab("run", "--on", "trace", str(tmp_path / "whole"), "--json", check=True)
    assert rmaplab("merge", str(tmp_path / "r"), "--json", check=True).stdout == whole.stdout


def test_judgements_of_different_schemes_do_not_add_up() -> None:
    trace = Trace(*_tables(), Meta("test"))
    with pytest.raises(ValueError, match="different schemes"):
        judge(trace, SOME[:2]).merge(judge(trace, SOME[2:]))


def _tables() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    builder = TraceBuilder()
    folios = builder.folios([9, 9], "anon")
    for folio in folios:
        builder.events(folio, [1, 2], 0, 512)
    builder.tick()
    builder.questions(folios, 1, "stat")
    made = builder.build(Meta("test"))
    return made.folios, made.events, made.questions
