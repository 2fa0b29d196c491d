"""A process of its own for a user's function: asks it for every rmap ID, twice, and writes what it answered.

Run by `users`, as a module: MODULE:FUNCTION, ID bits, word bits. What the function prints goes to stderr; what it raises,
and an answer that changes, is a line. Whatever else it does (exit, hang, change the process) happens here and not to us.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import signature
from operator import index
from typing import Any


class Unfit(Exception):
    """Why the function cannot be searched, in one line."""


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _load(name: str) -> Callable[[int], object]:
    module, _, function_name = name.partition(":")
    try:
        function: Callable[[int], object] = getattr(import_module(module), function_name)
    except BaseException as error:  # a user's module may do anything, exit too
        raise Unfit(_said(error)) from error
    try:
        signature(function).bind(1)
    except (TypeError, ValueError) as error:
        raise Unfit("must be a function of an rmap ID") from error
    return function


def _answer(function: Callable[[int], object], mm: int) -> tuple[int, ...]:
    try:
        values: Any = function(mm)
    except BaseException as error:
        raise Unfit(f"ID {mm}: {_said(error)}") from error
    try:
        return tuple(index(v) for v in (values if isinstance(values, Sequence) else (values,)))
    except TypeError as error:
        raise Unfit(f"ID {mm}: {values!r:.60}: must be integers") from error


def rows(function: Callable[[int], object], id_bits: int) -> list[tuple[int, ...]]:
    """The sub-IDs of IDs 1 .. 2^id_bits - 1; raises Unfit. The second time they are asked for from the last one on."""
    ids = range(1, 1 << id_bits)
    first = [_answer(function, mm) for mm in ids]
    sizes = sorted({len(row) for row in first})
    if len(sizes) != 1 or sizes == [0]:
        raise Unfit(f"returns {sizes} values: must be equally many, at least one, for every ID")
    for mm in reversed(ids):
        again = _answer(function, mm)
        if again != first[mm - 1]:
            raise Unfit(f"ID {mm}: {first[mm - 1]!r:.60}, then {again!r:.60}: must be the same every time")
    return first


def main() -> None:
    """Writes one line of JSON to the stdout we were given: the rows, modulo the word, or why there are none."""
    answers = os.dup(1)
    os.dup2(2, 1)
    name, id_bits, word_bits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    try:
        mask = (1 << word_bits) - 1
        said: dict[str, object] = {"rows": [[v & mask for v in row] for row in rows(_load(name), id_bits)]}
    except Unfit as error:
        said = {"unfit": str(error)}
    with open(answers, "w") as stream:
        stream.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what the function left running or registered is not waited for


if __name__ == "__main__":
    main()
