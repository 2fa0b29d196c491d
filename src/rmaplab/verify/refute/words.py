"""What a configuration's words do, in exact integers: the equations a scheme checks, for any values and word size.

The refuter's own reading of docs/schemes.md, compared with `rmaplab.schemes` and with the Rocq definitions by tests.
Every witness passes `check` before anybody sees it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from rmaplab.errors import RmaplabError
from rmaplab.names import must_be
from rmaplab.schemes import SCHEMES
from rmaplab.schemes.generations import POSTED
from rmaplab.schemes.packed import SUM_AT
from rmaplab.schemes.subid import max_digits
from rmaplab.verify.refute.digits import Chunks
from rmaplab.verify.refute.problem import Config, Witness

LINEAR = ("generations", "generations-safe", "bits", "moments", "one-value", "packed")
MOST_ID_BITS = 32
MOST_WORD_BITS = 256
_ID_BITS = 24
_FIXED_VALUES = {"moments": 2, "one-value": 1, "packed": 2}


@dataclass(frozen=True, slots=True)
class Equation:
    """One comparison: sum over the mappings of `addend(id)` against n * addend(x), modulo 2^bits."""

    addend: Callable[[int], int]
    bits: int


def configure(scheme: str, order: int, values: int | None, id_bits: int | None, word_bits: int) -> Config:
    """The configuration these options name, the rest as the scheme's own table has it.

    Raises RmaplabError for what makes no sense. `generations` reads its ID in the base of the posted row; with
    another number of `values` than posted, each takes the same share of the ID's bits, rounded up.
    """
    if scheme not in LINEAR:
        raise RmaplabError(f"scheme {scheme!r}: not a linear scheme, {must_be(scheme, LINEAR)}")
    orders = range(POSTED[0].first, POSTED[-1].last + 1) if scheme == "generations" else range(1, 22)
    _within("order", order, orders.start, orders.stop - 1)
    _within("word bits", word_bits, SUM_AT + 1 if scheme == "packed" else 1, MOST_WORD_BITS)
    bits = id_bits if id_bits is not None else _own_bits(scheme, order)
    _within("ID bits", bits, 1, MOST_ID_BITS)
    if values is not None:
        _within("values", values, 1, MOST_ID_BITS)
    fixed = bits if scheme == "bits" else _FIXED_VALUES.get(scheme)
    if fixed is not None and values not in (None, fixed):
        raise RmaplabError(f"values: {values}: {scheme} has {fixed}")
    if fixed is None:
        fixed = values if values is not None else _own_values(scheme, order, bits, word_bits)
    return Config(scheme, order, fixed, bits, word_bits)


def chunks(config: Config) -> Chunks:
    """How a digit scheme reads its IDs."""
    if config.scheme == "bits":
        return Chunks((1,), config.id_bits, config.id_bits, config.word_bits)
    size = -(-config.id_bits // config.values)
    base = config.base
    if config.scheme == "generations":
        row = next(r for r in POSTED if r.first <= config.order <= r.last)
        base = base or row.base
        if config.values == row.values:
            size = max(size, row.bits)
    weights = tuple(pow(base or config.pages + 1, i) for i in range(size))
    return Chunks(weights, config.values, config.id_bits, config.word_bits)


def halves(id_bits: int) -> tuple[int, int]:
    """Bits (a, c) of one-value's two coordinates."""
    return id_bits - id_bits // 2, id_bits // 2


def equations(config: Config) -> tuple[Equation, ...]:
    """The comparisons of a configuration; of `moments` both sums, though the scheme checks one combination."""
    w = config.word_bits
    if config.scheme == "moments":
        return Equation(lambda mm: mm, w), Equation(lambda mm: mm * mm, w)
    if config.scheme == "packed":
        return Equation(lambda mm: mm, w - SUM_AT), Equation(lambda mm: mm * mm, w)
    if config.scheme == "one-value":
        return (Equation(lambda mm: one_value(config, mm), w),)
    digits = chunks(config)
    return tuple(Equation(partial(digits.subid, k), w) for k in range(config.values))


def one_value(config: Config, mm: int) -> int:
    """The point of `mm` on the paraboloid, as an integer."""
    o = config.order
    a, c = halves(config.id_bits)
    x, y = mm & (1 << a) - 1, mm >> a
    return x + (y << o + a) + (x * x + y * y << 2 * o + a + c)


def check(config: Config, witness: Witness) -> Witness:
    """The witness with both sides of every equation; AssertionError if it is none (a bug of the search)."""
    n, x = witness.mapcount, witness.mm
    ids = [x, *witness.mappings]
    if not (min(ids) > 0 and max(ids) < 1 << config.id_bits and n <= config.pages and x not in witness.mappings):
        raise AssertionError(f"{config}: {witness}: out of range")
    sums = _moments_sides(config, witness) if config.scheme == "moments" else []
    if config.scheme != "moments":
        for equation in equations(config):
            total = sum(pages * equation.addend(mm) for mm, pages in witness.mappings.items())
            modulus = 1 << equation.bits
            sums.append((total % modulus, n * equation.addend(x) % modulus))
    if any(left != right for left, right in sums):
        raise AssertionError(f"{config}: {witness}: the equations do not hold: {sums}")
    return replace(witness, sides=tuple(sums))


def _moments_sides(config: Config, witness: Witness) -> list[tuple[int, int]]:
    n, x = witness.mapcount, witness.mm
    first = sum(pages * mm for mm, pages in witness.mappings.items())
    second = sum(pages * mm * mm for mm, pages in witness.mappings.items())
    return [((second - 2 * x * first + n * x * x) % (1 << config.word_bits), 0)]


def _own_bits(scheme: str, order: int) -> int:
    """The ID bits the scheme itself takes with words of 64 bits: 24, or fewer where squares leave no room."""
    own = SCHEMES[scheme]
    return min(_ID_BITS, own.capacity(order)) if scheme in _FIXED_VALUES and order in own.orders else _ID_BITS


def _own_values(scheme: str, order: int, bits: int, word_bits: int) -> int:
    if scheme == "generations":
        row = next(r for r in POSTED if r.first <= order <= r.last)
        if bits > row.values * row.bits:
            holds = row.values * row.bits
            raise RmaplabError(f"ID bits: {bits}: the posted row of order {order} holds {holds}; give values")
        return row.values
    return -(-bits // max(1, max_digits((1 << order) + 1, word_bits)))


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise RmaplabError(f"{what}: {value}: must be in {least} .. {most}")
