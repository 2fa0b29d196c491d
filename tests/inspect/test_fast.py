"""What C reads and joins is what NumPy reads and joins, and both are what was laid out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmaplab.inspect import fast
from rmaplab.inspect.extents import ABSENT, Extents, Populated, Slots
from rmaplab.inspect.folios import Folios, folios
from rmaplab.inspect.join import Join, join
from rmaplab.inspect.scan import PageTable
from rmaplab.machine.live.proc import procfs
from rmaplab.machine.live.proc.pageflags import PageFlags

PRESENT, SWAP, FILE, GUARD, ONCE = 1 << 63, 1 << 62, 1 << 61, 1 << 58, 1 << 56
ZERO_PFN = 77
HEAD, TAIL = int(procfs.KPF_COMPOUND_HEAD), int(procfs.KPF_COMPOUND_TAIL)
PLAIN = int(procfs.KPF_MMAP | procfs.KPF_ANON)

pytestmark = pytest.mark.skipif(not fast.available(), reason="no C compiler was there when rmaplab was installed")


@pytest.fixture(scope="module")
def proc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A /proc of our own: PID 1 has a pagemap, and there is a kpageflags; tests write them."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("proc")
        (place / "1").mkdir()
        patch.setattr(procfs, "PROC", place)
        yield place


def both(call: Any, at_once: int = 1 << 22) -> tuple[Any, Any]:
    """By C, so many entries or folios a call; by NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "_AT_ONCE", at_once)
        patch.setattr(fast, "_FOLIOS", at_once)
        by_c = call()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "_FAST", None)
        return by_c, call()


entries = st.one_of(
    st.just(0),
    st.builds(
        lambda pfn, file, once: PRESENT | pfn | file | once,
        st.integers(ZERO_PFN - 2, ZERO_PFN + 4),
        st.sampled_from([0, FILE]),
        st.sampled_from([0, ONCE]),
    ),
    st.builds(lambda kind, at: SWAP | kind | at << 5, st.integers(0, 31), st.integers(0, 9)),
    st.just(SWAP | GUARD | 31),
)


@given(
    table=st.lists(st.lists(entries, min_size=1, max_size=30), max_size=8),
    apart=st.lists(st.sampled_from([0, 1, 64, 65, 200]), min_size=8, max_size=8),
    huge=st.lists(st.booleans(), min_size=8, max_size=8),
    edges=st.lists(st.integers(1, 600), max_size=6, unique=True),
    at_once=st.sampled_from([1, 70, 1 << 22]),
)
@settings(max_examples=60, deadline=None)
def test_both_find_the_same_runs_slots_and_absent_pages(
    proc: Path, table: list[list[int]], apart: list[int], huge: list[bool], edges: list[int], at_once: int
) -> None:
    start, end, words = [], [], []
    for gap, part in zip(apart, table, strict=False):
        words += [0] * gap
        start.append(len(words))
        words += part
        end.append(len(words))
    (proc / "1" / "pagemap").write_bytes(np.array([*words, *[0] * 8], np.uint64).tobytes())
    marks = np.array(huge[: len(start)], np.bool_)
    where = Populated(np.array(start, np.uint64), np.array(end, np.uint64), marks)
    vma_start = np.array([0, *sorted(edges)], np.uint64)

    def read() -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], list[list[int]]]:
        absent = np.zeros((len(ABSENT), len(vma_start)), np.int64)
        opened = PageTable(1)
        extents, slots = opened.read(where, vma_start, ZERO_PFN, absent)
        opened.close()
        return pages_of(extents), list(zip(slots.vma.tolist(), slots.slot.tolist(), strict=True)), absent.tolist()

    by_c, by_numpy = both(read, at_once)
    assert by_c == by_numpy
    shown = [(vpn, word) for vpn, word in enumerate(words) if word & PRESENT and word & int(procfs.PM_PFN) != ZERO_PFN]
    assert [(vpn, pfn) for _, vpn, pfn, _ in by_c[0]] == [(vpn, word & int(procfs.PM_PFN)) for vpn, word in shown]


def pages_of(extents: Extents) -> list[tuple[int, ...]]:
    """(VMA, virtual page, frame, flags) of every page."""
    return [
        (int(vma), int(vpn) + n, int(pfn) + n, int(flags))
        for vma, vpn, pfn, pages, flags in zip(*(getattr(extents, name) for name in Extents.__slots__), strict=True)
        for n in range(int(pages))
    ]


def test_runs_are_as_long_as_they_can_be(proc: Path) -> None:
    frames = [PRESENT | pfn for pfn in (*range(1000, 4000), 5000, 5001, ZERO_PFN, ZERO_PFN + 1, 5002, 5003)]
    (proc / "1" / "pagemap").write_bytes(np.array(frames, np.uint64).tobytes())
    where = Populated(np.zeros(1, np.uint64), np.array([len(frames)], np.uint64), np.zeros(1, np.bool_))

    def read() -> Any:
        opened, absent = PageTable(1), np.zeros((len(ABSENT), 1), np.int64)
        found, _ = opened.read(where, np.zeros(1, np.uint64), ZERO_PFN, absent)
        opened.close()
        return found.pfn.tolist(), found.pages.tolist(), absent[:, 0].tolist()

    by_c, by_numpy = both(read)
    assert by_c == by_numpy == ([1000, 5000, ZERO_PFN + 1, 5002], [3000, 2, 1, 2], [1, 0, 0, 0, 0])


def test_a_process_without_memory_is_gone(proc: Path) -> None:
    (proc / "1" / "pagemap").write_bytes(b"")
    where = Populated(np.zeros(1, np.uint64), np.ones(1, np.uint64), np.zeros(1, np.bool_))

    def read() -> bool:
        opened = PageTable(1)
        with pytest.raises(procfs.ProcessGone):
            opened.read(where, np.zeros(1, np.uint64), 0, np.zeros((len(ABSENT), 1), np.int64))
        opened.close()
        return True

    assert both(read) == (True, True)


@st.composite
def layouts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """(head, order) of naturally aligned folios in some thousand frames, one behind the other."""
    found, at = [], 0
    while at < 6000 and len(found) < 60:
        order = draw(st.sampled_from([0, 0, 0, 1, 2, 4, 9, 10, 12]))
        at = -(-at >> order) << order if at % (1 << order) else at
        found.append((at, order))
        at += (1 << order) + draw(st.sampled_from([0, 0, 1, 3]))
    return found


@given(laid_out=layouts(), seed=st.integers(0, 2**32), whole=st.booleans(), at_once=st.sampled_from([1, 7, 1 << 15]))
@settings(max_examples=30, deadline=None)
def test_both_find_the_folios_that_were_laid_out(
    proc: Path, laid_out: list[tuple[int, int]], seed: int, whole: bool, at_once: int
) -> None:
    last, order = laid_out[-1]
    words = np.zeros(last + (1 << order), np.uint64)
    for head, size in laid_out:
        words[head : head + (1 << size)] = PLAIN | (TAIL if size else 0)
        words[head] = PLAIN | (HEAD if size else 0)
    (proc / "kpageflags").write_bytes(words.tobytes())
    random = np.random.default_rng(seed)
    mapped = (words != 0) & (random.random(len(words)) < (1 if whole else random.random()))
    joined = spans(mapped)

    def read() -> list[tuple[int, ...]]:
        found: Folios = folios(joined, PageFlags({}))
        return list(zip(found.head.tolist(), found.order.tolist(), found.kind.tolist(), strict=True))

    by_c, by_numpy = both(read, at_once)
    truth = [(head, size, 0) for head, size in laid_out if mapped[head : head + (1 << size)].any()]
    assert by_c == truth
    assert by_numpy == truth


def spans(mapped: np.ndarray) -> Join:
    """Intervals of mapped frames, all of one extent."""
    edges = np.flatnonzero(np.diff(mapped.astype(np.int8), prepend=0, append=0))
    start, end = edges[::2].astype(np.int64), edges[1::2]
    ones = np.ones(len(start), np.uint32)
    rows = np.zeros(len(start), np.uint32)
    return Join(start, (end - start).astype(np.uint32), ones, np.arange(len(start) + 1), rows)


@given(
    runs=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(0, 5)), max_size=30),
    base=st.sampled_from([0, 2**31, 2**33]),
)
@settings(max_examples=60, deadline=None)
def test_both_join_alike(runs: list[tuple[int, int, int]], base: int) -> None:
    """Of every frame: the runs that map it, and how many owners they have."""
    pfn = np.array([base + first for first, _, _ in runs], np.uint64 if base >= 2**32 else np.uint32)
    pages = np.array([count for _, count, _ in runs], np.uint32)
    owner = np.array([who for _, _, who in runs], np.int64)
    none = np.zeros(len(runs), np.uint32)
    extents = Extents(none, none.astype(np.uint64), pfn, pages, none.astype(np.uint8))
    by_c, by_numpy = both(lambda: join(extents, owner))
    for made in (by_c, by_numpy):
        assert [a.dtype for a in (made.start, made.pages, made.owners, made.ptr, made.extent)] == [
            *(np.int64, np.uint32, np.uint32, np.int64, np.uint32)
        ]
        assert (made.start[1:] >= made.end[:-1]).all()
        assert int(made.ptr[-1]) == len(made.extent)
    assert (by_c.start.tolist(), by_c.pages.tolist()) == (by_numpy.start.tolist(), by_numpy.pages.tolist())
    assert by_c.owners.tolist() == by_numpy.owners.tolist()
    truth = {
        base + frame: sorted(n for n, (first, count, _) in enumerate(runs) if first <= frame < first + count)
        for frame in range(60)
    }
    for place in range(len(by_c)):
        rows = sorted(by_c.extent[by_c.ptr[place] : by_c.ptr[place + 1]].tolist())
        assert int(by_c.owners[place]) == len({runs[n][2] for n in rows})
        for frame in range(int(by_c.start[place]), int(by_c.end[place])):
            assert truth.pop(frame) == rows
    assert not any(truth.values())


def test_an_error_of_the_file_is_told(proc: Path) -> None:
    """A directory cannot be read: no folio is made up."""
    (proc / "kpageflags").unlink(missing_ok=True)
    (proc / "kpageflags").mkdir()
    try:
        with pytest.raises(procfs.Missing, match="kpageflags"):
            folios(spans(np.ones(4, np.bool_)), PageFlags({}))
    finally:
        (proc / "kpageflags").rmdir()


def test_swap_slots_have_their_types() -> None:
    assert [a.dtype for a in (Slots.join([]).vma, Slots.join([]).slot)] == [np.uint32, np.uint64]
