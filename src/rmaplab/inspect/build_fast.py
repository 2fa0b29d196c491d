"""Build the C that reads and joins page tables (`rmaplab.inspect.fast`): a cffi module, for setup.py.

Run by setuptools without the package (it must import nothing of it), and by tests with other flags.
"""

from collections.abc import Sequence
from pathlib import Path

from cffi import FFI

_HERE = Path("src/rmaplab/inspect/c")
_SOURCES = ("scan.c", "folios.c", "join.c")


def builder(module: str, folder: Path, flags: Sequence[str] = ()) -> FFI:
    """A cffi builder of `module` from the C sources in `folder`."""
    ffi = FFI()
    ffi.cdef((folder / "look.h").read_text())
    ffi.set_source(
        module,
        '#include <stdint.h>\n#include "look.h"\n',
        sources=[str(folder / source) for source in _SOURCES],
        include_dirs=[str(folder)],
        depends=[str(path) for path in sorted(folder.glob("*.[ch]"))],
        extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", *flags],
        extra_link_args=list(flags),
        optional=True,
    )
    return ffi


def fast() -> FFI:
    """Builder of the packaged module."""
    return builder("rmaplab.inspect._fast", _HERE)
