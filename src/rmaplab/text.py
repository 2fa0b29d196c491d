"""Text that somebody else chose, made safe for where it goes: a terminal, JSON or Parquet, a page.

For everything that shows or stores names, paths and command lines (`rmaplab.proctext` decodes them with
`surrogateescape`), and error messages that quote them. Letters of every script stay as they are.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (bidi, zero width, tags), surrogate, private, unassigned; line and paragraph separator."""

_INVISIBLE: Final = frozenset(
    chr(code)
    for part in (
        *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164)),
        *((0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF)),
    )
    for code in range(part[0], part[1] + 1)
)
"""What else Unicode's Default_Ignorable_Code_Point makes nothing of, and the empty Braille pattern."""

_MARKS: Final = 4
"""Marks upon a letter that are shown: more than any script writes, and a pile of them covers the lines above."""
_MARK: Final = "\ufffd"
_NOT_UNICODE: Final = re.compile("[\ud800-\udfff\ufffd]")
_WRITTEN: Final = re.compile(f"{_MARK}([0-9A-F]{{2}})")


def for_terminal(text: str) -> str:
    """One line of visible characters: what steers a terminal, reorders, joins, hides or piles up becomes an escape.

    A byte that was no UTF-8 becomes `\\xff`, U+202E `\\u202e`, a newline `\\n`. Backslashes stay single: the result is
    for eyes, not for reading back.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) if height <= _MARKS else _escape(char) for char, height in _stacked(text))


def _stacked(text: str) -> Iterator[tuple[str, int]]:
    """Each character, and how many marks are on its letter by then; a mark that has no letter counts as one too many."""
    height = _MARKS
    for char in text:
        height = height + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        yield char, height


def _visible(char: str) -> str:
    if char == "\n":
        return "\\n"
    # Spaces that are not the space hide too: isprintable() refuses them.
    if char.isprintable() and unicodedata.category(char) not in _REFUSED and char not in _INVISIBLE:
        return char
    return _escape(char)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def for_json(text: str) -> str:
    """Valid Unicode, and reversible (`from_json`): a byte that was no UTF-8 becomes U+FFFD and its two hex digits.

    U+FFFD itself is written as its three bytes in that way. Everything else is unchanged.
    """
    return _NOT_UNICODE.sub(_bytes_written, text)


def _bytes_written(found: re.Match[str]) -> str:
    code = ord(found[0])
    raw = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else found[0].encode("utf-8", "surrogatepass")
    return "".join(f"{_MARK}{byte:02X}" for byte in raw)


def from_json(text: str) -> bytes:
    """The bytes of the name that `for_json` was given."""
    parts = _WRITTEN.split(text)
    return b"".join(bytes.fromhex(part) if odd % 2 else part.encode("utf-8") for odd, part in enumerate(parts))


def plain(value: Any) -> Any:
    """A JSON value every reader takes: texts (keys too) `for_json`, numbers that are none (NaN, infinite) null."""
    if isinstance(value, str):
        return for_json(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {for_json(str(key)): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return list(value) if _numbers(value) else [plain(member) for member in value]
    return value


def _numbers(value: list[Any] | tuple[Any, ...]) -> bool:
    return all(type(member) is int for member in value)


def for_page(value: Any) -> str:
    """JSON for a `<script type="application/json">` element: its texts `for_terminal`, and nothing in it is markup.

    Plain ASCII; what could end the element or begin a comment or an entity is written as a JSON escape.
    """
    text = json.dumps(plain(_shown(value)), separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return for_terminal(value)
    if isinstance(value, Mapping):
        return {key: _shown(member) for key, member in value.items()}
    if isinstance(value, list | tuple) and not _numbers(value):
        return [_shown(member) for member in value]
    return value
