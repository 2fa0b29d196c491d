"""What a look at a family costs grows as its extents do: counted in elements handled a row of the join."""

from itertools import pairwise

import numpy as np
import pytest
from elements import Counting

from rmaplab.inspect import folios, join, sharing, tally
from rmaplab.inspect.extents import Extents
from rmaplab.inspect.folios import ANON, Folios

PARTS = (join, sharing, tally, folios)


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
