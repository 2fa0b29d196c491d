"""The manual page, made from the help: what `rmaplab --man` prints.

For `make man` and packagers. Every command with its arguments and options, in the order of the help; troff in the man(7)
macros, nothing in it is written by hand but the frame.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from rmaplab import __version__
from rmaplab.cli.build import build

_HEAD = """.TH RMAPLAB 1 "" "rmaplab {version}" "User Commands"
.SH NAME
rmaplab \\- is this memory mapped by one process or by many?
.SH SYNOPSIS
.B rmaplab
.I COMMAND
[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...
.SH DESCRIPTION
Schemes that tell exclusively mapped memory from shared: run, judged, refuted, proved, raced and measured.
Data goes to stdout, progress to stderr.
.SH COMMANDS
"""
_TAIL = """.SH EXIT STATUS
0 fine, 1 a finding, 2 usage, 3 not permitted or not available, 128 + N ended by signal N.
"""


def page() -> str:
    """The page as troff."""
    root: Any = get_command(build(None, every=True))
    parts = [_HEAD.format(version=_text(__version__))]
    for name, command in root.commands.items():
        parts += _command(f"rmaplab {name}", command)
    return "".join((*parts, _TAIL))


def _command(path: str, command: Any) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _command(f"{path} {name}", inner)
        return
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    places = "".join(f" \\fI{_text(p.make_metavar(_context(command)))}\\fR" for p in arguments)
    yield f".SS \\fB{_text(path)}\\fR{places}\n"
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        yield f".PP\n{_text(' '.join(paragraph.split()))}\n"
    for parameter in command.params:
        record = parameter.get_help_record(_context(command))
        if record is not None:
            yield f".TP\n\\fB{_text(record[0])}\\fR\n{_text(' '.join(record[1].split()))}\n"


def _context(command: Any) -> Any:
    return command.make_context("rmaplab", [], resilient_parsing=True)


def _text(plain: str) -> str:
    escaped = plain.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
