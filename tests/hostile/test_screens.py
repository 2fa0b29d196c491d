"""Narrow screens, tried on real terminals: numbers are never cut, whatever the width says, 0 included."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator

import pytest

from commands import RMAPLAB, no_traceback, rmaplab
from rmaplab.report.inspect_table import size

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live"), pytest.mark.usefixtures("frames")]


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "100"]) as child:
        yield child.pid
        child.kill()


def on_terminal(columns: int, *words: str, **environment: str) -> str:
    """What a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env = {**kept, "TERM": "dumb", **environment}
    with subprocess.Popen([*RMAPLAB, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env) as running:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 1 << 16)
            except OSError:  # the terminal's other side is closed
                break
        assert running.wait(60) in (0, 1)
    os.close(ours)
    no_traceback(said)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("columns", "wish"), [(80, ""), (40, ""), (24, ""), (0, ""), (80, "0"), (40, "24"), (1, ""), (80, "x")]
)
def test_numbers_are_whole_on_every_terminal(sleeper: int, columns: int, wish: str) -> None:
    row = json.loads(rmaplab("inspect", str(sleeper), "--json").stdout)["rows"][0]
    said = on_terminal(columns, "inspect", str(sleeper), **({"COLUMNS": wish} if wish else {}))
    (line,) = [line for line in said.split("\n") if line.split()[:1] == [str(sleeper)]]
    wide = int(wish) if wish.isdecimal() and int(wish) else columns or 80
    assert len(line) <= max(wide, 20)
    numbers = line.replace("~", "").split()
    assert size(row["resident"]) in numbers
    assert all(re.fullmatch(r"[0-9]+(\.[0-9])?[BKMGT]|0|-", number) for number in numbers[2:]), line
    assert "not shown, too narrow" in said.replace("\n", " ") or wide >= 80


@pytest.mark.parametrize("words", [("--help",), ("inspect", "--help"), ("schemes",), ("capacity",)])
def test_a_terminal_of_no_width_shows_what_others_show(words: tuple[str, ...]) -> None:
    said = on_terminal(0, *words, COLUMNS="0")
    assert max(map(len, said.split("\n"))) > 40
    assert "…" not in said.partition("\n")[0]
