"""Options: what a number may be, and which options a mode has no use for.

For every command. A `parser=` of here takes ASCII digits only and refuses NaN, infinity and what is out of range in one
line with the option, the value and the rule. No option is silently ignored: `refuse` names those that were given to a
mode that does not read them.
"""

import math
import re
from collections.abc import Callable
from typing import Final

import typer

from rmaplab.errors import RmaplabError

MOST_SECONDS: Final = 1_000_000
MOST_ORDER: Final = 21
"""Of an allocation, with the largest pages the schemes are made for."""
_MOST_COUNT: Final = 1_000_000_000
_MOST_SEED: Final = (1 << 32) - 1


def seconds(least: float) -> Callable[[object], float]:
    """Parser of a time, `least` .. 1000000 seconds."""

    def number(value: object) -> float:
        text = str(value)
        plain = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", text, re.ASCII | re.IGNORECASE)
        found = float(text) if plain else math.nan
        if not least <= found <= MOST_SECONDS:
            raise typer.BadParameter(f"{_shown(text)}: must be a number of seconds, {least:g} .. {MOST_SECONDS}")
        return found

    return number


def share() -> Callable[[object], float]:
    """Parser of a share, 0 .. 1."""

    def number(value: object) -> float:
        text = str(value)
        plain = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", text, re.ASCII | re.IGNORECASE)
        found = float(text) if plain else math.nan
        if not 0 <= found <= 1:
            raise typer.BadParameter(f"{_shown(text)}: must be a share, 0 .. 1")
        return found

    return number


def count(least: int, most: int = _MOST_COUNT) -> Callable[[object], int]:
    """Parser of a whole number, `least` .. `most`."""

    def number(value: object) -> int:
        text = str(value)
        found = int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text, re.ASCII) else None
        if found is None or not least <= found <= most:
            raise typer.BadParameter(f"{_shown(text)}: must be a whole number, {least} .. {most}")
        return found

    return number


def order(least: int = 0) -> Callable[[object], int]:
    """Parser of a folio's order. A command that takes fewer says so itself."""
    return count(least, MOST_ORDER)


def seed(least: int = 0) -> Callable[[object], int]:
    """Parser of a seed."""
    return count(least, _MOST_SEED)


def pattern(value: object) -> str:
    """Parser of a regular expression, as Python's `re` understands it."""
    text = str(value)
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise typer.BadParameter(f"{_shown(text)}: must be a regular expression: {error}") from error
    return text


def refuse(context: typer.Context, mode: str, *names: str, rule: str = "must come without") -> None:
    """Raise RmaplabError if one of the parameters `names` was given on the command line: `mode` would ignore it, or, by
    that `rule`, what it needs is missing."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            name = next((word for word in parameter.opts if word.startswith("--")), parameter.opts[0])
            raise RmaplabError(f"{name}: {_shown(context.params[parameter.name])}: {rule} {mode}")


def _shown(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
