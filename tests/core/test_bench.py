"""The benchmark's arithmetic and its counts; never its times."""

import json
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from typer.testing import CliRunner

from rmaplab.bench.aims import Aim, aims
from rmaplab.bench.operations import (
    BASELINE,
    LANES,
    Config,
    Row,
    configurations,
    instructions,
    known,
    lane,
    measure,
    prepared,
    quartiles_of,
)
from rmaplab.bench.small import small_paths
from rmaplab.bench.streams import STREAMS, measure_streams
from rmaplab.cli.build import build
from rmaplab.core import NAMES, available, why_missing
from rmaplab.errors import RmaplabError
from rmaplab.report.bench import price_table, state_cost
from rmaplab.report.charts import prices
from rmaplab.trace import Verdict

pytestmark = pytest.mark.skipif(not available(), reason=str(why_missing()))

KEYS = {
    "scheme",
    "order",
    "op",
    "threads",
    "shared_folio",
    "ns_median",
    "ns_spread",
    "instructions",
    "ratio_atomic_add",
    "ratio_generations",
}


def test_small_folio_takes_the_same_instructions_as_without_tracking() -> None:
    paths = small_paths()
    if not paths:
        pytest.skip("instructions cannot be single-stepped on this machine")
    assert {path.scheme for path in paths} == set(NAMES)
    assert all(path.same and path.extra == 0 for path in paths)
    assert all(5 <= len(path.steps) <= 8 for path in paths), "compare, branch, locked add, result, return"


def test_single_step_counts_what_a_function_executes() -> None:
    counts = {name: instructions(Config(name, 9, "map/unmap")) for name in ("total-mapcount", "generations", "bits")}
    if None in counts.values():
        pytest.skip("instructions cannot be single-stepped on this machine")
    assert instructions(Config(BASELINE, 9, "add")) == 1
    assert 1 < counts["total-mapcount"] < counts["generations"] < counts["bits"], "a mapcount that saturates looks"


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("estimated-sharers", "likely-shared")])
def test_a_batch_executes_the_instructions_of_a_single_update(name: str) -> None:
    single, batch = (instructions(Config(name, 9, op)) for op in ("map/unmap", "map/unmap 512"))
    assert single == batch


def test_packed_answers_while_its_word_is_frozen_by_a_cow_decision() -> None:
    folios = prepared("packed", 9)
    word = folios.core.ffi.cast("uint64_t *", folios.folio(0) + 64)
    assert word[0] == folios.words(0)[0]
    word[0] |= 1 << 23
    assert [folios.verdict(0, mm) for mm in (0, 1)] == [Verdict.EXCLUSIVE, Verdict.SHARED]


def row(scheme: str, op: str, runs: list[float], threads: int = 1, shared: bool = False) -> Row:
    return Row(scheme, 9, op, threads, shared, sorted(runs)[1], 0.0, 1, None, None, 0.0, runs)


def test_a_ratio_is_taken_within_rounds_so_that_drift_cancels() -> None:
    rows = [
        row("packed", "map/unmap", [1.0, 2.0, 4.0]),
        row("generations-safe", "map/unmap", [4.0, 8.0, 16.0]),
    ]
    (aim,) = [a for a in aims(rows) if a.what.startswith("packed")]
    assert aim.value == 0.25
    assert aim.met
    assert not replace(aim, value=0.5).met


def test_aims_report_the_dearest_batch() -> None:
    rows = [
        row("mm-id", "map/unmap", [1.0, 1.0, 1.0]),
        row("mm-id", "map/unmap 512", [2.0, 2.0, 2.0]),
        row("packed", "map/unmap", [1.0, 1.0, 1.0]),
        row("packed", "map/unmap 512", [1.0, 1.0, 1.0]),
    ]
    (aim,) = [a for a in aims(rows) if a.what.startswith("batch")]
    assert aim == Aim("batch of 512 / single update, order 9, dearest: mm-id", 2.0, 1.3)


def test_measuring_covers_every_configuration_and_keeps_the_warm_up() -> None:
    configs = configurations(["generations", "mm-id", "packed"], [0, 4])
    rows = measure(configs, 2)
    assert [(r.scheme, r.order, r.op, r.threads, r.shared_folio) for r in rows] == [
        (c.scheme, c.order, c.op, c.threads, c.shared_folio) for c in configs
    ]
    assert all(len(r.runs_ns) == 2 and r.warm_up_ns > 0 and set(r.as_json()) >= KEYS for r in rows)
    posted = [r for r in rows if r.scheme == "generations"]
    assert all(r.ratio_generations == 1.0 for r in posted)
    assert [row[0] for row in price_table(rows, 4).rows] == ["mm-id", "generations", "packed"], "today's first"
    today = [r for r in rows if r.scheme == "mm-id"]
    assert all(r.ratio_mm_id == r.ratio_mm_id_low == r.ratio_mm_id_high == 1.0 for r in today)
    drawn = prices(rows).to_json()
    assert "packed" in drawn
    assert '"scheme": "mm-id"' not in drawn, "it is the line at 1"


def test_each_price_stands_under_its_own_order_and_operation() -> None:
    """Also where an order has not all operations: a batch of 512 pages is one of orders from 9 on."""
    priced = {"ratio_mm_id_low": 0.5, "ratio_mm_id_high": 4.0}
    rows = [
        replace(
            row(scheme, op, [1.0] * 3),
            order=order,
            threads=threads,
            shared_folio=threads > 1,
            ratio_mm_id=n / 8,
            **priced,
        )
        for n, (scheme, order, (op, threads, _)) in enumerate(product(("packed", "bits"), (2, 9), LANES), 1)
        if (order, op) != (2, "map/unmap 512")
    ]
    expected: dict[str, set[tuple[str, float | None]]] = {
        f"order {order}: {title.replace(chr(10), ' ')}": set() for order in (2, 9) for title in LANES.values()
    }
    for one in rows:
        title = lane(one)
        assert title is not None
        expected[f"order {one.order}: {title}"].add((one.scheme, one.ratio_mm_id))
    drawn = prices(rows).to_dict()
    found = {}
    for cell in (cell for line in drawn["vconcat"] for cell in line["hconcat"]):
        named = re.search('"data": {"name": "([^"]*)"', json.dumps(cell))
        assert named is not None
        data = drawn["datasets"][named.group(1)]
        found[cell["title"]["text"]] = {(one["scheme"], one["ratio"]) for one in data if "ratio" in one}
    assert found == expected
    assert list(found) == list(expected), "an order a line, operations as in the table"


def test_what_linux_does_today_is_measured_whoever_is_asked_for() -> None:
    assert known(["packed"]) == ["mm-id", "packed"]
    assert known() == list(NAMES)


def test_a_price_leads_with_its_ratio_and_shows_its_spread() -> None:
    rows = [
        replace(row("mm-id", "map/unmap", [2.0, 2.0, 2.0]), ratio_mm_id=1.0, ratio_mm_id_low=1.0, ratio_mm_id_high=1.0),
        replace(row("packed", "map/unmap", [1.0, 2.0, 4.0]), ratio_mm_id=1.0, ratio_mm_id_low=0.75, ratio_mm_id_high=1.5),
    ]
    today, packed = price_table(rows, 9).rows
    assert (today[1], packed[1]) == ("2 ns", "1.00 (0.75-1.50)")
    assert quartiles_of(np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 2.0])) == (1.0, 0.75, 1.5)


def test_streams_cover_the_series_operations_batched_and_by_page() -> None:
    rows = measure_streams(["packed"], 1)
    assert {r.stream for r in rows} == set(STREAMS)
    assert {(r.stream, r.batched) for r in rows if r.batched} == {(s, True) for s in ("remap", "munmap", "fork")}


def test_state_cost_is_the_definition_s_and_lines_follow_the_values() -> None:
    assert state_cost("packed", 9) == ("16", "1")
    assert state_cost("generations", 15)[1] == "1"
    assert int(state_cost("bits", 9)[1]) == 4


def test_json_has_host_and_results_with_the_agreed_keys() -> None:
    result = CliRunner().invoke(
        build("bench"), ["bench", "--json", "--order", "4", "--scheme", "packed", "--rounds", "1"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["host"]) >= {"cpu", "kernel", "load_average"}
    assert all(set(r) >= KEYS for r in found["results"])


@pytest.mark.parametrize("command", ["bench", "stress"])
def test_unknown_scheme_is_named(command: str) -> None:
    result = CliRunner().invoke(build(command), [command, "--scheme", "nonsense"])
    assert isinstance(result.exception, RmaplabError)
    assert "scheme: nonsense: must be one of" in str(result.exception)


def test_stress_command_races_every_variant_at_least_once_in_every_mode() -> None:
    arguments = ["stress", "--seconds", "0", "--json", "--scheme", "packed", "--scheme", "mm-id"]
    result = CliRunner().invoke(build("stress"), arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["findings"] == []
    assert {r["scheme"]: r["races"] for r in found["results"]} == {"packed": 2, "mm-id": 2}
