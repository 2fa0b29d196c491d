"""`rmaplab` as a program of its own, for every test that looks at it from outside."""

import subprocess
import sys
import textwrap
from typing import Any, Final

MAIN: Final = "from rmaplab.cli.app import main; main()"
RMAPLAB: Final = (sys.executable, "-c", MAIN)


def rmaplab(*words: str, before: str = "", check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `rmaplab WORDS` to its end, output captured as text; `before` is Python to run first in its process."""
    program = f"{textwrap.dedent(before)}\n{MAIN}"
    command = [sys.executable, "-c", program, *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 300}
    return subprocess.run(command, check=check, **{**streams, **options})
