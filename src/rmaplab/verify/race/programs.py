"""Programs in C over core/'s unchanged headers, enumerated under a model: the answers of `rmaplab race`.

For the command, its tests and docs/races.md. c/record.h is the platform they are compiled over, c/*_programs.h are
the programs. A *verdict* is about one promise of one program under one model.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rmaplab.errors import NotAvailable
from rmaplab.sources import CORE
from rmaplab.verify.race import build
from rmaplab.verify.race.engine import Execution, Found, Problem, Row, library
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.models import MODELS

PROMISES: Final = {
    "torn": "no reader sees half an update",
    "lost": "every update counts",
    "inexact": "in the end nobody is registered, and the sequence has counted every section",
    "waits": "nobody waits for ever",
    "fooled": "a stranger's reference never passes for a mapping's",
    "false-exclusive": "no reader calls a folio exclusive that was shared throughout",
    "warned": "no sanity check fires without cause",
    "raced": "no plain access meets another without order",
}
ROWS: Final = (
    *("read", "read_acquire", "write", "write_release", "add", "add_release", "add_return", "add_return_acquire"),
    *("add_return_release", "add_negative", "fetch_or_acquire", "cmpxchg", "cmpxchg_acquire", "cmpxchg_release"),
    *("cmpxchg128", "read128", "fence_release", "fence_acquire", "fence_full", "full_add_return", "full_cmpxchg"),
    *("fetch_and_release", "after_atomic", "before_atomic", "rmb", "wmb", "plain_read", "plain_write"),
)
_FLAGS: Final = ("-O0", "-Wno-unused-function", '-DRMAP_PLATFORM="record.h"')
_DEPENDS: Final = frozenset({"lkmm", "armv8", "riscv", "power"})
BOUND: Final = "bounded: the last round of every wait and retry loop"
_RACED: Final = "raced"
State = Literal["kept", "broken", "undecided"]


@dataclass(frozen=True)
class Program:
    """A program of the compiled list. `ours`: its promises are ours; a broken one is a finding."""

    number: int
    name: str
    stage: str
    what: str
    ours: bool
    roles: tuple[str, ...]
    words: tuple[str, ...]
    promises: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """One promise of one program under one model. `bound` is None if the answer is for all executions."""

    program: str
    stage: str
    model: str
    promise: str
    verdict: State
    bound: str | None
    executions: int
    witness: Execution | None
    roles: tuple[str, ...]
    words: tuple[str, ...]
    ours: bool
    reason: str | None = None


@dataclass(frozen=True)
class Programs:
    """A compiled list of programs: one for every state of the headers and width of the sequence count."""

    bits: int
    ffi: Any
    lib: Any

    def all(self) -> tuple[Program, ...]:
        """The list, in order."""
        return tuple(self._listed())

    def _listed(self) -> Iterator[Program]:
        number = 0
        while self.lib.race_program(number):
            yield self._program(number, self.lib.race_program(number))
            number += 1

    def _program(self, number: int, p: Any) -> Program:
        def text(pointer: Any) -> str:
            return str(self.ffi.string(pointer).decode())

        words = [text(word.name) for word in p.word if word.address]
        promises = tuple(name for i, name in enumerate(PROMISES) if p.mask >> i & 1)
        roles = tuple(text(p.role[t]) for t in range(p.threads))
        return Program(number, text(p.name), text(p.stage), text(p.what), bool(p.ours), roles, tuple(words), promises)

    def run(
        self,
        program: Program,
        model: str,
        seconds: float = 60.0,
        first_only: bool = False,
        rows: Mapping[str, Row] | None = None,
    ) -> tuple[Verdict, ...]:
        """Enumerate `program` under `model` (a key of MAPPINGS); a verdict per promise that the model can speak of.

        SC and machines know no data race. `rows`: another mapping than the column's.
        """
        found = self.explore(program, model, seconds, first_only, rows)
        speaks = bool(MODELS[MAPPINGS[model][0]].plain)
        promises = (promise for promise in program.promises if speaks or promise != _RACED)
        return tuple(self._verdict(program, model, promise, found) for promise in promises)

    def explore(
        self,
        program: Program,
        model: str,
        seconds: float,
        first_only: bool = False,
        rows: Mapping[str, Row] | None = None,
        *,
        spare: bool = True,
    ) -> Found:
        """The raw enumeration. `spare` as in `Problem`."""
        name, mapping = MAPPINGS[model]
        self.lib.race_select(program.number)
        self.lib.race_wants_dependencies(int(name in _DEPENDS))
        raw = self.lib.race_program(program.number)
        initial = [word.initial for word in raw.word if word.address]
        return Problem(
            MODELS[name],
            len(program.roles),
            initial,
            _numbered(rows or mapping),
            self.ffi.addressof(self.lib, "race_next"),
            self.ffi.addressof(self.lib, "race_judge"),
            self.ffi.addressof(self.lib, "race_forever"),
            promises=len(PROMISES),
            plain=_RACED in program.promises,
            flagged=list(PROMISES).index(_RACED) if _RACED in program.promises else None,
            alike=[int(self.ffi.cast("uintptr_t", raw.thread[t])) for t in range(raw.threads)],
            first_only=first_only,
            spare=spare,
            seconds=seconds,
        ).run()

    def _verdict(self, program: Program, model: str, promise: str, found: Found) -> Verdict:
        place = list(PROMISES).index(promise)
        unfinished = found.error or ("out of time" if found.timed_out else None)
        state: State = "broken" if found.broken[place] else "undecided" if unfinished else "kept"
        return Verdict(
            program.name,
            program.stage,
            model,
            promise,
            state,
            BOUND if state != "broken" else None,
            found.executions,
            found.witness[place],
            program.roles,
            program.words,
            program.ours,
            unfinished,
        )


def _numbered(mapping: Mapping[str, Row]) -> Sequence[Row]:
    return [mapping[name] for name in ROWS]


def load(bits: int = 64, core: Path = CORE, extra: Sequence[str] = ()) -> Programs:
    """Compile the programs over the headers in `core`.

    Raises NotAvailable if there are none, and RmaplabError with the compiler's first complaint if that fails.
    """
    if not (core / "atomic_seqcount.h").is_file():
        raise NotAvailable(f"race: needs rmaplab's C sources, {core} has none")
    here = build.HERE
    headers = sorted(path for folder in (core, here) for path in folder.glob("*.h") if path.is_file())
    flags = (*_FLAGS, f"-DRMAP_SEQCOUNT_BITS={bits}", f"-I{here}", f"-I{core}", *extra)
    path = build.compile_object([here / "programs.c", here / "record.c"], flags, headers)
    ffi = _declared()
    return Programs(bits, ffi, ffi.dlopen(str(path)))


@functools.cache
def _declared() -> Any:
    """The engine's FFI, with the programs' declarations added."""
    ffi, _ = library()
    ffi.cdef(build.declarations(build.HERE / "program.h"))
    return ffi
