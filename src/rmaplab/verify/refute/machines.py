"""The schemes that are no sums, as transition functions on small tuples, for exhaustive search.

For `sequences`. The refuter's own reading of docs/schemes.md, for any width and in exact integers; tests compare it with
`rmaplab.schemes`, event by event.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from rmaplab.errors import RmaplabError
from rmaplab.schemes import SCHEMES

State = tuple[int, ...]


class Event(NamedTuple):
    """One rmap update, as in a trace."""

    mm: int
    page: int
    nr: int
    entire: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """A scheme: its state for a folio nobody maps, the state after an event, and "EXCLUSIVE?" for an MM."""

    start: State
    step: Callable[[State, Event], State]
    exclusive: Callable[[State, int], bool]
    by_page: bool = False
    """Whether it matters which page is mapped, and how."""


def mm_id() -> Machine:
    """(total, owner 0, owner 1, count 0, count 1, flag)."""

    def step(state: State, e: Event) -> State:
        total, flag = state[0] + e.nr, state[5]
        owners, counts = list(state[1:3]), list(state[3:5])
        if e.nr > 0:
            mine = owners.index(e.mm) if e.mm in owners else None
            free = owners.index(0) if 0 in owners else None
            if mine is not None:
                counts[mine] += e.nr
            elif free is not None:
                owners[free], counts[free] = e.mm, e.nr
                flag |= total != e.nr
            else:
                flag = 1
        else:
            for slot in (0, 1):
                if owners[slot] == e.mm:
                    left = counts[slot] + e.nr
                    owners[slot], counts[slot] = (e.mm, left) if left > 0 else (0, 0)
            if total == 0 or any(o and c == total for o, c in zip(owners, counts, strict=True)):
                flag = 0
        return total, *owners, *counts, int(flag)

    return Machine((0,) * 6, step, lambda state, _: not state[5])


def moments_flag(sum_bits: int, square_bits: int, id_bits: int) -> Machine:
    """(total, sum, squares, flag) in words of these widths, for IDs of `id_bits`."""
    bound = ((1 << square_bits) - 1) // ((1 << id_bits) - 1)
    sums, squares = (1 << sum_bits) - 1, (1 << square_bits) - 1

    def step(state: State, e: Event) -> State:
        n, s, q, flag = state
        after = n + e.nr, (s + e.nr * e.mm) & sums, (q + e.nr * e.mm * e.mm) & squares
        if e.nr > 0:
            return *after, int(flag or (n * e.mm - s) & sums != 0)
        n, s, q = after
        return *after, int(flag and not (s <= bound and n * q == s * s))

    return Machine((0, 0, 0, 0), step, lambda state, _: not state[3])


def owner_counter() -> Machine:
    """(total, owner, others)."""

    def step(state: State, e: Event) -> State:
        n, owner, others = state
        owner = owner if n else e.mm
        n += e.nr
        return n, owner if n else 0, others + (e.nr if owner != e.mm else 0)

    return Machine((0, 0, 0), step, lambda state, mm: not state[0] or (state[1] == mm and not state[2]))


def _first_page(exclusive: Callable[[State], bool]) -> Machine:
    """(total, entire, mappings of the first page by PTEs)."""

    def step(state: State, e: Event) -> State:
        first = 0 if e.entire or e.page else (1 if e.nr > 0 else -1)
        return state[0] + e.nr, state[1] + (e.nr if e.entire else 0), state[2] + first

    return Machine((0, 0, 0), step, lambda state, _: exclusive(state), by_page=True)


def estimated_sharers() -> Machine:
    return _first_page(lambda s: s[1] + s[2] <= 1)


def likely_shared(pages: int) -> Machine:
    return _first_page(lambda s: s[0] <= 1 or not (s[1] > 0 or s[0] > pages or s[2] > 1))


NONLINEAR: Final = ("mm-id", "moments-flag", "owner-counter", "estimated-sharers", "likely-shared")
LOCK_AND_FLAG: Final = 2
"""Bits of moments-flag's first word that are no sum."""
MOST_MAPCOUNT: Final = (1 << 31) - 1
"""What a mapcount counts up to before it saturates: docs/schemes.md, Limits."""


def machine(scheme: str, order: int, id_bits: int, word_bits: int) -> Machine:
    """The machine of a scheme of NONLINEAR. Raises RmaplabError for widths it cannot have."""
    if scheme != "moments-flag" and word_bits != 64:
        raise RmaplabError(f"word bits: {word_bits}: {scheme} counts, and has no words to wrap")
    if scheme == "moments-flag":
        if word_bits <= LOCK_AND_FLAG:
            raise RmaplabError(f"word bits: {word_bits}: must be more than {LOCK_AND_FLAG}: lock and flag take these")
        return moments_flag(word_bits - LOCK_AND_FLAG, word_bits, id_bits)
    if scheme == "likely-shared":
        return likely_shared(1 << order)
    return {"mm-id": mm_id, "owner-counter": owner_counter, "estimated-sharers": estimated_sharers}[scheme]()


def own_id_bits(scheme: str, order: int) -> int:
    """The ID bits the scheme takes."""
    return (SCHEMES[scheme].accepted_ids(order)).bit_length() - 1
