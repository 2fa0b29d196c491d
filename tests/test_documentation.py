"""What the documentation points at exists: files it links to, commands and options it names."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import typer

from commands import rmaplab
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


def taken_options(command: str) -> set[str]:
    """Options a command's help names; of a group those of all its commands."""
    group = getattr(import_module(f"rmaplab.cli.{command}"), command)
    calls = [(command,)]
    if isinstance(group, typer.Typer):
        calls = [(command, one.name or getattr(one.callback, "__name__", "")) for one in group.registered_commands]
    helps = [rmaplab(*call, "--help", check=True, env={"COLUMNS": "200"}).stdout for call in calls]
    return set(OPTION.findall("\n".join(helps)))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_linked_file_exists(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize(("command", "options"), sorted(named_options().items()))
def test_every_named_option_exists(command: str, options: set[str]) -> None:
    assert options - taken_options(command) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_json_as_the_readme_says(command: str) -> None:
    assert "--json" in taken_options(command)


def test_the_page_of_commands_names_every_command() -> None:
    named = set(re.findall(r"`(?:rmaplab )?([a-z]+)[^`]*`", (ROOT / "docs/commands.md").read_text()))
    assert set(COMMANDS) - named == set()


def test_the_readme_is_short_and_names_the_test_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= 120
    assert "make test" in readme
