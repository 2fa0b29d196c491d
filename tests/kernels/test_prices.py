"""Instructions counted in a guest: every operation has its price, and copies cost what copies cost."""

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import obtain
from rmaplab.kernels.bench import Cost, compare, measure
from rmaplab.kernels.entries import parse

OPERATIONS = (
    *("remap", "munmap", "fork", "cow", "cow-byte", "cow-reuse", "cow-reuse-byte"),
    *("pte-dontneed", "fork-exit-write", "third-write"),
)


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.xdist_group("guest")
def test_every_operation_is_counted_and_copies_cost_more_than_unmapping() -> None:
    try:
        costs = measure(obtain.bootable(parse("6.12")), None, orders=(9,), repeats=1)
    except NotAvailable as missing:
        pytest.skip(str(missing))
    by_name = {cost.operation: cost for cost in costs}
    assert tuple(by_name) == OPERATIONS
    assert all(0 < cost.locked < cost.instructions for cost in costs)
    # A 6.12 kernel copies whoever is alone; 16 MiB copied by words is at least two million loads and stores more.
    for name in ("cow-byte", "cow-reuse-byte", "third-write"):
        assert by_name[name].instructions > by_name["pte-dontneed"].instructions


def cost(scheme: str | None, instructions: int, locked: int = 10) -> Cost:
    return Cost("a kernel", scheme, "fork", 9, instructions, locked)


@pytest.mark.parametrize("own", [None, "off"])
def test_a_scheme_stands_beside_the_same_kernels_own_rule(own: str | None) -> None:
    first, second = compare([cost(own, 1000), cost("packed", 1015, 12)])
    assert (first.ratio_off, second.ratio_off, second.locked_off) == (1.0, 1.015, 10)


def test_without_the_own_rule_there_is_nothing_to_compare_with() -> None:
    (alone,) = compare([cost("packed", 1015)])
    assert alone.ratio_off is None
    assert alone.to_dict()["ratio_off"] is None
