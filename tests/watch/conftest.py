"""Watch tests: live ones build memory whose truth is known by construction, and skip with the reason elsewhere."""

import time
from collections.abc import Iterator

import pytest

from kernel import live_machine
from rmaplab.bpf import syscalls
from rmaplab.bpf.syscalls import BpfError
from rmaplab.errors import NotAvailable
from rmaplab.machine.live import LiveMachine
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
    yield from live_machine()


@pytest.fixture
def nothing_stays(found: Layout) -> Iterator[None]:  # noqa: ARG001
    """Of the watch's programs and maps, by their names, none is loaded after the test that was not before; a link is
    one's of a program. The kernel frees them a moment later."""
    before = named()
    yield
    deadline = time.monotonic() + 20
    while stays := named() - before:
        assert time.monotonic() < deadline, f"stays loaded: {stays}"
        time.sleep(0.05)


def named() -> set[tuple[str, int]]:
    """What of the watch is loaded on this machine."""
    found = syscalls.loaded()
    return {
        (name, number) for kind in (found.programs, found.maps) for number, name in kind.items() if "rmaplab_" in name
    }
