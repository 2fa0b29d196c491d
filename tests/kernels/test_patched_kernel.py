"""Kernels with the schemes, put together here and booted: who reuses, who leaks, whether the counters are right.

Made only if RMAPLAB_BUILD_KERNELS is set. The bare kernel takes some minutes without a warm ccache, and is what `make
kernel-check` builds; the storm wants swap, KSM and NUMA nodes, and so a whole one.
"""

import os
import shutil
from pathlib import Path

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cow, image, qemu, storm, witness
from rmaplab.kernels.assemble import assembled, patched
from rmaplab.kernels.build import check_tools
from rmaplab.kernels.obtain import Bootable
from rmaplab.trials import trial

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("guest")]

PRECISE = ("moments-flag", "packed")


def kernel(*extras: str) -> Path:
    """7.3 with all schemes. What the machine lacks skips the test; a kernel that cannot be built fails it."""
    if not os.environ.get("RMAPLAB_BUILD_KERNELS"):
        pytest.skip("RMAPLAB_BUILD_KERNELS is not set: a kernel takes minutes to build")
    try:
        qemu.check()
        check_tools()
        patched("7.3")
    except NotAvailable as missing:
        pytest.skip(str(missing))
    if not shutil.which("busybox"):
        pytest.skip("no busybox: Debian's busybox-static")
    return assembled("7.3", "many", frozenset(extras))


def under(place: Path, scheme: str) -> Bootable:
    return Bootable(image.built(place), f"rmap_scheme={scheme}")


@pytest.fixture(scope="module")
def bare() -> Path:
    return kernel("bare")


@pytest.mark.parametrize("scheme", ["off", *PRECISE])
def test_every_survivor_reuses_under_a_precise_scheme_and_not_under_the_kernels_own_rule(bare: Path, scheme: str) -> None:
    table = cow.table(under(bare, scheme), 4, (2, 4, 9))
    assert not table.without
    assert table.ended.splats == []
    rows = trial.judged(table.rows, scheme)
    assert not any(row.beyond_twin for row in rows)
    assert any(row.avoidable_pages for row in rows) == (scheme == "off")


@pytest.mark.parametrize(("scheme", "leaks"), [("generations", True), ("generations-safe", False)])
def test_the_refuted_sub_ids_let_one_process_read_anothers_memory_and_the_safe_ones_do_not(
    bare: Path, scheme: str, leaks: bool
) -> None:
    shown = witness.witness(under(bare, scheme))
    assert (shown.reused, shown.leaked) == (leaks, leaks)
    assert shown.splats == ()


def test_in_a_storm_the_counters_agree_with_all_page_tables() -> None:
    raged = storm.storm(under(kernel(), "moments-flag"), 6, 1)
    assert raged.quiet_points
    assert raged.several
    assert all(raged.operations.values())
    assert not raged.is_wrong
    assert (raged.false_shared, raged.splats) == (0, ())
