"""The few files of Debian's kernel trees that patching reads, for tests. Fetched once into the lab's directory."""

import shutil
import subprocess
from pathlib import Path

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.kernels import archive, cache
from rmaplab.kernels.entries import KERNELS

FILES = (
    "Makefile",
    "Kconfig",
    "include/linux/mm.h",
    "include/linux/mm_types.h",
    "include/linux/rmap.h",
    "kernel/fork.c",
    "mm/Kconfig",
    "mm/Makefile",
    "mm/huge_memory.c",
    "mm/internal.h",
    "mm/memory.c",
    "mm/page_alloc.c",
    "mm/rmap.c",
)


def excerpt(kernel: str) -> Path:
    """A directory with FILES of the kernel's tree as Debian ships it; not to be changed. Skips where it cannot be had."""
    if not shutil.which("spatch"):
        pytest.skip("no spatch: Debian's coccinelle")
    try:
        return cache.once(f"excerpt-{kernel}", lambda made: _extract(kernel, made))
    except NotAvailable as error:
        pytest.skip(f"no tree of {kernel}: {error}")


def _extract(kernel: str, made: Path) -> None:
    package = KERNELS[kernel].tree
    assert package is not None
    (deb,), _ = archive.fetch(package, split=False, into=made / "fetched")
    inside = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, check=True).stdout
    name = deb.name.partition("_")[0]
    outer = subprocess.run(
        ["tar", "-xO", f"./usr/src/{name}.tar.xz"], input=inside, stdout=subprocess.PIPE, check=True
    ).stdout
    subprocess.run(
        ["tar", "-xJ", "-C", made, "--strip-components=1", *(f"{name}/{file}" for file in FILES)], input=outer, check=True
    )
    shutil.rmtree(made / "fetched")
