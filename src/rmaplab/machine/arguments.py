"""Arguments of a machine's and a process' operations, looked at before anything changes.

For every machine: all refuse the same values with the same line. What a value must be by itself stands here; whether
memory is there, and whose a file or pin is, the operations know.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from reprlib import repr as shortened
from typing import Any, Final, ParamSpec, TypeVar, get_args

import numpy as np

from rmaplab.machine.protocol import PMD_ORDER, Advice, BadOperation

P = ParamSpec("P")
R = TypeVar("R")

_MOST: Final = 1 << 47
"""Bytes of address space a process has on x86-64 with four levels of page tables; no number needs to be larger."""


def _whole(call: str, name: str, value: object) -> int:
    """Python's and NumPy's integers. True is none, 4096.0 neither."""
    if type(value) is int:
        number = value
    elif isinstance(value, bool) or not isinstance(value, int | np.integer):  # no code of the caller's is asked
        raise BadOperation(call, f"{name} {shortened(value)}", "must be a whole number")
    else:
        number = int.__index__(value) if isinstance(value, int) else int(value)
    if not -_MOST < number < _MOST:
        raise BadOperation(call, f"{name} {shortened(number)}", "must be below 2^47")
    return number


def _whole_or_none(call: str, name: str, value: object) -> int | None:
    return None if value is None else _whole(call, name, value)


def _flag(call: str, name: str, value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise BadOperation(call, f"{name} {shortened(value)}", "must be True or False")
    return bool(value)


def _word(call: str, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadOperation(call, f"{name} {shortened(value)}", "must be a word")
    return str(value)


def _within(most: int) -> Callable[[str, str, object], int]:
    """A rule: a whole number from 0 to `most`."""

    def rule(call: str, name: str, value: object) -> int:
        number = _whole(call, name, value)
        if not 0 <= number <= most:
            raise BadOperation(call, f"{name} {number}", f"must be 0..{most}")
        return number

    return rule


def _one_of(words: tuple[str, ...]) -> Callable[[str, str, object], str]:
    """A rule: one of the protocol's words."""

    def rule(call: str, name: str, value: object) -> str:
        word = _word(call, name, value)
        if word not in words:
            raise BadOperation(call, shortened(word), f"must be one of {', '.join(words)}")
        return word

    return rule


Rule = Callable[[str, str, Any], Any]

_RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("length", "old_length", "new_length", "address", "offset"), _whole),
    **dict.fromkeys(("writable", "readable", "move", "dontunmap", "shared", "longterm", "disabled", "protected"), _flag),
    "over": _whole_or_none,
    "order": _within(PMD_ORDER),
    **dict.fromkeys(("max_none", "max_swap", "max_shared"), _within(511)),
    "value": _within(255),
    "advice": _one_of(get_args(Advice)),
    "kind": _one_of(("file", "shmem")),
}
"""By the parameter's name in the protocol."""


def checked(operation: Callable[P, R]) -> Callable[P, R]:
    """The operation, a method, with arguments as the protocol has them. Raises BadOperation."""
    call = operation.__name__
    names = list(signature(operation).parameters)
    rules = {name: _RULES[name] for name in names if name in _RULES}
    places = [(names.index(name), name, rule) for name, rule in rules.items()]

    @wraps(operation)
    def with_checked(*args: P.args, **kwargs: P.kwargs) -> R:
        known = list(args)
        for at, name, rule in places:
            if at < len(known):
                known[at] = rule(call, name, known[at])
        for name, value in kwargs.items():
            if name in rules:
                kwargs[name] = rules[name](call, name, value)
        return operation(*known, **kwargs)  # type: ignore[arg-type]

    return with_checked
