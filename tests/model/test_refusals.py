"""What the kernel refuses of moving and pinning, the model refuses too, and nothing has changed then."""

import pytest

from rmaplab.machine.protocol import BadOperation, Machine

PAGE = 4096


@pytest.mark.parametrize(("first", "pages", "new"), [(0, 32, 20), (0, 32, 40), (1, 31, 20), (7, 3, 2)])
def test_a_move_over_two_vmas_keeps_its_length(machine: Machine, first: int, pages: int, new: int) -> None:
    process = machine.spawn()
    address = process.mmap(32 * PAGE)
    process.write(address, 32 * PAGE)
    process.mprotect(address, 8 * PAGE, writable=False)
    before = machine.observe()
    with pytest.raises(BadOperation):
        process.mremap(address + first * PAGE, pages * PAGE, new * PAGE, move=True)
    assert machine.observe()["address"].equals(before["address"])


@pytest.mark.parametrize(("pages", "new"), [(32, 6), (32, 32), (8, 20), (20, 8)])
def test_a_move_that_ends_within_one_vma_may_shrink_and_one_of_one_vma_may_grow(
    machine: Machine, pages: int, new: int
) -> None:
    process = machine.spawn()
    address = process.mmap(32 * PAGE)
    process.write(address, 32 * PAGE, 5)
    process.mprotect(address, 8 * PAGE, writable=False)
    target = process.mremap(address, pages * PAGE, new * PAGE, move=True)
    assert (process.read(target, new * PAGE)[: min(pages, new)] == 5).all()


@pytest.mark.parametrize("kind", ["file", "shmem"])
@pytest.mark.parametrize("shared", [False, True])
def test_only_shared_pages_of_a_disk_file_cannot_be_pinned_for_long(machine: Machine, kind: str, shared: bool) -> None:
    process = machine.spawn()
    file = machine.file(4 * PAGE, kind="file" if kind == "file" else "shmem")
    address = process.mmap(4 * PAGE, file=file, shared=shared)
    if kind == "file" and shared:
        with pytest.raises(BadOperation):
            process.pin(address, 2 * PAGE, longterm=True)
    else:
        assert process.pin(address, 2 * PAGE, longterm=True).pages == 2
