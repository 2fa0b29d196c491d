"""`rmaplab kernel patch`: on the trees of Debian, on what is no tree, and where a rule does not fit."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from tests.commands import rmaplab
from tests.kernels.trees import excerpt

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import patch
from rmaplab.kernels.rules import check, read_rules

KINDS = {"6.12": "guess", "7.3": "slots"}


def quiet(line: str) -> None:
    pass


def contents(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


@pytest.fixture(params=sorted(KINDS))
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the excerpt, named after its kernel."""
    return Path(shutil.copytree(excerpt(request.param), tmp_path / request.param))


@cache
def planned(kernel: str) -> patch.Patch:
    """What patching the kernel's excerpt comes to, computed once."""
    return patch.plan(excerpt(kernel), quiet)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return rmaplab("kernel", "patch", *map(str, words))


def test_a_patch_is_computed_without_changing_the_tree(tree: Path) -> None:
    before = contents(tree)
    made = patch.plan(tree, quiet)
    assert made.kind == KINDS[tree.name]
    assert contents(tree) == before
    assert {match.file for match in made.matches} <= set(made.files)


def test_no_rule_adds_to_a_place_twice_or_takes_more_than_its_own_lines(tree: Path) -> None:
    made = planned(tree.name)
    places = [(match.file, match.line, match.rule) for match in made.matches]
    assert len(places) == len(set(places))
    for name, content in made.files.items():
        old = tree / name
        if old.exists():
            kept = set(content.decode().split("\n"))
            gone = [line for line in old.read_text().split("\n") if line not in kept]
            assert len(gone) <= 3 * sum(match.file == name for match in made.matches)


def test_a_copy_is_patched_and_the_original_stays(tree: Path, tmp_path: Path) -> None:
    before = contents(tree)
    ended = run(tree, "--into", tmp_path / "new", "--json")
    assert ended.returncode == 0, ended.stderr
    row = json.loads(ended.stdout)
    assert contents(tree) == before
    after = contents(tmp_path / "new")
    assert set(after) - set(before) == set(row["files"]) - set(before)
    assert all(after[name] != before[name] for name in row["files"] if name in before)
    inodes = {path.stat().st_ino for path in tree.rglob("*")} & {
        path.stat().st_ino for path in (tmp_path / "new").rglob("*")
    }
    assert not inodes


def test_a_second_run_says_so_and_changes_nothing(tree: Path) -> None:
    assert run(tree, "--in-place").returncode == 0
    once = contents(tree)
    again = run(tree, "--in-place")
    assert again.returncode == 0
    assert "already patched" in again.stdout
    assert contents(tree) == once


def test_a_tree_patched_by_other_rules_is_refused(tree: Path) -> None:
    patch.apply_in_place(dataclasses.replace(planned(tree.name), tree=tree))
    mark = tree / patch.MARK
    mark.write_text(json.dumps({"fingerprint": "another"}))
    with pytest.raises(RmaplabError, match="patched with other rules"):
        patch.plan(tree, quiet)


def test_a_rule_that_matches_nothing_names_rule_and_file_and_changes_nothing(tree: Path) -> None:
    fork = tree / "kernel/fork.c"
    fork.write_text(
        fork.read_text().replace("mm_free_pgd(mm);", "mm_free_pgd(mm_of(mm));").replace("mm_free_id(", "gone(")
    )
    before = contents(tree)
    ended = run(tree, "--in-place")
    assert ended.returncode == 2
    assert "rule fork." in ended.stderr.splitlines()[-1]
    assert "kernel/fork.c" in ended.stderr.splitlines()[-1]
    assert contents(tree) == before


def test_a_rule_that_matches_twice_names_rule_and_file(tree: Path) -> None:
    kind = KINDS[tree.name]
    header = tree / ("include/linux/mm.h")
    anchor = "#include <linux/mm_types.h>\n"
    header.write_text(header.read_text().replace(anchor, anchor + anchor))
    with pytest.raises(RmaplabError, match=r"rule mm\.header: include/linux/mm\.h: matched 2 times: must match 1"):
        patch.plan(tree, quiet)
    assert kind in ("guess", "slots")


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
@pytest.mark.parametrize("at", [1, 5, 9, 20])
def test_a_failed_write_leaves_the_tree_as_it_was(
    tree: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: int
) -> None:
    made = dataclasses.replace(planned(tree.name), tree=tree)
    before = contents(tree)
    real, calls = getattr(Path, step), []

    def full(self: Path, what: object) -> object:
        if self.name.endswith("-new"):
            calls.append(self)
            if len(calls) == at:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, what)

    with monkeypatch.context() as broken:
        broken.setattr(Path, step, full)
        with pytest.raises(NotAvailable, match="No space left"):
            patch.apply_in_place(made)
    assert contents(tree) == before
    assert not (tree / "mm/rmaplab").exists()


@pytest.mark.parametrize("missing", ["mm/rmap.c", "Kconfig"])
def test_what_is_no_kernel_tree_is_one_line(tmp_path: Path, missing: str) -> None:
    for name in ("Makefile", "Kconfig", "mm/Kconfig", "mm/Makefile", "mm/rmap.c", "include/linux/rmap.h"):
        if name != missing:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    ended = run(tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [f"rmaplab: {tmp_path}: has no {missing}: must be a Linux source tree"]


def test_a_kernel_of_neither_kind_is_told_apart(tmp_path: Path) -> None:
    for name in ("Makefile", "Kconfig", "mm/Kconfig", "mm/Makefile", "mm/rmap.c", "include/linux/rmap.h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(RmaplabError, match="has neither"):
        patch.plan(tmp_path, quiet)


def test_into_must_be_new_and_elsewhere(tree: Path, tmp_path: Path) -> None:
    made = dataclasses.replace(planned(tree.name), tree=tree)
    (tmp_path / "there").mkdir()
    for into, rule in ((tmp_path / "there", "exists"), (tree / "inside", "is inside")):
        with pytest.raises(RmaplabError, match=rule):
            patch.apply_into(made, into)


def test_without_spatch_it_is_not_available(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(NotAvailable, match="coccinelle"):
        patch.plan(tree, quiet)


def test_every_rule_promises_how_often_it_matches() -> None:
    for path in sorted((patch.sources() / "kernel" / "rules").rglob("*.cocci")):
        assert read_rules(path).expected


def test_a_promise_counts_added_text_in_its_function_only() -> None:
    rules = read_rules(patch.sources() / "kernel" / "rules" / "both" / "internal.cocci")
    before = "static inline void prep_compound_head(int a)\n{\n}\n\nvoid other(void)\n{\n\trmaplab_prepare(old);\n}\n"
    inside = before.replace("{\n}", "{\n\trmaplab_prepare(folio, order);\n}", 1)
    assert [match.line for match in check(rules, before, inside)] == [3]
    elsewhere = before.replace("old);\n", "old);\n\trmaplab_prepare(folio, order);\n")
    with pytest.raises(RmaplabError, match="matched 0 times"):
        check(rules, before, elsewhere)
