"""A live machine's swap device: it holds what it should, and is gone when the machine is, however that ended."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.workers import swap
from rmaplab.machine.protocol import PAGE_SIZE, BadOperation, NotAvailable
from rmaplab.trace.validate import validate

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

LENGTH = 64 << 20
COORDINATOR = """
    import sys
    from rmaplab.machine.live import LiveMachine
    machine = LiveMachine()
    machine.swap(64 << 20)
    process = machine.spawn()
    address = process.mmap(1 << 20)
    process.write(address, 1 << 20)
    process.madvise(address, 1 << 20, "pageout")
    print(open("/proc/swaps").read().split("\\n")[1].split()[0], machine._warden.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def swapping(machine: LiveMachine) -> LiveMachine:
    """A live machine with a swap device."""
    try:
        machine.swap(LENGTH)
    except NotAvailable as reason:
        pytest.skip(str(reason))
    return machine


def active() -> list[str]:
    return swap.SWAPS.read_text().splitlines()[1:]


def test_pages_go_to_swap_and_come_back_and_the_trace_is_valid(swapping: LiveMachine) -> None:
    process = swapping.spawn()
    address = process.mmap(32 * PAGE_SIZE)
    process.write(address, 32 * PAGE_SIZE, 5)
    process.madvise(address, 32 * PAGE_SIZE, "pageout")
    child = process.fork()
    seen = swapping.observe()
    assert seen["state"].to_list() == ["swap"] * 64
    assert seen["slot"].to_list()[:32] == seen["slot"].to_list()[32:]
    assert seen["slot"].n_unique() == 32
    assert child.write(address, 8 * PAGE_SIZE, 6).copied == 0
    assert process.read(address, 32 * PAGE_SIZE).tolist() == [5] * 32
    assert process.write(address, 16 * PAGE_SIZE, 7).copied == 8
    assert child.read(address, 32 * PAGE_SIZE).tolist() == [6] * 8 + [5] * 24
    validate(swapping.trace())


def test_a_second_device_is_refused(swapping: LiveMachine) -> None:
    with pytest.raises(BadOperation, match="already"):
        swapping.swap(LENGTH)


def test_closing_gives_everything_back(swapping: LiveMachine) -> None:
    device = active()[0].split()[0]
    assert swap.READAHEAD.read_text() == "0\n"
    swapping.close()
    assert device not in "".join(active())
    assert not Path(device).exists()


def test_a_killed_coordinator_leaves_no_swap_device(swapping: LiveMachine) -> None:
    swapping.close()
    command = [sys.executable, "-c", textwrap.dedent(COORDINATOR)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        try:
            device = coordinator.stdout.readline().split()[0]
            assert device.startswith("/dev/zram")
        finally:
            coordinator.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 60
    while Path(device).exists():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_the_device_of_a_machine_that_was_killed_whole_goes_with_the_next_that_is_alone(swapping: LiveMachine) -> None:
    swapping.close()
    before = swap.READAHEAD.read_text()
    command = [sys.executable, "-c", textwrap.dedent(COORDINATOR)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        warden = coordinator.stdout.readline().split()[1]
        os.killpg(int(warden), signal.SIGKILL)
        coordinator.kill()
    with LiveMachine() as machine:
        machine.swap(LENGTH)
        assert len(active()) == 1
    assert active() == []
    assert swap.READAHEAD.read_text() == before


@pytest.mark.parametrize(("error", "tries"), [(errno.EINTR, 2), (errno.ENOMEM, 2), (errno.EINVAL, 1)])
def test_swapoff_is_tried_again_where_that_helps_and_readahead_comes_back_in_any_case(
    error: int, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "READAHEAD", tmp_path / "page-cluster")
    made, calls = swap.Swap(), list[str]()
    made._device, made._on, made._readahead = "zram77", True, "3"

    def call(function: object, *_flags: int) -> None:
        calls.append(str(function))
        if len(calls) == 1 or tries == 1:
            raise OSError(error, "swapoff")

    monkeypatch.setattr(made, "_call", call)
    monkeypatch.setattr(made, "_remove", lambda: None)
    if tries == 1:
        with pytest.raises(OSError, match="swapoff"):
            made.off()
    else:
        made.off()
    assert len(calls) == tries
    assert (tmp_path / "page-cluster").read_text() == "3"


@pytest.mark.parametrize("lacking", ["ZRAM", "SWAPS"])
def test_without_zram_or_swap_one_line_says_so(
    machine: LiveMachine, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Path("/nowhere/at/all")
    monkeypatch.setattr(swap, lacking, missing)
    with pytest.raises(NotAvailable, match=f"swap: no {missing}.*the model has swap everywhere"):
        machine.swap(LENGTH)


def test_other_swap_forbids_ours(machine: LiveMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swaps = tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
    monkeypatch.setattr(swap, "SWAPS", swaps)
    with pytest.raises(NotAvailable, match="other swap is active: /dev/sda2"):
        machine.swap(LENGTH)


def test_the_header_is_one_swapon_takes() -> None:
    page = swap.header(LENGTH, "3")
    assert len(page) == PAGE_SIZE
    assert page.endswith(b"SWAPSPACE2")
    assert int.from_bytes(page[1028:1032], "little") == LENGTH // PAGE_SIZE - 1
