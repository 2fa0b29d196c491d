"""The patched files of both trees, compiled as they are and patched: no warning, and a small folio pays nothing.

With one scheme compiled in: that is what somebody would merge. With all of them a jump label stands in the large folio's
branch, and gcc 12 then has the small one test a bit it had in a flag: two instructions in two functions of 6.12.

Only if RMAPLAB_BUILD_KERNELS is set (`make kernel-check`).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels.assemble import patched
from rmaplab.kernels.build import check_tools, configuration, tree
from rmaplab.kernels.disassembly import small_ways

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.xdist_group("guest")]

OBJECTS = ("mm/rmap.o", "mm/memory.o", "mm/huge_memory.o", "mm/page_alloc.o", "kernel/fork.o")
SMALL = ("folio_remove_rmap_ptes", "folio_add_file_rmap_ptes", "folio_add_anon_rmap_ptes", "folio_add_new_anon_rmap")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


@pytest.fixture(scope="module", params=["6.12", "7.3"])
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The patched files' objects, compiled with -Werror; and rmap.o of the tree as it is."""
    if not os.environ.get("RMAPLAB_BUILD_KERNELS"):
        pytest.skip("RMAPLAB_BUILD_KERNELS is not set: a kernel's files take minutes to compile")
    try:
        check_tools()
        ours, theirs = patched(request.param), tree(request.param)
    except NotAvailable as missing:
        pytest.skip(str(missing))
    made = []
    for source, flavour, wanted in ((ours, "one", [*OBJECTS, "mm/rmaplab/"]), (theirs, "shipped", ["mm/rmap.o"])):
        out = tmp_path_factory.mktemp(source.parent.name)
        config = out / "wanted.config"
        config.write_text(configuration(flavour))
        compiler = "CC=ccache gcc" if shutil.which("ccache") else "CC=gcc"
        make = ["make", "-s", "-C", str(source), f"O={out}", compiler]
        run(*make, f"KCONFIG_ALLCONFIG={config}", "allnoconfig")
        run(*make, "-j2", "KCFLAGS=-Werror", *wanted)
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
