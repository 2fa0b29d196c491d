"""The part of the build that pyproject.toml cannot say.

The optional C core (see docs/core.md), the C that reads and joins page tables (rmaplab.inspect.fast), and what processes
that share an address space run on the live machine (no Python module: the worker loads it with ctypes): all need nothing
of a Python's version, so one wheel serves 3.11 and later. And the sources that rmaplab compiles or patches a kernel with
on the user's machine: they stand beside `src/`, a wheel carries them inside the package (`rmaplab.sources` finds them).
"""

import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py


class WithSources(build_py):
    """`core/` and `kernel/` go into the wheel as rmaplab/shipped/; an editable install has them where they are."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        shipped = Path(self.build_lib) / "rmaplab" / "shipped"
        shutil.rmtree(shipped, ignore_errors=True)
        for name in ("core", "kernel"):
            shutil.copytree(name, shipped / name)


setup(
    cmdclass={"build_py": WithSources},
    cffi_modules=[
        "src/rmaplab/core/build_core.py:core64",
        "src/rmaplab/core/build_core.py:core32",
        "src/rmaplab/inspect/build_fast.py:fast",
    ],
    ext_modules=[
        Extension(
            "rmaplab.machine.live._tenant",
            ["src/rmaplab/machine/live/workers/tenant.c"],
            extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
            optional=True,
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
