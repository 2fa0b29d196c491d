"""Live tests run on the real kernel, one at a time; where they cannot run they skip and say why."""

from collections.abc import Iterator

import pytest

from kernel import live_machine
from rmaplab.machine.live import LiveMachine, probe


@pytest.fixture
def machine() -> Iterator[LiveMachine]:
    """A live machine of the test's own."""
    yield from live_machine()


@pytest.fixture
def thp(machine: LiveMachine) -> LiveMachine:
    """A live machine that can make folios of orders 2, 4 and 9."""
    lacking = {2, 4, 9}.difference(probe().anon_orders)
    if lacking or not probe().has("knobs"):
        pytest.skip(f"folio orders {sorted(lacking)} or their knobs are missing here")
    return machine
