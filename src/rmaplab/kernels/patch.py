"""An unmodified Linux tree in, the same tree with rmaplab's schemes inside out.

For `rmaplab kernel patch` and the lab. What applies is decided by what the tree contains, never by its version: Linux
either guesses whether a large folio is shared (folio_likely_mapped_shared) or tracks two MMs in slots. Everything is
computed first, from the tree as it is, and every rule's matches are counted; only then something is written.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels.rules import Match, check_spatch, read_rules, transform
from rmaplab.sources import KERNEL, ROOT

MARK: Final = "mm/rmaplab/patched.json"
"""In a patched tree: what it was patched with."""

_PROBES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "guess": ("include/linux/mm.h", "folio_likely_mapped_shared("),
        "slots": ("include/linux/rmap.h", "folio_add_return_large_mapcount("),
    }
)
"""Kinds of trees: the file and the text in it that only they have."""

_KERNEL: Final = ("Makefile", "Kconfig", "mm/Kconfig", "mm/Makefile", "mm/rmap.c", "include/linux/rmap.h")
_APPENDED: Final[Mapping[str, str]] = MappingProxyType(
    {"mm/Makefile": "obj-$(CONFIG_RMAPLAB) += rmaplab/\n", "mm/Kconfig": '\nsource "mm/rmaplab/Kconfig"\n'}
)
_CORE: Final = (
    "atomic_seqcount.h",
    "generations.h",
    "linear.h",
    "mapcount.h",
    "mm_id.h",
    "moments.h",
    "moments_flag.h",
    "packed.h",
)


@dataclass(frozen=True, slots=True)
class Patch:
    """What patching a tree comes to.

    `kind` is "guess" or "slots". `files` maps paths in the tree to their new content; empty if the tree was patched
    before (`already`).
    """

    tree: Path
    kind: str
    matches: tuple[Match, ...]
    files: Mapping[str, bytes]
    already: bool


def sources() -> Path:
    """The directory that holds `kernel/` and `core/`. Raises NotAvailable where they are missing."""
    if not (KERNEL / "rules").is_dir():
        raise NotAvailable(f"{KERNEL}: has no rules: this install of rmaplab is not whole")
    return ROOT


def own_files() -> dict[str, bytes]:
    """rmaplab's own C, by the path in the tree where it goes."""
    root = sources()
    files = {
        str(path.relative_to(root / "kernel")): path.read_bytes()
        for part in ("include", "mm")
        for path in sorted((root / "kernel" / part).rglob("*"))
        if path.is_file()
    }
    return files | {f"mm/rmaplab/core/{name}": (root / "core" / name).read_bytes() for name in _CORE}


def fingerprint() -> str:
    """Changes whenever the rules or the C do."""
    digest = hashlib.sha256()
    rules = sorted((sources() / "kernel" / "rules").rglob("*.cocci"))
    for name, content in [*own_files().items(), *((path.name, path.read_bytes()) for path in rules)]:
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def plan(tree: Path, say: Callable[[str], object]) -> Patch:
    """What patching `tree` would do. Changes nothing; about 15 s. `say` gets a line of progress per file.

    Raises RmaplabError for what is no unmodified kernel tree of a known kind, and where a rule does not fit it exactly.
    """
    if not tree.is_dir():
        raise RmaplabError(f"{tree}: no directory: must be a Linux source tree")
    for name in _KERNEL:
        if not (tree / name).is_file():
            raise RmaplabError(f"{tree}: has no {name}: must be a Linux source tree")
    kind = _kind(tree)
    if (tree / MARK).exists():
        return _patched_before(tree, kind)
    check_spatch()
    files: dict[str, bytes] = {}
    matches: list[Match] = []
    for path in _rule_files(kind):
        rules = read_rules(path)
        say(rules.target)
        if rules.target in files:
            raise RmaplabError(f"{path.name}: {rules.target}: must be the only rule file for it")
        text, found = transform(rules, tree)
        files[rules.target] = text.encode()
        matches += found
    for name, line in _APPENDED.items():
        files[name] = (tree / name).read_bytes() + line.encode()
    own = own_files()
    for name in own:
        if (tree / name).exists():
            raise RmaplabError(f"{tree}: has {name} already: must be an unmodified tree")
    mark = {"kind": kind, "fingerprint": fingerprint(), "matches": len(matches)}
    files |= own | {MARK: (json.dumps(mark, indent=1) + "\n").encode()}
    return Patch(tree, kind, tuple(sorted(matches)), MappingProxyType(files), already=False)


def apply_in_place(patch: Patch) -> None:
    """Write the patch into its tree: all of it or nothing. Files that share an inode with others are left to them.

    Raises NotAvailable where the tree cannot be written.
    """
    staged: list[tuple[Path, Path, Path]] = []
    fresh = {name for name in patch.files if not (patch.tree / name).exists()}
    made: list[Path] = []
    try:
        for name, content in patch.files.items():
            target = patch.tree / name
            made += _make_directories(target.parent)
            draft, old = (target.with_name(f".{target.name}.rmaplab-{what}") for what in ("new", "old"))
            staged.append((draft, old, target))
            draft.write_bytes(content)
            if target.exists():
                shutil.copymode(target, draft)
                os.link(target, old)
        for draft, _, target in staged:
            draft.replace(target)
        for _, old, _ in staged:
            old.unlink(missing_ok=True)
    except OSError as error:
        for draft, old, target in staged:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
                if old.exists():
                    old.replace(target)
                    old.unlink(missing_ok=True)  # renaming between two names of one file does nothing
                elif str(target.relative_to(patch.tree)) in fresh:
                    target.unlink(missing_ok=True)
        for directory in reversed(made):
            with suppress(OSError):
                directory.rmdir()
        raise NotAvailable(f"{patch.tree}: cannot write: {error.strerror}") from error


def apply_into(patch: Patch, into: Path) -> None:
    """Copy the patch's tree to `into`, which must not exist, and write the patch there: all of it or nothing.

    The copy shares blocks where the file system can, and never an inode. Raises RmaplabError, NotAvailable.
    """
    if patch.already:
        raise RmaplabError(f"{patch.tree}: is patched already: copy it as it is")
    if into.exists() or into.is_symlink():
        raise RmaplabError(f"--into: {into}: exists: must be a new directory")
    if into.resolve().is_relative_to(patch.tree.resolve()):
        raise RmaplabError(f"--into: {into}: is inside {patch.tree}: must be elsewhere")
    draft = into.with_name(f".{into.name}.rmaplab-{os.getpid()}")
    try:
        done = subprocess.run(
            ["cp", "-a", "--reflink=auto", "--", patch.tree, draft], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip() or "cp failed").splitlines()[0].rsplit(": ", 1)[-1]
            raise NotAvailable(f"--into: {into}: cannot copy the tree: {reason}")
        apply_in_place(Patch(draft, patch.kind, patch.matches, patch.files, patch.already))
        draft.rename(into)
    except OSError as error:
        raise NotAvailable(f"--into: {into}: cannot write: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # renamed away if all went well


def _kind(tree: Path) -> str:
    kinds = [
        kind
        for kind, (name, text) in _PROBES.items()
        if (tree / name).is_file() and text in (tree / name).read_text(errors="replace")
    ]
    if len(kinds) != 1:
        wanted = " or ".join(f"{text}) in {name}" for name, text in _PROBES.values())
        raise RmaplabError(f"{tree}: has {'both' if kinds else 'neither'} {wanted}: must have one of them")
    return kinds[0]


def _patched_before(tree: Path, kind: str) -> Patch:
    try:
        mark = json.loads((tree / MARK).read_text())["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise RmaplabError(f"{tree}: {MARK}: is damaged: start from an unmodified tree") from error
    if mark != fingerprint():
        raise RmaplabError(f"{tree}: was patched with other rules: start from an unmodified tree")
    return Patch(tree, kind, (), MappingProxyType({}), already=True)


def _rule_files(kind: str) -> Iterator[Path]:
    rules = sources() / "kernel" / "rules"
    for part in ("both", kind):
        yield from sorted((rules / part).glob("*.cocci"))


def _make_directories(wanted: Path) -> list[Path]:
    """Make the directory and its parents; return those that were not there, outermost first."""
    missing = []
    while not wanted.exists():
        missing.append(wanted)
        wanted = wanted.parent
    for directory in reversed(missing):
        directory.mkdir()
    return missing[::-1]
