"""What a look at a family costs grows as its extents do: counted in elements handled a row of the join."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from elements import Counting

from rmaplab.inspect import erosion, folios, hugepool, join, price, sharing, snapshot, tally, write_rule
from rmaplab.inspect.accounting import Account
from rmaplab.inspect.exactness import Exactness
from rmaplab.inspect.extents import ABSENT, Extents, Slots
from rmaplab.inspect.folios import ANON, Folios
from rmaplab.inspect.probes import KernelView, PageFlags
from rmaplab.inspect.processes import Mm, Notes, Process
from rmaplab.inspect.snapshot import Snapshot, Vmas

PARTS = (join, sharing, tally, folios)
OF_EACH = (erosion, hugepool, join, price, sharing, snapshot, write_rule)
NOBODY = 1 << 22
"""PIDs from here on are nobody's."""


def family(mms: int, writes: int, pages: int) -> Extents:
    """Page tables of `mms` forked workers, each of which has `writes` of the `pages` inherited as copies of its own."""
    rows: list[tuple[int, int, int]] = []
    for mm in range(mms):
        own = np.sort(np.random.default_rng(mm).choice(pages, writes, replace=False))
        edges = [-1, *own.tolist(), pages]
        rows += [(mm, low + 1, high - low - 1) for low, high in pairwise(edges) if high - low > 1]
        rows += [(mm, pages + 2 * (mm * writes + one), 1) for one in range(writes)]
    vma, pfn, run = (np.array(column, np.uint32) for column in zip(*rows, strict=True))
    return Extents(vma, np.arange(len(rows), dtype=np.uint64) << np.uint64(20), pfn, run, np.zeros(len(rows), np.uint8))


def work(monkeypatch: pytest.MonkeyPatch, mms: int, writes: int, pages: int) -> float:
    """Elements handled per row of the join, from extents to the sums per process."""
    extents = family(mms, writes, pages)
    frames = np.unique(np.concatenate([np.arange(p, p + n) for p, n in zip(extents.pfn, extents.pages, strict=True)]))
    small = Folios(frames.astype(np.uint32), np.zeros(len(frames), np.uint8), np.full(len(frames), ANON, np.uint8))
    owner, counting = extents.vma.astype(np.int64), Counting()
    with monkeypatch.context() as patch:
        for part in PARTS:
            if hasattr(part, "np"):
                patch.setattr(part, "np", counting)
        joined = join.join(extents, owner)
        found = tally.tally(sharing.share(extents, owner, joined, small), owner, mms)
    assert found["resident"].tolist() == [pages] * mms
    return counting.elements / (len(joined.extent) + len(frames))


def test_work_does_not_grow_faster_than_a_family_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    few = work(monkeypatch, 20, 8, 512)
    assert work(monkeypatch, 20, 128, 512) < 1.1 * few


def test_work_does_not_grow_faster_than_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    few = work(monkeypatch, 15, 16, 512)
    assert work(monkeypatch, 150, 16, 512) < 1.1 * few


def look(mms: int, pages: int) -> tuple[Snapshot, int]:
    """A parent, MM 0, and its workers, each of one VMA that maps some pages with all others and some alone; some of each
    in swap. And how many mappings that makes."""
    extents = family(mms, 8, pages)
    frames = np.unique(np.concatenate([np.arange(p, p + n) for p, n in zip(extents.pfn, extents.pages, strict=True)]))
    small = Folios(frames.astype(np.uint32), np.zeros(len(frames), np.uint8), np.full(len(frames), ANON, np.uint8))
    each, owner = np.arange(mms), extents.vma.astype(np.int64)
    yes, no = np.ones(mms, np.bool_), np.zeros(mms, np.bool_)
    zero, end = np.zeros(mms, np.uint64), np.full(mms, 1 << 40, np.uint64)
    joined = join.join(extents, owner)
    made = Snapshot(
        tuple(Mm((Process(NOBODY + mm, 0, "worker", 0, (str(mm),)),)) for mm in range(mms)),
        each,
        Vmas(each, zero, end, yes, no, [""] * mms),
        sharing.share(extents, owner, joined, small),
        np.zeros((len(ABSENT), mms), np.int64),
        Slots(np.repeat(each, 4).astype(np.uint32), np.arange(4 * mms, dtype=np.uint64) << np.uint64(5)),
        Notes(),
        Account(len(small)),
        Exactness("built by hand"),
        0.0,
        0.0,
    )
    return made, len(joined.extent)


VIEW = KernelView([], None, -1, True, flags=PageFlags({"anon_exclusive": "built by hand"}))


def eroded(of: Snapshot) -> None:
    assert len(erosion.erosion(of, VIEW)) == len(of.targets) - 1


def priced(of: Snapshot) -> None:
    for mm in of.targets.tolist():
        assert price.what_if_write(of, mm, VIEW).swapped == 4 * of.page_size


@pytest.mark.parametrize("answer", [eroded, priced])
def test_what_is_said_of_each_member_costs_what_it_maps(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[Snapshot], None]
) -> None:
    def spent(mms: int) -> float:
        of, mappings = look(mms, 64)
        counting = Counting()
        with monkeypatch.context() as patch:
            patch.setattr(erosion, "parents", lambda s: np.where(np.arange(len(s.mms)) > 0, 0, -1))
            for part in OF_EACH:
                patch.setattr(part, "np", counting)
            answer(of)
        return counting.elements / mappings

    few = spent(60)
    assert spent(600) < 1.25 * few
