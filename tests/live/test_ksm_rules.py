"""KSM's rarer rules, one program each, on the running kernel and on the model: random programs seldom get there."""

import pytest

from kernel import lacking
from rmaplab.machine.differential.program import Program, Step
from rmaplab.machine.differential.runner import run

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("live"),
    pytest.mark.skipif(bool(lacking("ksm")), reason=lacking("ksm")),
]

MERGE = Step("merge")


def filled(process: int, area: int, pages: int = 1, order: int = 0) -> Program:
    """A new process with mergeable memory, all pages alike."""
    return (
        Step("spawn", makes=process),
        Step("mmap", process, pages=pages, makes=area, order=order),
        Step("write", process, area, 0, pages, value=5),
        Step("madvise", process, area, 0, pages, advice="mergeable"),
    )


def advise(process: int, area: int, advice: str, pages: int = 1) -> Step:
    return Step("madvise", process, area, 0, pages, advice=advice)


TWO = (*filled(1, 11), *filled(2, 12))
RULES: dict[str, Program] = {
    "a pinned page that is scanned first keeps its equals apart": (
        *filled(1, 11),
        Step("pin", 1, 11, 0, 1, makes=21),
        *filled(2, 12, 3),
        MERGE,
        Step("unpin", 1, pin=21),
        MERGE,
    ),
    "who shares the partner of a pinned page by fork keeps a KSM page that never merges": (
        *TWO,
        Step("fork", 2, makes=3),
        advise(3, 12, "unmergeable"),
        Step("pin", 1, 11, 0, 1, makes=21),
        MERGE,
        Step("unpin", 1, pin=21),
        advise(3, 12, "mergeable"),
        MERGE,
        Step("write", 3, 12, 0, 1, value=6),
    ),
    "a KSM page whose known users left takes no more": (
        *filled(1, 11, 2),
        *filled(2, 12, 2),
        Step("pin", 2, 12, 0, 2, makes=21),
        MERGE,
        Step("fork", 1, makes=3),
        Step("exit", 1),
        Step("unpin", 2, pin=21),
        MERGE,
        Step("write", 2, 12, 0, 2, value=4),
        MERGE,
        Step("write", 2, 12, 0, 2, value=5),
        MERGE,
    ),
    "a copy made by unsharing merges in spite of references once fork shared it": (
        *TWO,
        MERGE,
        Step("peek", 1, 11, 0, 1),
        Step("fork", 1, makes=3),
        Step("pin", 1, 11, 0, 1, makes=21),
        MERGE,
        Step("write", 3, 11, 0, 1, value=8),
    ),
    "a block that maps one KSM page twice does not collapse": (
        *filled(1, 11, 512, order=9),
        MERGE,
        advise(1, 11, "collapse", 512),
        Step("write", 1, 11, 1, 511, value=6),
        advise(1, 11, "collapse", 512),
        MERGE,
    ),
    "zero pages of a folio that is split become the zero page": (
        Step("spawn", makes=1),
        Step("mmap", 1, pages=520, makes=11, order=9),
        Step("write", 1, 11, 0, 2, value=5),
        advise(1, 11, "populate_write", 520),
        advise(1, 11, "mergeable", 520),
        MERGE,
        Step("write", 1, 11, 500, 20, value=5),
        MERGE,
    ),
    "a KSM page migrates with all its mappings, those fork made too": (
        *TWO,
        MERGE,
        Step("migrate", 1, 11, 0, 1),
        Step("fork", 1, makes=3),
        Step("migrate", 3, 11, 0, 1, shared=True),
        *filled(4, 14),
        MERGE,
    ),
    "a KSM page outside the stable tree does not migrate": (
        *TWO,
        Step("fork", 2, makes=3),
        advise(3, 12, "unmergeable"),
        Step("pin", 1, 11, 0, 1, makes=21),
        MERGE,
        Step("migrate", 3, 12, 0, 1, shared=True),
    ),
    "a move takes KSM pages apart, and they merge again": (
        *filled(1, 11, 4),
        *filled(2, 12, 4),
        MERGE,
        Step("mremap", 1, 11, 0, 4, new_pages=4, makes=13, dontunmap=True),
        MERGE,
        Step("mremap", 2, 12, 1, 2, new_pages=2, makes=14, move=True),
        MERGE,
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_kernel_and_model_agree(rule: str) -> None:
    outcome = run(RULES[rule], "linux-6.18")
    assert outcome.mismatch is None, str(outcome.mismatch)
    assert outcome.compared == len(RULES[rule])
