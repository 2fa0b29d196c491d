"""Where copies come from, in families: page cache, zero page and memory are told apart as kpageflags tells them."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from test_faults_are_true import Truth, counts, frames

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.watch import records
from rmaplab.watch.hooks import Hooks
from rmaplab.watch.layout import Layout
from rmaplab.watch.records import Outcome

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("nothing_stays")]

PAGES = 256
SIZE = PAGES * PAGE_SIZE
HALF, QUARTER = SIZE // 2, SIZE // 4
ANON = (Outcome.NEEDED, Outcome.NEEDLESS, Outcome.UNPROVEN)


@pytest.fixture(params=["tracepoint", "software event"])
def hooks(request: pytest.FixtureRequest, found: Layout) -> Iterator[Hooks]:
    with Hooks(found, events=request.param == "software event") as made:
        made.set_word(records.TOKENS, 1 << 40)
        yield made


def copied_from(truth: Truth, process: LiveProcess, at: int, length: int) -> tuple[Counter[str], Counter[str]]:
    """Write: copies by where they came from, as the faults say and as the frames did."""
    truth.news(process, 0, 0)
    before = frames(process, at, length)
    flags = procfs.kpageflags(before)
    process.write(at, length)
    replaced = (before != 0) & (before != frames(process, at, length))
    zero, anon = flags & procfs.KPF_ZERO_PAGE != 0, flags & procfs.KPF_ANON != 0
    kinds = {"zero": zero, "anon": anon & ~zero, "file": ~anon & ~zero}
    really = Counter({name: int(np.count_nonzero(replaced & which)) for name, which in kinds.items()})
    found = counts(truth.news(process, at, length))
    said = {"file": found[Outcome.FROM_FILE], "zero": found[Outcome.FROM_ZERO], "anon": sum(found[one] for one in ANON)}
    return Counter(said), really


@pytest.mark.parametrize("children", [1, 4, 7])
def test_page_cache_zero_pages_and_memory_are_told_apart_in_a_family(
    hooks: Hooks, machine: LiveMachine, children: int
) -> None:
    """Of a private file and of empty memory a quarter was written before the fork, half is read, a quarter is not there;
    another process maps the file too, and some of the family exit or execute meanwhile."""
    parent, truth, file = machine.spawn(), Truth(hooks), machine.file(SIZE)
    outside = machine.spawn()
    outside.read(outside.mmap(SIZE, file=file), SIZE)
    private, empty = parent.mmap(SIZE, file=file), parent.mmap(SIZE)
    for at in (private, empty):
        parent.write(at, QUARTER)
    truth.add(parent)
    family = [parent, *(parent.fork() for _ in range(children))]
    total: Counter[str] = Counter()
    for index, process in enumerate(family):
        for at in (private, empty):
            process.read(at + QUARTER, HALF)
            begin = at + (QUARTER // 2 if index % 2 else 0)
            said, really = copied_from(truth, process, begin, SIZE - QUARTER // 2)
            assert said == really
            total += really
        if index % 3 == 1:
            process.exit()
        elif index % 3 == 2:
            process.exec()
    assert total["zero"] == len(family) * PAGES // 2
    assert total["file"] >= len(family) * PAGES // 2  # a read maps page cache around it too
    assert total["anon"] >= PAGES // 4
    assert hooks.word(records.LOST_DETAIL) == hooks.word(records.LOST_FAULTS) == 0
