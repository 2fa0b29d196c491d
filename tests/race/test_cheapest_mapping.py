"""The weakest mappings of the sequence count: what the search calls kept is kept, a step below it is not."""

import json
import re
import shutil
from pathlib import Path

import pytest

from commands import rmaplab
from rmaplab.verify.race.cheapest import CHOICES, PLACES, STARTS, judged, search, starts

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

PAGE = Path(__file__).parents[2] / "docs" / "races.md"


def documented() -> list[list[str]]:
    """The lines of the table in docs/races.md, cell by cell."""
    section = PAGE.read_text().split("## The cheapest mapping")[1].split("\n## ")[0]
    lines = [re.split(r"\s{2,}", line.strip()) for line in section.splitlines() if line.startswith("    ")]
    return [line for line in lines if line[0] in CHOICES]


def picked(model: str, names: list[str]) -> dict[str, int]:
    return {p: [c.name for c in CHOICES[model][p]].index(name) for p, name in zip(PLACES, names, strict=True)}


def test_documented_table_has_every_model_and_start() -> None:
    assert [tuple(line[:2]) for line in documented()] == [(m, start) for m in CHOICES for start in starts(m)]
    assert {start for m in CHOICES for start in starts(m)} == set(STARTS)


@pytest.mark.parametrize("model", ["tso", "c11"])
def test_documented_mapping_is_the_commands(model: str) -> None:
    done = rmaplab("race", "--cheapest", "--model", model, "--seconds", "600", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    table = {line[1]: line for line in documented() if line[0] == model}
    assert [row["start"] for row in rows] == list(table)
    for row in rows:
        line = table[row["start"]]
        assert not row["undecided"]
        said = row["verdict"] if row["verdict"] == "kept" else f"{row['verdict']}: {row['promise']}"
        assert said == line[-1]
        choices = [CHOICES[model][place] for place in PLACES]
        assert [row["mapping"][place] for place in PLACES] == line[2:-1], choices


@pytest.mark.parametrize("model", sorted(set(CHOICES) - {"tso"}))
def test_reader_and_writer_keep_their_promises_with_the_documented_mapping_and_no_reader_does_below(model: str) -> None:
    """Of the reader's places each is needed: one step weaker, and a reader beside a writer sees half an update."""
    for line in documented():
        if line[0] == model and line[-1] == "kept":
            mapping = picked(model, [name.rstrip("?") for name in line[2:-1]])
            assert judged(model, mapping, 600.0, ("writer-reader",)) is None, line
            for place in ("begin", "retry"):
                assert mapping[place], line
                worse = judged(model, {**mapping, place: mapping[place] - 1}, 600.0, ("writer-reader",))
                assert worse is not None, (line, place)
                assert (worse.verdict, worse.promise) == ("broken", "torn"), (line, place)


def test_arms_ordered_atomics_need_no_fence_and_its_exclusives_do() -> None:
    """An LSE atomic with acquire and release orders what is behind it after its store; a store-exclusive does not."""
    strong = starts("armv8")["ordered atomics"]
    assert judged("armv8", strong, 600.0, ("writer-reader", "map-pinned-ask")) is None
    broken = judged("armv8-llsc", starts("armv8-llsc")["ordered atomics"], 600.0, ("writer-reader",))
    assert broken is not None
    assert broken.promise == "torn"


def test_mapping_without_any_order_on_entry_is_never_called_kept() -> None:
    for model in set(CHOICES) - {"tso"}:
        nothing = dict.fromkeys(PLACES, 0)
        verdict = judged(model, nothing, 600.0, ("writer-reader",))
        assert verdict is not None, model
        assert verdict.verdict == "broken", model


def test_search_of_one_start_gives_that_start() -> None:
    (only,) = search("c11", 600.0, ("ordered atomics",))
    assert only.broken is not None
    assert only.start == "ordered atomics"
