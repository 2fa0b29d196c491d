"""The demo runs live where it may, and says why where it may not."""

import json
import os
import re
import subprocess
import sys

import pytest

from commands import rmaplab
from rmaplab.cli.app import COMMANDS
from rmaplab.judge import judge
from rmaplab.recorded import recorded
from rmaplab.report.lesson import lesson
from rmaplab.schemes import select
from rmaplab.trace import read

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


def test_demo_explains_its_words_first_and_ends_in_five_lines() -> None:
    said = rmaplab("demo", check=True).stdout.rstrip().splitlines()
    table = next(i for i, line in enumerate(said) if line.startswith("what happened"))
    before = "\n".join(said[:table])
    assert all(f"{word} is" in before for word in ("MM", "folio", "question", "RMW"))
    assert "order n" in before
    seen, means, more, right, following = said[-5:]
    assert [line.split()[0] for line in (seen, means, right, following)] == ["Seen:", "Means:", "Right:", "Next:"]
    assert more.startswith(" ")
    commands = re.findall(r"rmaplab (\w+)", following)
    assert len(commands) > 1
    assert set(commands) <= set(COMMANDS)


def test_the_lesson_follows_from_what_was_seen() -> None:
    trace = read(recorded("prefork"))
    dear = lesson([(trace, judge(trace, select()))])
    free = read(recorded("fork-exit-write"))
    fine = lesson([(free, judge(free, select()))])
    assert len(dear) == len(fine) == 5
    assert "for nothing" in dear[1]
    assert "copied nothing without a reason" in fine[1]
    assert "0 for nothing" in fine[0]
