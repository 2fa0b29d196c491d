"""Build the C core's cffi modules: for setup.py, and for tests that build variants of it.

Run by setuptools without the package (it must import nothing of it). `_core64` and `_core32` are the same
sources with the two layouts of the sequence count. Environment: RMAPLAB_SANITIZE=address|undefined|thread.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cffi import FFI

SOURCES: Final = ("schemes.c", "stress.c", "linearize.c", "bench.c", "steps.c")
HEADERS: Final = ("api.h", "driver.h")
SANITIZERS: Final = ("address", "undefined", "thread")
FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fno-strict-aliasing", "-pthread")


def sanitizer_flags(wanted: str) -> list[str]:
    """Compiler and linker flags of a sanitizer ("" for none); ValueError names one that does not exist."""
    if not wanted:
        return []
    if wanted not in SANITIZERS:
        raise ValueError(f"RMAPLAB_SANITIZE={wanted}: no such sanitizer, must be one of {', '.join(SANITIZERS)}")
    return [f"-fsanitize={wanted}", "-g", "-fno-omit-frame-pointer", "-DRMAP_DEBUG"]


def builder(module: str, core: Path, seqcount_bits: int, flags: Sequence[str] = ()) -> FFI:
    """A cffi builder of `module` from the C sources under `core`."""
    lib = core / "lib"
    ffi = FFI()
    ffi.cdef("\n".join((lib / header).read_text() for header in HEADERS))
    includes = ["<stddef.h>", "<stdint.h>", *(f'"{header}"' for header in HEADERS)]
    ffi.set_source(
        module,
        "\n".join(f"#include {name}" for name in includes),
        sources=[str(lib / source) for source in SOURCES],
        include_dirs=[str(lib)],
        depends=[str(path) for folder in (core, lib) for path in sorted(folder.glob("*.[ch]"))],
        extra_compile_args=[*FLAGS, f"-DRMAP_SEQCOUNT_BITS={seqcount_bits}", *flags],
        extra_link_args=["-pthread", *flags],
        optional=True,
    )
    return ffi


def _packaged(bits: int) -> FFI:
    flags = sanitizer_flags(os.environ.get("RMAPLAB_SANITIZE", ""))
    return builder(f"rmaplab.core._core{bits}", Path("core"), bits, flags)


def core64() -> FFI:
    """Builder of the module with 64-bit sequence counts."""
    return _packaged(64)


def core32() -> FFI:
    """Builder of the module with 32-bit sequence counts."""
    return _packaged(32)
