"""Without the extension the package says so in one line; the build takes known sanitizers only."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rmaplab.core import CoreMissing, loading
from rmaplab.core.build_core import sanitizer_flags
from rmaplab.errors import NotAvailable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(loading, "import_module", missing)
    monkeypatch.setattr(loading, "load", loading.load.__wrapped__)


@pytest.mark.usefixtures("no_extension")
def test_missing_core_is_named_with_its_remedy() -> None:
    reason = loading.why_missing()
    assert reason is not None
    assert "rmaplab.core._core64" in reason
    assert "install a C compiler" in reason
    assert not loading.available()
    with pytest.raises(CoreMissing):
        loading.load(32)


def test_missing_core_ends_a_command_as_not_available() -> None:
    assert issubclass(CoreMissing, NotAvailable)


def test_unknown_sanitizer_is_refused() -> None:
    assert sanitizer_flags("") == []
    assert "-fsanitize=thread" in sanitizer_flags("thread")
    with pytest.raises(ValueError, match="RMAPLAB_SANITIZE=memory: no such sanitizer"):
        sanitizer_flags("memory")


def test_build_without_a_compiler_succeeds_and_builds_nothing(tmp_path: Path) -> None:
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("core", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info"))
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "lib", "--build-temp", "temp"],
        cwd=tmp_path,
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "lib").rglob("*.so"))
