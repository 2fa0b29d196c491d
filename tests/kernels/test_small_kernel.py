"""A patched kernel, built whole without a warning and booted: small enough for every check of a change.

Only if RMAPLAB_BUILD_KERNELS is set (`make kernel-check`). Half the files of the lab's kernels: no network, disks, ACPI,
NUMA, swap, KSM. What needs those is tested by test_patched_kernel.py.
"""

import os
from pathlib import Path

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cow, image
from rmaplab.kernels.assemble import patched
from rmaplab.kernels.build import build
from rmaplab.kernels.obtain import Bootable
from rmaplab.trials import trial

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("guest")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7.3 with every scheme, and with -Werror. A kernel that cannot be had is skipped, one that does not build is not."""
    if not os.environ.get("RMAPLAB_BUILD_KERNELS"):
        pytest.skip("RMAPLAB_BUILD_KERNELS is not set: a kernel takes minutes to build")
    try:
        source = patched("7.3")
    except NotAvailable as missing:
        pytest.skip(str(missing))
    return build(source, tmp_path_factory.mktemp("small"), "many", base=Path(__file__).with_name("small.config"))


@pytest.mark.parametrize("scheme", ["moments-flag", "packed", "off"])
def test_who_is_alone_keeps_its_memory_under_a_precise_scheme_and_not_under_the_kernels_own_rule(
    small: Path, scheme: str
) -> None:
    table = cow.table(Bootable(image.built(small), f"rmap_scheme={scheme}"), 4, (2, 4, 9))
    assert (table.without, table.ended.splats) == ((), [])
    rows = trial.judged(table.rows, scheme)
    assert not any(row.beyond_twin for row in rows)
    assert (sum(row.avoidable_pages for row in rows) > 0) == (scheme == "off")
