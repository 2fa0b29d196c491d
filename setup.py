"""The part of the build that pyproject.toml cannot say: the optional C core (see docs/core.md)."""

from setuptools import setup

setup(cffi_modules=["src/rmaplab/core/build_core.py:core64", "src/rmaplab/core/build_core.py:core32"])
