"""The part of the build that pyproject.toml cannot say: the optional C core (see docs/core.md), and what processes that
share an address space run on the live machine. That is no Python module: the worker loads it with ctypes."""

from setuptools import Extension, setup

setup(
    cffi_modules=["src/rmaplab/core/build_core.py:core64", "src/rmaplab/core/build_core.py:core32"],
    ext_modules=[
        Extension(
            "rmaplab.machine.live._tenant",
            ["src/rmaplab/machine/live/workers/tenant.c"],
            extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
            optional=True,
        )
    ],
)
