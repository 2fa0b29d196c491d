"""A user's own sub-IDs: `--subids module:function`, decided by exhaustive search over a small ID range.

For the command line. `function(id)` returns an integer, or a sequence of K integers, for every rmap ID; the scheme is
then "mapcount <= P and every value equals mapcount times the caller's", as in generations.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from inspect import signature

from rmaplab.errors import RmaplabError
from rmaplab.trace import MAX_ORDER
from rmaplab.verify.refute.decide import from_table
from rmaplab.verify.refute.problem import Budget, Config, Decision, Finding, OutOfBudget, Witness
from rmaplab.verify.refute.table import from_subids, smallest_collision

MOST_ID_BITS = 12
MOST_WORD_BITS = 64

SubIds = Callable[[int], Sequence[int]]


def load(name: str) -> SubIds:
    """The function `module:function` names, looked up from the current directory too; raises RmaplabError."""
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise RmaplabError(f"subids: {name!r}: must be module:function")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(import_module(module_name), function_name)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise RmaplabError(f"subids: {name!r}: {error}") from error
    if not callable(function) or not _takes_one(function):
        raise RmaplabError(f"subids: {name!r}: must be a function of an rmap ID")

    def as_sequence(mm: int) -> Sequence[int]:
        values = function(mm)
        return values if isinstance(values, Sequence) else (values,)

    return as_sequence


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        signature(function).bind(1)
    except (TypeError, ValueError):
        return False
    return True


def decide_users(name: str, subids: SubIds, order: int, id_bits: int, word_bits: int, seconds: float) -> Finding:
    """Is this function sound on folios of `order`, for IDs 1 .. 2^id_bits - 1? Raises RmaplabError for bad ranges."""
    if not 1 <= order <= MAX_ORDER:
        raise RmaplabError(f"order: {order}: must be in 1 .. {MAX_ORDER}")
    if not 1 <= id_bits <= MOST_ID_BITS:
        raise RmaplabError(f"ID bits: {id_bits}: a function is searched over 1 .. {MOST_ID_BITS} bits")
    if not 1 <= word_bits <= MOST_WORD_BITS:
        raise RmaplabError(f"word bits: {word_bits}: a function is searched in words of 1 .. {MOST_WORD_BITS} bits")
    ids = range(1, 1 << id_bits)
    sizes = {len(subids(mm)) for mm in ids}
    if len(sizes) != 1 or sizes == {0}:
        rule = "must be equally many, at least one, for every ID"
        raise RmaplabError(f"subids: {name!r}: returns {sorted(sizes)} values: {rule}")
    for mm in ids:
        if not all(isinstance(v, int) for v in subids(mm)):
            raise RmaplabError(f"subids: {name!r}: {subids(mm)!r} for ID {mm}: must be integers")
    config = Config(name, order, sizes.pop(), id_bits, word_bits)
    try:
        found = smallest_collision(from_subids(ids, subids, word_bits), config.pages, Budget.seconds(seconds))
    except OutOfBudget as stopped:
        return Finding(config, Decision.UNDECIDED, f"exhaustive search stopped: {stopped}")
    finding = from_table(config, found)
    if found is None:
        return finding
    return replace(finding, witness=_with_sides(found.witness, subids, word_bits))


def _with_sides(witness: Witness, subids: SubIds, word_bits: int) -> Witness:
    modulus = 1 << word_bits
    columns = zip(*(subids(mm) for mm in witness.mappings), subids(witness.mm), strict=True)
    pages = list(witness.mappings.values())
    sides = [
        (sum(p * v for p, v in zip(pages, column, strict=False)) % modulus, witness.mapcount * column[-1] % modulus)
        for column in columns
    ]
    return replace(witness, sides=tuple(sides))
