"""Make a failing program small: fewer steps, then smaller arguments, as long as it still fails.

For the differential test. Greedy delta debugging; the caller says what "still fails" means and how long to try.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from rmaplab.machine.differential.program import Program, Step

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails, attempts: int = 400) -> Program:
    """A program that `fails`, found by at most `attempts` runs from `program`, which does."""
    left = attempts
    improved = True
    while improved and left > 0:
        improved = False
        for candidate in _smaller(program):
            left -= 1
            if fails(candidate):
                program, improved = candidate, True
                break
            if left <= 0:
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """Candidates, most radical first: without a stretch of steps, then with one step simpler."""
    size = len(program) // 2
    while size:
        for start in range(len(program) - size, -1, -size):
            yield program[:start] + program[start + size :]
        size //= 2
    for number, step in enumerate(program):
        for simpler in _simpler(step):
            yield (*program[:number], simpler, *program[number + 1 :])


def _simpler(step: Step) -> Iterator[Step]:
    if step.page:
        yield replace(step, page=0)
        yield replace(step, page=step.page // 2)
    if step.pages > 1:
        yield replace(step, pages=1, new_pages=min(step.new_pages, 1))
        yield replace(step, pages=step.pages // 2, new_pages=step.new_pages // 2)
        yield replace(step, pages=step.pages - 1)
    if step.order:
        yield replace(step, order=0)
    if step.value > 1:
        yield replace(step, value=1)
