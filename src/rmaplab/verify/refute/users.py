"""A user's own sub-IDs: `--subids module:function`, decided by exhaustive search over a small ID range.

For the command line. `function(id)` returns an integer, or a sequence of K integers, for every rmap ID; the scheme is
then "mapcount <= P and every value equals mapcount times the caller's", as in generations. The function runs in a process
of its own (`asked`).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from rmaplab.errors import RmaplabError
from rmaplab.trace import MAX_ORDER
from rmaplab.verify.refute.decide import from_table
from rmaplab.verify.refute.problem import Budget, Config, Decision, Finding, OutOfBudget, Witness
from rmaplab.verify.refute.table import from_subids, smallest_collision

MOST_ID_BITS = 12
MOST_WORD_BITS = 64

Rows = Sequence[Sequence[int]]
"""What the function answers for IDs 1, 2, ..., modulo the word."""


def decide_users(name: str, order: int, id_bits: int, word_bits: int, seconds: float) -> Finding:
    """Is this function sound on folios of `order`, for IDs 1 .. 2^id_bits - 1? Raises RmaplabError for bad ranges."""
    if not 1 <= order <= MAX_ORDER:
        raise RmaplabError(f"order: {order}: must be in 1 .. {MAX_ORDER}")
    if not 1 <= id_bits <= MOST_ID_BITS:
        raise RmaplabError(f"ID bits: {id_bits}: a function is searched over 1 .. {MOST_ID_BITS} bits")
    if not 1 <= word_bits <= MOST_WORD_BITS:
        raise RmaplabError(f"word bits: {word_bits}: a function is searched in words of 1 .. {MOST_WORD_BITS} bits")
    started = monotonic()
    rows = ask(name, id_bits, word_bits, seconds)
    if rows is None:
        config = Config(name, order, 0, id_bits, word_bits)
        return Finding(config, Decision.UNDECIDED, f"the function had not answered for every ID after {seconds:g} s")
    config = Config(name, order, len(rows[0]), id_bits, word_bits)
    table = from_subids(range(1, 1 << id_bits), lambda mm: rows[mm - 1], word_bits)
    try:
        found = smallest_collision(table, config.pages, Budget(started + seconds))
    except OutOfBudget as stopped:
        return Finding(config, Decision.UNDECIDED, f"exhaustive search stopped: {stopped}")
    finding = from_table(config, found)
    if found is None:
        return finding
    return replace(finding, witness=_with_sides(found.witness, rows, word_bits))


def ask(name: str, id_bits: int, word_bits: int, seconds: float) -> Rows | None:
    """The function's answers; None if it took longer than `seconds`. Raises RmaplabError if it gives none, or two."""
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise RmaplabError(f"subids: {name!r}: must be module:function")
    words = [sys.executable, "-m", "rmaplab.verify.refute.asked", name, str(id_bits), str(word_bits)]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        line, _ = child.communicate(timeout=max(seconds, 0))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)  # not waited for yet: the group is still its own
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
    if not line.endswith(b"\n"):
        how = f"exit code {child.returncode}" if child.returncode >= 0 else f"signal {-child.returncode}"
        raise RmaplabError(f"subids: {name!r}: ended its process ({how})")
    said = json.loads(line)
    if "unfit" in said:
        raise RmaplabError(f"subids: {name!r}: {said['unfit']}")
    rows: list[list[int]] = said["rows"]
    return rows


def _with_sides(witness: Witness, rows: Rows, word_bits: int) -> Witness:
    modulus = 1 << word_bits
    columns = zip(*(rows[mm - 1] for mm in witness.mappings), rows[witness.mm - 1], strict=True)
    pages = list(witness.mappings.values())
    sides = [
        (sum(p * v for p, v in zip(pages, column, strict=False)) % modulus, witness.mapcount * column[-1] % modulus)
        for column in columns
    ]
    return replace(witness, sides=tuple(sides))
