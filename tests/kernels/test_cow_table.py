"""The COW table of a booted kernel, beside what the kernel's policy in the model and the schemes' twins say."""

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cow, obtain
from rmaplab.kernels.cow import Row
from rmaplab.kernels.entries import parse
from rmaplab.machine.choose import open_machine
from rmaplab.machine.protocol import PAGE_SIZE
from rmaplab.scenarios import Parameters, find
from rmaplab.trials import trial

MMS, ORDERS = 3, (4, 9)


def on_the_model(row: Row, policy: str) -> tuple[int, int]:
    """Pages reused and copied when the model, under `policy`, does the row's tree."""
    parameters = Parameters(PAGE_SIZE << row.order, row.order, row.mms - 1, row.survivor - 1)
    with open_machine("model", policy) as model:
        trace = find("prefork" if row.topology == "star" else "chain").play(model, parameters)
    outcomes = trace.questions["outcome"].to_list()
    return outcomes.count("reused"), outcomes.count("copied")


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.xdist_group("guest")
def test_each_survivor_of_a_tree_does_what_the_model_of_its_kernel_does() -> None:
    try:
        table = cow.table(obtain.bootable(parse("6.12")), MMS, ORDERS)
    except NotAvailable as missing:
        pytest.skip(str(missing))
    assert not table.without
    assert len(table.rows) == len(ORDERS) * 2 * sum(range(MMS + 1))
    for row in table.rows:
        if row.mms > 1:
            assert (row.reused_pages, row.copied_pages) == on_the_model(row, "linux-6.12"), row
        else:
            assert row.reused_pages == 1 << row.order


@pytest.mark.parametrize("topology", ["star", "chain"])
def test_the_twin_of_a_precise_scheme_reuses_all_and_that_of_two_slots_not_what_the_third_mm_keeps(topology: str) -> None:
    rows = [Row(3, "star" if topology == "star" else "chain", 4, survivor, 0, 16) for survivor in (1, 2, 3)]
    assert [one.avoidable_pages for one in trial.judged(rows, "packed")] == [16, 16, 16]
    assert [one.avoidable_pages for one in trial.judged(rows, None)] == [16, 16, 16]
    assert [one.avoidable_pages for one in trial.judged(rows, "mm-id")] == [16, 16, 0]


def test_a_kernel_that_reuses_what_its_twin_calls_shared_is_a_finding() -> None:
    (one,) = trial.judged([Row(3, "star", 4, 3, 16, 0)], "mm-id")
    assert one.beyond_twin


def test_a_kernel_with_a_scheme_keeps_its_rules_and_asks_the_scheme() -> None:
    assert trial.policy(parse("6.12")) == "linux-6.12"
    assert trial.policy(parse("7.3,scheme=packed")) == "precise:packed@linux-7.x"
    assert trial.policy(parse("7.3,scheme=generations")) == "precise:generations@linux-7.x"


def test_a_scheme_in_a_kernel_keeps_as_many_bytes_as_its_twin_and_nothing_for_a_small_folio() -> None:
    assert trial.folio_bytes("moments-flag", 9) == trial.folio_bytes("mm-id", 9)  # in the slots' place
    assert trial.folio_bytes("moments+exclusive", 4) == trial.folio_bytes("moments", 4)
    assert trial.folio_bytes("packed", 0) is None
    assert trial.folio_bytes("off", 9) is None
