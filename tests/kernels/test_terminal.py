"""Sitting in a guest: its terminal is ours, keys go there as they are typed, and ours is as it was afterwards."""

import fcntl
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator

import pytest

from commands import RMAPLAB
from rmaplab.kernels import terminal

LONG = 800.0
SIZE = struct.pack("HHHH", 33, 99, 0, 0)


@pytest.fixture
def ours() -> Iterator[tuple[int, int]]:
    """Where somebody types and reads, and the terminal that a program has."""
    hand, keys = os.openpty()
    fcntl.ioctl(keys, termios.TIOCSWINSZ, SIZE)
    yield hand, keys
    for one in (hand, keys):
        os.close(one)


def test_keys_are_passed_as_they_are_and_what_comes_is_shown_until_it_is_over(ours: tuple[int, int]) -> None:
    hand, keys = ours
    guest, channel = socket.socketpair()
    shown, before = bytearray(), termios.tcgetattr(keys)

    def answer() -> None:
        while b"\r" not in (typed := guest.recv(100)):
            assert typed
        guest.sendall(b"heard, over")

    answering = threading.Thread(target=answer)
    answering.start()
    with guest, channel, terminal.raw(keys):
        os.write(hand, b"\x03ls\r")  # raw: Ctrl-C is a key like any
        stayed = terminal.join(channel, keys, shown.extend, lambda: b"over" in shown)
        answering.join()
    assert stayed
    assert shown == b"heard, over"
    assert termios.tcgetattr(keys) == before


def test_the_key_that_leaves_leaves_and_what_was_typed_before_it_is_passed(ours: tuple[int, int]) -> None:
    hand, keys = ours
    guest, channel = socket.socketpair()
    with guest, channel:
        with terminal.raw(keys):
            os.write(hand, b"ab" + terminal.LEAVE + b"cd")
            assert not terminal.join(channel, keys, bytes, lambda: False)
        assert guest.recv(100) == b"ab"


def test_a_guest_that_is_gone_is_no_terminal_any_more(ours: tuple[int, int]) -> None:
    guest, channel = socket.socketpair()
    guest.close()
    with channel, terminal.raw(ours[1]):
        assert terminal.join(channel, ours[1], bytes, lambda: False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--shell: standard input and output must be a terminal"),
        (("--json",), "--json: True: must come without --shell"),
        (("--timeout", "9"), "--timeout: 9.0: must come without --shell"),
    ],
)
def test_a_shell_needs_a_terminal_and_has_no_end_but_its_own(words: tuple[str, ...], said: str) -> None:
    command = [*RMAPLAB, "kernel", "boot", "--shell", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (2, f"rmaplab: {said}")


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.xdist_group("guest")
def test_a_command_in_a_guest_has_a_terminal_of_our_size_and_hears_what_is_typed() -> None:
    asks = 'tty; stty size; read line; echo "heard $line"; exit 7'
    child, hand = pty.fork()
    if not child:
        fcntl.ioctl(0, termios.TIOCSWINSZ, SIZE)
        os.execv(sys.executable, [*RMAPLAB, "kernel", "boot", "--kernel", "6.12", "--shell", "--", "sh", "-c", asks])
    with os.fdopen(hand, "r+b", buffering=0) as screen:
        seen, typed = bytearray(), False
        watchdog = threading.Timer(LONG, os.kill, (child, 9))
        watchdog.start()
        while more := _read(screen.fileno()):
            seen += more
            if b"33 99" in seen and not typed:
                typed = bool(screen.write(b"you\r"))
        _, status = os.waitpid(child, 0)
        watchdog.cancel()
    text = seen.decode()
    if os.waitstatus_to_exitcode(status) == 3:
        pytest.skip(text)
    assert [word in text for word in ("/dev/hvc0", "33 99", "heard you")] == [True] * 3
    assert os.waitstatus_to_exitcode(status) == 7


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 12)
    except OSError:  # a terminal whose program is gone
        return b""
