"""A process of its own for a user's function: asks it for every rmap ID, twice, and writes what it answered.

Run by `users`, as a module: MODULE:FUNCTION, ID bits, word bits. What the function prints goes to stderr; what it raises,
and an answer that changes, is a line. Whatever else it does (exit, hang, change the process) happens here and not to us.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from operator import index
from typing import Any


class Unfit(Exception):
    """Why the function cannot be searched, in one line."""


@contextmanager
def _theirs(where: str) -> Iterator[None]:
    """Runs code of the user's, nothing else does: it may raise anything, SystemExit too. Raises Unfit."""
    try:
        yield
    except BaseException as error:
        raise Unfit(where + " ".join(f"{type(error).__name__}: {error}".split())) from error


def _load(name: str) -> Callable[[int], object]:
    module, _, function_name = name.partition(":")
    with _theirs(""):
        function: Callable[[int], object] = getattr(import_module(module), function_name)
    try:
        signature(function).bind(1)
    except (TypeError, ValueError) as error:
        raise Unfit("must be a function of an rmap ID") from error
    return function


def _answer(function: Callable[[int], object], mm: int) -> tuple[int, ...]:
    with _theirs(f"ID {mm}: "):
        values: Any = function(mm)
        row = list(values if isinstance(values, Sequence) else (values,))
        whole = all(hasattr(value, "__index__") for value in row)
        numbers = tuple(index(value) for value in row) if whole else ()
        shown = "" if whole else f"{values!r:.60}"
    if not whole:
        raise Unfit(f"ID {mm}: {shown}: must be integers")
    return numbers


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
