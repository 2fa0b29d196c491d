"""An interrupt at any moment, imports included, is one line and exit 130."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import RMAPLAB, rmaplab, tracebacks


@pytest.mark.parametrize("command", [["inspect"], ["schemes"], ["refute", "moments"], ["--help"]])
def test_an_interrupt_while_the_command_is_imported_is_one_line(command: list[str]) -> None:
    program = (
        "import rmaplab.cli.app as app, sys, os, signal\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder()); app.main()"
    )
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=False)
    if done.returncode == 0 and command == ["--help"]:
        pytest.skip("nothing of that name is imported for it")
    assert (done.returncode, done.stderr, done.stdout) == (130, "rmaplab: interrupted\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_asked_to_end_says_so(number: signal.Signals) -> None:
    endless = [*RMAPLAB, "run", "snapshot", "--on", "model", "--size", "64G"]
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        running.stderr.readline()
        time.sleep(0.2)
        running.send_signal(number)
        assert running.stderr.read() == f"rmaplab: ended by {number.name}\n"
    assert running.returncode == 128 + number


def test_the_suite_notices_a_command_that_prints_a_traceback() -> None:
    broken = "import sys, rmaplab.cli.app as app\napp.COMMANDS = None\nsys.argv = ['rmaplab', 'schemes']\napp.main()"
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (told,) = tracebacks()
    assert "TypeError" in told


def test_an_interrupt_before_any_import_of_ours_is_one_line() -> None:
    program = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rmaplab.cli.app': os.kill(os.getpid(), 2)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from rmaplab.cli.start import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (130, "rmaplab: interrupted\n", "")


SCRIPT = Path(__file__).parents[2] / "scripts/rmaplab"
BEGINS = "import sys\nfrom rmaplab.cli.start import main\nsys.exit(main())\n"


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command as a shell does, with a `sitecustomize` that interrupts Python as it starts."""
    (tmp_path / "bin").mkdir()
    command, python = tmp_path / "bin/rmaplab", tmp_path / "bin/rmaplab-python"
    shutil.copy(SCRIPT, command)
    python.write_text(f"#!{sys.executable}\n{BEGINS}")
    python.chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")

    def run(name: str, *words: str, interrupted: bool = True) -> subprocess.CompletedProcess[str]:
        around = os.environ | ({"PYTHONPATH": str(tmp_path)} if interrupted else {})
        return subprocess.run([tmp_path / name, *words], capture_output=True, text=True, env=around, check=False)

    return run


def test_an_interrupt_while_python_itself_starts_is_one_line(
    installed: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "bin/rmaplab")
    for name in ("bin/rmaplab", "link"):
        done = installed(name, "--version")
        assert (done.returncode, done.stderr, done.stdout) == (130, "rmaplab: interrupted\n", "")
    unguarded = installed("bin/rmaplab-python", "--version")
    assert unguarded.returncode != 130, "the interrupt was to come before any line of ours"


def test_words_reach_the_command_as_they_were_typed(installed: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = installed("bin/rmaplab", "a b", "$HOME *", interrupted=False)
    assert done.returncode == 2
    assert "a b" in done.stderr


def test_an_interrupt_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    python = tmp_path / "rmaplab-python"
    python.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGINT)\n{BEGINS}")
    python.chmod(0o755)
    shutil.copy(SCRIPT, tmp_path / "rmaplab")
    words = ["sh", "-c", "trap '' INT; exec \"$0\" --version", tmp_path / "rmaplab"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_ends_a_library_that_goes_on_computing() -> None:
    program = (
        "import os, sys, threading, time, z3\n"
        "from rmaplab.cli import exits\n"
        "from rmaplab.system.signals import catching, stubborn_work_ends\n"
        "x = z3.Ints('a b c'); s = z3.Solver(); s.set('ctrl_c', False)\n"
        "s.add(x[0] > 0, x[1] > 0, x[2] > 0, x[0] ** 3 + x[1] ** 3 == x[2] ** 3)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), 2)).start()\n"
        "with exits.reporting(), catching(), stubborn_work_ends(0.5): s.check(); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=40)
    assert (done.returncode, done.stderr, done.stdout) == (130, "rmaplab: interrupted\n", "")


@pytest.mark.parametrize("command", [["stress"], ["bench"], ["race"]])
def test_an_interrupt_ends_what_computes_within_seconds(command: list[str]) -> None:
    with subprocess.Popen([*RMAPLAB, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        time.sleep(2)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "rmaplab: interrupted"


@pytest.mark.parametrize("words", [("run", "prefork", "--size", "2M", "--on", "model"), ("schemes",)])
def test_notes_that_cannot_be_written_fail_nothing(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = rmaplab(*words, stderr=full)
    assert done.returncode == 0
    assert done.stdout
