"""The table in docs/races.md is what `rmaplab race` prints: every program of ours, every promise, and the verdicts."""

import itertools
import json
import re
import shutil
from pathlib import Path

import pytest

from commands import rmaplab
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.programs import load
from rmaplab.verify.race.result import choose

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

PAGE = Path(__file__).parents[2] / "docs" / "races.md"
QUICK = ("sc", "tso", "c11")
Line = tuple[str, str, str]


def documented() -> dict[Line, dict[str, str]]:
    """Verdicts by program, stage and promise; a cell ends where its model's name does in the heading."""
    section = PAGE.read_text().split("## The result")[1].split("\n## ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    head = next(line for line in lines if line.startswith("program"))
    assert head.split() == ["program", "stage", "promise", *MAPPINGS]
    stage, promise = head.index("stage"), head.index("promise")
    ends = [match.end() for match in re.finditer(r"\S+", head)][2:]
    found = {}
    for line in lines[lines.index(head) + 1 :]:
        wide = line.ljust(ends[-1])
        name = wide[promise:].split(maxsplit=1)[0]
        cuts = [promise + len(name), *ends[1:]]
        cells = (wide[a:b].strip() for a, b in itertools.pairwise(cuts))
        found[wide[:stage].strip(), wide[stage:promise].strip(), name] = dict(zip(MAPPINGS, cells, strict=True))
    return found


def test_documented_table_has_every_promise_of_ours_and_knows_no_broken_one() -> None:
    programs = [p for p in choose(load(), ()) if p.ours or p.name == "turn-unprotected"]
    table = documented()
    assert list(table) == [(p.name, p.stage, promise) for p in programs for promise in p.promises]
    for (name, _, promise), verdicts in table.items():
        fact = name == "turn-unprotected"
        silent = {m for m in MAPPINGS if promise == "raced" and m not in ("c11", "lkmm")}
        assert {m for m, verdict in verdicts.items() if not verdict} == silent
        assert set(verdicts.values()) - {""} <= ({"broken"} if fact else {"kept", "undecided"})


def test_documented_verdicts_are_those_of_the_command() -> None:
    names = sorted({name for name, _, _ in documented()})
    done = rmaplab("race", *names, "--model", ",".join(QUICK), "--json")
    assert done.returncode == 0, done.stderr
    table = documented()
    seen = 0
    for row in json.loads(done.stdout):
        key = (row["program"], row["stage"], row["promise"])
        if key in table:
            assert row["verdict"] == table[key][row["model"]], row
            seen += 1
    assert seen == sum(bool(verdicts[model]) for verdicts in table.values() for model in QUICK)
