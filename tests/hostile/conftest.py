"""Hostile surroundings: tests that run commands where everything is chosen by somebody who means harm.

Fixtures: `tenants` (processes that obey, see `tenants`), `workplace` (a directory that nobody's processes can reach),
`frames` (skips where page frames cannot be read). Places with namespaces of their own: `places.Place`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenants import Household, build, household

from rmaplab.errors import NotAvailable
from rmaplab.inspect.snapshot import require_frames


@pytest.fixture(scope="session")
def tenant_program() -> Iterator[Path]:
    """The compiled tenant, where everybody may execute it."""
    directory = Path(tempfile.mkdtemp(prefix="rmaplab-hostile-"))
    yield build(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def tenants(tenant_program: Path) -> Iterator[Household]:
    """Starts processes that obey; all of them end with the test."""
    with household(tenant_program) as made:
        yield made


@pytest.fixture
def workplace() -> Iterator[Path]:
    """An empty directory that every user can enter (pytest's own cannot be)."""
    directory = Path(tempfile.mkdtemp(prefix="rmaplab-hostile-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(os.fsencode(directory), ignore_errors=True)


@pytest.fixture
def frames() -> None:
    """Skips where page frame numbers cannot be read."""
    try:
        require_frames()
    except NotAvailable as reason:
        pytest.skip(str(reason))
