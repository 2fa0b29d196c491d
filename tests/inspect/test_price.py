"""What-if says how many bytes a write copies; then the write is done and counted."""

import pytest
from inspecting import area, fresh, look_at, need_order

from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.views import rows
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.protocol import PAGE_SIZE

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

SIZE = 4 << 20


def require_flag(view: KernelView) -> None:
    if view.reader is None or view.flag_bit < 0 or not view.anon_exclusive:
        pytest.skip("; ".join(f"{s.name}: {s.why}" for s in view.sources if s.exactness == "unknown"))


@pytest.mark.parametrize("order", [2, 4, 9])
def test_third_process_left_alone_is_exclusive_yet_copies_as_foretold(
    machine: LiveMachine, view: KernelView, order: int
) -> None:
    need_order(order)
    require_flag(view)
    first = fresh(machine)
    at = first.mmap(SIZE, order=order)
    first.write(at, SIZE)
    for block in range(at, at + SIZE, 2 << 20):
        first.mprotect(block, PAGE_SIZE, writable=False)
        first.mprotect(block, PAGE_SIZE, writable=True)
    second, third = first.fork(), first.fork()
    first.exit()
    second.exit()
    found = look_at(view, third, write=True)
    row = area(found, third, at)
    assert (row["exclusive"], row["shared"], row["false_shared"]) == (SIZE, 0, SIZE)
    price = found.prices[third.pid]
    assert price.kernel - price.precise == SIZE
    written = third.write(at, SIZE)
    assert written.copied * PAGE_SIZE == SIZE
    after = look_at(view, third, write=True).prices[third.pid]
    assert after.kernel == price.kernel - SIZE


@pytest.mark.parametrize(("order", "copies"), [(0, 0), (4, 0), (9, 0)])
def test_survivor_of_two_reuses_as_foretold(machine: LiveMachine, view: KernelView, order: int, copies: int) -> None:
    need_order(order)
    require_flag(view)
    parent = fresh(machine)
    at = parent.mmap(SIZE, order=order)
    parent.write(at, SIZE)
    child = parent.fork()
    both = look_at(view, child, write=True).prices[child.pid]
    parent.exit()
    alone = look_at(view, child, write=True).prices[child.pid]
    assert both.kernel - alone.kernel >= SIZE
    assert alone.kernel == alone.precise
    assert child.write(at, SIZE).copied == copies


def test_whole_price_is_what_a_write_of_everything_copies(machine: LiveMachine, view: KernelView) -> None:
    need_order(4)
    require_flag(view)
    parent = fresh(machine)
    mixed = {order: parent.mmap(SIZE, order=order) for order in (0, 4)}
    for at in mixed.values():
        parent.write(at, SIZE)
    child = parent.fork()
    child.write(mixed[4], SIZE // 2)
    before = look_at(view, parent, write=True).prices[parent.pid]
    copied = sum(parent.write(at, SIZE).copied for at in mixed.values()) * PAGE_SIZE
    after = look_at(view, parent, write=True).prices[parent.pid]
    assert copied >= SIZE
    own_pages = before.kernel - after.kernel - copied  # The worker's stack and heap, written as it works.
    assert 0 <= own_pages <= 64 << 10


def test_private_file_pages_are_always_copied(machine: LiveMachine, view: KernelView) -> None:
    require_flag(view)
    file = machine.file(SIZE, kind="shmem")
    one = fresh(machine)
    at = one.mmap(SIZE, file=file)
    one.read(at, SIZE)
    price = look_at(view, one, write=True).prices[one.pid]
    assert price.page_cache >= SIZE
    assert price.kernel >= SIZE
    assert price.precise >= SIZE


def test_pinned_folio_is_copied_by_either_rule(machine: LiveMachine, view: KernelView) -> None:
    require_flag(view)
    parent = fresh(machine)
    at = parent.mmap(SIZE, order=0)
    parent.write(at, SIZE)
    child = parent.fork()
    pin = child.pin(at, 16 * PAGE_SIZE)
    parent.exit()
    before = look_at(view, child, write=True).prices[child.pid]
    copied = child.write(at, SIZE).copied * PAGE_SIZE
    after = look_at(view, child, write=True).prices[child.pid]
    child.unpin(pin)
    assert copied == 16 * PAGE_SIZE
    assert before.kernel - after.kernel == copied
    assert before.precise - after.precise == copied


def test_slots_and_counts_are_the_kernels(machine: LiveMachine, view: KernelView) -> None:
    need_order(4)
    require_flag(view)
    parent = fresh(machine)
    at = parent.mmap(1 << 20, order=4)
    parent.write(at, 1 << 20)
    child = parent.fork()
    found = look_at(view, parent, child)
    pair = [
        r for r in rows(found.scope, "folio") if r["order"] == 4 and sorted(r["pids"]) == sorted((parent.pid, child.pid))
    ]
    assert len(pair) == 16
    for row in pair:
        assert (row["mapcount"], row["kernel_mapcount"], row["kernel_refcount"]) == (32, 32, 32)
        assert row["kernel_shared"] is True
        assert sorted(count for _, count in row["kernel_slots"]) == [16, 16]


@pytest.mark.parametrize("leaves", [True, False])
def test_a_kernel_without_mm_ids_reuses_only_where_no_other_reference_is(
    machine: LiveMachine, view: KernelView, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """As 6.12 does (seen there): PTEs map the folio, so every other PTE's reference makes a write copy."""
    need_order(4)
    require_flag(view)
    parent = fresh(machine)
    at = parent.mmap(SIZE, order=4)
    parent.write(at, SIZE)
    before = look_at(view, parent, write=True).prices[parent.pid].kernel
    child = parent.fork()
    if leaves:
        child.exit()
    today = look_at(view, parent, write=True).prices[parent.pid]
    monkeypatch.setattr(view.reader, "has_mm_ids", False)
    then = look_at(view, parent, write=True).prices[parent.pid]
    assert then.kernel - before >= SIZE
    assert then.precise == today.precise
    if leaves:
        assert then.kernel - today.kernel == SIZE
