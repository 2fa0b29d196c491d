"""A kernel with the schemes, put together from its name alone: fetched, patched, built, kept.

For whoever names a kernel and a scheme. Sources stand at one path whatever they are patched with, so that ccache knows
them again; of a build only what boots is kept, under the fingerprint of what went into it.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from rmaplab.kernels import cache, patch
from rmaplab.kernels.build import build, check_tools, configuration, suffix, tree
from rmaplab.kernels.progress import say

_KEPT: Final = ("vmlinuz", ".config", "built.json")


def assembled(name: str, flavour: str, extras: frozenset[str] = frozenset()) -> Path:
    """A directory with the kernel `name` of `KERNELS`, built as `flavour` with `extras`; made the first time, one at a
    time.

    Says on stderr what it does and how long that takes. Raises NotAvailable.
    """
    wanted = f"{name}-{flavour}{suffix(extras)}"
    place = f"built/{wanted}-{_fingerprint(flavour, extras)}"
    if (cache.root() / place).is_dir():
        return cache.root() / place
    check_tools()
    minutes = (4 if "bare" in extras else 10) * (2 if extras & {"debug", "races"} else 1)
    say(
        f"{wanted}: not built yet: takes about {minutes} minutes on two free cores, "
        "one with a warm ccache, and minutes more where the source must be fetched"
    )
    with cache.locked(f"assemble-{name}"):
        source = tree(name) if flavour == "shipped" else patched(name)

        def make(into: Path) -> None:
            with tempfile.TemporaryDirectory(prefix=".build-", dir=cache.root(), ignore_cleanup_errors=True) as scratch:
                log = cache.root() / f"{wanted}.log"  # read when the directory is gone
                made = build(source, Path(scratch), flavour, extras, log)
                log.unlink(missing_ok=True)
                for file in _KEPT:
                    shutil.copy(made / file, into / file)

        return cache.once(place, make)


def patched(name: str) -> Path:
    """The source of the kernel `name` with the schemes as this checkout has them. Raises NotAvailable."""
    place = cache.root() / "patched" / name
    mark = place / patch.MARK
    if mark.is_file() and json.loads(mark.read_text()).get("fingerprint") == patch.fingerprint():
        return place
    source = tree(name)
    plan = patch.plan(source, lambda _: None)
    if place.is_dir():
        say(f"{name}: patched with other rules: made again")
        shutil.rmtree(place)

    def make(into: Path) -> None:
        # Names of the same files: patching leaves a file that has another name to that.
        shutil.copytree(source, into, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
        patch.apply_in_place(replace(plan, tree=into))

    return cache.once(f"patched/{name}", make)


def _fingerprint(flavour: str, extras: frozenset[str]) -> str:
    """Of the patch and the configuration: a few characters."""
    parts = [patch.fingerprint() if flavour != "shipped" else "", configuration(flavour, extras)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
