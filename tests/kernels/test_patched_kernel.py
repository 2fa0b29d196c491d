"""A kernel with the schemes, put together here and booted: who reuses, who leaks, whether its counters are right.

One build serves all; it takes minutes without a warm ccache, and is made only if RMAPLAB_BUILD_KERNELS is set.
"""

import os

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cow, obtain, storm, witness
from rmaplab.kernels.entries import parse
from rmaplab.trials import trial

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("guest")]


def skip_unless_asked_for() -> None:
    if not os.environ.get("RMAPLAB_BUILD_KERNELS"):
        pytest.skip("RMAPLAB_BUILD_KERNELS is not set: a kernel takes minutes to build")


def kernel(scheme: str) -> obtain.Bootable:
    skip_unless_asked_for()
    try:
        return obtain.bootable(parse(f"7.3,scheme={scheme}"))
    except NotAvailable as missing:
        pytest.skip(str(missing))


def test_every_survivor_reuses_under_a_precise_scheme_and_not_under_the_kernels_own_rule() -> None:
    for scheme in ("moments-flag", "packed", "off"):
        table = cow.table(kernel(scheme), 4, (2, 4, 9))
        assert not table.without
        assert table.ended.splats == []
        rows = trial.judged(table.rows, scheme)
        assert not any(row.beyond_twin for row in rows)
        if scheme == "off":
            assert any(row.avoidable_pages for row in rows)
        else:
            assert sum(row.avoidable_pages for row in rows) == 0


@pytest.mark.parametrize(("scheme", "leaks"), [("generations", True), ("generations-safe", False)])
def test_the_refuted_sub_ids_let_one_process_read_anothers_memory_and_the_safe_ones_do_not(
    scheme: str, leaks: bool
) -> None:
    shown = witness.witness(kernel(scheme))
    assert (shown.reused, shown.leaked) == (leaks, leaks)


def test_in_a_storm_the_counters_agree_with_all_page_tables() -> None:
    raged = storm.storm(kernel("moments-flag"), 6, 1)
    assert raged.quiet_points
    assert raged.several
    assert not raged.is_wrong
    assert (raged.false_shared, raged.splats) == (0, ())
