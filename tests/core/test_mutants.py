"""Planted faults that `rmaplab race` finds, and the list of all of them (mutants.toml).

Every barrier of core/ is taken out, one at a time: some model must show an execution that breaks a promise, and
sequential consistency must show none, or the barrier would not be one.
"""

import shutil
from pathlib import Path

import pytest
from mutants import Mutant, different, read

from rmaplab.sources import CORE
from rmaplab.verify.race.barriers import BARRIERS, needs
from rmaplab.verify.race.programs import Programs, Verdict, load

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

MUTANTS = read()
MISSING = [m for m in MUTANTS if m.by == "barrier"]
WRONG = [m for m in MUTANTS if m.by == "race"]


def planted(mutant: Mutant, folder: Path) -> Programs:
    """The programs over a copy of core/ with the fault."""
    copy = Path(shutil.copytree(CORE, folder / "core"))
    header = copy / mutant.file
    header.write_text(header.read_text().replace(mutant.old, mutant.new))
    return load(core=copy)


def broken(programs: Programs, model: str, promise: str | None, names: tuple[str, ...]) -> list[Verdict]:
    chosen = [p for p in programs.all() if p.name in names]
    found = [v for p in chosen for v in programs.run(p, model, first_only=True)]
    return [v for v in found if v.verdict == "broken" and v.promise == promise]


def test_list_has_sixty_different_lines_of_headers_and_every_barrier() -> None:
    """A fault that breaks nothing has its reason there, and is a barrier: what else breaks nothing is no fault."""
    assert different(MUTANTS) >= 60
    assert {m.name for m in MISSING} == {b.name for b in BARRIERS}
    assert {m.by for m in MUTANTS if m.none} == {"barrier"}


@pytest.mark.parametrize("mutant", MISSING, ids=lambda m: m.name)
def test_missing_barrier_breaks_a_promise_in_weak_models_only(mutant: Mutant) -> None:
    (barrier,) = (b for b in BARRIERS if b.name == mutant.name)
    (strong,) = needs([barrier], ["sc"], 10.0)
    assert strong.verdict == "not needed"
    for need in needs([barrier], mutant.models, 60.0):
        assert (need.broken.promise if need.broken else None) == mutant.breaks, need.model
        assert need.broken is None or need.broken.witness is not None


@pytest.mark.parametrize("mutant", WRONG, ids=lambda m: m.name)
def test_wrong_line_breaks_its_promise(mutant: Mutant, tmp_path: Path) -> None:
    programs = planted(mutant, tmp_path)
    for model in mutant.models:
        assert broken(programs, model, mutant.breaks, mutant.programs), model


def test_claim_won_beside_a_shared_writer_takes_three_to_lose_an_update(tmp_path: Path) -> None:
    (mutant,) = (m for m in WRONG if m.name == "a claim is won beside a shared writer")
    assert not broken(planted(mutant, tmp_path), "sc", "lost", ("two-writers",))
