"""Build the C core with one thing changed: a planted fault, a sanitizer, or nothing at all.

For tests. Works on a copy of core/; a fault is a replacement of text that must occur exactly once, so a header that
moves on fails here loudly.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmaplab.core import Module
from rmaplab.core.build_core import builder

CORE = Path(__file__).parents[2] / "core"
COMPILER = shutil.which("gcc") or shutil.which("cc")


@dataclass(frozen=True)
class Fault:
    """Replace `old` by `new` in `file` (below core/); `scheme` is the line of core/lib/list.h that shows it.

    `race` are fields of `Race` that make it likely.
    """

    name: str
    scheme: str
    file: str
    old: str
    new: str
    race: Mapping[str, int] = field(default_factory=dict)


def plant(fault: Fault, folder: Path) -> Path:
    """A copy of core/ with the fault, and with its scheme only (a small build); the copy's path."""
    copy = folder / "core"
    shutil.copytree(CORE, copy)
    target = copy / fault.file
    text = target.read_text()
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.file}: {fault.old!r}: must occur once, occurs {text.count(fault.old)} times")
    target.write_text(text.replace(fault.old, fault.new))
    keep_only(copy, fault.scheme)
    return copy


def keep_only(copy: Path, scheme: str) -> None:
    """Reduce the list of schemes to one entry."""
    listed = copy / "lib" / "list.h"
    head, _, tail = listed.read_text().partition("#define RMAP_SCHEMES(X)")
    listed.write_text(f"{head}#define RMAP_SCHEMES(X) {scheme}\n#endif\n")
    if not tail:
        raise ValueError("core/lib/list.h: RMAP_SCHEMES: must be defined there")


def compile_core(copy: Path, name: str, flags: Sequence[str] = ()) -> Path:
    """The shared object built from `copy`. Raises CalledProcessError or a distutils error if it does not compile."""
    return Path(builder(name, copy, 64, flags).compile(tmpdir=str(copy.parent / "build"), verbose=False))


def import_core(name: str, path: Path) -> Module:
    """Import an extension module by path."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    return Module.of(extension)


def run_sanitized(copy: Path, sanitizer: str, runs: int = 1) -> subprocess.CompletedProcess[str]:
    """Build core/lib/race_main.c from `copy` under a sanitizer; run it up to `runs` times, until it reports something.

    A race is reported only by a run in which its two accesses meet.
    """
    lib, program = copy / "lib", copy / "race"
    sources = [str(lib / name) for name in ("race_main.c", "stress.c", "schemes.c")]
    flags = ["-std=gnu11", "-O1", "-g", f"-fsanitize={sanitizer}", "-DRMAP_DEBUG", "-pthread"]
    subprocess.run([str(COMPILER), *flags, *sources, "-o", str(program)], check=True)
    for _ in range(runs):
        done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
        if done.returncode:
            break
    return done


def explore(copy: Path) -> subprocess.CompletedProcess[str]:
    """Run every execution of core/check/scenarios.h that C11 allows: exit code 1 and the execution where one breaks."""
    check, program = copy / "check", copy / "weak"
    platform = '-DRMAP_PLATFORM="check/weak_platform.h"'
    flags = ["-std=gnu11", "-O2", platform, f"-I{copy}"]
    subprocess.run([str(COMPILER), *flags, str(check / "weak.c"), "-o", str(program)], check=True)
    return subprocess.run([str(program)], capture_output=True, text=True, check=False)
