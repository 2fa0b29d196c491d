"""`rmaplab --help` without the library that parses options: what most people ask first is there at once.

For `rmaplab.cli.app`. A test holds its options against those of the real application.
"""

import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import Final

ASKED: Final = (["-h"], ["--help"])
_OPTIONS: Final = {
    "--version": "Show the version and exit.",
    "--man": "Print the manual page (for man -l -) and exit.",
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": "Show completion for the current shell, to copy it or customize the installation.",
    "-h, --help": "Show this message and exit.",
}
_LEAST: Final = 60


def show(commands: Mapping[str, str]) -> None:
    """Print it, as wide as the terminal."""
    width = max(_LEAST, shutil.get_terminal_size().columns)
    parts = ["Usage: rmaplab [OPTIONS] COMMAND [ARGS]...", "Is this memory mapped by one process or by many?"]
    for title, lines in (("Options", _OPTIONS), ("Commands", commands)):
        indent = max(map(len, lines)) + 4
        made = (
            textwrap.fill(line, width, initial_indent=f"  {name:<{indent - 2}}", subsequent_indent=" " * indent)
            for name, line in lines.items()
        )
        parts.append("\n".join([f"{title}:", *made]))
    sys.stdout.write("\n\n".join(parts) + "\n")
