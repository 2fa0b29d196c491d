"""Linux' C litmus tests: read a file, enumerate it under Linux' model, say whether its condition can hold.

For `make litmus` and whoever has such a file. Reads what the kernel's tools/memory-model/litmus-tests use; SRCU,
spin_trylock and pthread-like tests are refused by name. Tests of other architectures are not read: shapes.py makes
those.
"""

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from rmaplab.verify.race.c_syntax import Parser, Statement, tokens, without_comments
from rmaplab.verify.race.lkmm_c import ADDRESS, C11_ROWS, ROWS, run
from rmaplab.verify.race.models import MODELS
from rmaplab.verify.race.threads import Outcome, explore

_THREAD: Final = re.compile(r"P(\d+)\s*\(([^)]*)\)\s*\{")
_QUANTIFIER: Final = re.compile(r"(~\s*exists|exists|forall)\b(.*)\Z", re.S)
_ATOM: Final = re.compile(r"\s*(?:(\d+):)?\[?\s*([A-Za-z_]\w*)\s*\]?\s*=\s*(-?\w+)")
_WORD: Final = (1 << 64) - 1

Condition = Callable[[Outcome], bool]


@dataclass(frozen=True)
class Test:
    """A litmus test. `expected` is its `Result:` line in lower case, if it has one."""

    name: str
    bodies: tuple[tuple[Statement, ...], ...]
    locations: Mapping[str, int]
    initial: tuple[int, ...]
    quantifier: str
    condition: Condition
    expected: str | None


@dataclass(frozen=True)
class Verdict:
    """`observed`: never, sometimes or always, of executions that satisfy the condition. `raced`: some has a data race."""

    name: str
    observed: str
    positive: int
    negative: int
    steps: int
    raced: bool


def read(path: Path) -> Test:
    """Read a file; ValueError names it and what is wrong."""
    try:
        return parse(path.read_text())
    except (UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from None


def parse(text: str) -> Test:
    """A test from its text; ValueError if it cannot be understood."""
    expected = re.search(r"Result:\s*(Never|Sometimes|Always|DEADLOCK)", text, re.I)
    head, _, rest = text.partition("\n")
    words = head.split()
    if len(words) < 2 or words[0] != "C":
        raise ValueError("the first line must be 'C NAME': only C litmus tests are read")
    rest = without_comments(rest)
    bodies: list[tuple[Statement, ...]] = []
    names: list[str] = []
    at = rest.find("{")
    if at < 0:
        raise ValueError("has no initial state in braces")
    end = rest.index("}", at)
    initial_text = rest[at + 1 : end]
    for match in _THREAD.finditer(rest):
        if int(match.group(1)) != len(bodies):
            raise ValueError(f"P{match.group(1)} comes out of order")
        parameters, body, end = _thread(rest, match)
        names.extend(parameters)
        bodies.append(tuple(Parser(tokens(body)).statements()))
    quantified = _QUANTIFIER.search(rest, end)
    if not quantified:
        raise ValueError("has no exists, ~exists or forall")
    locations, initial = _initial(initial_text, names)
    quantifier = "".join(quantified.group(1).split())
    condition = _Condition(quantified.group(2), locations).whole()
    name = expected.group(1).lower() if expected else None
    return Test(words[1], tuple(bodies), locations, initial, quantifier, condition, name)


def _thread(text: str, match: re.Match[str]) -> tuple[list[str], str, int]:
    """Parameter names, body, and where it ends."""
    depth, at = 1, match.end()
    while depth:
        if at == len(text):
            raise ValueError(f"P{match.group(1)}: its brace is not closed")
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    words = [re.findall(r"\w+", parameter) for parameter in match.group(2).split(",") if parameter.strip()]
    return [found[-1] for found in words], text[match.end() : at - 1], at


def _initial(text: str, names: Sequence[str]) -> tuple[dict[str, int], tuple[int, ...]]:
    locations = {name: i for i, name in enumerate(dict.fromkeys(names))}
    sets: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        match = re.fullmatch(r"(?:[\w\s]*\s)?\**\s*(\w+)\s*(?:=\s*(?:&?(-?\w+)|ATOMIC_INIT\((-?\d+)\)))?", part)
        if not match:
            raise ValueError(f"initial state: {part!r}: cannot be read")
        locations.setdefault(match.group(1), len(locations))
        sets[match.group(1)] = match.group(2) or match.group(3) or "0"
    for value in sets.values():
        if not value.lstrip("-").isdigit():
            locations.setdefault(value, len(locations))
    values = {name: int(v) & _WORD if v.lstrip("-").isdigit() else ADDRESS + locations[v] for name, v in sets.items()}
    return locations, tuple(values.get(name, 0) for name in locations)


class _Condition:
    """The grammar of conditions: \\/ over /\\ over ~, parentheses and equations."""

    def __init__(self, text: str, locations: Mapping[str, int]) -> None:
        self.text = text
        self.locations = locations
        self.at = 0

    def whole(self) -> Condition:
        condition = self.any_of()
        if self.text[self.at :].strip():
            raise ValueError(f"condition: {self.text[self.at :].strip()[:20]!r} is out of place")
        return condition

    def next_is(self, word: str) -> bool:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        found = self.text.startswith(word, self.at)
        if found:
            self.at += len(word)
        return found

    def any_of(self) -> Condition:
        parts = [self.all_of()]
        while self.next_is("\\/"):
            parts.append(self.all_of())
        return lambda outcome: any(part(outcome) for part in parts)

    def all_of(self) -> Condition:
        parts = [self.atom()]
        while self.next_is("/\\"):
            parts.append(self.atom())
        return lambda outcome: all(part(outcome) for part in parts)

    def atom(self) -> Condition:
        if self.next_is("~") or self.next_is("not "):
            inner = self.atom()
            return lambda outcome: not inner(outcome)
        if self.next_is("("):
            inside = self.any_of()
            if not self.next_is(")"):
                raise ValueError("condition: a parenthesis is not closed")
            return inside
        match = _ATOM.match(self.text, self.at)
        if not match:
            raise ValueError(f"condition: {self.text[self.at :].strip()[:20]!r}: expected an equation")
        self.at = match.end()
        return self.equation(*match.groups())

    def equation(self, thread: str | None, name: str, value: str) -> Condition:
        wanted = ADDRESS + self.locations[value] if value in self.locations else int(value, 0)
        if thread is None:
            if name not in self.locations:
                raise ValueError(f"condition: {name}: no such location")
            place = self.locations[name]
            return lambda outcome: outcome.memory[place] == wanted & _WORD
        number = int(thread)
        return lambda outcome: outcome.registers[number].get(name, 0) & _WORD == wanted & _WORD


def judge(test: Test, model: str = "lkmm", seconds: float = 60.0) -> Verdict:
    """Enumerate the test under Linux' model, or, with its primitives read as C11's, under RC11 ("c11").

    ValueError if it is too large or uses what is not known here.
    """
    threads = [partial(run, body, test.locations) for body in test.bodies]
    found = explore(MODELS[model], C11_ROWS if model == "c11" else ROWS, test.initial, threads, test.condition, seconds)
    if found.error or found.timed_out:
        raise ValueError(f"{test.name}: {found.error or f'not done after {seconds} s'}")
    positive, negative, raced = found.broken
    observed = "sometimes" if positive and negative else "always" if positive else "never"
    return Verdict(test.name, observed, positive, negative, found.steps, raced > 0)


def main(paths: Sequence[str]) -> int:
    """Judge every .litmus file in or at `paths`: 1 if a `Result:` line says otherwise, 2 if a file cannot be read.

    The last line sums up, with the CPU time a file took.
    """
    files = [f for p in map(Path, paths) for f in (sorted(p.glob("*.litmus")) if p.is_dir() else [p])]
    if not files:
        print(f"litmus: {', '.join(paths) or 'nothing given'}: must be .litmus files, or directories that have some")
        return 2
    worst = 0
    taken = []
    for path in files:
        began = time.process_time()
        try:
            test = read(path)
            verdict = judge(test)
        except (OSError, ValueError) as error:
            print(f"{error}")
            worst = 2
            continue
        taken.append(1e3 * (time.process_time() - began))
        agrees = test.expected in (None, verdict.observed)
        worst = worst or int(not agrees)
        print(f"{'ok ' if agrees else 'BAD'} {verdict.name}: {verdict.observed}, the file says {test.expected}")
    if taken:
        each = f"{median(taken):.1f} ms of CPU time each (at most {max(taken):.0f})"
        print(f"{len(taken)} of {len(files)} files judged, {each}")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
