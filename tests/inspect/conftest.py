"""Inspector tests: live ones build memory whose truth is known by construction, and skip with the reason elsewhere."""

from collections.abc import Iterator

import pytest

from kernel import live_machine
from rmaplab.errors import NotAvailable
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.snapshot import require_frames
from rmaplab.machine.live import LiveMachine


@pytest.fixture
def machine() -> Iterator[LiveMachine]:
    """A live machine of the test's own."""
    yield from live_machine(require_frames)


@pytest.fixture(scope="module")
def view() -> Iterator[KernelView]:
    """What the kernel can be asked here."""
    try:
        require_frames()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    made = probe()
    yield made
    made.close()
