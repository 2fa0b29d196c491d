"""From a kernel tree to a kernel that the lab boots: a minimal configuration, built out of the tree.

For `rmaplab kernel build`. The tree stays as it is. Where ccache is installed the second build takes seconds.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import archive, cache
from rmaplab.kernels.entries import FLAVOURS, KERNELS, Kernel
from rmaplab.kernels.image import unpack
from rmaplab.kernels.progress import say

_HERE: Final = Path(__file__).resolve().parent
_TOOLS: Final = ("setpriv", "make", "gcc", "ld", "flex", "bison", "bc")
_NEEDED: Final = ("VIRTIO_PCI", "VIRTIO_CONSOLE", "9P_FS", "NET_9P_VIRTIO", "OVERLAY_FS", "TRANSPARENT_HUGEPAGE")
"""Options without which a guest cannot answer, or says nothing of interest."""


def tree(name: str) -> Path:
    """The unmodified source of the kernel `name`, fetched the first time. Raises NotAvailable."""
    kernel = KERNELS[name]
    return cache.once(f"trees/{name}", lambda place: _extract(kernel, place))


def _extract(kernel: Kernel, place: Path) -> None:
    if kernel.tree is None:
        raise NotAvailable(f"--kernel: {kernel.name}: the lab has no source of it: only Debian's image boots")
    files, origin = archive.fetch(kernel.tree, split=False, into=cache.root() / "downloads")
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=cache.root()) as scratch:
        unpack(files[0], Path(scratch))
        packed = next(Path(scratch).rglob("linux-source-*.tar.xz"))
        say(f"unpacking {packed.name}")
        with tarfile.open(packed) as tar:
            tar.extractall(scratch, filter="tar")
        for made in next(path for path in Path(scratch).iterdir() if (path / "Kbuild").is_file()).iterdir():
            made.rename(place / made.name)
    (place / ".origin.json").write_text(origin + "\n")
    for file in files:
        file.unlink()


def suffix(extras: frozenset[str]) -> str:
    """Of the name of what is built with `extras`."""
    return "".join(f"-{extra}" for extra in sorted(extras))


def configuration(flavour: str, extras: frozenset[str] = frozenset()) -> str:
    """What a kernel of a flavour has over allnoconfig, line by line; `extras` are of EXTRAS."""
    names = ["bare" if "bare" in extras else "lab", *sorted(extras - {"bare"})]
    # Where prices do not matter the IDs are checked too: allnoconfig takes no default from Kconfig.
    checked = ["CONFIG_RMAPLAB_DEBUG=y"] if flavour != "shipped" and extras else []
    return "\n".join([*((_HERE / f"{name}.config").read_text() for name in names), *FLAVOURS[flavour], *checked, ""])


def default_flavour(source: Path) -> str:
    """What a tree is built as when nobody says: with all schemes if it has them."""
    return "many" if (source / "mm/rmaplab").is_dir() else "shipped"


def build(source: Path, into: Path, flavour: str, extras: frozenset[str] = frozenset(), log: Path | None = None) -> Path:
    """Build the kernel of `source` as `flavour` of FLAVOURS, with `extras`, in the directory `into`; returns that. What
    make says goes to `log`, without one to build.log there.

    Raises RmaplabError for what is no kernel tree, NotAvailable for missing tools or room, or if it does not build.
    """
    if not (source / "Kbuild").is_file() or not (source / "mm" / "rmap.c").is_file():
        raise RmaplabError(f"{source}: must be a Linux source tree: has no Kbuild or no mm/rmap.c")
    if flavour != "shipped" and not (source / "mm/rmaplab").is_dir():
        raise RmaplabError(f"{source}: is not patched: must be for flavour {flavour} (rmaplab kernel patch)")
    check_tools()
    cache.check_room(next(place for place in (into, *into.absolute().parents) if place.is_dir()))
    into.mkdir(parents=True, exist_ok=True)
    log = log or into / "build.log"
    wanted = configuration(flavour, extras)
    fragment = into / "wanted.config"
    fragment.write_text(wanted)
    _make(source, into, log, f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig")
    _check(into, wanted)
    say(f"building {source.name} in {into}")
    _make(source, into, log, f"-j{len(os.sched_getaffinity(0))}", "bzImage")
    shutil.copy(into / "arch/x86/boot/bzImage", into / "vmlinuz")
    built = {"source": str(source), "flavour": flavour, "extras": sorted(extras)}
    (into / "built.json").write_text(json.dumps(built) + "\n")
    return into


def check_tools() -> None:
    """Raises NotAvailable if something that builds a kernel is missing."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        raise NotAvailable(f"building a kernel: no {', '.join(missing)} (.ci/kernel-tools installs what is needed)")


def _check(into: Path, wanted: str) -> None:
    """What this tree did not take of the wanted options is said; what a guest cannot do without ends it."""
    have = set((into / ".config").read_text().splitlines())
    lost = [line[7:].partition("=")[0] for line in wanted.splitlines() if line.endswith("=y") and line not in have]
    needed = [name for name in lost if name in _NEEDED]
    if needed:
        raise NotAvailable(f"{into}: this tree does not take {', '.join(needed)}: a guest needs it")
    if lost:
        say(f"not in this tree: {', '.join(lost)}")


def _make(source: Path, into: Path, log: Path, *words: str) -> None:
    compiler = "ccache gcc" if shutil.which("ccache") else "gcc"
    stamp = {"KBUILD_BUILD_TIMESTAMP": "1970-01-01", "KBUILD_BUILD_USER": "rmaplab", "KBUILD_BUILD_HOST": "lab"}
    # However we end, no build goes on behind us.
    command = ["setpriv", "--pdeathsig", "TERM", "make", "-s", "-C", str(source), f"O={into}", f"CC={compiler}", *words]
    with open(log, "w+") as out:
        made = subprocess.run(command, env={**os.environ, **stamp}, stdout=out, stderr=out, check=False)
        out.seek(0)
        text = out.read()
    if made.returncode:
        errors = [line for line in text.splitlines() if re.search(r"error|Error|No space", line)]
        raise NotAvailable(f"{source}: make {words[-1]} failed: {(errors or [text[-200:]])[0]} (all in {log})")
