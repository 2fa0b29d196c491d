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
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions

from commands import RMAPLAB, no_traceback, rmaplab
from rmaplab.report.inspect_table import size
from rmaplab.report.sheet import LEAST
from rmaplab.report.watch_screen import SORTS, picture


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
        assert running.wait(60) in (0, 1, 2)
    os.close(ours)
    no_traceback(said)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.usefixtures("frames")
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


@pytest.mark.parametrize(("words", "columns"), [(("inspect", "--help"), 1), (("fleet", "report", "--help"), 40)])
def test_the_help_names_every_option_on_narrow_terminals(words: tuple[str, ...], columns: int) -> None:
    said = on_terminal(columns, *words)
    wide = rmaplab(*words).stdout
    assert "…" not in said
    assert set(re.findall(r"--[a-z][a-z-]*", wide)) <= set(re.findall(r"--[a-z][a-z-]*", said))


@pytest.mark.parametrize("words", ["schemes", "capacity"])
def test_a_table_with_no_room_for_two_columns_puts_them_below_each_other(words: str) -> None:
    said = on_terminal(20, words)
    assert all(cell_len(line) <= LEAST for line in re.sub(r"\x1b\[[0-9;]*m", "", said).split("\n")[1:])
    assert "not shown" not in said
    for number in set(re.findall(r" ([0-9]+)(?= |$)", rmaplab(words).stdout, re.MULTILINE)):
        assert re.search(rf"\b{number}\b", said)


counts = st.integers(0, 1 << 60)
processes = st.lists(
    st.tuples(st.integers(1, 1 << 22), st.text(max_size=30), st.booleans(), counts),
    max_size=40,
    unique_by=lambda one: one[0],
)


@given(processes, st.integers(0, 130), st.integers(1, 50), st.sampled_from(SORTS))
def test_the_live_screen_cuts_no_number_and_fits(
    found: list[tuple[int, str, bool, int]], columns: int, lines: int, sort: str
) -> None:
    names = ("faults", "reused", "copied", "needless", "bytes")
    rows = [
        dict.fromkeys(names, count) | {"pid": pid, "name": name, "ended_at": None, "blind_seconds": float(blind)}
        | {"copy_seconds": 0.5}
        for pid, name, blind, count in found
    ]  # fmt: skip
    head = {"seconds": 9.0, "lost": 0, "blind_seconds": 0.0, **dict.fromkeys(names, sum(row[3] for row in found))}
    room = ConsoleDimensions(max(columns, LEAST), lines)
    console = Console(width=room.width, color_system=None)
    with console.capture() as captured:
        console.print(picture(head, rows, sort, room))
    said = captured.get().split("\n")[:-1]
    assert all(cell_len(line) <= room.width for line in said)
    text = " ".join(" ".join(said).split())
    (shown,) = re.findall(r"; (\d+) of \d+ processes", text)
    assert int(shown) == len(found) or len(said) <= lines or int(shown) == 1
    for pid, _, blind, count in sorted(found, key=lambda one: one[0])[: int(shown)] if sort == "pid" else []:
        (line,) = [line for line in said if line.split()[:1] == [str(pid)]][:1]
        numbers = line.split()
        assert str(pid) in numbers
        if "copied" in next((heading for heading in said if "pid" in heading.split()), "").split():
            assert (f"{count}+" if blind and count else "?" if blind else str(count)) in numbers


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.parametrize("columns", [1, 40])
def test_a_watch_on_a_narrow_terminal_shows_whole_numbers(sleeper: int, columns: int) -> None:
    said = on_terminal(columns, "watch", "--pid", str(sleeper), "--every", "0.1", "--seconds", "0.5", TERM="xterm")
    assert str(sleeper) in said
    assert "…" not in "".join(line for line in said.split("\n") if re.search(r"[0-9]…", line))
