"""No test builds a kernel unseen: one takes minutes of both cores, and what runs beside it times out."""

import os
from pathlib import Path

import pytest

from rmaplab.kernels import assemble


@pytest.fixture(autouse=True)
def no_kernel_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, *how: object, **more: object) -> Path:
        pytest.fail(f"{source.name} would be built ({how}, {more}): set RMAPLAB_BUILD_KERNELS in tests that build")

    if not os.environ.get("RMAPLAB_BUILD_KERNELS"):
        monkeypatch.setattr(assemble, "build", refuse)
