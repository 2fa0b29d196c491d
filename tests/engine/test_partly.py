"""Partly mapped folios: what the average and a sum of page weights notice, against per-page counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from commands import rmaplab
from rmaplab.engine.partly import Noticed, partly
from rmaplab.schemes.uniform import Uniform
from rmaplab.trace import Meta, Trace, TraceBuilder, write


def two_mms(*later: tuple[int, int, int]) -> Trace:
    """MMs 1 and 2 map a folio of 16 pages; then events (mm, page, nr), each in a step of its own."""
    builder = TraceBuilder()
    (folio,) = builder.folios([4], "anon").tolist()
    for mm in (1, 2):
        builder.events(folio, mm, 0, 16)
    for mm, page, nr in later:
        builder.tick()
        builder.events(folio, mm, page, nr)
    return builder.build(Meta("test"))


def shared(trace: Trace) -> Noticed:
    return partly(trace)["shared"]


def test_half_a_folio_nobody_maps_is_seen_by_the_weights_and_not_by_the_average() -> None:
    """8 pages mapped twice are 16 mappings of 16 pages: one each, the average says."""
    seen = shared(two_mms((1, 0, -8), (2, 0, -8)))
    assert (seen.moments, seen.partly, seen.average, seen.uniform, seen.false_alarms) == (2, 1, 0, 1, 1)
    assert (seen.lost_pages, seen.average_pages, seen.uniform_pages) == (8, 0, 8)


def test_pages_that_one_mm_unmapped_are_seen_by_both() -> None:
    seen = shared(two_mms((1, 0, -16), (2, 5, -1)))
    assert (seen.moments, seen.partly, seen.average, seen.uniform, seen.average_folios) == (2, 1, 1, 1, 1)


def test_one_copied_page_of_a_shared_folio_is_a_false_alarm_of_the_weights() -> None:
    seen = shared(two_mms((1, 3, -1)))
    assert (seen.moments, seen.partly, seen.average, seen.false_alarms, seen.alarmed_folios) == (1, 0, 0, 1, 1)


def test_whoever_leaves_wholly_alarms_nobody() -> None:
    seen = shared(two_mms((1, 0, -16), (2, 0, -16)))
    assert (seen.moments, seen.partly, seen.false_alarms, seen.partly_folios) == (1, 0, 0, 0)


def test_a_step_is_looked_at_when_it_is_over() -> None:
    builder = TraceBuilder()
    (folio,) = builder.folios([4], "anon").tolist()
    builder.events(folio, 1, 0, 16)
    builder.tick()
    builder.events(folio, 1, 0, -16)  # moved: for a moment nothing, then a half is mapped
    builder.events(folio, 1, 0, 8)
    builder.events(folio, 1, 8, 8)
    assert partly(builder.build(Meta("test")))["one MM"] == Noticed(moments=1, folios=1)


def test_an_entire_mapping_is_every_page_and_small_folios_and_files_are_not_asked() -> None:
    builder = TraceBuilder()
    huge, small = builder.folios([9, 0], "anon").tolist()
    (file,) = builder.folios([4], "file").tolist()
    builder.events([huge, huge], [1, 2], 0, 1, True)
    builder.events([small, file], 1, 0, [1, 16])
    builder.tick()
    builder.events(huge, 2, 0, -1, True)
    builder.events(file, 1, 0, -3)
    found = partly(builder.build(Meta("test")))
    assert found == {"one MM": Noticed(), "shared": Noticed(moments=1, folios=1)}


@pytest.mark.parametrize("seed", range(3))
def test_what_the_rules_say_is_what_counts_per_page_say(seed: int) -> None:
    """Random counts: uniform's answer is equality of all counts (no collision in 64 bits), the average's is a sum."""
    rng = np.random.default_rng(seed)
    for order in (1, 3, 6):
        rule, pages = Uniform(), 1 << order
        weights = np.diff(rule.prefix(order)).astype(object)
        for counts in [rng.integers(0, 3, pages) for _ in range(30)] + [np.full(pages, 2), np.zeros(pages, int)]:
            word = int((weights * counts).sum()) % 2**64
            assert rule.passes(order, word, int(counts.sum())) == (len(set(counts.tolist())) == 1)


def test_a_short_word_errs_as_often_as_its_bound_allows() -> None:
    """Counts 2, 0, 1, 1 on 4 pages: 4 is the largest divisor of all P * c - n: 4 of 2^8 weights pass; the bound is 8."""
    passed = 0
    for seed in range(4000):
        rule = Uniform(word_bits=8, seed=seed)
        weights = np.diff(rule.prefix(2).astype(object)) % 256
        passed += rule.passes(2, int(weights @ np.array([2, 0, 1, 1])) % 256, 4)
    assert 30 < passed < 125  # 62.5 expected, 8 of standard deviation; the seeds are fixed


def test_the_command_tells_both(tmp_path: Path) -> None:
    write(two_mms((1, 0, -8), (2, 0, -8)), tmp_path / "t")
    said = json.loads(rmaplab("trace", "partly", str(tmp_path / "t"), "--json").stdout)
    assert (said["shared"]["partly"], said["shared"]["false_alarms"], said["one_mm"]["folios"]) == (1, 1, 0)
    shown = rmaplab("trace", "partly", str(tmp_path / "t"))
    assert shown.returncode == 0, shown.stderr
    assert "nobody maps at the last look: 8; of folios the average noticed 0, uniform 8" in shown.stdout
    wrong = rmaplab("trace", "partly", str(tmp_path / "none"))
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
