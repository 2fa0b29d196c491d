"""The list of faults planted in core/ (mutants.toml), read and checked; as a program it prints them and their number.

    python tests/core/mutants.py

Each is a replacement of text that occurs once in its file, with the promise it breaks, or the reason why it breaks none.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rmaplab.sources import CORE
from rmaplab.verify.race.barriers import BARRIERS
from rmaplab.verify.race.programs import PROMISES as RACE_PROMISES

FILE = Path(__file__).with_name("mutants.toml")
PROMISES = {
    **RACE_PROMISES,
    "false-shared": "no folio is called shared that one MM maps alone, if its scheme is exact there",
    "no-answer": "an exact scheme answers",
    "not-reused": "a page that nobody else has is reused",
    "saturated": "a mapcount without room makes its folio shared for ever",
    "definition": "the flag is what the definition says",
}


@dataclass(frozen=True)
class Mutant:
    """Replace `old` by `new` in `file` (below core/). `breaks` is a key of PROMISES; if it is None, `none` says why.

    The other fields belong to what finds it: see the head of mutants.toml.
    """

    name: str
    by: Literal["barrier", "race", "stress", "sanitizer", "limits"]
    file: str
    old: str
    new: str
    breaks: str | None = None
    none: str | None = None
    models: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    scheme: str = ""
    race: Mapping[str, int] = field(default_factory=dict)
    check: str = ""

    @property
    def one_line(self) -> bool:
        """Whether what it changes is in one line of a header."""
        return "/" not in self.file and "\n" not in self.old.strip("\n")


def read(path: Path = FILE) -> tuple[Mutant, ...]:
    """The list. Raises ValueError naming the entry that breaks a rule."""
    mutants = tuple(map(_mutant, tomllib.loads(path.read_text())["mutant"]))
    named = Counter(m.name for m in mutants)
    for m in mutants:
        if named[m.name] > 1:
            raise ValueError(f"{m.name}: stands there twice")
        if (m.breaks is None) == (m.none is None):
            raise ValueError(f"{m.name}: must have one of breaks and none")
        if m.breaks is not None and m.breaks not in PROMISES:
            raise ValueError(f"{m.name}: {m.breaks}: must be one of {', '.join(PROMISES)}")
        if (times := (CORE / m.file).read_text().count(m.old)) != 1:
            raise ValueError(f"{m.name}: {m.file}: {m.old!r}: must occur once, occurs {times} times")
    return mutants


def _mutant(entry: dict[str, object]) -> Mutant:
    known = {barrier.name: barrier for barrier in BARRIERS}
    if entry["by"] == "barrier":
        barrier = known[str(entry["name"])]
        entry = {**entry, "file": barrier.file, "old": barrier.old, "new": barrier.new}
    lists = {key: tuple(entry.get(key, ())) for key in ("models", "programs")}  # type: ignore[arg-type, var-annotated]
    return Mutant(**{**entry, **lists})  # type: ignore[arg-type]


def different(mutants: tuple[Mutant, ...]) -> int:
    """How many different one-line changes of headers there are: some are planted for more than one judge."""
    return len({(m.file, (CORE / m.file).read_text().replace(m.old, m.new)) for m in mutants if m.one_line})


def main() -> None:
    """Print the list and its sums."""
    mutants = read()
    for m in mutants:
        print(f"{m.by:10}{m.file:20}{m.name}: {f'breaks {m.breaks}' if m.breaks else f'breaks nothing: {m.none}'}")
    sums = ", ".join(f"{count} by {by}" for by, count in Counter(m.by for m in mutants).items())
    print(f"\n{len(mutants)} planted faults ({sums}); {different(mutants)} different changes of one line of core/*.h")


if __name__ == "__main__":
    main()
