"""What operations cost a kernel, in instructions: the series' eight, fork-exit-write, and a third process' write.

For `rmaplab kernel bench`. A static C program does them in a guest whose clock is the number of its instructions; a QEMU
plugin counts what is executed between two marks, and how much of it locks. The same boot gives nearly the same
counts (a few instructions in 100,000); the least of some repeats leaves out ticks that fell into one. In which
functions they are is known where the kernel tells its symbols.
"""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels import symbols
from rmaplab.kernels.cow import compiled
from rmaplab.kernels.guest import PATIENCE, Guest, GuestError
from rmaplab.kernels.obtain import Bootable
from rmaplab.kernels.qemu import Counting, Hardware
from rmaplab.kernels.symbols import Symbols

_HERE: Final = Path(__file__).resolve().parent
ORDERS: Final = (0, 4, 9)
REPEATS: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """One operation on 16 MiB in folios of `order`: instructions executed, the kernel's and the program's together, and
    those that lock; the least of all repeats, each column for itself.

    `executed_in`, `locked_in`: by function, in the repeat with the fewest; `text_bytes`: of the whole kernel. Empty and
    None where the kernel's symbols are unknown.
    """

    kernel: str
    scheme: str | None
    operation: str
    order: int
    instructions: int
    locked: int
    executed_in: Mapping[str, int] = field(default_factory=dict)
    locked_in: Mapping[str, int] = field(default_factory=dict)
    text_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A cost beside that of the same kernel's own rule (`off`), None where that was not measured.

    `executed_more`, `locked_more`: functions in which more instructions are executed, or lock, than there, or fewer
    (negative), most first.
    """

    cost: Cost
    ratio_off: float | None
    locked_off: int | None
    executed_more: Mapping[str, int] = field(default_factory=dict)
    locked_more: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        cost = self.cost
        return {
            "kernel": cost.kernel,
            "scheme": cost.scheme,
            "operation": cost.operation,
            "order": cost.order,
            "instructions": cost.instructions,
            "locked": cost.locked,
            "ratio_off": self.ratio_off,
            "locked_off": self.locked_off,
            "executed_more": dict(self.executed_more),
            "locked_more": dict(self.locked_more),
            "text_bytes": cost.text_bytes,
        }


def measure(boots: Bootable, scheme: str | None, orders: Sequence[int] = ORDERS, repeats: int = REPEATS) -> list[Cost]:
    """Boot and count. An order that the kernel does not give is left out. Raises NotAvailable, GuestError."""
    with tempfile.TemporaryDirectory(prefix="rmaplab-count-") as name:
        counting = Counting(_plugin(Path(name)), Path(name, "counts"))
        command = f"/lab/operations {repeats} {' '.join(str(order) for order in orders)} && cat /proc/kallsyms >&2"
        files = {"lab/operations": compiled(_HERE / "operations.c")}
        hardware = Hardware(memory=1024, root=False, disk=False)
        with Guest(boots.image, command, hardware, boots.append, files, counting=counting) as guest:
            ended = guest.wait(PATIENCE)
        if ended.status:
            raise GuestError(f"{boots.image.title}: the operations ended with {ended.status}: {ended.err.decode()[:300]}")
        done = [line.split() for line in ended.out.decode().splitlines()]
        counts = [_Count.of(line) for line in counting.out.read_text().splitlines()]
    names = [(words[0], int(words[1])) for words in done if words[0] != "no" and not _uncounted(words)]
    if len(names) != len(counts):
        raise GuestError(f"{boots.image.title}: {len(names)} operations, but {len(counts)} counts")
    repeated: dict[tuple[str, int], list[_Count]] = {}
    for key, count in zip(names, counts, strict=True):
        repeated.setdefault(key, []).append(count)
    known = symbols.parse(ended.err.decode())
    return [_cost(boots.image.title, scheme, key, found, known) for key, found in repeated.items()]


@dataclass(frozen=True, slots=True)
class _Count:
    """A line of the plugin: instructions, those that lock, and both by address."""

    instructions: int
    locked: int
    places: Sequence[tuple[int, int, int]]

    @classmethod
    def of(cls, line: str) -> "_Count":
        instructions, locked, *places = line.split()
        by_address = (word.split(":") for word in places)
        return cls(int(instructions), int(locked), [(int(at, 16), int(n), int(m)) for at, n, m in by_address])


def _cost(title: str, scheme: str | None, key: tuple[str, int], found: Sequence[_Count], known: Symbols | None) -> Cost:
    shortest = min(found, key=lambda count: count.instructions)
    fewest = min(found, key=lambda count: count.locked)
    executed_in = _by_function(known, ((at, executed) for at, executed, _ in shortest.places))
    locked_in = _by_function(known, ((at, locked) for at, _, locked in fewest.places))
    text_bytes = known.text_bytes if known else None
    return Cost(title, scheme, *key, shortest.instructions, fewest.locked, executed_in, locked_in, text_bytes)


def _by_function(known: Symbols | None, counts: Iterable[tuple[int, int]]) -> Mapping[str, int]:
    """What is not zero."""
    found: Counter[str] = Counter()
    for address, number in counts if known else ():
        assert known
        found[known.function(address)] += number
    return +found


def _uncounted(words: Sequence[str]) -> bool:
    return words[0] == "remap" and words[1] != "9"


def compare(costs: Sequence[Cost], own: Sequence[Cost] = ()) -> list[Compared]:
    """Each beside `own`, another kernel's costs; without it beside the same kernel's `off` (or, booted without a scheme,
    its own rule)."""
    beside = {("", c.operation, c.order): c for c in own}
    beside |= {(c.kernel, c.operation, c.order): c for c in costs if c.scheme in (None, "off") and not own}
    compared = []
    for cost in (*own, *costs):
        off = beside.get(("" if own else cost.kernel, cost.operation, cost.order))
        if off is None:
            compared.append(Compared(cost, None, None))
            continue
        ratio = round(cost.instructions / off.instructions, 5)
        more = (_more(cost.executed_in, off.executed_in), _more(cost.locked_in, off.locked_in))
        compared.append(Compared(cost, ratio, off.locked, *more))
    return compared


def _more(here: Mapping[str, int], off: Mapping[str, int]) -> dict[str, int]:
    """Where they differ; empty if of one nothing is known."""
    if not here or not off:
        return {}
    more = {name: here.get(name, 0) - off.get(name, 0) for name in dict.fromkeys([*here, *off])}
    return {name: more[name] for name in sorted(more, key=lambda name: -abs(more[name])) if more[name]}


def _plugin(place: Path) -> Path:
    """count.c, compiled. Raises NotAvailable."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise NotAvailable("no C compiler: counting instructions needs gcc")
    made = place / "count.so"
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", os.fspath(made), os.fspath(_HERE / "count.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAvailable(f"count.c: cannot be compiled: {done.stderr.strip().splitlines()[0]}")
    return made
