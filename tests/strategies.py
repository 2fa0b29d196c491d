"""Hypothesis strategies for valid traces, for every test that wants any trace.

A trace is drawn as a list of small instructions and then carried out, so that it shrinks to the few that matter and is
valid by construction: nothing is unmapped that was not mapped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from rmaplab.trace import KINDS, MAX_ORDER, OUTCOMES, QUESTIONS_ASKED, Meta, Trace, TraceBuilder, Verdict

CROWDS = (2, 3, 70, 600, 3000)
"""How many MMs a crowd has: the interesting sizes around P of usual orders, and the 70 of the posted table."""

_PATTERNS = (0xAAAAAAAA, 0x55555555, 0x0F0F0F0F, 0xFFFF0000, 0x00FFFF00, 0xAAAA5555)


def rmap_ids(bits: int) -> st.SearchStrategy[int]:
    """IDs 1 .. 2^bits - 1, with a taste for the ends, single bits, all but one bit, and patterns."""
    top = (1 << bits) - 1
    special = {1, 2, 3, top, top - 1, top - 2, *(1 << i for i in range(bits)), *(top ^ (1 << i) for i in range(bits))}
    special |= {p & top for p in _PATTERNS} | {(p >> 7) & top for p in _PATTERNS}
    usable = sorted(i for i in special if 1 <= i <= top)
    return st.one_of(st.sampled_from(usable), st.integers(1, top))


def casts(bits: int) -> st.SearchStrategy[list[int]]:
    """The MMs of a trace: any few IDs, or IDs around one so that sums over some of them agree with sums of others."""

    def around(centre: int, offsets: list[int]) -> list[int]:
        near = [centre, *(centre + sign * o for o in offsets for sign in (1, -1))]
        return [i for i in near if 0 < i < 1 << bits]

    offsets = st.lists(st.integers(1, 4) | st.integers(0, bits - 1).map(lambda i: 1 << i), min_size=1, max_size=2)
    return st.lists(rmap_ids(bits), min_size=1, max_size=5) | st.builds(around, rmap_ids(bits), offsets)


def verdict_names() -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *(v.name.lower() for v in Verdict)])


_INSTRUCTIONS = st.tuples(
    st.sampled_from(["map", "unmap", "ask", "entire", "part", "crowd", "tick"]),
    st.integers(0, 7),
    st.integers(0, 7),
    st.integers(0, (1 << MAX_ORDER) - 1),
    st.integers(0, (1 << MAX_ORDER) - 1),
)


@dataclass
class _Program:
    """Carries instructions out. `live` holds what is mapped: (folio, first MM, MMs, page, nr, entire)."""

    orders: Sequence[int]
    ids: Sequence[int]
    id_bits: int
    max_crowd: int
    step: int = 0
    live: list[tuple[int, int, int, int, int, bool]] = field(default_factory=list)
    events: list[np.ndarray] = field(default_factory=list)
    questions: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    def do(self, what: str, folio: int, mm: int, a: int, b: int) -> None:
        folio %= len(self.orders)
        who, pages = self.ids[mm % len(self.ids)], 1 << self.orders[folio]
        page = a % pages
        nr = 1 + b % (pages - page)
        if what == "tick":
            self.step += 1 + b % 3
        elif what == "map":
            self.change((folio, who, 1, page, nr, False), nr)
        elif what == "entire":
            self.change((folio, who, 1, 0, 1 + b % 2, True), 1 + b % 2)
        elif what == "crowd":
            size = min(CROWDS[b % len(CROWDS)], self.max_crowd, (1 << self.id_bits) - who)
            self.change((folio, who, size, page, 1, False), 1)
        elif what == "ask":
            self.questions.append((self.step, folio, who, page, nr))
        elif self.live:
            self.unmap(a % len(self.live), b if what == "part" else 0)

    def unmap(self, index: int, keep: int) -> None:
        """Unmap one live range, or all but its last pages."""
        folio, who, size, page, nr, entire = self.live.pop(index)
        kept = keep % nr
        gone = nr - kept
        self.change((folio, who, size, page, gone, entire), -gone)
        if kept:
            self.live.append((folio, who, size, page if entire else page + gone, kept, entire))

    def change(self, what: tuple[int, int, int, int, int, bool], nr: int) -> None:
        folio, who, size, page, _, entire = what
        rows = np.empty((size, 6), np.int64)
        rows[:] = self.step, folio, 0, page, nr, entire
        rows[:, 2] = np.arange(who, who + size)
        self.events.append(rows)
        if nr > 0:
            self.live.append(what)


@st.composite
def traces(
    draw: st.DrawFn,
    *,
    orders: Sequence[int] = tuple(range(10)),
    id_bits: int = 24,
    max_crowd: int = CROWDS[-1],
    max_size: int = 40,
    details: bool = False,
) -> Trace:
    """Any valid trace over folios of `orders` and rmap IDs below 2^id_bits.

    Every MM of the trace's small cast asks about every folio at the end, besides the questions asked on the way.
    `details` draws kinds, PFNs, outcomes and the other columns no scheme looks at.
    """
    folios = draw(st.lists(st.sampled_from(list(orders)), min_size=1, max_size=4))
    ids = draw(casts(id_bits))
    program = _Program(folios, ids, id_bits, max_crowd)
    for instruction in draw(st.lists(_INSTRUCTIONS, max_size=max_size)):
        program.do(*instruction)
    program.step += 1
    program.questions += [(program.step, f, who, 0, 1) for f in range(len(folios)) for who in ids]

    builder = TraceBuilder()
    pfns = details and draw(st.booleans())
    kinds = KINDS if details and max(folios) == 0 else KINDS[:3] if details else KINDS[:1]
    builder.folios(folios, draw(st.sampled_from(kinds)), range(7, 7 + len(folios)) if pfns else None)
    if program.events:
        step, folio, mm, page, nr, entire = np.concatenate(program.events).T
        builder.events(folio, mm, page, nr, entire.astype(bool), step=step)
    step, folio, mm, page, pages = np.array(program.questions).T
    extra = draw(_details(len(program.questions))) if details else {}
    builder.questions(folio, mm, page=page, pages=pages, step=step, **extra)
    return builder.build(draw(_metas(pfns)) if details else Meta("hypothesis"))


def _details(rows: int) -> st.SearchStrategy[dict[str, object]]:
    def column(values: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
        return st.lists(values, min_size=rows, max_size=rows)

    return st.fixed_dictionaries(
        {
            "what": st.sampled_from(QUESTIONS_ASKED),
            "kernel": column(verdict_names()),
            "truth": column(verdict_names()),
            "outcome": column(st.sampled_from([None, *OUTCOMES])),
            "extra_refs": st.none() | st.integers(0, 3),
        }
    )


def _metas(pfns: bool) -> st.SearchStrategy[Meta]:
    text = st.text(st.characters(codec="utf-8"), max_size=8)
    return st.builds(
        Meta,
        source=text,
        kernel=text,
        page_size=st.sampled_from([4096, 16384, 65536]),
        exactness=st.sampled_from(["exact", "estimate", "unknown"]),
        why=text,
        scenario=text,
        host=text,
        pfns=st.just(pfns),
        stats=st.dictionaries(text, st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    )
