"""Inspector tests: live ones build memory whose truth is known by construction, and skip with the reason elsewhere."""

from collections.abc import Iterator

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.inspect.probes import KernelView, probe
from rmaplab.inspect.snapshot import require_frames
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live import probe as live_probe


@pytest.fixture
def machine() -> Iterator[LiveMachine]:
    """A live machine of the test's own."""
    try:
        live_probe().require()
        require_frames()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    with LiveMachine() as made:
        yield made


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
