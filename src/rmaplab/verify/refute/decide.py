"""Decides one configuration: by theorem if one applies, else by search.

For the command line and for tables of configurations. "Sound" needs a theorem whose bound holds or a search that
ended; a search that was stopped is "undecided" and says how far it came.
"""

import numpy as np

from rmaplab.schemes.packed import SUM_AT
from rmaplab.verify.refute.digits import Chunks, enumerate_relations, smallest_witness
from rmaplab.verify.refute.problem import Budget, Config, Decision, Finding, OutOfBudget, Witness
from rmaplab.verify.refute.spreads import build_witness, least_mappings
from rmaplab.verify.refute.table import Collision, Rows, Table, from_subids, smallest_collision
from rmaplab.verify.refute.words import check, chunks, equations

_TABLE_BITS = 10
_FEWEST = "fewest mappings and, of these, fewest MMs"
_DIGITS = ("generations", "generations-safe", "bits")


def decide(config: Config, seconds: float = 60.0) -> Finding:
    """Is `config` right for every multiset of at most P mappings?"""
    if config.scheme in _DIGITS:
        return _decide_digits(config, chunks(config), Budget.seconds(seconds))
    return _decide_squares(config, Budget.seconds(seconds))


def _decide_digits(config: Config, read: Chunks, budget: Budget) -> Finding:
    theorem = _digit_theorem(config, read)
    if theorem is not None:
        return Finding(config, Decision.SOUND, theorem)
    problem = f"{read.widest} binary digits of weights {_weights(read)} modulo 2^{config.word_bits}"
    try:
        found = enumerate_relations(read, config.pages, budget)
    except OutOfBudget as stopped:
        return Finding(config, Decision.UNDECIDED, f"{problem}: stopped: {stopped}")
    if found.cheapest is None:
        reason = (
            f"exhaustive enumeration: no relation with digits up to {config.pages} among {problem}: "
            f"{found.nodes} lattice nodes (theorem sound_iff_no_short_relation)"
        )
        return Finding(config, Decision.SOUND, reason)
    witness, fewest = smallest_witness(read, found, budget)
    proved = _FEWEST if fewest else "fewest mappings; fewer MMs not excluded"
    reason = f"{problem} collide; {proved}, by enumeration of {found.nodes} lattice nodes"
    return Finding(config, Decision.REFUTED, reason, check(config, witness))


def _weights(read: Chunks) -> str:
    return f"{read.weights[1]}^i" if len(read.weights) > 1 else "1"


def _digit_theorem(config: Config, read: Chunks) -> str | None:
    w = config.word_bits
    if config.scheme == "bits":
        return f"theorem bits_sound: P = {config.pages} < 2^{w}" if config.pages < 1 << w else None
    base = read.weights[1] if len(read.weights) > 1 else config.pages + 1
    if base > config.pages and base**read.widest <= 1 << w:
        return f"theorem generations_sound: P = {config.pages} < {base}, and {base}^{read.widest} <= 2^{w}"
    return None


def _decide_squares(config: Config, budget: Budget) -> Finding:
    """By theorem; else a small range of IDs is searched for as long as is left after a witness was built, if one was."""
    least = least_mappings(config)
    if config.id_bits == 1 or config.pages < least:
        return Finding(config, Decision.SOUND, _square_theorem(config, least))
    stopped = ""
    try:
        built = build_witness(config, budget)
    except OutOfBudget as out:
        built, stopped = None, f"; stopped: {out}"
    best = built is not None and built.size == (least, 1)
    if not best and config.id_bits <= _TABLE_BITS and config.word_bits <= 64:
        try:
            return from_table(config, smallest_collision(table(config), config.pages, budget))
        except OutOfBudget as out:
            stopped = f"; stopped: {out}"
    if built is None:
        reason = f"no collision of fewer than {least} mappings (proved); none of {least} .. {config.pages} constructed"
        return Finding(config, Decision.UNDECIDED, reason + stopped)
    return Finding(config, Decision.REFUTED, _built(built, least), check(config, built))


def _built(witness: Witness, least: int) -> str:
    n, mms = witness.size
    proved = "fewest mappings" if n == least else f"the fewest mappings are between {least} and {n}"
    few = "one MM" if mms == 1 else "fewer MMs not excluded"
    return f"squares of distances sum to a multiple of 2^W; {proved}{', ' if mms == 1 else '; '}{few}"


def from_table(config: Config, found: Collision | None) -> Finding:
    """The finding of an exhaustive search over a table."""
    size = (1 << config.id_bits) - 1
    searched = f"exhaustive search over {size} IDs, up to {config.pages} mappings"
    if found is None:
        return Finding(config, Decision.SOUND, searched)
    proved = _FEWEST if found.fewest_mms else "fewest mappings; fewer MMs not excluded"
    if not found.fewest_mappings:
        proved = "stopped before all callers were searched: fewer mappings not excluded"
    return Finding(config, Decision.REFUTED, f"{proved}; {searched}", found.witness)


def table(config: Config) -> Table:
    """The configuration as a table, for exhaustive search: small ID ranges, words of 64 bits at most."""
    ids = range(1, 1 << config.id_bits)
    if config.scheme != "moments":
        shifts = [config.word_bits - e.bits for e in equations(config)]
        adds = [e.addend for e in equations(config)]
        return from_subids(ids, lambda mm: [f(mm) << s for f, s in zip(adds, shifts, strict=True)], config.word_bits)

    def steps(asked: int) -> Rows:
        distance = np.array(ids, np.uint64) - np.uint64(ids[asked])
        return (distance * distance & np.uint64((1 << config.word_bits) - 1))[:, None]

    return Table(ids, steps, config.word_bits)


def _square_theorem(config: Config, least: int) -> str:
    if config.id_bits == 1:
        return "one rmap ID: nobody to take for the caller"
    w, p, gap = config.word_bits, config.pages, (1 << config.id_bits) - 2
    if config.scheme == "moments":
        return f"theorem moments_sound: P * D^2 = {p} * {gap}^2 < 2^{w}"
    if config.scheme == "packed":
        rocq = p * gap**2 < 1 << w and p * gap < 1 << w - SUM_AT
        name = "theorem packed_sound" if rocq else "packed_sound with the variance bound (docs/refuter.md)"
        return f"{name}: a collision takes {least} mappings, P = {p}"
    a, c = config.id_bits - config.id_bits // 2, config.id_bits // 2
    room = w - 2 * config.order - a - c
    rocq = p * (((1 << a) - 1) ** 2 + ((1 << c) - 1) ** 2) < 1 << max(room, 0)
    name = "theorem one_value_sound" if rocq else "one_value_sound with the variance bound (docs/refuter.md)"
    return f"{name}: coordinates of {a} and {c} bits, a collision takes {least} mappings, P = {p}"
