"""A campaign over several processes is the same campaign, and ends as one."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernel import lacking
from rmaplab.machine.differential.jobs import run_campaign
from rmaplab.machine.differential.plan import Plan
from rmaplab.machine.protocol import BadOperation

pytestmark = [
    pytest.mark.live,
    pytest.mark.xdist_group("differential"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]
two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU only")


def of_session(session: int) -> list[int]:
    """Pids of all processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, its = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


@two_cpus
def test_two_jobs_add_up_to_what_one_says() -> None:
    one, two = (run_campaign(Plan("linux-6.18", 10), range(40, 46), jobs, io.StringIO()) for jobs in (1, 2))
    assert one.counts.programs == 6
    assert two == one


def test_more_jobs_than_cpus_are_refused() -> None:
    cpus = len(os.sched_getaffinity(0))
    with pytest.raises(BadOperation, match=rf"jobs: {cpus + 1}: .* there are {cpus}"):
        run_campaign(Plan("linux-6.18", 10), range(40, 46), cpus + 1, io.StringIO())


@two_cpus
@pytest.mark.parametrize("whom", ["the coordinator", "everybody"])
def test_an_interrupt_ends_every_process_and_says_what_was_done(whom: str) -> None:
    command = [sys.executable, "-m", "rmaplab.machine.differential", "-n", "5000", "--jobs", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as campaign:
        assert campaign.stderr is not None
        while "of 5000 programs" not in (line := campaign.stderr.readline()):
            assert line, "ended by itself"
        (os.kill if whom == "the coordinator" else os.killpg)(campaign.pid, signal.SIGINT)
        out, err = campaign.communicate()
    assert "interrupted after" in err
    assert "Traceback" not in err
    last = out.splitlines()[-1]
    assert re.fullmatch(r"linux-6.18: programs \d+, steps \d+, compared \d+, set aside \d+, mismatches \d+", last)
    assert campaign.returncode in (0, 1), "as the counts say"
    end = time.monotonic() + 60
    while left := of_session(campaign.pid):
        assert time.monotonic() < end, f"{left} are still there"
        time.sleep(0.01)
