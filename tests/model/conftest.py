"""What tests of a rule share that hold it against the model and, where there is one, against the running kernel."""

from collections.abc import Iterator

import pytest

from rmaplab.errors import NotAvailable
from rmaplab.machine.choose import open_machine
from rmaplab.machine.protocol import Machine
from rmaplab.trace import validate

LIVE = pytest.param("live", marks=[pytest.mark.live, pytest.mark.xdist_group("live")])


@pytest.fixture(params=["model", LIVE])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """One and the other, with a valid trace at the end; skips with the reason where the kernel cannot be asked."""
    try:
        with open_machine(request.param, "linux-6.18") as machine:
            yield machine
            validate(machine.trace())
    except NotAvailable as missing:
        pytest.skip(str(missing))
