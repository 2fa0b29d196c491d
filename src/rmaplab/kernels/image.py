"""Kernels that can be booted: Debian's own, unpacked and not installed, and what was built here.

For the guest. Of a package of 400 MB only the kernel, its configuration and the few modules a guest needs are kept.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import archive, cache, modules
from rmaplab.kernels.entries import KERNELS, Kernel


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel file, and the modules to load first, in their order. `title` says which kernel it is."""

    kernel: Path
    modules: tuple[Path, ...]
    title: str


def debian(name: str) -> Image:
    """Debian's own image of the kernel `name`, fetched the first time. Raises NotAvailable."""
    kernel = KERNELS[name]
    return _load(cache.once(f"images/{name}", lambda place: _unpack(kernel, place)), f"Debian's {name}")


def built(place: Path) -> Image:
    """A kernel in a directory: made by `rmaplab kernel build`, or a kernel tree that was built. Raises RmaplabError."""
    for file in ("vmlinuz", "bzImage", "arch/x86/boot/bzImage"):
        if (place / file).is_file():
            return Image(place / file, _modules(place), str(place))
    raise RmaplabError(f"--kernel: {place}: holds no kernel: must have vmlinuz, bzImage or arch/x86/boot/bzImage")


def _load(place: Path, title: str) -> Image:
    return Image(place / "vmlinuz", _modules(place), title)


def _modules(place: Path) -> tuple[Path, ...]:
    """Files called NN-name.ko, as `_unpack` numbers them."""
    return tuple(sorted((place / "modules").glob("*.ko")))


def _unpack(kernel: Kernel, place: Path) -> None:
    downloads = cache.root() / "downloads"
    files, origin = archive.fetch(kernel.image, split=True, into=downloads)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=cache.root()) as scratch:
        for file in files:
            unpack(file, Path(scratch))
        found = [path for path in Path(scratch).rglob("vmlinuz*") if path.is_file()]
        if not found:
            raise NotAvailable(f"{', '.join(file.name for file in files)}: no vmlinuz in there")
        shutil.copy(found[0], place / "vmlinuz")
        for config in Path(scratch).rglob("config-*"):
            shutil.copy(config, place / "config")
        (place / "modules").mkdir()
        for number, (name, contents) in enumerate(modules.closure(modules.find(Path(scratch)))):
            (place / "modules" / f"{number:02}-{name}.ko").write_bytes(contents)
    (place / "origin.json").write_text(origin + "\n")
    for file in files:
        file.unlink()


def unpack(package: Path, into: Path) -> None:
    """The files of a Debian package. Raises NotAvailable."""
    made = subprocess.run(["dpkg-deb", "-x", package, into], capture_output=True, text=True, check=False)
    if made.returncode:
        package.unlink()
        raise NotAvailable(f"{package.name}: cannot be unpacked, removed: {made.stderr.strip()}")
