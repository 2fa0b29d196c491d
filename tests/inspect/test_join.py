"""The join against counting page by page, on drawn page tables. Needs no privileges."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rmaplab.inspect.extents import Extents
from rmaplab.inspect.folios import ANON, Folios
from rmaplab.inspect.join import close_to, join, keep, reached
from rmaplab.inspect.mapping_rows import runs
from rmaplab.inspect.sharing import Sharing, reached_folios, share
from rmaplab.inspect.tally import tally

FRAMES = 64
MMS = 4

ORDERS = st.lists(st.sampled_from([0, 0, 1, 2, 3]), min_size=1, max_size=24)
RUNS = st.lists(
    st.tuples(st.integers(0, MMS - 1), st.integers(0, FRAMES - 1), st.integers(1, 12)), min_size=1, max_size=24
)


def page_tables(drawn: list[tuple[int, int, int]]) -> Extents:
    """One VMA per MM; a run is a stretch of frames, cut at the end of memory."""
    rows = [(mm, pfn, min(pages, FRAMES - pfn)) for mm, pfn, pages in drawn]
    vma, pfn, pages = (np.array(column, np.uint32) for column in zip(*rows, strict=True))
    vpn = np.arange(len(rows), dtype=np.uint64) * np.uint64(1 << 20)
    return Extents(vma, vpn, pfn, pages, np.zeros(len(rows), np.uint8))


def mapped_folios(orders: list[int], mapped: set[int]) -> Folios:
    """Naturally aligned folios of the drawn orders over all frames, of which those with a mapped page."""
    head, found = 0, []
    for order in [*orders, *([0] * FRAMES)]:
        aligned = -(-head >> order) << order
        found += [(frame, 0) for frame in range(head, aligned)] + [(aligned, order)]
        head = aligned + (1 << order)
        if head >= FRAMES:
            break
    kept = [(h, o) for h, o in found if any(p in mapped for p in range(h, h + (1 << o)))]
    heads, sizes = zip(*kept, strict=True)
    return Folios(np.array(heads, np.uint32), np.array(sizes, np.uint8), np.full(len(kept), ANON, np.uint8))


def count(extents: Extents) -> dict[int, Counter[int]]:
    """Who maps each frame how often."""
    frames: dict[int, Counter[int]] = {}
    for mm, pfn, pages in zip(extents.vma.tolist(), extents.pfn.tolist(), extents.pages.tolist(), strict=True):
        for frame in range(pfn, pfn + pages):
            frames.setdefault(frame, Counter())[mm] += 1
    return frames


def build(orders: list[int], drawn: list[tuple[int, int, int]]) -> tuple[Sharing, dict[int, Counter[int]]]:
    extents = page_tables(drawn)
    frames = count(extents)
    owner = extents.vma.astype(np.int64)
    return share(extents, owner, join(extents, owner), mapped_folios(orders, set(frames))), frames


def folio_of(sharing: Sharing, row: int) -> range:
    head = int(sharing.folios.head[row])
    return range(head, head + (1 << int(sharing.folios.order[row])))


@given(RUNS)
def test_intervals_hold_every_frame_with_its_mappings(drawn: list[tuple[int, int, int]]) -> None:
    extents = page_tables(drawn)
    frames = count(extents)
    joined = join(extents, extents.vma.astype(np.int64))
    seen = {}
    for i in range(len(joined)):
        rows = joined.extent[joined.ptr[i] : joined.ptr[i + 1]]
        for frame in range(int(joined.start[i]), int(joined.end[i])):
            seen[frame] = Counter(extents.vma[rows].tolist())
            assert joined.owners[i] == len(seen[frame])
    assert seen == frames


@given(ORDERS, RUNS)
def test_folios_have_the_owners_and_pages_of_a_count(orders: list[int], drawn: list[tuple[int, int, int]]) -> None:
    sharing, frames = build(orders, drawn)
    for row in range(len(sharing.folios)):
        pages = [frames[p] for p in folio_of(sharing, row) if p in frames]
        assert sharing.mapped[row] == len(pages)
        assert sharing.owners[row] == len(set().union(*pages))


@given(ORDERS, RUNS)
def test_mappings_and_runs_add_up_to_a_count(orders: list[int], drawn: list[tuple[int, int, int]]) -> None:
    sharing, frames = build(orders, drawn)
    mappings = sharing.mappings()
    found = {
        (f, o): n for f, o, n in zip(*(c.tolist() for c in (mappings.folio, mappings.owner, mappings.ptes)), strict=True)
    }
    expected: Counter[tuple[int, int]] = Counter()
    for row in range(len(sharing.folios)):
        for page in folio_of(sharing, row):
            for mm, times in frames.get(page, Counter()).items():
                expected[row, mm] += times
    assert found == dict(expected)
    parts = runs(sharing, np.ones(len(sharing.folios), np.bool_))
    pages: Counter[tuple[int, int]] = Counter()
    for folio, mm, page, nr in zip(*(c.tolist() for c in (parts.folio, parts.owner, parts.page, parts.nr)), strict=True):
        for frame in range(folio_of(sharing, folio)[page], folio_of(sharing, folio)[page] + nr):
            pages[frame, mm] += 1
    assert pages == Counter({(f, mm): n for f, who in frames.items() for mm, n in who.items()})


@given(ORDERS, RUNS)
def test_sums_are_those_of_a_count(orders: list[int], drawn: list[tuple[int, int, int]]) -> None:
    sharing, frames = build(orders, drawn)
    table = tally(sharing, sharing.owner, MMS)
    for mm in range(MMS):
        mine = [who for who in frames.values() if mm in who]
        assert table["resident"][mm] == sum(who[mm] for who in mine)
        assert np.isclose(table["uss"][mm], sum(1 for who in mine if len(who) == 1))
        assert np.isclose(table["pss"][mm], sum(who[mm] / who.total() for who in mine))
        exclusive = 0
        for row in range(len(sharing.folios)):
            pages = [frames[p] for p in folio_of(sharing, row) if p in frames]
            if set().union(*pages) == {mm}:
                exclusive += sum(who[mm] for who in pages)
        assert table["exclusive"][mm] == exclusive


@given(ORDERS, RUNS, st.integers(0, MMS - 1))
def test_restricting_to_one_mm_changes_nothing_about_its_folios(
    orders: list[int], drawn: list[tuple[int, int, int]], mm: int
) -> None:
    whole, frames = build(orders, drawn)
    mine = reached_folios(whole, whole.owner == mm)
    for row in range(len(whole.folios)):
        assert mine[row] == any(mm in frames.get(p, Counter()) for p in folio_of(whole, row))
    folios = whole.folios[np.flatnonzero(mine)]
    assert np.array_equal(reached(whole.joined, whole.owner == mm).any(), len(folios) > 0)
    part = share(whole.extents, whole.owner, keep(whole.joined, folios.touch(whole.joined)), folios)
    assert np.array_equal(part.owners, whole.owners[mine])
    assert np.array_equal(part.mapped, whole.mapped[mine])


@given(ORDERS, RUNS, st.integers(0, MMS - 1))
def test_a_folio_leads_to_an_extent_that_maps_it_of_the_wanted_owner_if_he_has_one(
    orders: list[int], drawn: list[tuple[int, int, int]], mm: int
) -> None:
    sharing, frames = build(orders, drawn)
    for row, extent in enumerate(sharing.first_extents(np.array([mm])).tolist()):
        pages, begin = folio_of(sharing, row), int(sharing.extents.pfn[extent])
        assert set(pages) & set(range(begin, begin + int(sharing.extents.pages[extent])))
        assert (sharing.owner[extent] == mm) == any(mm in frames.get(p, Counter()) for p in pages)


@given(RUNS, st.integers(0, MMS - 1), st.integers(0, 4))
def test_extents_close_to_an_mm_are_those_that_share_an_aligned_block(
    drawn: list[tuple[int, int, int]], mm: int, order: int
) -> None:
    extents = page_tables(drawn)
    blocks = [
        {frame >> order for frame in range(pfn, pfn + pages)}
        for pfn, pages in zip(extents.pfn.tolist(), extents.pages.tolist(), strict=True)
    ]
    mine = extents.vma == mm
    wanted = set().union(*(b for b, m in zip(blocks, mine.tolist(), strict=True) if m))
    assert close_to(extents, mine, order).tolist() == [bool(b & wanted) for b in blocks]
