"""Limits that a command meets at any call: one line and exit 3, as for everything that is the system's fault."""

import errno
import os
import subprocess
import sys

import pytest

from commands import RMAPLAB, no_traceback

RAISING = "import sys\nfrom rmaplab.cli.exits import reporting\nwith reporting(): raise {}"


@pytest.mark.parametrize(
    "error", ["MemoryError()", *(f"OSError({n}, 'why')" for n in (errno.EMFILE, errno.ENOMEM, errno.EAGAIN))]
)
def test_what_is_scarce_is_one_line(error: str) -> None:
    done = subprocess.run([sys.executable, "-c", RAISING.format(error)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("rmaplab: cannot go on: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.live
@pytest.mark.xdist_group("live")
@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize("files", [8, 9, 10, 12])
def test_a_look_with_few_descriptors_answers_or_says_one_line(files: int) -> None:
    """All but the shell's own part, which needs ten."""
    words = ["prlimit", f"--nofile={files}", sys.executable, *RMAPLAB[1:], "inspect", str(os.getppid())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    no_traceback(done.stderr.encode())
    assert done.returncode in (0, 3)
    assert done.returncode == 0 or done.stderr.count("\n") <= 1
