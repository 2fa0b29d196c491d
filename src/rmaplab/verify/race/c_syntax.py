"""The part of C that litmus tests use: tokens, expressions and statements as plain tuples.

For litmus.py. Statements: ("set", target, expression), ("do", expression), ("if", condition, then, else), ("while",
condition, body). Expressions: ("number", n), ("name", s), ("call", name, arguments), ("deref", e), ("unary",
operator, e), ("binary", operator, a, b). Types are read over: a declaration without a value is nothing.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

_TOKEN: Final = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+|[A-Za-z_]\w*|&&|\|\||==|!=|<=|>=|<<|>>|->|[-+*/%&|^!~<>=(){};,])")
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/|\(\*\s.*?\*\)", re.S)
_LEVELS: Final = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
TYPES: Final = frozenset(
    [
        "int",
        "long",
        "unsigned",
        "signed",
        "char",
        "short",
        "u8",
        "u32",
        "u64",
        "s32",
        "s64",
        "atomic_t",
        "atomic_long_t",
        "atomic64_t",
        "spinlock_t",
        "intptr_t",
        "uintptr_t",
        "volatile",
        "const",
        "struct",
        "bool",
    ]
)

Expression = tuple[Any, ...]
Statement = tuple[Any, ...]


def without_comments(text: str) -> str:
    """The text with C's and OCaml's comments blanked."""
    return _COMMENT.sub(" ", text)


def tokens(text: str) -> list[str]:
    """Split; ValueError shows what is no token."""
    out: list[str] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"{text[at : at + 20].strip()!r}: not part of the C that litmus tests use")
        out.append(found.group(1))
        at = found.end()
    return out


class Parser:
    """A recursive descent over the tokens of one body."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else ""

    def take(self, wanted: str = "") -> str:
        word = self.peek()
        if not word or (wanted and word != wanted):
            raise ValueError(f"expected {wanted or 'more'!r}, found {word or 'the end'!r}")
        self.at += 1
        return word

    def statements(self) -> list[Statement]:
        """All up to the closing brace or the end."""
        out: list[Statement] = []
        while self.peek() not in ("", "}"):
            out.extend(self.statement())
        return out

    def block(self) -> list[Statement]:
        if self.peek() != "{":
            return self.statement()
        self.take("{")
        inside = self.statements()
        self.take("}")
        return inside

    def condition(self) -> Expression:
        self.take("(")
        condition = self.expression()
        self.take(")")
        return condition

    def statement(self) -> list[Statement]:
        word = self.peek()
        if word == ";":
            self.take()
            return []
        if word == "{":
            return self.block()
        if word == "if":
            self.take()
            condition, then = self.condition(), self.block()
            other: list[Statement] = []
            if self.peek() == "else":
                self.take()
                other = self.block()
            return [("if", condition, then, other)]
        if word == "while":
            self.take()
            return [("while", self.condition(), self.block())]
        return self.declaration() if word in TYPES else [self.simple()]

    def declaration(self) -> list[Statement]:
        while self.peek() in TYPES:
            if self.take() == "struct":
                self.take()
        out: list[Statement] = []
        while True:
            while self.peek() == "*":
                self.take()
            name = self.take()
            if self.peek() == "=":
                self.take()
                out.append(("set", ("name", name), self.expression()))
            if self.take() == ";":
                return out

    def simple(self) -> Statement:
        left = self.expression()
        if self.peek() == "=":
            self.take()
            right = self.expression()
            self.take(";")
            return ("set", left, right)
        self.take(";")
        return ("do", left)

    def expression(self, level: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self.unary()
        left = self.expression(level + 1)
        while self.peek() in _LEVELS[level]:
            operator = self.take()
            left = ("binary", operator, left, self.expression(level + 1))
        return left

    def unary(self) -> Expression:
        word = self.peek()
        if word in ("!", "~", "-", "&"):
            self.take()
            inner = self.unary()
            return inner if word == "&" else ("unary", word, inner)
        if word == "*":
            self.take()
            return ("deref", self.unary())
        if word == "(" and self.peek(1) in TYPES:
            while self.take() != ")":
                pass
            return self.unary()
        if word == "(":
            return self.condition()
        return self.primary()

    def primary(self) -> Expression:
        word = self.take()
        if word[0].isdigit():
            return ("number", int(word, 0))
        if not re.match(r"[A-Za-z_]", word):
            raise ValueError(f"{word!r} is out of place")
        if self.peek() != "(":
            return ("name", word)
        self.take("(")
        arguments: list[Expression] = []
        while self.peek() != ")":
            arguments.append(self.expression())
            if self.peek() == ",":
                self.take()
        self.take(")")
        return ("call", word, arguments)
