"""Compile the engine, and programs over core/'s headers, when they are first needed.

The compiler is gcc (or cc); what it made stays in the user's cache directory under a name that depends on everything
it was made from. Without a compiler, or without the sources of `core/`, `NotAvailable` says so: the rest of rmaplab
works.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cffi import FFI

from rmaplab.errors import NotAvailable, RmaplabError

HERE: Final = Path(__file__).parent / "c"
_FLAGS: Final = ("-std=gnu11", "-Wall", "-Wextra", "-shared", "-fPIC")


def compiler() -> str:
    """The C compiler's path; `NotAvailable` if there is none."""
    found = shutil.which("gcc") or shutil.which("cc")
    if not found:
        raise NotAvailable("race: needs a C compiler, found neither gcc nor cc")
    return found


def cache() -> Path:
    """Where compiled objects stay: below XDG_CACHE_HOME or ~/.cache, else a directory of this user's under the
    temporary one.
    """
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    for base in (Path(home), Path(tempfile.gettempdir()) / f"rmaplab-{os.getuid()}"):
        folder = base / "rmaplab" / "race"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise NotAvailable("race: no directory to keep compiled programs in")


def compile_object(sources: Sequence[Path], flags: Sequence[str], depends: Sequence[Path] = ()) -> Path:
    """A shared object of `sources`, made anew only if they, `depends` (headers) or `flags` have changed.

    Raises `NotAvailable` without a compiler, and RmaplabError with the compiler's first complaint if it refuses.
    """
    gcc = compiler()
    digest = hashlib.sha256("\0".join((gcc, *_FLAGS, *flags)).encode())
    for path in sorted({*sources, *depends}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target = cache() / f"{sources[0].stem}-{digest.hexdigest()[:24]}.so"
    if target.exists():
        return target
    made = target.with_name(f"{target.name}.{os.getpid()}")
    command = [gcc, *_FLAGS, *flags, *map(str, sources), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RmaplabError(f"{sources[0].name}: does not compile: {_complaint(done.stderr)}")
    made.replace(target)
    return target


def _complaint(said: str) -> str:
    lines = [line for line in said.splitlines() if "error:" in line] or said.splitlines() or ["the compiler says nothing"]
    return lines[0][:300]


def engine() -> tuple[FFI, Any]:
    """The FFI that knows engine.h's types, and the loaded engine."""
    sources = [HERE / f"{name}.c" for name in ("explore", "graph", "paths", "future", "overtake", "relations")]
    path = compile_object(sources, ("-O2",), [HERE / "engine.h", HERE / "explore.h"])
    ffi = FFI()
    ffi.cdef(declarations(HERE / "engine.h"))
    return ffi, ffi.dlopen(str(path))


def declarations(header: Path) -> str:
    """What stands between the cdef marks of a header of ours."""
    text = header.read_text()
    return text.split("/* cdef: begin */")[1].split("/* cdef: end */")[0]
