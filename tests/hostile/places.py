"""Hostile surroundings for a command, in namespaces of its own: nothing outside sees a mount, a signal or a limit of it.

    Place(own_pids=True, hidepid="2", nobody=True).rmaplab("inspect", "1")

A place that cannot be had here skips the test and says why (`Place.need`). See `enter` for how it is made.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from commands import no_traceback

_ENTER: Final = str(Path(__file__).with_name("enter.py"))
_SECONDS: Final = 120


@dataclass(frozen=True)
class Place:
    """Where a command runs. All false: here.

    `own_pids`: a PID namespace with a /proc of its own, in which the command is 1. `pids_of`: the PID namespace of that
    process. `hidepid`: option of a /proc mounted for it ("1", "2"). `tmpfs`: directories hidden below an empty file
    system; `small`: the same with a size in bytes (a full disk). `binds`: (source, target) bind mounts. `without`:
    capabilities dropped ("SYS_PTRACE"). `nobody`: no user, no rights. `user_namespace`: root of a namespace, nobody
    outside. Mount points must exist.
    """

    own_pids: bool = False
    pids_of: int = 0
    hidepid: str = ""
    tmpfs: tuple[str, ...] = ()
    small: tuple[tuple[str, int], ...] = ()
    binds: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    nobody: bool = False
    user_namespace: bool = False

    def command(self, *words: str | bytes | int) -> list[str | bytes]:
        """What to start so that `words` run there; the first is a program, or "rmaplab"."""
        texts = [word if isinstance(word, bytes) else str(word) for word in words]
        return [sys.executable, "-P", _ENTER, json.dumps(asdict(self)), *texts]

    def need(self) -> None:
        """Skip the test where such a place cannot be had, with the reason."""
        if reason := _refused(self):
            pytest.skip(f"{self}: {reason}")

    def run(
        self, *words: str | bytes | int, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `words` there to their end; output as bytes. `env` adds to the environment."""
        self.need()
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": _SECONDS}
        return subprocess.run(self.command(*words), check=False, env=surrounding(env), **{**streams, **options})

    def rmaplab(
        self, *words: str | bytes | int, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `rmaplab WORDS` there to its end."""
        done = self.run("rmaplab", *words, env=env, **options)
        no_traceback(done.stderr)
        return done

    def start(
        self, *words: str | bytes | int, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start `words` there; the caller ends it. Its PID is that of who waits for it where the place has own PIDs."""
        self.need()
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(*words), env=surrounding(env), **{**streams, **options})


HERE: Final = Place()


def surrounding(more: dict[str, str] | None) -> dict[str, str]:
    """This environment with `more`; if there is `more`, only that says how wide a terminal is and how text is encoded."""
    asked = ("COLUMNS", "LINES", "LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE")
    kept = {name: value for name, value in os.environ.items() if not more or name not in asked}
    return {**kept, **(more or {})}


@cache
def _refused(place: Place) -> str:
    """Why a place cannot be entered; "" if it can. Processes come and go: `pids_of` is believed."""
    if place == HERE or place.pids_of:
        return "" if place == HERE or not os.geteuid() else "needs root"
    done = subprocess.run(place.command("true"), capture_output=True, check=False, timeout=_SECONDS)
    lines = done.stderr.decode(errors="replace").strip().split("\n")
    return "" if done.returncode == 0 else lines[-1]
