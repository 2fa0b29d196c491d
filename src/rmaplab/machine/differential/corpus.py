"""Programs kept in a file, one a line, as JSON: a list of steps, each with what it does not leave at its default.

For the hunt, which finds them, the campaign, which holds them against a kernel, and the mutants, which they are to find.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, get_args

from rmaplab.machine.differential.program import Do, Program, Step
from rmaplab.machine.protocol import BadOperation

_TYPES: Final = {field.name: type(field.default) for field in fields(Step) if field.name != "do"}
_DEFAULTS: Final = {field.name: field.default for field in fields(Step)}


def line(program: Program) -> str:
    """The program as a line of a corpus."""
    return json.dumps([_short(step) for step in program], separators=(",", ":"))


def write(path: Path, programs: Iterable[Program]) -> None:
    """Make `path` a corpus of these programs; the old one stays until the new one is whole."""
    new = path.with_suffix(".new")
    new.write_text("".join(f"{line(program)}\n" for program in programs), "utf-8")
    new.replace(path)


def read(path: Path) -> list[Program]:
    """The programs of a corpus. Raises BadOperation, which names the line and the rule."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadOperation("corpus", path, f"cannot be read: {error}") from error
    return [_program(f"{path}, line {number}", text) for number, text in enumerate(lines, 1) if text]


def _short(step: Step) -> dict[str, object]:
    given = {name: getattr(step, name) for name in _DEFAULTS}
    return {name: value for name, value in given.items() if value != _DEFAULTS[name]}


def _program(where: str, text: str) -> Program:
    try:
        steps = json.loads(text)
    except ValueError as error:
        raise BadOperation("corpus", where, f"is no JSON: {error}") from error
    if not isinstance(steps, list):
        raise BadOperation("corpus", where, "must be a list of steps")
    return tuple(_step(where, one) for one in steps)


def _step(where: str, given: Any) -> Step:
    if not isinstance(given, dict) or given.get("do") not in get_args(Do):
        raise BadOperation("corpus", where, f"a step must be an object with a known `do`, not {given!r:.60}")
    for name, value in given.items():
        if name != "do" and type(value) is not _TYPES.get(name):
            raise BadOperation("corpus", where, f"{name} {value!r:.60}: no field of a step has this name and type")
    return Step(**given)
