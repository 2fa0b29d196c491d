"""Semantic patches: read, run over one file, and held against the matches they promise.

For `rmaplab.kernels.patch`. spatch does not fail when a rule does not fit, so every rule says in a comment how often it
matches and where, and what it adds there is counted:

    // file: mm/rmap.c
    // expect: RULE COUNT [in FUNCTION]: TEXT       (`*` stands for anything up to the next semicolon)
"""

import difflib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError

_EXPECT: Final = re.compile(r"^// expect: (\w+) (\d+)(?: in (\w+))?: (.+)$", re.MULTILINE)
_FILE: Final = re.compile(r"^// file: (\S+)$", re.MULTILINE)
_RULE: Final = re.compile(r"^@(\w+)@$", re.MULTILINE)
_DEFINITION: Final = re.compile(r"^(?=[A-Za-z_]).*?\b(\w+)\(")
_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Expected:
    """What a rule adds: `count` times `text`, in the function `where` if that is given."""

    rule: str
    count: int
    where: str | None
    text: str


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file of semantic patches for one file of a kernel tree."""

    path: Path
    target: str
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """A rule that matched: in `file` of the tree, near `line` of it as it was, in `function` if it was in one."""

    file: str
    line: int
    rule: str
    function: str | None


def read_rules(path: Path) -> RuleFile:
    """Read a rule file. Raises RmaplabError if a rule promises nothing: then nobody would notice that it does not fit."""
    text = path.read_text()
    target = _FILE.search(text)
    if target is None:
        raise RmaplabError(f"{path.name}: no line '// file: ...': must say which file it is for")
    expected = tuple(Expected(m[1], int(m[2]), m[3], m[4]) for m in _EXPECT.finditer(text))
    silent = set(_RULE.findall(text)) ^ {one.rule for one in expected}
    if silent:
        raise RmaplabError(f"{path.name}: {min(silent)}: must be a rule and have a line '// expect: ...'")
    return RuleFile(path, target[1], expected)


def check_spatch() -> str:
    """The path of spatch. Raises NotAvailable."""
    spatch = shutil.which("spatch")
    if spatch is None:
        raise NotAvailable("spatch: not found: install coccinelle")
    return spatch


def transform(rules: RuleFile, tree: Path) -> tuple[str, list[Match]]:
    """The text of `rules.target` of `tree` with the rules applied, and where each matched. Changes nothing.

    Raises NotAvailable without spatch, and RmaplabError naming rule and file where a match is missing or one too many.
    """
    spatch = check_spatch()
    try:
        before = (tree / rules.target).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise RmaplabError(f"{tree}: {rules.target}: cannot be read: {reason}") from error
    with tempfile.TemporaryDirectory(prefix="rmaplab-") as scratch:
        given, made = Path(scratch, "given" + Path(rules.target).suffix), Path(scratch, "made")
        given.write_text(before)
        command = [spatch, "--very-quiet", "--no-includes", "--no-show-diff"]
        try:
            done = subprocess.run(
                [*command, "--sp-file", rules.path, given, "-o", made],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                cwd=scratch,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RmaplabError(f"{rules.path.name}: {rules.target}: spatch took more than {_SECONDS} s") from error
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise RmaplabError(f"{rules.path.name}: {rules.target}: spatch ended with {done.returncode}: {last}")
        after = made.read_text() if made.exists() else before
    return after, check(rules, before, after)


def check(rules: RuleFile, before: str, after: str) -> list[Match]:
    """Where each rule matched. Raises RmaplabError naming rule and file if not exactly as often as it promises."""
    old = _added(before, after)
    matches = []
    for one in rules.expected:
        found = list(_found(one, after, old))
        if len(found) != one.count:
            where = f"{rules.target}, {one.where}()" if one.where else rules.target
            raise RmaplabError(
                f"rule {rules.path.stem}.{one.rule}: {where}: matched {len(found)} times: must match {one.count} times"
            )
        name = f"{rules.path.stem}.{one.rule}"
        matches += [Match(rules.target, line, name, one.where) for line in found]
    return matches


def _added(before: str, after: str) -> dict[int, int]:
    """The added lines (from 0), each with the line of the old text (from 1) where it went."""
    lines = difflib.SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False)
    return {
        line: start + 1
        for tag, start, _, low, high in lines.get_opcodes()
        if tag in ("insert", "replace")
        for line in range(low, high)
    }


def _found(one: Expected, after: str, old: dict[int, int]) -> Iterator[int]:
    """Lines of the old text where what is expected was added."""
    words = [r"[^;]*?".join(map(re.escape, word.split("*"))) for word in one.text.split()]
    for match in re.finditer(r"\s*".join(words), after):
        first = after.count("\n", 0, match.start())
        last = after.count("\n", 0, match.end())
        added = [line for line in range(first, last + 1) if line in old]
        if added and (one.where is None or _function(after, match.start()) == one.where):
            yield old[added[0]]


def _function(text: str, at: int) -> str | None:
    """The function whose definition the place is in: the last line before it that starts one in its first column."""
    for line in reversed(text[:at].split("\n")[:-1]):
        if found := _DEFINITION.match(line):
            return found[1]
    return None
