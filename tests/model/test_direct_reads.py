"""Direct reads into memory, on the kernel and on the model: GUP pins page after page, and the device writes."""

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.live.host import diskfile
from rmaplab.machine.protocol import BadOperation, Machine

PAGE = 4096


@pytest.fixture(autouse=True)
def has_disk_files(request: pytest.FixtureRequest) -> None:
    """On the running kernel these need a place for a disk file."""
    if "live" in request.node.callspec.params.values():
        try:
            diskfile.directory()
        except NotAvailable as missing:
            pytest.skip(str(missing))


def test_the_device_s_bytes_are_there_and_nobody_else_sees_them(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    process.write(address, 4 * PAGE, 5)
    child = process.fork()
    written = process.read_direct(address + PAGE, 2 * PAGE, 9)
    assert (written.reused, written.copied) == (0, 2)
    assert process.read(address, 4 * PAGE).tolist() == [5, 9, 9, 5]
    assert child.read(address, 4 * PAGE).tolist() == [5, 5, 5, 5]


def test_a_page_pinned_already_makes_the_next_one_of_its_folio_a_copy(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(16 * PAGE, order=4)
    process.write(address, 16 * PAGE)
    if not (machine.observe()["order"] == 4).all():
        pytest.skip("no folio of order 4 here")
    process.fork().exit()
    written = process.read_direct(address, 16 * PAGE, 9)
    assert (written.reused, written.copied) == (1, 15)


def test_it_fills_what_was_never_touched_and_shared_files_for_all(machine: Machine) -> None:
    process, other = machine.spawn(), machine.spawn()
    file = machine.file(4 * PAGE)
    address, theirs = (p.mmap(4 * PAGE, file=file, shared=True) for p in (process, other))
    process.read_direct(address, 4 * PAGE, 7)
    assert other.read(theirs, 4 * PAGE).tolist() == [7] * 4


@pytest.mark.parametrize("pages", [1, 65])
def test_memory_that_cannot_be_written_and_too_much_of_it_is_refused(machine: Machine, pages: int) -> None:
    process = machine.spawn()
    address = process.mmap(80 * PAGE)
    if pages == 1:
        process.mprotect(address, PAGE, writable=False)
    with pytest.raises(BadOperation, match="writable" if pages == 1 else "at most 64"):
        process.read_direct(address, pages * PAGE)


def test_a_process_in_another_s_memory_reads_directly_too(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(4 * PAGE)
    other = process.clone_vm()
    other.read_direct(address, 4 * PAGE, 3)
    assert process.read(address, 4 * PAGE).tolist() == [3] * 4


def test_what_a_device_wrote_into_lazily_freed_memory_is_kept(machine: Machine) -> None:
    process = machine.spawn()
    address = process.mmap(2 * PAGE)
    process.write(address, 2 * PAGE, 5)
    process.madvise(address, 2 * PAGE, "free")
    process.read_direct(address, PAGE, 9)
    process.madvise(address, 2 * PAGE, "pageout")
    assert process.read(address, 2 * PAGE).tolist() == [9, 0]
