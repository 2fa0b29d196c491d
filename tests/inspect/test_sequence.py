"""A family's writes in sequence: the price is what the members then copy, in the order of their PIDs."""

import pytest
from inspecting import fresh, need_order

from rmaplab.inspect.look import Look, look
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.snapshot import of_pids
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.process import LiveProcess
from rmaplab.machine.protocol import PAGE_SIZE

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

SIZE = 4 << 20
OWN = 1 << 20
"""The workers' own memory, which changes as they work."""


def priced(view: KernelView, family: list[LiveProcess]) -> Look:
    return look(lambda mms: of_pids(mms, [one.pid for one in family]), view, write=True, family=True)


@pytest.mark.parametrize("children", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 4, 9])
def test_the_price_of_a_sequence_is_what_it_copies(
    machine: LiveMachine, view: KernelView, order: int, children: int
) -> None:
    need_order(order)
    if view.reader is None or view.flag_bit < 0 or not view.anon_exclusive:
        pytest.skip("the kernel's flag and references are not to be read here")
    parent = fresh(machine)
    at = parent.mmap(SIZE, order=order)
    parent.write(at, SIZE)
    for block in range(at, at + SIZE, 2 << 20):
        parent.mprotect(block, PAGE_SIZE, writable=False)
        parent.mprotect(block, PAGE_SIZE, writable=True)
    family = sorted([parent, *(parent.fork() for _ in range(children))], key=lambda one: one.pid)
    before = priced(view, family).sequence
    assert before is not None
    copied = [one.write(at, SIZE).copied * PAGE_SIZE for one in family]
    after = priced(view, family).sequence
    assert after is not None
    for turn, later, truth in zip(before.turns, after.turns, copied, strict=True):
        assert turn.least - later.most <= truth - (turn.precise - later.precise) + OWN
        assert abs(turn.precise + turn.most - later.precise - later.least - truth) <= OWN
    assert sum(copied[:-1]) == children * SIZE, "whoever is not the last copies by any rule"
    needless = sum(turn.least for turn in before.turns), sum(turn.most for turn in before.turns)
    if children == 1 or order == 0:
        assert needless == (0, 0)
        assert copied[-1] == 0
    else:
        assert needless[0] <= copied[-1] <= needless[1] + OWN
