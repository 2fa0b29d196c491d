"""Many programs under many models: verdicts as rows, side by side.

For `rmaplab race` and docs/races.md.
"""

from collections.abc import Sequence
from typing import Any, Final

from rmaplab.errors import RmaplabError
from rmaplab.names import must_be
from rmaplab.verify.race.draw import cycle, edges, listing
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.programs import PROMISES, Program, Programs, Verdict

ROUTINE: Final = 3
"""Threads of a program that runs without being named: one more takes twenty times as long."""


def choose(programs: Programs, names: Sequence[str]) -> tuple[Program, ...]:
    """The programs of these names, `NAME` or `NAME/STAGE`; if none is given, all of up to ROUTINE threads. An unknown one
    is an error that lists them.
    """
    listed = programs.all()
    for name in names:
        if not any(name in (p.name, f"{p.name}/{p.stage}") for p in listed):
            known = dict.fromkeys(p.name for p in listed)
            raise RmaplabError(f"{name}: no such program, {must_be(name, known)}")
    if not names:
        return tuple(p for p in listed if len(p.roles) <= ROUTINE)
    return tuple(p for p in listed if p.name in names or f"{p.name}/{p.stage}" in names)


def models(text: str | None) -> tuple[str, ...]:
    """Names of columns from a comma-separated list; all of MAPPINGS by default."""
    wanted = tuple(dict.fromkeys(text.split(","))) if text else tuple(MAPPINGS)
    for name in wanted:
        if name not in MAPPINGS:
            raise RmaplabError(f"--model: {name}: no such model, {must_be(name, MAPPINGS)}")
    return wanted


def row(verdict: Verdict) -> dict[str, Any]:
    """A verdict for --json. `bound`: None if broken; if undecided, what ended the search.

    `witness`: None, or events, arrows and the cycle among them.
    """
    return {
        "program": verdict.program,
        "stage": verdict.stage,
        "model": verdict.model,
        "promise": verdict.promise,
        "verdict": verdict.verdict,
        "bound": verdict.reason if verdict.verdict == "undecided" else verdict.bound,
        "executions": verdict.executions,
        "witness": _witness(verdict),
    }


def _witness(verdict: Verdict) -> dict[str, Any] | None:
    if verdict.witness is None:
        return None
    return {
        "events": listing(verdict.witness, verdict.roles, verdict.words),
        "arrows": edges(verdict.witness),
        "cycle": cycle(verdict.witness),
    }


def smallest(found: Sequence[Verdict]) -> dict[tuple[bool, str, str], Verdict]:
    """By whose promise it is (ours or not), promise and model: the broken verdict with the fewest events."""
    chosen: dict[tuple[bool, str, str], Verdict] = {}
    for v in found:
        key = (v.ours, v.promise, v.model)
        if v.witness is not None and (key not in chosen or _events(v) < _events(chosen[key])):
            chosen[key] = v
    return chosen


def _events(verdict: Verdict) -> int:
    return len(verdict.witness.events) if verdict.witness else 0


def cells(found: Sequence[Verdict], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """A line a program, stage and promise; a cell a model."""
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for v in found:
        lines.setdefault((v.program, v.stage, v.promise), {})[v.model] = v.verdict
    return [(*key, *(line.get(model, "") for model in columns)) for key, line in lines.items()]


def meaning(promise: str) -> str:
    """The sentence behind a promise's name."""
    return PROMISES[promise]
