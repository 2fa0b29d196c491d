"""What the documentation points at exists: files it links to, commands and options it names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rmaplab.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
CALL = re.compile(r"\brmaplab ([a-z-]+)((?: +[^`|\n#]+)?)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def named_options() -> dict[str, set[str]]:
    """Options the pages give to each command."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        for command, rest in CALL.findall(page.read_text()):
            if command in COMMANDS:
                found.setdefault(command, set()).update(OPTION.findall(rest))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_linked_file_exists(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize(("command", "options"), sorted(named_options().items()))
def test_every_named_option_exists(command: str, options: set[str]) -> None:
    program = "from rmaplab.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200"},
    )
    assert {option for option in options if option not in done.stdout} == set()


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if name not in text] == []
