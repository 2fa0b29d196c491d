"""The demo runs live where it may, and says why where it may not."""

import json
import os
import subprocess
import sys

import pytest

from commands import rmaplab

AS_NOBODY = """
import contextlib, io, os, sys
import rmaplab.cli.demo, rmaplab.cli.run, rmaplab.machine.live
import rmaplab.machine.live.machine
from rmaplab.cli.app import main
words, sys.argv = sys.argv[1:], ["rmaplab", "scenarios"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()  # loads what typer loads late, while it may be read
os.setgid(65534); os.setuid(65534)
sys.argv = ["rmaplab", *words]
main()
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="drops privileges, so it has to have some")


def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `rmaplab WORDS` without privileges (everything imported before, where files may be unreadable after)."""
    return subprocess.run([sys.executable, "-c", AS_NOBODY, *words], capture_output=True, text=True, check=False)


@needs_root
def test_demo_without_privileges_uses_the_recorded_traces_and_says_why() -> None:
    done = as_nobody("demo")
    assert done.returncode == 0
    assert "from the recorded trace, because" in done.stderr
    assert "pagemap" in done.stderr
    assert "a precise answer" in done.stdout


def test_demo_prints_both_runs_as_one_json_object() -> None:
    done = rmaplab("demo", "--json", check=True)
    runs = json.loads(done.stdout)["runs"]
    assert [run["scenario"] for run in runs] == ["prefork", "fork-exit-write"]
    assert all(run["schemes"]["truth"]["false_shared"] == 0 for run in runs)
    assert {run["recorded_because"] is None for run in runs} == {"recorded trace" not in done.stderr}


@needs_root
def test_run_without_privileges_ends_with_3_and_one_reason() -> None:
    done = as_nobody("run", "prefork")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "pagemap" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
