"""A witness as a trace, and what the engine says of it: the wrong verdict must show where nobody searched.

For the command line and tests. The trace has two folios: one mapped as the witness says, and, where P leaves room, one
that the caller maps with one page more, as every MM that takes a COW fault does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rmaplab.engine import replay, truth
from rmaplab.schemes import SCHEMES, Exactness, Layout, Predicate, Scheme
from rmaplab.schemes.base import Field
from rmaplab.schemes.moments import Moments
from rmaplab.schemes.pricing import SeqcountPriced
from rmaplab.trace import Meta, Trace, TraceBuilder, Verdict
from rmaplab.verify.refute.problem import Config, Witness
from rmaplab.verify.refute.words import equations

ENGINE_WORD_BITS = 64


@dataclass(frozen=True)
class Configured(SeqcountPriced):
    """Any configuration as a scheme: W-bit words live in the upper bits of 64-bit ones, where they wrap alike."""

    name: ClassVar[str] = "configured"
    title: ClassVar[str] = "a configuration under test"
    source: ClassVar[str] = "rmaplab.verify.refute"
    predicate: ClassVar[Predicate] = Predicate.BY_CALLER
    exact: ClassVar[Exactness] = Exactness.HEURISTIC
    addends: tuple[tuple[Callable[[int], int], int], ...] = field(default=())
    """Per word what one mapping adds, and the word's bits."""

    def words(self, order: int) -> int:
        return 1 + len(self.addends)

    def addend(self, order: int, word: int, mm: NDArray[np.uint64]) -> NDArray[np.uint64]:
        if word == 0:
            return np.ones(mm.shape, np.uint64)
        add, bits = self.addends[word - 1]
        scaled = [add(int(x)) << ENGINE_WORD_BITS - bits & (1 << ENGINE_WORD_BITS) - 1 for x in mm.ravel()]
        return np.array(scaled, np.uint64).reshape(mm.shape)

    def trusted_mapcount(self, order: int) -> int:
        return 1 << order

    def capacity(self, order: int) -> int:
        return self.id_bits

    def layout(self, order: int) -> Layout:
        return Layout(order, (Field("value", ENGINE_WORD_BITS, len(self.addends)),), len(self.addends))


@dataclass(frozen=True)
class _UngatedMoments(Moments):
    """`moments` that trusts its equation for every mapcount up to P: the configuration that was refuted."""

    def trusted_mapcount(self, order: int) -> int:
        return 1 << order

    def capacity(self, order: int) -> int:
        return self.id_bits


def as_scheme(config: Config) -> Scheme | None:
    """The scheme to replay a witness against `config` with; None if its words do not fit the engine's."""
    posted = SCHEMES["generations"]
    as_posted = config.scheme == "generations" and config.base is None and config.word_bits == ENGINE_WORD_BITS
    if as_posted and posted.layout(config.order).values == config.values:
        return posted
    if config.word_bits > ENGINE_WORD_BITS:
        return None
    if config.scheme == "moments":
        return _UngatedMoments(id_bits=config.id_bits) if config.word_bits == ENGINE_WORD_BITS else None
    return Configured(config.id_bits, tuple((e.addend, e.bits) for e in equations(config)))


def as_trace(config: Config, witness: Witness) -> Trace:
    """Who maps what, as events: pages are handed out in turn. One question per folio, by the witness' MM."""
    builder = TraceBuilder()
    own = [0, 1] if witness.mapcount < config.pages else [0]
    folios = builder.folios([config.order] * len(own), "anon")
    for folio, pages_of_caller in zip(folios, own, strict=True):
        page = 0
        for mm, pages in [(witness.mm, pages_of_caller), *witness.mappings.items()]:
            if pages:
                builder.events(folio, mm, page, pages)
            page += pages
    builder.tick()
    for folio in folios:
        builder.questions(folio, witness.mm)
    return builder.build(Meta(source="refuter", scenario=f"witness against {config.scheme}"))


def replayed(config: Config, witness: Witness) -> str | None:
    """What the engine answers for the witness, beside the truth, in words; None if it cannot be asked."""
    scheme = as_scheme(config)
    if scheme is None:
        return None
    trace = as_trace(config, witness)
    answers = [Verdict(v).name.lower() for v in replay(trace, scheme)]
    right = [Verdict(v).name.lower() for v in truth(trace)]
    with_caller = f"; with a page of the caller's own {answers[1]}" if len(answers) > 1 else ""
    return f"replayed by the engine: {answers[0]}{with_caller}; the truth: {right[0]}"
