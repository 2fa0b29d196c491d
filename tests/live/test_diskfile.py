"""Disk files on the running kernel: they are cached as asked, or refused by name."""

import resource

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.host import diskfile
from rmaplab.machine.live.system import LiveSystem
from rmaplab.machine.pagecache import contents, layout
from rmaplab.machine.protocol import Advice

PAGE = 4096


@pytest.fixture
def disk(machine: LiveMachine) -> LiveMachine:
    """A live machine where disk files can be made."""
    try:
        diskfile.directory()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    return machine


@pytest.mark.live
@pytest.mark.parametrize("order", [0, 1, 4, 9])
def test_a_disk_file_is_all_cached_in_folios_of_its_order(disk: LiveMachine, order: int) -> None:
    pages = 600
    process = disk.spawn()
    address = process.mmap(pages * PAGE, file=disk.file(pages * PAGE, kind="file", order=order), shared=True)
    assert process.read(address, pages * PAGE).tolist() == contents(pages).tolist()
    assert disk.observe()["order"].to_list() == [size for _, size in layout(pages, order) for _ in range(1 << size)]


@pytest.mark.live
def test_what_was_written_survives_a_pageout_and_comes_back_in_small_folios(disk: LiveMachine) -> None:
    process = disk.spawn()
    address = process.mmap(16 * PAGE, file=disk.file(16 * PAGE, kind="file", order=4), shared=True)
    process.write(address + 5 * PAGE, PAGE, 200)
    process.madvise(address, 16 * PAGE, "pageout")
    assert disk.observe()["order"].count() == 0
    assert process.read(address, 16 * PAGE).tolist() == [*contents(5), 200, *contents(16)[6:]]
    assert disk.observe()["order"].to_list() == [0] * 16


@pytest.mark.live
@pytest.mark.parametrize(("advice", "mapped"), [("dontneed", 16), ("pageout", 4)])
def test_fault_around_leaves_out_dirty_pages_that_were_paged_out(
    disk: LiveMachine, monkeypatch: pytest.MonkeyPatch, advice: Advice, mapped: int
) -> None:
    """Reclaim marks them PG_reclaim, which is PG_readahead too. The machine writes them back before."""
    monkeypatch.setattr(LiveSystem, "write_back", lambda _system: None)
    process = disk.spawn()
    address = process.mmap(32 * PAGE, file=disk.file(32 * PAGE, kind="file", order=2), shared=True)
    process.write(address, 32 * PAGE)
    process.madvise(address, 32 * PAGE, advice)
    process.read(address + 3 * PAGE, PAGE)
    assert disk.observe()["order"].count() == mapped


def test_a_system_without_a_known_file_system_is_told_which_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskfile, "KNOWN", ("nonesuchfs",))
    with pytest.raises(NotAvailable, match=r"need nonesuchfs; .* is \w+"):
        diskfile.directory()


def test_a_file_that_finds_no_room_is_not_available() -> None:
    try:
        diskfile.directory()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (PAGE, 3 * PAGE // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(NotAvailable, match=f"a file of {8 * PAGE} bytes in .*: "):
                diskfile.make(8 * PAGE, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
