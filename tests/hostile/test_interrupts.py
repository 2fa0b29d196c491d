"""An interrupt at any moment, imports included, is one line and exit 130."""

import signal
import subprocess
import sys
import time

import pytest

from commands import RMAPLAB


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
