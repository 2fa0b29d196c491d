"""Live machines run side by side; one that must be alone waits for them and is waited for."""

import threading

import pytest

from rmaplab.machine.live import LiveMachine
from rmaplab.machine.live.workers import turn
from rmaplab.machine.protocol import PAGE_SIZE

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]


def one_process() -> None:
    with LiveMachine() as machine:
        process = machine.spawn()
        process.write(process.mmap(PAGE_SIZE), PAGE_SIZE)


def test_machines_run_side_by_side() -> None:
    with LiveMachine():
        one_process()


def test_a_new_machine_waits_for_one_that_is_alone() -> None:
    with LiveMachine() as machine:
        machine.alone()
        other = threading.Thread(target=one_process)
        other.start()
        other.join(0.5)
        assert other.is_alive()
    other.join(60)
    assert not other.is_alive()


def test_a_machine_becomes_alone_when_the_others_are_closed() -> None:
    with LiveMachine() as first, LiveMachine() as second:
        waiting = threading.Thread(target=second.alone)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        first.close()
        waiting.join(60)
        assert not waiting.is_alive()


def test_waiting_for_the_turn_ends_with_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = turn.Turn(), turn.Turn()
    first.share()
    monkeypatch.setattr(turn, "PATIENCE", 0.0)
    try:
        with pytest.raises(BlockingIOError, match="other live machines"):
            second.alone()
    finally:
        first.end()
        second.end()


def test_being_alone_twice_is_being_alone() -> None:
    with LiveMachine() as machine:
        machine.alone()
        machine.alone()
        one_and_only = machine.spawn()
        assert one_and_only.alive


def test_a_second_machine_of_one_who_is_waited_for_is_let_in() -> None:
    first, waiting, second = turn.Turn(), turn.Turn(), turn.Turn()
    first.share()
    other = threading.Thread(target=waiting.alone)
    other.start()
    try:
        second.share()
    finally:
        second.end()
        first.end()
        other.join(60)
        waiting.end()
    assert not other.is_alive()
