"""Watch tests: live ones build memory whose truth is known by construction, and skip with the reason elsewhere."""

import time
from collections.abc import Iterator

import pytest

from rmaplab.bpf import syscalls
from rmaplab.bpf.syscalls import BpfError
from rmaplab.errors import NotAvailable
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live import probe as live_probe
from rmaplab.watch import layout
from rmaplab.watch.layout import Layout


@pytest.fixture(scope="session")
def found() -> Layout:
    """Where this kernel keeps what the programs read."""
    try:
        syscalls.loaded()
        return layout.find()
    except (NotAvailable, BpfError) as reason:
        pytest.skip(str(reason))


@pytest.fixture
def machine() -> Iterator[LiveMachine]:
    """A live machine of the test's own."""
    try:
        live_probe().require()
    except NotAvailable as reason:
        pytest.skip(str(reason))
    with LiveMachine() as made:
        yield made


@pytest.fixture
def nothing_stays(found: Layout) -> Iterator[None]:  # noqa: ARG001
    """Of BPF nothing is loaded after the test that was not before: the kernel frees it a moment later."""
    before = syscalls.loaded()
    yield
    deadline = time.monotonic() + 20
    while any(now - then for now, then in zip(syscalls.loaded(), before, strict=True)):
        assert time.monotonic() < deadline, "BPF programs, maps or links stay loaded"
        time.sleep(0.05)
