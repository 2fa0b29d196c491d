"""Programs over core/'s headers as litmus files, for herd7 and for litmus.py: a second opinion on engine and recorder.

For `rmaplab race --export litmus`. A program has loops and branches, a litmus file shall have none: so one file is
one way through every thread with the values it read, and asks whether that outcome can be. First the outcomes under
Linux' model are enumerated, then those of the same program with everything relaxed, of which most are forbidden;
each becomes a file whose `Result:` line is what the enumerator says. Dependencies that the recorder found are
written as such: `+ (r - r)` for data, an `if` around the store for control.

Not here: programs with 16-byte accesses, which Linux' model does not know.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rmaplab.verify.race.engine import Problem, Row, library
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.programs import ROWS, Program, Programs

OUTCOMES: Final = 24
"""Files of a program, at most: half of them outcomes that can be."""
_FENCES: Final = {
    "fence_release": "smp_mb__after_atomic",
    "fence_acquire": "smp_rmb",
    "fence_full": "smp_mb",
    "after_atomic": "smp_mb__after_atomic",
    "before_atomic": "smp_mb__before_atomic",
    "rmb": "smp_rmb",
    "wmb": "smp_wmb",
}
_PRIMITIVES: Final = {
    "read": "{r} = READ_ONCE(*{x});",
    "read_acquire": "{r} = smp_load_acquire({x});",
    "write": "WRITE_ONCE(*{x}, {v});",
    "write_release": "smp_store_release({x}, {v});",
    "add": "atomic_add({v}, {x});",
    **dict.fromkeys(
        ("add_release", "add_return_release", "fetch_and_release"), "{r} = atomic_fetch_add_release({v}, {x});"
    ),
    "add_return": "{r} = atomic_fetch_add_relaxed({v}, {x});",
    **dict.fromkeys(("add_return_acquire", "fetch_or_acquire"), "{r} = atomic_fetch_add_acquire({v}, {x});"),
    **dict.fromkeys(("add_negative", "full_add_return"), "{r} = atomic_fetch_add({v}, {x});"),
    "cmpxchg": "{r} = atomic_cmpxchg_relaxed({x}, {e}, {v});",
    "cmpxchg_acquire": "{r} = atomic_cmpxchg_acquire({x}, {e}, {v});",
    "cmpxchg_release": "{r} = atomic_cmpxchg_release({x}, {e}, {v});",
    "full_cmpxchg": "{r} = atomic_cmpxchg({x}, {e}, {v});",
    "plain_read": "{r} = *{x};",
    "plain_write": "*{x} = {v};",
}
RELAXED: Final = {name: Row() if name in _FENCES else Row(("Once",), ("Once",), failed=("Once",)) for name in ROWS}
"""A mapping to Linux' model that orders nothing."""


class Unfinished(Exception):
    """The outcomes of a program were not all found in the time given."""


Outcome = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
"""What every thread read, and every word's last value."""


@dataclass(frozen=True)
class Exported:
    """A litmus file. `result`: Sometimes or Never, as the enumerator has it."""

    name: str
    text: str
    result: str


@dataclass(frozen=True)
class _Line:
    """An operation of a path as text; `read`: its register and the value it got, if the thread learns it."""

    text: str
    read: tuple[str, int] | None


def exported(programs: Programs, program: Program, seconds: float = 10.0) -> Iterator[Exported]:
    """The program's files; at most OUTCOMES. Raises Unfinished after `seconds`."""
    can, done = outcomes(programs, program, "lkmm", MAPPINGS["lkmm"][1], seconds)
    if not done:
        raise Unfinished(f"{program.name}/{program.stage}: not done under lkmm after {seconds} s")
    might, _ = outcomes(programs, program, "lkmm", RELAXED, seconds)
    writer = _Writer(programs, program)
    seen: dict[str, str] = {}
    for outcome in sorted(can):
        seen.setdefault(writer.body(outcome), "Sometimes")
    allowed = list(seen)
    for outcome in sorted(might - can):
        seen.setdefault(writer.body(outcome), "Never")
    forbidden = [body for body, result in seen.items() if result == "Never"]
    bodies = [*_spread(allowed, OUTCOMES // 2), *_spread(forbidden, OUTCOMES // 2)]
    for number, body in enumerate(bodies):
        name = re.sub(r"\W+", "-", f"{program.name}-{program.stage}-{number:02}")
        yield Exported(name, f"C {name}\n\n(* Result: {seen[body]} *)\n\n{body}", seen[body])


def can_be_exported(programs: Programs, program: Program) -> bool:
    """No 16-byte access in it: those words are neighbours named lo and hi."""
    raw = programs.lib.race_program(program.number)
    return not any(programs.ffi.string(word.name) in (b"lo", b"hi") for word in raw.word if word.address)


def _spread(items: Sequence[str], count: int) -> list[str]:
    """At most `count` of them, evenly."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def outcomes(
    programs: Programs, program: Program, model: str, mapping: Mapping[str, Row], seconds: float
) -> tuple[set[Outcome], bool]:
    """Outcomes of complete executions under the axioms of `model` (of MODELS), with these rows; and: are those all?"""
    ffi, lib = programs.ffi, programs.lib
    found: set[Outcome] = set()
    threads, words = len(program.roles), len(program.words)

    def judge(graph: Any, final: Any, stuck: int) -> int:
        if not stuck:
            reads = tuple(tuple(graph.thread[t].value[i] for i in range(graph.thread[t].reads)) for t in range(threads))
            found.add((reads, tuple(final[k] for k in range(words))))
        return 0

    lib.race_select(program.number)
    lib.race_wants_dependencies(1)
    raw = lib.race_program(program.number)
    problem = Problem(
        MODELS[model],
        threads,
        [word.initial for word in raw.word if word.address],
        [mapping[name] for name in ROWS],
        ffi.addressof(lib, "race_next"),
        ffi.callback("unsigned(const struct graph *, const uint64_t *, unsigned)", judge),
        ffi.addressof(lib, "race_forever"),
        plain=True,
        seconds=seconds,
    )
    result = problem.run()
    return found, not result.timed_out and result.error is None


@dataclass(frozen=True)
class _Op:
    """An operation of a path. `old` is what it read, `new` what it stored; `data` and `ctrl` are reads, by number."""

    row: str
    word: int
    reads: bool
    old: int
    new: int
    expect: int
    data: tuple[int, ...]
    ctrl: tuple[int, ...]


class _Writer:
    """Writes outcomes of one program as bodies of litmus files."""

    def __init__(self, programs: Programs, program: Program) -> None:
        self._ffi, self._engine = library()
        self._lib = programs.lib
        self._program = program
        words = [word for word in self._lib.race_program(program.number).word if word.address]
        self._names = [re.sub(r"\W+", "_", name).strip("_") for name in program.words]
        self._initial = [_signed(word.initial, word.size) for word in words]
        self._sizes = [word.size for word in words]

    def body(self, outcome: Outcome) -> str:
        """Everything behind the file's name."""
        reads, final = outcome
        paths = [self._path(thread, values) for thread, values in enumerate(reads)]
        ends = [_signed(value, size) for value, size in zip(final, self._sizes, strict=True)]
        names = [
            _renamed(word, [op for path in paths for op in path], first, last)
            for word, (first, last) in enumerate(zip(self._initial, ends, strict=True))
        ]
        lines = [_lines(path, self._names, names) for path in paths]
        values = [name[value] for name, value in zip(names, self._initial, strict=True)]
        start = " ".join(f"{word}={value};" for word, value in zip(self._names, values, strict=True) if value)
        parameters = ", ".join(f"atomic_t *{name}" for name in self._names)
        wanted = [f"{t}:{line.read[0]}={line.read[1]}" for t, path in enumerate(lines) for line in path if line.read]
        wanted += [f"{word}={name[end]}" for word, name, end in zip(self._names, names, ends, strict=True)]
        threads = []
        for t, path in enumerate(lines):
            registers = "".join(f"\tint {line.read[0]} = 0;\n" for line in path if line.read)
            threads.append(f"P{t}({parameters})\n{{\n{registers}{''.join(line.text for line in path)}}}\n")
        return "\n".join((f"{{ {start} }}", "", *threads, f"exists ({_and(wanted)})", ""))

    def _path(self, thread: int, values: Sequence[int]) -> list[_Op]:
        """The operations of a thread that reads these values."""
        self._lib.race_select(self._program.number)
        self._lib.race_wants_dependencies(1)
        given = self._ffi.new("uint64_t[]", [*values, 0])
        raw = self._ffi.new("struct op *")
        path: list[_Op] = []
        reads = 0
        while True:
            if self._lib.race_next(thread, given, reads, len(path), raw):
                raise ValueError(f"{self._program.name}/{self._program.stage}: a thread cannot be recorded again")
            if raw.kind in (self._engine.OP_DONE, self._engine.OP_SPIN):
                return path
            path.append(self._op(raw, values, reads))
            reads += path[-1].reads

    def _op(self, raw: Any, values: Sequence[int], reads: int) -> _Op:
        fence, writes = raw.kind == self._engine.OP_FENCE, raw.kind == self._engine.OP_WRITE
        size = 8 if fence else self._sizes[raw.loc]
        old = 0 if fence or writes else values[reads]
        value = int(raw.value[0])
        new = value
        if raw.kind == self._engine.OP_RMW:
            functions = {
                self._engine.FN_ADD: old + value,
                self._engine.FN_OR: old | value,
                self._engine.FN_AND: old & value,
            }
            new = functions[raw.function]
        return _Op(
            ROWS[raw.row],
            raw.loc,
            not (fence or writes),
            _signed(old, size),
            _signed(new, size),
            _signed(raw.expect[0], size),
            tuple(i for i in range(reads) if raw.data >> i & 1),
            tuple(i for i in range(reads) if raw.ctrl >> i & 1),
        )


def _renamed(word: int, ops: Sequence[_Op], first: int, last: int) -> Mapping[int, int]:
    """What the word's values are called in the file: themselves, or, where herd7's 31 bits have no room, their ranks.

    An execution that reads what the file asks for adds what leads from rank to rank. Where somebody adds without
    looking at the old value that would not hold: such words keep their values.
    """
    mine = [op for op in ops if op.row not in _FENCES and op.word == word]
    values = sorted({first, last, *(v for op in mine for v in (op.old, op.new, op.expect))})
    if all(abs(value) < 1 << 31 for value in values) or any(op.row == "add" for op in mine):
        return {value: value for value in values}
    return {value: rank for rank, value in enumerate(values)}


def _lines(path: Sequence[_Op], words: Sequence[str], names: Sequence[Mapping[int, int]]) -> list[_Line]:
    """A thread's operations as text."""
    registers: list[tuple[str, int] | None] = []
    lines: list[_Line] = []
    for op in path:
        if op.row in _FENCES:
            lines.append(_Line(f"\t{_FENCES[op.row]}();\n", None))
            continue
        name = names[op.word]
        register = (f"r{len(registers)}", name[op.old]) if op.reads and op.row != "add" else None
        adds = "_fetch_add" in _PRIMITIVES[op.row] or op.row == "add"
        value = name[op.new] - name[op.old] if adds else name[op.new]
        depends = "".join(f" + ({read[0]} - {read[0]})" for read in (registers[i] for i in op.data) if read)
        text = _PRIMITIVES[op.row].format(
            r=register[0] if register else "", x=words[op.word], v=f"{value}{depends}", e=name[op.expect]
        )
        for read in (registers[i] for i in op.ctrl):
            text = f"if ({read[0]} == {read[1]}) {{ {text} }}" if read else text
        if op.reads:
            registers.append(register)
        lines.append(_Line(f"\t{text}\n", register))
    return lines


def _signed(value: int, size: int) -> int:
    bits = 8 * size
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _and(equations: Sequence[str]) -> str:
    return " /\\ ".join(equations)
