"""Which barrier is needed where: take one out of core/'s headers, and see under which models what promise breaks.

For `rmaplab race --barriers` and docs/races.md. A barrier is a line of a header and the line that stands there
without it; the programs run over a copy of the headers. `needed` is an execution; `not needed` holds for the programs
run, within their bound.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rmaplab.sources import CORE
from rmaplab.verify.race.programs import BOUND, Programs, Verdict, load

SEQCOUNT: Final = ("writer-reader", "two-writers", "two-writers-reader", "unmap-pin-ask", "map-pinned-ask")
LOCKED: Final = ("map-map", "turn-ask", "drop-cow", "take-cow")
Need = Literal["needed", "not needed", "undecided"]


@dataclass(frozen=True)
class Barrier:
    """`old` in `file` (below core/) orders something, `new` does not. `programs` are those that could tell."""

    name: str
    file: str
    old: str
    new: str
    programs: tuple[str, ...] = SEQCOUNT


@dataclass(frozen=True)
class Needed:
    """One barrier under one model. `broken` is the promise that breaks without it, and the program that shows it."""

    barrier: Barrier
    model: str
    verdict: Need
    broken: Verdict | None


BARRIERS: Final = (
    Barrier(
        "acquire of rmap_read_begin",
        "atomic_seqcount.h",
        "(word = rmap_read_acquire(s)) &",
        "(word = rmap_read(s)) &",
    ),
    Barrier("acquire fence of rmap_read_retry", "atomic_seqcount.h", "\trmap_fence_acquire();\n", ""),
    Barrier("release fence of rmap_write_enter", "atomic_seqcount.h", "\trmap_fence_release();\n", ""),
    Barrier(
        "acquire of the wait for the exclusive writer",
        "atomic_seqcount.h",
        "word = rmap_read_acquire(s);",
        "word = rmap_read(s);",
    ),
    Barrier(
        "acquire of a shared writer's entry",
        "atomic_seqcount.h",
        "rmap_seq word = rmap_add_return_acquire(s, enter);",
        "rmap_seq word = rmap_add_return(s, enter);",
    ),
    Barrier(
        "acquire of the exclusive entry by cmpxchg",
        "atomic_seqcount.h",
        "rmap_try_cmpxchg_acquire(s, &word,",
        "rmap_try_cmpxchg(s, &word,",
    ),
    Barrier(
        "acquire of the exclusive entry by add-return",
        "atomic_seqcount.h",
        "word = rmap_add_return_acquire(s, RMAP_SEQ_ONE_EXCLUSIVE);",
        "word = rmap_add_return(s, RMAP_SEQ_ONE_EXCLUSIVE);",
    ),
    Barrier(
        "release of rmap_write_end",
        "atomic_seqcount.h",
        "\trmap_add_release(s, rmap_seq_step",
        "\trmap_add(s, rmap_seq_step",
    ),
    Barrier(
        "release of rmap_put",
        "folio.h",
        "rmap_add_release(&folio->refcount, -nr);",
        "rmap_add(&folio->refcount, -nr);",
        ("drop-cow", "drop-sanity"),
    ),
    Barrier(
        "acquire of rmap_bit_lock",
        "bit_lock.h",
        "rmap_fetch_or_acquire(word, RMAP_LOCK_BIT)",
        "rmap_fetch_or(word, RMAP_LOCK_BIT)",
        LOCKED,
    ),
    Barrier(
        "release of rmap_bit_unlock",
        "bit_lock.h",
        "rmap_write_release(word, new);",
        "rmap_write(word, new);",
        LOCKED,
    ),
    Barrier(
        "release that ends packed's freeze",
        "packed.h",
        "rmap_write_release(&folio->packed.lo, word.lo);",
        "rmap_write(&folio->packed.lo, word.lo);",
        ("turn-ask", "drop-cow", "take-cow"),
    ),
)


def without(barriers: Sequence[Barrier], bits: int = 64) -> Programs:
    """The programs over a copy of the headers that lacks these barriers. ValueError if a line is not there once."""
    with tempfile.TemporaryDirectory(prefix="rmaplab-race-") as folder:
        copy = Path(shutil.copytree(CORE, Path(folder) / "core"))
        for barrier in barriers:
            header = copy / barrier.file
            text = header.read_text()
            if text.count(barrier.old) != 1:
                raise ValueError(
                    f"{barrier.file}: {barrier.old!r}: must occur once, occurs {text.count(barrier.old)} times"
                )
            header.write_text(text.replace(barrier.old, barrier.new))
        return load(bits, core=copy)


def needs(barriers: Sequence[Barrier], models: Sequence[str], seconds: float, bits: int = 64) -> Iterator[Needed]:
    """Barrier by barrier, model by model. `seconds` is for one program under one model."""
    for barrier in barriers:
        programs = without((barrier,), bits)
        for model in models:
            yield _need(barrier, programs, model, seconds)


def _need(barrier: Barrier, programs: Programs, model: str, seconds: float) -> Needed:
    undecided = False
    for program in programs.all():
        if not program.ours or program.name not in barrier.programs:
            continue
        for verdict in programs.run(program, model, seconds, first_only=True):
            if verdict.verdict == "broken":
                return Needed(barrier, model, "needed", verdict)
            undecided |= verdict.verdict == "undecided"
    return Needed(barrier, model, "undecided" if undecided else "not needed", None)


def row(need: Needed) -> dict[str, Any]:
    """An answer for --json."""
    broken = need.broken
    return {
        "barrier": need.barrier.name,
        "file": need.barrier.file,
        "model": need.model,
        "verdict": need.verdict,
        "promise": broken and broken.promise,
        "program": broken and broken.program,
        "stage": broken and broken.stage,
        "bound": None if broken else BOUND,
    }


def cells(found: Sequence[Needed], models: Sequence[str]) -> list[tuple[str, ...]]:
    """A line a barrier, a cell a model: the promise that breaks without it, `-` if none does, `?` if undecided."""
    lines: dict[str, dict[str, str]] = {}
    for need in found:
        text = need.broken.promise if need.broken else "-" if need.verdict == "not needed" else "?"
        lines.setdefault(need.barrier.name, {})[need.model] = text
    return [(name, *(line.get(model, "") for model in models)) for name, line in lines.items()]
