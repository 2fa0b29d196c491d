"""`--what-if fork`: what is foretold from a span of writes is what the same writes copy once it has forked."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from inspecting import fresh, look_at, need_order

from commands import RMAPLAB, rmaplab
from rmaplab.inspect.fork_price import what_if_fork
from rmaplab.inspect.probes import KernelView
from rmaplab.inspect.written import written
from rmaplab.machine.live import LiveMachine
from rmaplab.machine.protocol import PAGE_SIZE

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live")]

SIZE, HOT = 4 << 20, 256
OWN = 512 << 10
"""The worker's own memory, which it writes as it works."""


@pytest.mark.parametrize("order", [0, 4, 9])
def test_pages_written_in_the_window_are_those_a_fork_copies(machine: LiveMachine, view: KernelView, order: int) -> None:
    need_order(order)
    one = fresh(machine)
    at = one.mmap(SIZE, order=order)
    one.write(at, SIZE, 1)
    found = look_at(view, one)
    (mm,) = found.snapshot.targets.tolist()
    price = what_if_fork(found.snapshot, mm, 0.1, lambda _: one.write(at, HOT * PAGE_SIZE, 2))
    child = one.fork()
    copied = one.write(at, HOT * PAGE_SIZE, 3).copied * PAGE_SIZE
    child.exit()
    assert copied == HOT * PAGE_SIZE
    assert price.least <= copied + OWN
    assert copied <= price.most
    if price.by != "soft-dirty" or order < 9:
        assert copied <= price.least
    assert price.private >= max(SIZE, price.most)


@pytest.mark.parametrize("pages", [0, 1, 100])
def test_the_pages_that_are_named_are_those_that_were_written(machine: LiveMachine, pages: int) -> None:
    one = fresh(machine)
    at = one.mmap(SIZE, order=0)
    one.write(at, SIZE, 1)
    vpn = np.arange(at // PAGE_SIZE, (at + SIZE) // PAGE_SIZE)

    def meanwhile(_: float) -> None:
        if pages:
            one.write(at + SIZE - pages * PAGE_SIZE, pages * PAGE_SIZE, 2)

    found = written(one.pid, vpn, np.zeros(len(vpn), np.bool_), 0.1, meanwhile)
    assert np.flatnonzero(found.seen).tolist() == list(range(len(vpn) - pages, len(vpn)))
    assert found.least == pages <= found.most <= len(vpn)


def test_memory_that_is_read_only_is_no_more_than_a_bound(machine: LiveMachine) -> None:
    one = fresh(machine)
    at = one.mmap(SIZE, order=0)
    one.write(at, SIZE, 1)
    vpn = np.arange(at // PAGE_SIZE, (at + SIZE) // PAGE_SIZE)
    found = written(one.pid, vpn, np.zeros(len(vpn), np.bool_), 0.1, lambda _: one.read(at, SIZE))
    assert found.least == 0


@pytest.mark.parametrize("words", ["--window 1", "--what-if fork --freeze", "--what-if fork --window 0"])
def test_a_window_without_writes_to_look_at_is_refused(words: str) -> None:
    done = rmaplab("inspect", str(os.getpid()), *words.split())
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


KEYS = 10_000
LOAD = """
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
n = 0
while True:  # 500 keys of ten thousand, again and again, and another byte each time
    n += 1
    server.sendall(b"".join(b"SETRANGE key%d 0 %d\\r\\n" % (k * 20, n % 10) for k in range(500)))
    got = 0
    while got < 500:
        got += server.recv(1 << 16).count(b"\\n")
    time.sleep(0.05)
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A redis server with data and a client that writes: its PID and socket."""
    if not (shutil.which("redis-server") and shutil.which("redis-cli")):
        pytest.skip("redis is not installed")
    path = tmp_path / "socket"
    words = [
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--dir",
        str(tmp_path),
        "--rdb-key-save-delay",
        "150",
    ]
    server = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while "PONG" not in ask(path, "PING"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ask(path, text="".join(f"SET key{n} {'x' * 1000}\n" for n in range(KEYS)))
    load = subprocess.Popen([sys.executable, "-c", LOAD, str(path)])
    try:
        yield server.pid, path
    finally:
        for one in (load, server):
            one.kill()
            one.wait()


def ask(path: Path, *words: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["redis-cli", "-s", str(path), *words], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def test_a_snapshot_of_redis_copies_what_was_foretold(redis: tuple[int, Path]) -> None:
    """BGSAVE while a client writes 500 keys of 10,000; `watch` counts what the server then copies."""
    pid, path = redis
    priced = rmaplab("inspect", str(pid), "--what-if", "snapshot", "--window", "1.5", "--json")
    if priced.returncode == 3:
        pytest.skip(priced.stderr.strip())
    price = json.loads(priced.stdout)["what_if_fork"][str(pid)]
    watching = subprocess.Popen(
        [*RMAPLAB, "watch", "--json", "--budget", "0", "--every", "0.2", "--pid", str(pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    if not watching.stdout.readline():
        pytest.skip("the kernel's programs may not be loaded")
    ask(path, "BGSAVE")
    while "rdb_bgsave_in_progress:1" in ask(path, "INFO", "persistence"):
        time.sleep(0.1)
    watching.send_signal(signal.SIGINT)
    out, _ = watching.communicate(timeout=60)
    rows = {one["pid"]: one for one in json.loads(out.splitlines()[-1])["processes"]}
    copied = rows[pid]["bytes"]
    assert price["least"] / 2 <= copied <= 2 * price["most"], (price, copied)
    assert 500 * PAGE_SIZE / 4 < copied < price["private"], "of the server's memory the hot part, not all of it"
