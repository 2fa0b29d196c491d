"""`rmaplab` as a program of its own, for every test that looks at it from outside."""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Final

MAIN: Final = "from rmaplab.cli.app import main; main()"
RMAPLAB: Final = (sys.executable, "-c", MAIN)

_TOLD: Final = tempfile.TemporaryDirectory(prefix="rmaplab-tracebacks-")


def see_tracebacks() -> None:
    """From now on every Python that is started tells us if a command prints a traceback (`hook/sitecustomize.py`)."""
    Path(_TOLD.name).chmod(0o777)
    os.environ["RMAPLAB_TRACEBACKS"] = _TOLD.name
    hook = str(Path(__file__).parent / "hook")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [hook, os.environ.get("PYTHONPATH")]))


def tracebacks() -> list[str]:
    """The commands that printed one since this was asked, with the error."""
    found = []
    for file in Path(_TOLD.name).iterdir():
        found.append(file.read_text())
        file.unlink()
    return found


def no_traceback(said: str | bytes | None) -> None:
    """Whatever happens to a command, its user reads a line and no traceback: held for every run of the suite."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    assert "Traceback (most recent call last)" not in text, text


def rmaplab(*words: str, before: str = "", check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `rmaplab WORDS` to its end, output captured as text; `before` is Python to run first in its process."""
    program = f"{textwrap.dedent(before)}\n{MAIN}"
    command = [sys.executable, "-c", program, *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 300}
    done = subprocess.run(command, check=check, **{**streams, **options})
    no_traceback(done.stderr)
    return done
