"""The command line keeps its promises: exit codes, one line per error, JSON others may rely on."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from importlib import import_module

import pytest

from commands import RMAPLAB, rmaplab
from rmaplab.cli.app import COMMANDS, main
from rmaplab.cli.sizes import parse_size
from rmaplab.errors import RmaplabError
from rmaplab.recorded import recorded
from rmaplab.scenarios import SCENARIOS
from rmaplab.schemes import SCHEMES


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `rmaplab WORDS` in this process; returns the exit code."""
    monkeypatch.setattr(sys, "argv", ["rmaplab", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists(name: str) -> None:
    word = name.replace("-", "_")
    assert callable(getattr(import_module(f"rmaplab.cli.{word}"), word))


def test_help_loads_no_heavy_library() -> None:
    program = (
        "import sys; sys.argv = ['rmaplab', '--help']\n"
        "from rmaplab.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'polars', 'altair', 'typer', 'rich') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in COMMANDS)


def test_the_quick_help_has_every_option_of_the_application() -> None:
    quick = rmaplab("--help", check=True).stdout
    slow = rmaplab("--help", "--help", check=True, env={**os.environ, "COLUMNS": "200"}).stdout
    options = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
    assert set(options.findall(quick)) == set(options.findall(slow))
    assert all(line in " ".join(quick.split()) for line in COMMANDS.values())


def test_loading_a_command_starts_no_threads_and_leaves_the_environment_alone() -> None:
    program = (
        "import os\n"
        "from rmaplab.cli import build as app\n"
        "before = dict(os.environ)\n"
        "app.build('inspect')\n"
        "print(len(os.listdir('/proc/self/task')), dict(os.environ) == before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("nonsense",), "nonsense"),
        (("schemes", "--jsn"), "--jsn"),
        (("capacity", "--order", "22"), "22"),
        (("capacity", "--scheme", "nobody"), "nobody"),
        (("run", "no-such-scenario"), "no-such-scenario"),
        (("run", "prefork", "--order", "10"), "10"),
        (("run", "prefork", "--size", "3 apples"), "3 apples"),
        (("run", "prefork", "--size", "4096"), "4096"),
        (("run", "prefork", "--k", "0"), "0"),
        (("run", "prefork", "chain"), "prefork chain"),
        (("run", "--on", "trace", "/no/such/trace"), "/no/such/trace"),
        (("run", "--on", "trace", "chain", str(recorded("prefork"))), "prefork"),
        (("run", "--on", "trace", str(recorded("prefork")), "--kernel", "linux-6.6"), "linux-6.6"),
        (("run", "prefork", "--on", "model", "--save-trace", "/dev/null/trace"), "/dev/null/trace"),
        (("run", "prefork", "--on", "model", "--kernel", "linux-6.6,linux-6.12", "--save-trace", "t"), "2 kernels"),
        (("record", "/dev/null/trace", "--around", "true"), "/dev/null/trace"),
        (("record", "trace", "--around", "'"), "--around"),
        (("record", "trace", "--around", "true", "--pid", "1"), "--pid and --around"),
        (("refute", "--subids", "os:getcwd"), "os:getcwd"),
        (("refute", "--subids", "builtins:abs", "--order", "99"), "99"),
        (("refute", "--needs", "--order", "40"), "40"),
        (("refute", "--density", "--order", "40"), "40"),
        (("bench", "--plot", "plot.gif"), "plot.gif"),
        (("bench", "--plot", "/dev/null/plot.svg"), "/dev/null/plot.svg"),
        (("bench", "streams", "--plot", "plot.svg"), "--plot"),
    ],
)
def test_bad_input_is_one_line_that_names_it_and_exit_2(
    words: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert named in lines[0]


@pytest.mark.parametrize("words", [["schemes"], ["schemes", "--json"], ["--help"]])
def test_a_reader_that_leaves_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = rmaplab(*words, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("redirected", "code", "named"), [(">/dev/full", 3, "No space left"), (">&-", 2, "closed")])
@pytest.mark.parametrize("words", ["schemes", "schemes --json"])
def test_output_that_cannot_be_written_is_one_line_and_no_success(
    words: str, redirected: str, code: int, named: str
) -> None:
    command = f"{shlex.join(RMAPLAB)} {words} {redirected}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert named in line


def test_an_interrupted_command_says_so_and_ends_with_130() -> None:
    endless = [*RMAPLAB, "run", "snapshot", "--on", "model", "--size", "64G"]
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "snapshot on model" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "rmaplab: interrupted\n"
    assert running.returncode == 130


@pytest.mark.parametrize("scenario", ["prefork", "fork-exit-write"])
def test_run_on_a_recorded_trace_prints_the_promised_object(
    scenario: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "--on", "trace", str(recorded(scenario)), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["scenario"] == scenario
    assert {"release", "reused_pages", "copied_pages", "write_seconds"} <= set(said["kernel"])
    assert {"pages", "bytes"} <= set(said["avoidable_copies"])
    assert set(said["schemes"]) == set(SCHEMES)
    promised = {"questions", "false_exclusive", "false_shared", "unknown", "state_bytes", "rmw_per_event"}
    assert all(promised <= set(one) for one in said["schemes"].values())
    assert said["schemes"]["truth"]["false_exclusive"] == said["schemes"]["truth"]["false_shared"] == 0


def test_run_takes_only_the_schemes_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--on", "trace", str(recorded("prefork")), "--json", "--scheme", "moments", "--scheme", "mm-id")
    assert call(monkeypatch, *words) == 0
    assert set(json.loads(capsys.readouterr().out)["schemes"]) == {"mm-id", "moments"}


def test_scenarios_lists_every_scenario(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "scenarios") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SCENARIOS)


def test_capacity_json_has_a_row_per_order_and_covering_scheme(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "capacity", "--json", "--scheme", "generations") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["order"] for row in rows] == [0, *SCHEMES["generations"].orders]


@pytest.mark.parametrize(("text", "size"), [("4096", 4096), ("64K", 65536), ("2MiB", 2 << 20), ("1g", 1 << 30)])
def test_sizes_are_read_with_and_without_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "4KK", "M"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RmaplabError, match="size"):
        parse_size(text)
