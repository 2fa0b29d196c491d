"""Well-known shapes as Linux C litmus tests: SB, MP, LB, S, R, 2+2W, WRC, ISA2, IRIW with every link between accesses.

For tests/race: what `litmus.py` says of them is held against what herd7 says with the kernel's own model. A link is what
orders a thread's second access behind its first, if anything does.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

Access = tuple[str, str, int]  # R or W, location, value stored or, in the condition, read

_LINKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "WW": ("po", "wmb", "mb", "rel"),
        "WR": ("po", "mb"),
        "RW": ("po", "mb", "rel", "acq", "data", "ctrl"),
        "RR": ("po", "rmb", "mb", "acq"),
        "R": ("",),
        "W": ("",),
    }
)

#: Threads, and final values that the condition asks for besides those of the reads.
SHAPES: Final[Mapping[str, tuple[tuple[tuple[Access, ...], ...], tuple[tuple[str, int], ...]]]] = MappingProxyType(
    {
        "SB": (((("W", "x", 1), ("R", "y", 0)), (("W", "y", 1), ("R", "x", 0))), ()),
        "MP": (((("W", "x", 1), ("W", "y", 1)), (("R", "y", 1), ("R", "x", 0))), ()),
        "LB": (((("R", "x", 1), ("W", "y", 1)), (("R", "y", 1), ("W", "x", 1))), ()),
        "S": (((("W", "x", 2), ("W", "y", 1)), (("R", "y", 1), ("W", "x", 1))), (("x", 2),)),
        "R": (((("W", "x", 1), ("W", "y", 1)), (("W", "y", 2), ("R", "x", 0))), (("y", 2),)),
        "2+2W": (((("W", "x", 1), ("W", "y", 2)), (("W", "y", 1), ("W", "x", 2))), (("x", 1), ("y", 1))),
        "WRC": (((("W", "x", 1),), (("R", "x", 1), ("W", "y", 1)), (("R", "y", 1), ("R", "x", 0))), ()),
        "ISA2": (
            (
                (("W", "x", 1), ("W", "y", 1)),
                (("R", "y", 1), ("W", "z", 1)),
                (("R", "z", 1), ("R", "x", 0)),
            ),
            (),
        ),
        "IRIW": (
            (
                (("W", "x", 1),),
                (("R", "x", 1), ("R", "y", 0)),
                (("W", "y", 1),),
                (("R", "y", 1), ("R", "x", 0)),
            ),
            (),
        ),
    }
)
_FENCES: Final = {"mb": "smp_mb", "wmb": "smp_wmb", "rmb": "smp_rmb"}


@dataclass(frozen=True)
class Shape:
    """A litmus test made here: its name, and its text as a file for herd7 and for litmus.py."""

    name: str
    text: str


def shapes(plain: bool = False) -> Iterator[Shape]:
    """All of them, in a fixed order.

    `plain`: x is read and written by plain accesses, where the link asks for no other, and behind a read only if that
    found something: so that some of them have no data race.
    """
    for name, (threads, finals) in SHAPES.items():
        kinds = ["".join(access[0] for access in thread) for thread in threads]
        for links in itertools.product(*(_LINKS[kind] for kind in kinds)):
            full = "+".join((name, *(link for link in links if link)))
            yield Shape(full, _text(full, threads, finals, links, "x" if plain else ""))


def _text(
    name: str, threads: Sequence[Sequence[Access]], finals: Sequence[tuple[str, int]], links: Sequence[str], plain: str
) -> str:
    bodies = [_thread(number, *pair, plain) for number, pair in enumerate(zip(threads, links, strict=True))]
    reads = [
        f"{number}:r{i}={access[2]}"
        for number, thread in enumerate(threads)
        for i, access in enumerate(thread)
        if access[0] == "R"
    ]
    wanted = " /\\ ".join((*reads, *(f"{place}={value}" for place, value in finals)))
    return "\n".join((f"C {name}", "", "{}", "", *bodies, f"exists ({wanted})", ""))


def _thread(number: int, accesses: Sequence[Access], link: str, plain: str) -> str:
    places = sorted({access[1] for access in accesses})
    lines = [f"P{number}({', '.join(f'int *{place}' for place in places)})", "{"]
    lines.extend(f"\tint r{i};" for i, access in enumerate(accesses) if access[0] == "R")
    first = accesses[0]
    lines.append(_access(0, first, "acq" if link == "acq" else "", plain))
    if link in _FENCES:
        lines.append(f"\t{_FENCES[link]}();")
    if len(accesses) > 1:
        second = _access(1, accesses[1], link, plain)
        guarded = link == "ctrl" or (accesses[1][1] == plain and first[0] == "R")
        lines.append(f"\tif (r0)\n\t{second}" if guarded else second)
    return "\n".join((*lines, "}", ""))


def _access(i: int, access: Access, link: str, plain: str) -> str:
    what, place, value = access
    if place == plain and not (link == "rel" and what == "W") and not (link == "acq" and what == "R" and i == 0):
        return f"\tr{i} = *{place};" if what == "R" else f"\t*{place} = {'r0' if link == 'data' else value};"
    if what == "R":
        return f"\tr{i} = smp_load_acquire({place});" if link == "acq" and i == 0 else f"\tr{i} = READ_ONCE(*{place});"
    if link == "rel":
        return f"\tsmp_store_release({place}, {value});"
    return f"\tWRITE_ONCE(*{place}, {'r0' if link == 'data' else value});"
