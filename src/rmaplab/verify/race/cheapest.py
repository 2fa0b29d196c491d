"""The cheapest mapping: how weak each place of the sequence count may be with every promise kept, for each architecture.

For `rmaplab race --cheapest` and docs/races.md. A place (`Place`) is a line of `core/atomic_seqcount.h` that orders
something. What may stand there is listed from weak to strong, in the words of a model: a line of the header changes (to
an operation without order), or what an operation is under the model does. From several starts the search weakens
place by place as long as no promise breaks. A weaker mapping allows every execution of a stronger one, so where no
single step down keeps every promise, none below does: each answer is as weak as can be, within the programs run and
their bound.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rmaplab.sources import CORE
from rmaplab.verify.race.engine import Row
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.programs import BOUND, Programs, Verdict, load

RUN: Final = ("writer-reader", "two-writers", "map-pinned-ask", "unmap-pin-ask", "two-writers-reader")
"""The programs that tell, the quick ones first."""
PLACES: Final = ("begin", "retry", "entry", "fence", "wait", "end")
HEADINGS: Final = ("reader begins", "reader ends", "writer's entry", "behind it", "wait", "writer's end")

_HEADER: Final = "atomic_seqcount.h"
_ENTRIES: Final = (
    ("rmap_seq word = rmap_add_return_acquire(s, enter);", "rmap_seq word = rmap_add_return(s, enter);"),
    ("rmap_try_cmpxchg_acquire(s, &word,", "rmap_try_cmpxchg(s, &word,"),
    (
        "word = rmap_add_return_acquire(s, RMAP_SEQ_ONE_EXCLUSIVE);",
        "word = rmap_add_return(s, RMAP_SEQ_ONE_EXCLUSIVE);",
    ),
)
_ORDERED: Final = (("\t\trmap_add(s, enter);", "\t\t(void)rmap_add_return_acquire(s, enter);"),)
_BEGIN: Final = (("(word = rmap_read_acquire(s)) &", "(word = rmap_read(s)) &"),)
_WAIT: Final = (("word = rmap_read_acquire(s);", "word = rmap_read(s);"),)
_END: Final = (("\trmap_add_release(s, rmap_seq_step", "\trmap_add(s, rmap_seq_step"),)
Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Choice:
    """What may stand at a place: its name in the model's words, lines that change, and rows that do."""

    name: str
    lines: Lines = ()
    rows: tuple[tuple[str, Row], ...] = ()


Choices = Mapping[str, tuple[Choice, ...]]
Picked = Mapping[str, int]
"""The number of the choice, place by place."""


@dataclass(frozen=True)
class Cheapest:
    """What the search found from one start under one model. `broken` says why the start itself will not do; `undecided`
    are places whose next step down was not decided in time.
    """

    model: str
    start: str
    picked: tuple[str, ...]
    broken: Verdict | None
    undecided: tuple[str, ...]


def _fences(row: str, *kinds: tuple[str, tuple[str, ...]]) -> tuple[Choice, ...]:
    return tuple(Choice(name, rows=((row, Row(before=tags)),)) for name, tags in kinds)


def _entries(relaxed: str, acquire: str, *ordered: tuple[str, Row, Row]) -> tuple[Choice, ...]:
    """Entries without order, with an acquire, and fully ordered ones: an addition's row, a compare-exchange's."""
    full = (
        Choice(name, _ORDERED, (("add_return_acquire", add), ("cmpxchg_acquire", exchange)))
        for name, add, exchange in ordered
    )
    return (Choice(relaxed, _ENTRIES), Choice(acquire), *full)


def _both(name: str, row: Row) -> tuple[str, Row, Row]:
    return name, row, row


def _choices(
    plain: str,
    acquire: str,
    retry: tuple[Choice, ...],
    entry: tuple[Choice, ...],
    fence: tuple[Choice, ...],
    end: tuple[str, str],
) -> Choices:
    return MappingProxyType(
        {
            "begin": (Choice(plain, _BEGIN), Choice(acquire)),
            "retry": retry,
            "entry": entry,
            "fence": fence,
            "wait": (Choice(plain, _WAIT), Choice(acquire)),
            "end": (Choice(end[0], _END), Choice(end[1])),
        }
    )


_NONE: Final = ("-", ())
_A, _L, _X = ("A", "AMO"), ("L", "AMO"), ("X",)


def _arm(entry: tuple[Choice, ...], end: tuple[str, str]) -> Choices:
    return _choices(
        "ldr",
        "ldar",
        _fences("fence_acquire", _NONE, ("dmb ld", ("DMB.LD",))),
        entry,
        _fences("fence_release", _NONE, ("dmb st", ("DMB.ST",)), ("dmb", ("DMB",))),
        end,
    )


CHOICES: Final[Mapping[str, Choices]] = MappingProxyType(
    {
        "tso": _choices(
            "mov",
            "mov",
            _fences("fence_acquire", _NONE),
            (Choice("lock", _ENTRIES),),
            _fences("fence_release", _NONE, ("mfence", ("MFENCE",))),
            ("lock", "lock"),
        ),
        "c11": _choices(
            "relaxed",
            "acquire",
            _fences("fence_acquire", _NONE, ("acquire", ("ACQ",))),
            _entries("relaxed", "acquire", _both("acq_rel", Row(("ACQ",), ("REL",), failed=("ACQ",)))),
            _fences("fence_release", _NONE, ("release", ("REL",)), ("seq_cst", ("SC",))),
            ("relaxed", "release"),
        ),
        "lkmm": _choices(
            "READ_ONCE",
            "load_acquire",
            _fences("fence_acquire", _NONE, ("rmb", ("Rmb",))),
            _entries(
                "_relaxed",
                "_acquire",
                _both("ordered", Row(("Once",), ("Once",), ("Mb",), ("Mb",), ("Once",), quiet=True)),
            ),
            _fences("fence_release", _NONE, ("wmb", ("Wmb",)), ("after_atomic", ("After-atomic",))),
            ("_relaxed", "_release"),
        ),
        "armv8": _arm(
            _entries("ldadd, cas", "ldadda, casa", _both("ldaddal, casal", Row(_A, _L, failed=_A, early=False))),
            ("stadd", "staddl"),
        ),
        "armv8-llsc": _arm(
            _entries(
                "ldxr, stxr",
                "ldaxr, stxr",
                _both("ldaxr, stlxr", Row(("A", "X"), ("L", "X"), failed=("A", "X"), early=False)),
            ),
            ("stxr", "stlxr"),
        ),
        "riscv": _choices(
            "l",
            "l; fence r,rw",
            _fences("fence_acquire", _NONE, ("fence r,r", ("Fence.r.r",)), ("fence r,rw", ("Fence.r.rw",))),
            _entries(
                "amo, lr/sc",
                "amo.aq, lr.aq/sc",
                (
                    "amo.aqrl, lr.aq/sc.rl",
                    Row(("AMO", "Acq", "Rel"), ("AMO", "Acq", "Rel"), early=False),
                    Row(("X", "Acq"), ("X", "Rel"), failed=("X", "Acq"), early=False),
                ),
            ),
            _fences(
                "fence_release",
                _NONE,
                ("fence w,w", ("Fence.w.w",)),
                ("fence rw,w", ("Fence.rw.w",)),
                ("fence rw,rw", ("Fence.rw.rw",)),
            ),
            ("amo", "amo.rl"),
        ),
        "power": _choices(
            "ld",
            "ld; isync",
            _fences("fence_acquire", _NONE, ("lwsync", ("LWSYNC",))),
            _entries("larx/stcx", "larx/stcx; isync"),
            _fences("fence_release", _NONE, ("lwsync", ("LWSYNC",)), ("sync", ("SYNC",))),
            ("larx/stcx", "lwsync; larx/stcx"),
        ),
    }
)
"""By column of MAPPINGS, from weak to strong. Names are an architecture's instructions, C11's orders, or Linux' words."""

_OWN_FENCE: Final = {"tso": 0, "c11": 1, "lkmm": 2, "armv8": 2, "armv8-llsc": 2, "riscv": 2, "power": 1}
"""What core/'s release fence is: the number of that choice."""
STARTS: Final = ("acquires", "full fence", "ordered atomics")
"""As core/ has it; no acquires on the writers' side, the strongest fence instead; the strongest entry, and no fence."""


def starts(model: str) -> dict[str, Picked]:
    """The starts that differ under `model`: all places as strong as core/ has them, but for what the name says."""
    choices = CHOICES[model]
    strong = {place: len(choices[place]) - 1 for place in PLACES}
    found: dict[str, Picked] = {"acquires": {**strong, "entry": min(1, strong["entry"]), "fence": _OWN_FENCE[model]}}
    if strong["fence"] and strong["wait"]:
        found["full fence"] = {**strong, "entry": 0, "wait": 0}
    if strong["entry"] > 1:
        found["ordered atomics"] = {**strong, "fence": 0}
    return found


def search(model: str, seconds: float, names: Sequence[str] = STARTS) -> Iterator[Cheapest]:
    """A minimal mapping from every start. `seconds` is for one program under the model."""
    for name, picked in starts(model).items():
        if name in names:
            yield _descend(model, name, picked, seconds)


def _descend(model: str, start: str, picked: Picked, seconds: float) -> Cheapest:
    verdict = judged(model, picked, seconds)
    undecided: list[str] = []
    order = sorted(PLACES, key=lambda place: (place != "fence") if start == "acquires" else 0)
    for place in order if verdict is None else ():
        while picked[place]:
            weaker = {**picked, place: picked[place] - 1}
            worse = judged(model, weaker, seconds)
            if worse is not None:
                undecided += [place] if worse.verdict == "undecided" else []
                break
            picked = weaker
    names = tuple(CHOICES[model][place][picked[place]].name for place in PLACES)
    return Cheapest(model, start, names, verdict, tuple(undecided))


def judged(model: str, picked: Picked, seconds: float, names: Sequence[str] = RUN) -> Verdict | None:
    """None if the programs `names` keep every promise in all three stages, else the first verdict that says otherwise."""
    chosen = [CHOICES[model][place][number] for place, number in picked.items()]
    programs = _programs(tuple(change for choice in chosen for change in choice.lines))
    rows = {**MAPPINGS[model][1], **{name: row for choice in chosen for name, row in choice.rows}}
    for name in names:
        for program in programs.all():
            if program.ours and program.name == name:
                for verdict in programs.run(program, model, seconds, first_only=True, rows=rows):
                    if verdict.verdict != "kept":
                        return verdict
    return None


@cache
def _programs(lines: Lines) -> Programs:
    """The programs over a copy of the headers with these lines changed."""
    with tempfile.TemporaryDirectory(prefix="rmaplab-race-") as folder:
        copy = Path(shutil.copytree(CORE, Path(folder) / "core"))
        header = copy / _HEADER
        text = header.read_text()
        for old, new in lines:
            if text.count(old) != 1:
                raise ValueError(f"{_HEADER}: {old!r}: must occur once, occurs {text.count(old)} times")
            text = text.replace(old, new)
        header.write_text(text)
        return load(core=copy)


def row(found: Cheapest) -> dict[str, Any]:
    """An answer for --json."""
    broken = found.broken
    return {
        "model": found.model,
        "start": found.start,
        "mapping": dict(zip(PLACES, found.picked, strict=True)),
        "verdict": broken.verdict if broken else "kept",
        "promise": broken and broken.promise,
        "program": broken and f"{broken.program}/{broken.stage}",
        "undecided": list(found.undecided),
        "bound": BOUND,
    }


def cells(found: Sequence[Cheapest]) -> list[tuple[str, ...]]:
    """A line a model and start. A `?` behind a place: whether it may be weaker was not decided."""
    lines = []
    for one in found:
        marks = (f"{name}{'?' if place in one.undecided else ''}" for place, name in zip(PLACES, one.picked, strict=True))
        said = f"{one.broken.verdict}: {one.broken.promise}" if one.broken else "kept"
        lines.append((one.model, one.start, *marks, said))
    return lines
