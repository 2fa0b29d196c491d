"""The site's tutorial runs, its figures are what their command draws, every page has its place."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from commands import rmaplab

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(python)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
FINDINGS = {"refute"}


def test_the_tutorial_runs_from_a_fork_to_a_finding() -> None:
    names: dict[str, object] = {}
    blocks = BLOCK.findall((DOCS / "tutorial.md").read_text())
    assert len(blocks) > 6
    for language, block in blocks:
        if language:
            exec(compile(block, "docs/tutorial.md", "exec"), names)
            continue
        for line in block.splitlines():
            words = shlex.split(line, comments=True)[1:]
            assert rmaplab(*words).returncode == int(words[0] in FINDINGS), line


def test_every_figure_but_the_measured_ones_is_what_its_command_draws(tmp_path: Path) -> None:
    site = tmp_path / "docs/site"
    site.mkdir(parents=True)
    (site / "figures.py").write_text((DOCS / "site/figures.py").read_text())
    subprocess.run([sys.executable, str(site / "figures.py")], check=True)
    drawn = {path.name: path.read_text() for path in (tmp_path / "docs/figures").glob("*.svg")}
    assert set(drawn) == {path.name for path in (DOCS / "figures").glob("*.svg")} - {"prices.svg", "kernel-prices.svg"}
    assert [name for name, text in drawn.items() if (DOCS / "figures" / name).read_text() != text] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_every_image_of_a_page_exists(page: Path) -> None:
    for image in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
        assert (DOCS / image).exists(), image


def test_every_page_that_the_navigation_names_exists() -> None:
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(named) > 10
    assert [name for name in named if not (DOCS / name).exists()] == []


def test_the_evidence_table_says_for_each_kind_what_it_does_not_cover() -> None:
    rows = [line for line in (DOCS / "evidence.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 9
    assert all(len(cells) == 4 and all(cells) for cells in ([c.strip() for c in row[1:-1].split(" | ")] for row in rows))
