"""One short program for each rule of shmem in swap: kernel and model agree, and the rule shows in the model's answer."""

from collections.abc import Sequence

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.differential import runner
from rmaplab.machine.differential.program import Program, Run, Step
from rmaplab.machine.model import ModelMachine

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("differential")]
P, Q, FILE, A, B = 1, 2, 3, 4, 5


def shmem(pages: int, order: int, *more: Step, device: int = 1 << 14) -> Program:
    """A file written by P through its shared mapping A, Q's is B; then `more`. `device`: pages of swap."""
    return (
        Step("swap", pages=device),
        Step("spawn", makes=P),
        Step("spawn", makes=Q),
        Step("file", pages=pages, order=order, makes=FILE),
        Step("mmap", P, file=FILE, pages=pages, makes=A, shared=True, order=order),
        Step("mmap", Q, file=FILE, pages=pages, makes=B, shared=True, order=order),
        Step("write", P, A, 0, pages, value=5),
        *more,
    )


def out(page: int, pages: int) -> Step:
    """P asks for pages of A to go to swap."""
    return Step("madvise", P, A, page, pages, advice="pageout")


RULES: dict[str, tuple[Program, int, int]] = {
    "a page in swap is mapped nowhere": (shmem(64, 0, out(0, 64)), 0, 0),
    "fault-around passes by what is in swap": (
        shmem(16, 0, out(4, 8), Step("read", Q, B, 0, 1)),
        *(16 - 8 + 8, 0),
    ),
    "an mTHP comes back whole": (shmem(32, 4, out(0, 32), Step("read", Q, B, 3, 1)), 16, 0),
    "a THP comes back whole, to be mapped by a PMD": (shmem(512, 9, out(0, 512), Step("read", Q, B, 3, 1)), 512, 512),
    "a THP is split before a part of it goes": (shmem(512, 9, out(0, 8), Step("read", P, A, 0, 1), out(0, 8)), 16 - 8, 0),
    "a page stays in the cache while somebody holds it": (
        shmem(16, 0, Step("pin", P, A, 0, 1, makes=9), out(0, 16), Step("read", P, A, 1, 1)),
        *(2, 0),
    ),
    "what others map too stays": (shmem(16, 0, Step("read", Q, B, 0, 16), out(0, 16)), 32, 0),
    "the rest of a private mapping's pages come from swap": (
        shmem(16, 0, out(0, 16), Step("mmap", Q, file=FILE, pages=16, makes=6), Step("write", Q, 6, 2, 4, value=7)),
        *(4, 0),
    ),
    "collapse reads back small folios": (
        shmem(512, 0, out(0, 300), Step("madvise", Q, B, 0, 512, advice="collapse")),
        *(512, 512),
    ),
    "collapse maps a THP it reads back": (
        shmem(512, 9, out(0, 512), Step("madvise", Q, B, 0, 512, advice="collapse")),
        *(512, 512),
    ),
    "collapse leaves out a block with a private copy in swap, and goes on": (
        shmem(
            1024,
            9,
            Step("mmap", Q, file=FILE, pages=1024, makes=6, order=9),
            Step("write", Q, 6, 3, 1, value=7),
            Step("madvise", Q, 6, 3, 1, advice="pageout"),
            Step("madvise", Q, 6, 0, 1024, advice="collapse"),
        ),
        *(1024 + 512, 1024 + 512),
    ),
    "a page in swap has its place in the file, so no THP fits there": (
        shmem(512, 0, out(0, 512), Step("mmap", Q, file=FILE, pages=512, makes=6, order=9), Step("read", Q, 6, 7, 1)),
        *(1, 0),
    ),
    "a THP without slots in a row goes page by page": (
        shmem(1024, 9, out(0, 1024), Step("read", Q, B, 600, 100), device=1024),
        *(100, 0),
    ),
}
"""Program; how many pages are mapped after it; and how many of these by PMDs."""


def mapped_by_the_model(program: Sequence[Step]) -> tuple[int, int]:
    with ModelMachine() as machine:
        run = Run(machine)
        for step in program:
            refused = run.do(step).refused
            assert not refused or step.advice == "collapse"
        seen = machine.observe()
        return seen["order"].count(), int(seen["pmd_mapped"].sum())


@pytest.mark.parametrize("rule", RULES)
def test_kernel_and_model_agree_that(rule: str) -> None:
    program, *pages = RULES[rule]
    assert list(mapped_by_the_model(program)) == pages
    try:
        outcome = runner.settle(program, "linux-6.18")
    except NotAvailable as missing:
        pytest.skip(str(missing))
    assert outcome.mismatch is None
