"""Programs made of other programs: a step less, another order, other pages, an operation from elsewhere.

For the hunt. A changed program may name what no step before makes; such steps are no steps (`Unnamed`), so anything goes
that costs little: few steps, few processes, areas of a few THPs.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, get_args

from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.protocol import PMD_ORDER, Advice

MOST_STEPS: Final = 40
_MOST_PAGES: Final = (3 << PMD_ORDER) + 8
_MOST_PINNED: Final = 64
_MOST_PROCESSES: Final = 8
_BLOCK: Final = 1 << PMD_ORDER
_BIRTHS: Final = ("spawn", "fork", "vfork", "clone_vm")
_FLAGS: Final = ("writable", "readable", "shared", "longterm", "move", "dontunmap", "disabled", "protected")
_RARE: Final = ("exit", "exec", "vfork", "clone_vm", "swap", "merge")
"""Operations not copied from elsewhere as often as others: they end more than they begin."""


class Changer:
    """Changes programs by `lots`, with steps of `others` where it wants one from elsewhere."""

    def __init__(self, lots: random.Random) -> None:
        self._lots = lots
        self._ways: tuple[Callable[[list[Step], Sequence[Program]], None], ...] = (
            self._drop, self._again, self._swap, self._retarget, self._retarget, self._otherwise, self._otherwise,
            self._borrow, self._borrow, self._borrow,
        )  # fmt: skip

    def change(self, program: Program, others: Sequence[Program]) -> Program:
        """A program one to four changes away."""
        steps = list(program)
        for _ in range(self._lots.choice((1, 1, 2, 4))):
            self._lots.choice(self._ways)(steps, others)
        return tuple(_bounded(steps))

    def _drop(self, steps: list[Step], _others: Sequence[Program]) -> None:
        if len(steps) > 2:
            first = self._lots.randrange(1, len(steps))
            del steps[first : first + self._lots.randint(1, 4)]

    def _again(self, steps: list[Step], _others: Sequence[Program]) -> None:
        step = self._lots.choice(steps)
        makes = _fresh(steps) if step.makes >= 0 else -1
        steps.insert(self._lots.randint(1, len(steps)), replace(step, makes=makes))

    def _swap(self, steps: list[Step], _others: Sequence[Program]) -> None:
        if len(steps) > 2:
            one, two = sorted(self._lots.sample(range(1, len(steps)), 2))
            steps[one], steps[two] = steps[two], steps[one]

    def _retarget(self, steps: list[Step], _others: Sequence[Program]) -> None:
        """Another part of the area, another area, another process."""
        at = self._lots.randrange(len(steps))
        step = steps[at]
        of = step.area if step.area >= 0 else step.file
        if self._lots.random() < 0.6 and of >= 0:
            room = max((s.pages for s in steps if s.makes == of), default=1) or 1
            page = self._lots.choice((0, 0, 1, room // 2, max(room - 1, 0), min(_BLOCK, room - 1), step.page))
            pages = self._lots.choice((1, 2, room - page, max(room // 2, 1), min(_BLOCK, room), step.pages))
            steps[at] = replace(step, page=max(page, 0), pages=max(min(pages, room - page), 1))
        else:
            steps[at] = self._placed(step, steps[:at])

    def _otherwise(self, steps: list[Step], _others: Sequence[Program]) -> None:
        """Another advice, a flag turned, another value."""
        at = self._lots.randrange(len(steps))
        step = steps[at]
        if step.do == "madvise":
            steps[at] = replace(step, advice=self._lots.choice(get_args(Advice)))
        elif step.do in ("write", "read_direct") and self._lots.random() < 0.5:
            steps[at] = replace(step, value=self._lots.choice((0, 1, step.value)))
        elif step.do == "mremap" and self._lots.random() < 0.5:
            steps[at] = replace(step, new_pages=self._lots.choice((step.pages, step.pages + 1, max(step.pages - 1, 1))))
        else:
            name = self._lots.choice(_FLAGS)
            turned: dict[str, Any] = {name: not getattr(step, name)}
            steps[at] = replace(step, **turned)

    def _borrow(self, steps: list[Step], others: Sequence[Program]) -> None:
        """A short stretch of another program, on processes and areas of this one."""
        other = self._lots.choice(others)
        first = self._lots.randrange(len(other))
        at = self._lots.randint(1, len(steps))
        for step in other[first : first + self._lots.randint(1, 4)]:
            if step.do in _RARE and self._lots.random() < 0.5:
                continue
            makes = _fresh(steps) if step.makes >= 0 else -1
            steps.insert(at, replace(self._placed(step, steps[:at]), makes=makes))
            at += 1

    def _placed(self, step: Step, before: Sequence[Step]) -> Step:
        """The step with a process, an area and a file that `before` makes, where it has any."""
        processes = [s.makes for s in before if s.do in _BIRTHS]
        areas = [s.makes for s in before if s.do in ("mmap", "mremap") and s.makes >= 0]
        files = [s.makes for s in before if s.do == "file"]
        if step.process >= 0 and processes:
            step = replace(step, process=self._lots.choice(processes))
        if step.area >= 0 and areas:
            step = replace(step, area=self._lots.choice(areas))
        if step.file >= 0 and files:
            step = replace(step, file=self._lots.choice(files))
        return step


def _fresh(steps: Sequence[Step]) -> int:
    return max((step.makes for step in steps), default=0) + 1


def _bounded(steps: Sequence[Step]) -> list[Step]:
    """The steps, cut down to what costs little."""
    kept, births = list[Step](), 0
    for step in steps[:MOST_STEPS]:
        births += step.do in _BIRTHS
        if step.do in _BIRTHS and births > _MOST_PROCESSES:
            continue
        most = _MOST_PINNED if step.do in ("pin", "read_direct") else 1 << 18 if step.do == "swap" else _MOST_PAGES
        kept.append(replace(step, pages=min(step.pages, most), new_pages=min(step.new_pages, _MOST_PAGES)))
    return kept
