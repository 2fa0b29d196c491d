"""Every operation on real page tables leaves exactly the rmap updates it made in the trace."""

import polars as pl
import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.workers.wire import Op
from rmaplab.machine.protocol import ARENA_BASE, PAGE_SIZE, PMD_SIZE, BadOperation
from rmaplab.trace.validate import validate

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

Row = tuple[int, int, int, bool]


def events_since(machine: LiveMachine, step: int) -> list[Row]:
    """(mm, page, nr, entire) of the events from `step` on; the whole trace must be valid."""
    trace = machine.trace()
    validate(trace)
    rows = trace.events.filter(pl.col("step") >= step)
    return list(rows.select("mm", "page", "nr", "entire").iter_rows())


def test_fork_maps_what_the_parent_maps_and_exit_unmaps_it(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=9)
    process.write(address, PAGE_SIZE)
    before = thp.recorder.builder.step
    child = process.fork()
    child.exit()
    assert events_since(thp, before) == [(2, 0, 1, True), (2, 0, -1, True)]
    assert not child.alive
    assert thp.processes() == [process]


def test_exec_unmaps_everything_and_is_a_new_mm(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE_SIZE)
    process.write(address, 4 * PAGE_SIZE)
    before = machine.recorder.builder.step
    process.exec()
    assert process.mm == 2
    assert events_since(machine, before) == [(1, 0, -1, False)] * 4
    assert process.mmap(PAGE_SIZE) == ARENA_BASE + 2 * PMD_SIZE, "addresses are never given out twice"
    with pytest.raises(BadOperation, match="within one mapping"):
        process.read(address, PAGE_SIZE)


@pytest.mark.parametrize("bad", [{"length": 1}, {"offset": PAGE_SIZE}, {"order": 77}])
def test_a_refused_mmap_takes_no_addresses(machine: LiveMachine, bad: dict[str, int]) -> None:
    process = machine.spawn()
    with pytest.raises(BadOperation):
        process.mmap(**{"length": PAGE_SIZE, **bad})
    with pytest.raises(BadOperation, match="within 4096 bytes"):
        process.mmap(PAGE_SIZE, file=machine.file(PAGE_SIZE), offset=PAGE_SIZE)
    assert process.mmap(PAGE_SIZE) == ARENA_BASE


def test_pmd_split_maps_the_pages_then_unmaps_the_pmd(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=9)
    process.write(address, PMD_SIZE)
    before = thp.recorder.builder.step
    process.mprotect(address, PAGE_SIZE, writable=False)
    assert events_since(thp, before) == [(1, 0, 512, False), (1, 0, -1, True)]


def test_partial_unmap_of_a_pmd_mapping_keeps_the_rest(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=9)
    process.write(address, PMD_SIZE)
    before = thp.recorder.builder.step
    process.munmap(address + 10 * PAGE_SIZE, 20 * PAGE_SIZE)
    assert events_since(thp, before) == [(1, 0, 10, False), (1, 30, 482, False), (1, 0, -1, True)]


def test_dontneed_unmaps_one_run_of_pages(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(32 * PAGE_SIZE, order=4)
    process.write(address, 32 * PAGE_SIZE)
    before = thp.recorder.builder.step
    process.madvise(address + 12 * PAGE_SIZE, 8 * PAGE_SIZE, "dontneed")
    assert events_since(thp, before) == [(1, 12, -4, False), (1, 0, -4, False)]


@pytest.mark.parametrize("order", [0, 2, 4, 9])
def test_folios_have_the_order_asked_for(thp: LiveMachine, order: int) -> None:
    process = thp.spawn()
    address = process.mmap(2 * PMD_SIZE, order=order)
    process.write(address, 2 * PMD_SIZE)
    folios = thp.trace().folios
    assert set(folios["order"]) == {order}
    assert len(folios) == 1024 >> order


@pytest.mark.parametrize("order", [0, 4, 9])
@pytest.mark.parametrize("dontunmap", [False, True])
def test_moved_pages_keep_their_mappings(thp: LiveMachine, order: int, dontunmap: bool) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=order)
    process.write(address, PMD_SIZE)
    before = thp.recorder.builder.step
    new = process.mremap(address, PMD_SIZE, PMD_SIZE, move=not dontunmap, dontunmap=dontunmap)
    assert events_since(thp, before) == []
    assert new == address + 2 * PMD_SIZE
    assert set(process.read(new, PMD_SIZE)) == {1}


def test_moving_part_of_a_pmd_mapping_only_splits_it(thp: LiveMachine) -> None:
    process = thp.spawn()
    address = process.mmap(PMD_SIZE, order=9)
    process.write(address, PMD_SIZE)
    before = thp.recorder.builder.step
    new = process.mremap(address + 100 * PAGE_SIZE, 50 * PAGE_SIZE, 50 * PAGE_SIZE, move=True)
    after = sorted(events_since(thp, before))
    assert after == [(1, 0, -1, True), (1, 0, 100, False), (1, 100, 50, False), (1, 150, 362, False)]
    assert process.read(new, 50 * PAGE_SIZE).all()


def test_mapping_grows_in_place_and_shrinks(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE_SIZE)
    assert process.mremap(address, 4 * PAGE_SIZE, 8 * PAGE_SIZE) == address
    process.write(address, 8 * PAGE_SIZE)
    process.mremap(address, 8 * PAGE_SIZE, 2 * PAGE_SIZE)
    assert machine.observe().height == 2
    process.mmap(PAGE_SIZE)
    with pytest.raises(BadOperation, match="no room to grow in place"):
        process.mremap(address, 2 * PAGE_SIZE, 4 * PMD_SIZE)


@pytest.mark.parametrize("order", [0, 4, 9])
def test_shared_pages_mapped_twice_count_twice_and_are_still_one_mms(thp: LiveMachine, order: int) -> None:
    process = thp.spawn()
    file = thp.file(PMD_SIZE, kind="shmem", order=order)
    first = process.mmap(PMD_SIZE, file=file, shared=True)
    process.write(first, PMD_SIZE)
    second = process.mremap(first, 0, PMD_SIZE)
    process.read(second, PMD_SIZE)
    process.ask(first, PMD_SIZE)
    process.fork().read(first, PMD_SIZE)
    process.ask(first, PMD_SIZE)
    trace = thp.trace()
    validate(trace)
    assert set(trace.folios["kind"]) == {"shmem"}
    assert set(trace.folios["order"]) == {order}
    own = trace.events.filter(mm=1).group_by("folio").agg(pl.col("nr").sum())
    assert set(own["nr"]) == {2 if order == 9 else 2 << order}
    folios = len(trace.folios)
    assert trace.questions["truth"].to_list() == ["exclusive"] * folios + ["shared"] * folios


def test_page_frame_used_again_is_a_new_folio() -> None:
    with LiveMachine(keep_pfns=True) as machine:
        process = machine.spawn()
        for _ in range(30):
            address = process.mmap(64 * PAGE_SIZE)
            process.write(address, 64 * PAGE_SIZE)
            process.munmap(address, 64 * PAGE_SIZE)
        trace = machine.trace()
    validate(trace)
    assert trace.meta.pfns
    assert len(trace.folios) == 30 * 64
    assert trace.folios["pfn"].n_unique() < 30 * 64, "the kernel used no frame a second time"


def test_pfns_stay_out_of_the_trace_unless_asked_for(machine: LiveMachine) -> None:
    process = machine.spawn()
    process.write(process.mmap(PAGE_SIZE), PAGE_SIZE)
    trace = machine.trace()
    assert trace.folios["pfn"].null_count() == 1
    assert not trace.meta.pfns


def test_changes_behind_the_machines_back_are_no_part_of_a_write(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(8 * PAGE_SIZE)
    process.write(address, 8 * PAGE_SIZE)
    process.fork().exit()
    process._worker.ask(Op.MADVISE, address, 2 * PAGE_SIZE, 4)
    written = process.write(address, 8 * PAGE_SIZE)
    assert written.reused == 6
    trace = machine.trace()
    validate(trace)
    assert trace.meta.stats["background_changes"] == 2


def test_stats_count_what_happened(machine: LiveMachine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE_SIZE)
    process.write(address, 2 * PAGE_SIZE)
    child = process.fork()
    process.write(address, PAGE_SIZE)
    child.exit()
    process.write(address, 2 * PAGE_SIZE)
    stats = machine.trace().meta.stats
    wanted = {"spawns": 1, "forks": 1, "exits": 1, "mms": 2, "cow_faults": 2, "reused_pages": 1, "copied_pages": 1}
    assert {name: stats[name] for name in wanted} == wanted
    assert stats["write_seconds"] > 0


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda p, _: p.mmap(PAGE_SIZE + 1), "positive multiple"),
        (lambda p, _: p.mmap(PAGE_SIZE, order=10), "must be 0..9"),
        (lambda p, a: p.write(a, PAGE_SIZE, 256), "must be 0..255"),
        (lambda p, a: p.write(a + 1, PAGE_SIZE), "multiple of 4096"),
        (lambda p, a: p.write(a, 2 * PAGE_SIZE), "within one mapping"),
        (lambda p, a: p.madvise(a, PAGE_SIZE, "nonsense"), "must be one of"),
        (lambda p, a: p.mremap(a, 0, PAGE_SIZE), "only a shared mapping"),
        (lambda p, _: p.unpin(3), "not a pin"),
    ],
)
def test_bad_argument_names_call_value_and_rule(machine: LiveMachine, call: object, rule: str) -> None:
    process = machine.spawn()
    address = process.mmap(PAGE_SIZE)
    with pytest.raises(BadOperation, match=rule):
        call(process, address)  # type: ignore[operator]
    assert process.write(address, PAGE_SIZE).pages == 1
