"""What MADV_FREE gave up and MADV_PAGEOUT meets, on the running kernel and on the model."""

import pytest

from kernel import lacking
from rmaplab.machine.differential import runner
from rmaplab.machine.differential.program import Program, Step

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("differential"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]

AREA, CHILD, PIN = 2, 9, 50
BETWEEN: dict[str, Program] = {
    "nothing": (),
    "a write": (Step("write", 1, AREA, page=7, pages=1, value=3),),
    "a read": (Step("read", 1, AREA, page=7, pages=1),),
    "a fork": (Step("fork", 1, makes=CHILD),),
    "a child that came and went": (Step("fork", 1, makes=CHILD), Step("exit", CHILD)),
    "a pin": (Step("pin", 1, AREA, page=3, pages=1, makes=PIN),),
}
AFTER = (
    Step("read", 1, AREA, page=434, pages=1),
    Step("write", 1, AREA, page=434, pages=1, value=4),
    Step("madvise", 1, AREA, pages=512, advice="pageout"),
    Step("read", 1, AREA, pages=512),
)


@pytest.mark.parametrize("between", BETWEEN)
def test_kernel_and_model_agree_on_its_pmd_its_pages_and_what_comes_next(between: str) -> None:
    program = (
        Step("spawn", makes=1),
        Step("mmap", 1, pages=512, makes=AREA, order=9),
        Step("write", 1, AREA, pages=512, value=1),
        Step("madvise", 1, AREA, pages=512, advice="free"),
        *BETWEEN[between],
        Step("madvise", 1, AREA, pages=512, advice="pageout"),
        *AFTER,
    )
    outcome = runner.settle(program, "linux-6.18")
    assert outcome.mismatch is None
    assert outcome.compared == len(program)


@pytest.mark.parametrize("order", [2, 4, 9])
@pytest.mark.parametrize("written", [(0,), (1,), (3,), (1, 2), (0, 3)])
@pytest.mark.parametrize("swap", [False, True])
def test_pages_before_the_first_run_with_a_written_page_are_lost_once_a_fork_took_write_access(
    order: int, written: tuple[int, ...], swap: bool
) -> None:
    pages = 1 << order
    program = (
        *((Step("swap", pages=1 << 18),) if swap else ()),
        Step("spawn", makes=1),
        Step("mmap", 1, pages=pages, makes=AREA, order=order),
        Step("write", 1, AREA, pages=pages, value=1),
        Step("fork", 1, makes=CHILD),
        Step("exit", CHILD),
        Step("mprotect", 1, AREA, pages=1, writable=False),
        Step("mprotect", 1, AREA, pages=1, writable=True),
        Step("madvise", 1, AREA, pages=pages, advice="free"),
        *(Step("write", 1, AREA, page=page, pages=1, value=3) for page in written),
        Step("madvise", 1, AREA, pages=pages, advice="pageout"),
        Step("read", 1, AREA, pages=pages),
    )
    outcome = runner.settle(program, "linux-6.18")
    if outcome.why:
        pytest.skip(f"set aside: {outcome.why}")
    assert outcome.mismatch is None
    assert outcome.compared == len(program)
