"""One short program for each rule of file mappings that random programs seldom meet: kernel and model agree, and the rule
shows in what the model answers."""

from collections.abc import Sequence

import pytest

from kernel import lacking
from rmaplab.errors import NotAvailable
from rmaplab.machine.differential import runner
from rmaplab.machine.differential.program import Program, Run, Step
from rmaplab.machine.live.host import diskfile
from rmaplab.machine.model import ModelMachine

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("differential")]
P, Q, FILE, A, B = 1, 2, 3, 4, 5


def disk_file(pages: int, order: int, *more: Step) -> Program:
    """A disk file that P maps shared as A and Q as B; then `more`."""
    return (
        Step("spawn", makes=P),
        Step("spawn", makes=Q),
        Step("file", pages=pages, order=order, makes=FILE, kind="file"),
        Step("mmap", P, file=FILE, pages=pages, makes=A, shared=True),
        Step("mmap", Q, file=FILE, pages=pages, makes=B, shared=True),
        *more,
    )


def on_a(do: str, pages: int, page: int = 0, value: int = 0) -> Step:
    """P reads or writes A, or advises on it."""
    if do in ("read", "write"):
        return Step("read" if do == "read" else "write", P, A, page, pages, value=value)
    return Step("madvise", P, A, page, pages, advice=do)


def emptied(pages: int, *more: Step) -> Program:
    """As `disk_file`, of small folios, with nothing in the page cache."""
    return disk_file(pages, 0, on_a("read", pages), on_a("pageout", pages), *more)


SHARED_THP_BEHIND_A_PRIVATE_MAPPING: Program = (
    Step("spawn", makes=P),
    Step("spawn", makes=Q),
    Step("file", pages=1024, makes=FILE),
    Step("mmap", P, file=FILE, pages=1024, makes=A, shared=True),
    Step("mmap", Q, file=FILE, pages=1024, makes=B, order=9),
    on_a("write", 1024, value=1),
    Step("write", Q, B, 600, 1, value=2),
    Step("read", Q, B, 0, 512),
    on_a("collapse", 512),
    Step("read", Q, B, 0, 1),
)

RULES: dict[str, tuple[Program, int, int]] = {
    "a folio with the readahead mark is skipped by fault-around": (
        emptied(526, on_a("hugepage", 526), on_a("read", 1, 525), Step("read", Q, B, 521, 1)),
        *(6 + 6, 0),
    ),
    "a write takes the readahead mark away": (
        emptied(526, on_a("hugepage", 526), on_a("write", 1, 513, 7), Step("read", Q, B, 521, 1)),
        *(8 + 14, 0),
    ),
    "where something is cached the block is filled with small folios, and the first of them has the mark": (
        emptied(512, on_a("read", 1, 100), on_a("hugepage", 512), on_a("read", 1, 3), Step("read", Q, B, 1, 1)),
        *(1 + 15 + 15, 0),
    ),
    "where the file ends in the block the first has no mark": (
        emptied(500, on_a("read", 1, 100), on_a("hugepage", 500), on_a("read", 1, 3), Step("read", Q, B, 1, 1)),
        *(1 + 16 + 16, 0),
    ),
    "fault-around maps nothing of the last folio of a file if it is found first": (
        disk_file(32, 5, Step("mmap", Q, file=FILE, pages=20, makes=6, shared=True), Step("read", Q, 6, 0, 1)),
        *(1, 0),
    ),
    "fault-around maps the last folio of a file beside another": (
        disk_file(32, 4, Step("mmap", Q, file=FILE, page=15, pages=9, makes=6, shared=True), Step("read", Q, 6, 0, 1)),
        *(9, 0),
    ),
    "a table of PTEs over a mapping with private copies stays when the file is collapsed": (
        SHARED_THP_BEHIND_A_PRIVATE_MAPPING,
        *(512 + 512 + 1 + 512, 512),
    ),
}
"""Program; how many pages are mapped after it; and how many of these by PMDs."""


def mapped_by_the_model(program: Sequence[Step]) -> tuple[int, int]:
    with ModelMachine() as machine:
        run = Run(machine)
        for step in program:
            assert not run.do(step).refused
        seen = machine.observe()
        return seen["order"].count(), int(seen["pmd_mapped"].sum())


@pytest.mark.parametrize("rule", RULES)
def test_kernel_and_model_agree_that(rule: str) -> None:
    program, *pages = RULES[rule]
    assert list(mapped_by_the_model(program)) == pages
    if lacking():
        pytest.skip(lacking())
    try:
        diskfile.directory()
    except NotAvailable as missing:
        pytest.skip(str(missing))
    assert runner.settle(program, "linux-6.18").mismatch is None
