"""A small language of relations, compiled to the steps that c/relations.c runs.

For models.py. A statement is a line: `let NAME = EXPR`, `let rec NAME = EXPR and NAME = EXPR ...`, or an axiom,
`acyclic | irreflexive | empty EXPR as NAME`, or `flag EXPR as NAME`: executions in which it is not empty are told apart,
not forbidden. Operators, loosest first: `|`, `;`, `\\`, `&`, then `~` before a set and
`^-1`, `+`, `*`, `?` behind. `[S]` is a set as a relation, which sets are here anyway: parts of the identity. Names
are compiled when an axiom first needs them. A line that begins with four spaces goes on with the one before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(r"\s*(\^-1|[A-Za-z][\w.-]*|[|;\\&~+*?()\[\]=])")
BASE: Final = ("none", "id", "po", "addr", "data", "ctrl", "rmw", "rf", "co", "loc", "ext", "int", "twin", "all")
_FIRST: Final = len(BASE)
_SLOTS: Final = 384
_STEPS: Final = 768
WHAT: Final = (
    *("tags", "or", "and", "minus", "seq", "inverse", "plus", "star", "opt", "domain", "range", "copy"),
    *("empty", "until", "acyclic", "irreflexive", "none", "flag"),
)
_BINARY: Final = ({"|": "or"}, {";": "seq"}, {"\\": "minus"}, {"&": "and"})
_POSTFIX: Final = {"^-1": "inverse", "+": "plus", "*": "star", "?": "opt"}
_CHECKS: Final = {"acyclic": "acyclic", "irreflexive": "irreflexive", "empty": "none", "flag": "flag"}

Step = tuple[int, int, int, int]


@dataclass(frozen=True)
class Compiled:
    """The steps, of which the first `allowing` check the axioms and the rest raise flags; the axioms' names in order."""

    steps: tuple[Step, ...]
    allowing: int
    axioms: tuple[str, ...]


@dataclass
class _Compiler:
    tags: Mapping[str, int]
    lets: dict[str, list[str]] = field(default_factory=dict)
    recs: dict[str, list[tuple[str, list[str]]]] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=lambda: {name: i for i, name in enumerate(BASE)})
    known: dict[tuple[str, int, int], int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    free: int = _FIRST
    inside: int = 0

    def slot(self) -> int:
        self.free += 1
        if self.free > _SLOTS:
            raise ValueError(f"a model needs more than {_SLOTS} relations")
        return self.free - 1

    def put(self, what: str, to: int, a: int, b: int = 0) -> int:
        self.steps.append((WHAT.index(what), to, a, b))
        if len(self.steps) > _STEPS:
            raise ValueError(f"a model needs more than {_STEPS} steps")
        return to

    def op(self, what: str, a: int, b: int = 0) -> int:
        """The slot of an operation's result, computed once where nothing recursive is in it."""
        key = (what, a, b)
        if key in self.known:
            return self.known[key]
        to = self.put(what, self.slot(), a, b)
        if not self.inside:
            self.known[key] = to
        return to

    def name(self, name: str) -> int:
        if name in self.names:
            return self.names[name]
        if name in self.recs:
            self.recursion(self.recs[name])
        elif name in self.lets:
            self.names[name] = _Expression(self, self.lets[name]).whole()
        elif name in self.tags:
            self.names[name] = self.put("tags", self.slot(), self.tags[name])
        else:
            raise ValueError(f"{name}: no such relation, set or tag")
        return self.names[name]

    def recursion(self, group: Sequence[tuple[str, list[str]]]) -> None:
        """Start from nothing, compute all anew from the last values until none changes (they only grow)."""
        own = {name for name, _ in group}
        for _, tokens in group:
            for token in tokens:
                if re.match(r"[A-Za-z]", token) and token not in own and token not in {"domain", "range"}:
                    self.name(token)
        for name, _ in group:
            self.names[name] = self.put("empty", self.slot(), 0)
        start = len(self.steps)
        self.inside += 1
        fresh = [(_Expression(self, tokens).whole(), self.names[name]) for name, tokens in group]
        self.inside -= 1
        for new, old in fresh:
            self.put("until", start, new, old)


@dataclass
class _Expression:
    compiler: _Compiler
    tokens: list[str]
    at: int = 0

    def whole(self) -> int:
        slot = self.level(0)
        if self.at != len(self.tokens):
            raise ValueError(f"{' '.join(self.tokens)}: {self.tokens[self.at]} is out of place")
        return slot

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def level(self, depth: int) -> int:
        if depth == len(_BINARY):
            return self.postfix()
        left = self.level(depth + 1)
        while self.peek() in _BINARY[depth]:
            what = _BINARY[depth][self.take()]
            left = self.compiler.op(what, left, self.level(depth + 1))
        return left

    def postfix(self) -> int:
        slot = self.atom()
        while self.peek() in _POSTFIX:
            slot = self.compiler.op(_POSTFIX[self.take()], slot)
        return slot

    def atom(self) -> int:
        if self.at == len(self.tokens):
            raise ValueError(f"{' '.join(self.tokens)}: ends too early")
        token = self.take()
        if token == "~":
            return self.compiler.op("minus", BASE.index("id"), self.atom())
        if token in {"(", "["}:
            slot = self.level(0)
            if self.peek() != {"(": ")", "[": "]"}[token]:
                raise ValueError(f"{' '.join(self.tokens)}: {token} is not closed")
            self.at += 1
            return slot
        if token in {"domain", "range"} and self.peek() == "(":
            return self.compiler.op(token, self.atom())
        return self.compiler.name(token)


def _tokens(line: str) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(line.rstrip()):
        found = _TOKEN.match(line, at)
        if not found:
            raise ValueError(f"{line.strip()}: {line[at:].strip()[:10]} is no token")
        out.append(found.group(1))
        at = found.end()
    return out


def _split(tokens: list[str], word: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == word:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def compile_model(text: str, tags: Mapping[str, int]) -> Compiled:
    """Steps for `text`; `tags` gives the bit of each set of events. ValueError names what is wrong with a line."""
    compiler = _Compiler(tags)
    axioms: list[str] = []
    checks: list[tuple[str, list[str]]] = []
    for line in text.replace("\n    ", " ").splitlines():
        tokens = _tokens(line)
        if not tokens:
            continue
        if tokens[:2] == ["let", "rec"]:
            group = [(part[0], part[2:]) for part in _split(tokens[2:], "and")]
            compiler.recs.update(dict.fromkeys((name for name, _ in group), group))
        elif tokens[0] == "let" and tokens[2] == "=":
            compiler.lets[tokens[1]] = tokens[3:]
        elif tokens[0] in _CHECKS and tokens[-2] == "as":
            checks.append((_CHECKS[tokens[0]], tokens[1:-2]))
            if tokens[0] != "flag":
                axioms.append(tokens[-1])
        else:
            raise ValueError(f"{line.strip()}: neither a definition nor an axiom")
    allowing = 0
    for what, expression in sorted(checks, key=lambda check: check[0] == "flag"):
        compiler.put(what, 0, _Expression(compiler, expression).whole())
        allowing = len(compiler.steps) if what != "flag" else allowing
    return Compiled(tuple(compiler.steps), allowing, tuple(axioms))
