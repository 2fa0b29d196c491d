"""Instructions counted in a guest: every operation has its price, and copies cost what copies cost."""

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import obtain, symbols
from rmaplab.kernels.bench import Cost, compare, measure
from rmaplab.kernels.entries import parse
from rmaplab.report.charts import kernel_prices, svg
from rmaplab.report.kernel_bench import functions_table, text_lines

PAGES = (16 << 20) // 4096

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
    assert all(sum(cost.locked_in.values()) == cost.locked for cost in costs)
    assert all(sum(cost.executed_in.values()) == cost.instructions for cost in costs)
    name, count = max(by_name["munmap"].locked_in.items(), key=lambda item: item[1])
    assert "unmap" in name  # one a page: each page-table entry is taken away by an exchange
    assert count >= PAGES
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


KALLSYMS = """ffffffff81000000 T _stext
ffffffff81000000 T first
ffffffff81000040 t second
ffffffff81000080 T _etext
ffffffff82000000 D data
ffffffffc0000000 t elsewhere	[module]
"""


def test_an_address_lies_in_the_function_before_it() -> None:
    known = symbols.parse(KALLSYMS)
    assert known is not None
    assert [known.function(0xFFFFFFFF81000000 + at) for at in (0x3F, 0x40, 0x7F)] == ["first", "second", "second"]
    assert known.function(0x401000) == symbols.PROGRAM
    assert known.text_bytes == 0x80


@pytest.mark.parametrize("text", ["", "0000000000000000 T _stext\n0000000000000000 T _etext\n"])
def test_symbols_that_are_not_told_are_unknown(text: str) -> None:
    assert symbols.parse(text) is None


def test_where_instructions_differ_is_said_by_function() -> None:
    executed, more = {"a": 900, "b": 95, "gone": 5}, {"a": 880, "b": 95, "new": 35}
    own = Cost("shipped", None, "fork", 9, 1000, 12, executed, {"a": 10, "b": 2, "gone": 3}, 5000)
    ours = Cost("one", "moments-flag", "fork", 9, 1010, 12, more, {"a": 6, "b": 2, "new": 9}, 5100)
    first, second = compare([ours], [own])
    assert (first.executed_more, first.locked_more) == ({}, {})
    assert second.executed_more == {"new": 35, "a": -20, "gone": -5}
    assert second.locked_more == {"new": 9, "a": -4, "gone": -3}
    assert text_lines([first, second]) == ["text of shipped: 5000 B", "text of one: +100 B"]
    assert [row[3:] for row in functions_table([first, second]).rows] == [
        ("new", "+35", "+9"),
        ("a", "-20", "-4"),
        ("gone", "-5", "-3"),
    ]
    (unknown,) = compare([Cost("one", "moments-flag", "fork", 9, 1010, 12)], [])
    assert (unknown.executed_more, unknown.locked_more) == ({}, {})


def test_the_plot_has_every_scheme_that_has_a_yardstick() -> None:
    drawn = svg(kernel_prices(compare([cost("off", 1000), cost("packed", 1015), cost("moments-flag", 250)])))
    assert "packed" in drawn
    assert "+1.50" in drawn
    assert "-75.00" in drawn or "\u221275.00" in drawn


def test_the_plot_has_a_kernel_as_it_is_beside_its_yardstick() -> None:
    drawn = svg(kernel_prices(compare([cost(None, 1015)], [cost("off", 1000)])))
    assert "as it is" in drawn
    assert "+1.50" in drawn
