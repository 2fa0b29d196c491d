"""A kernel with the schemes, put together here and booted: who reuses, who leaks, what a small folio pays.

One build serves all; it takes minutes without a warm ccache, and is made only if RMAPLAB_BUILD_KERNELS is set.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernels.trees import excerpt

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cow, obtain, storm, witness
from rmaplab.kernels.assemble import patched
from rmaplab.kernels.build import FRAGMENTS, tree
from rmaplab.kernels.disassembly import small_ways
from rmaplab.kernels.entries import FLAVOURS, parse
from rmaplab.machine.lab import trial

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("guest")]

OBJECTS = ("mm/rmap.o", "mm/memory.o", "mm/huge_memory.o", "mm/page_alloc.o", "kernel/fork.o")
SMALL = ("folio_remove_rmap_ptes", "folio_add_file_rmap_ptes", "folio_add_anon_rmap_ptes", "folio_add_new_anon_rmap")


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


@pytest.fixture(scope="module", params=["6.12", "7.3"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The patched files' objects, compiled with -Werror; and rmap.o of the tree as it is."""
    skip_unless_asked_for()
    excerpt(request.param)  # skips where trees cannot be had
    made = []
    flavour = "many" if request.param == "6.12" else "one"
    for source, lines, wanted in (
        (patched(request.param), FLAVOURS[flavour], [*OBJECTS, "mm/rmaplab/"]),
        (tree(request.param), (), ["mm/rmap.o"]),
    ):
        out = tmp_path_factory.mktemp(source.parent.name)
        config = out / "wanted.config"
        config.write_text("\n".join([FRAGMENTS[0].read_text(), *lines, ""]))
        compiler = "CC=ccache gcc" if shutil.which("ccache") else "CC=gcc"
        make = ["make", "-s", "-C", str(source), f"O={out}", compiler]
        subprocess.run([*make, f"KCONFIG_ALLCONFIG={config}", "allnoconfig"], check=True, capture_output=True)
        subprocess.run([*make, "-j2", "KCFLAGS=-Werror", *wanted], check=True, capture_output=True)
        made.append(out)
    yield made[0], made[1]
    for out in made:
        shutil.rmtree(out)


def test_a_small_folio_pays_no_instruction(objects: tuple[Path, Path]) -> None:
    """The patched files compile without a warning; and no way of a small folio is longer than before."""
    ours, theirs = (out / "mm/rmap.o" for out in objects)
    for function in SMALL:
        after, before = small_ways(ours, function), small_ways(theirs, function)
        assert after.shortest <= before.shortest, function
        assert after.longest <= before.longest, function
