"""What of this tool works on the kernel that runs: each thing tried, with the reason where it does not.

For `rmaplab kernel features`, which runs this file in guests: it prints a JSON list. Nothing is concluded from a version.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rmaplab.errors import RmaplabError
from rmaplab.machine.live import LiveMachine, probe
from rmaplab.machine.live.host.diskfile import make
from rmaplab.machine.live.workers import sharing
from rmaplab.machine.protocol import PMD_ORDER, PMD_SIZE
from rmaplab.scenarios import Parameters, find

State = Literal["works", "estimate", "not there"]

_MAIN: Final = (sys.executable, "-c", "from rmaplab.cli.start import main; main()")
_PATIENCE: Final = 300.0


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing the tool does, and how far it does it here; `why` it is no more than that, "" if it works."""

    name: str
    state: State
    why: str = ""

    def to_dict(self) -> dict[str, str]:
        """As JSON has it."""
        return asdict(self)


def _missing(why: str) -> tuple[State, str]:
    return ("not there", why) if why else ("works", "")


def _capability(name: str) -> tuple[State, str]:
    found = probe()[name]
    return _missing(found.why_not)


def _scenario() -> tuple[State, str]:
    """A fork tree of real processes, and what its writes copied."""
    with LiveMachine() as machine:
        trace = find("prefork").play(machine, Parameters(size=PMD_SIZE, order=PMD_ORDER, k=1))
    return ("works", "") if trace.meta.exactness == "exact" else ("estimate", trace.meta.why)


def _disk_files() -> tuple[State, str]:
    os.close(make(PMD_SIZE, PMD_ORDER))
    return "works", ""


def _inspect() -> tuple[State, str]:
    said = _command("inspect", str(os.getpid()), "--json")
    return ("works", "") if said["exactness"] == "exact" else ("estimate", str(said["why"]))


def _record() -> tuple[State, str]:
    with tempfile.TemporaryDirectory() as place:
        said = _command("record", str(Path(place, "trace")), "--pid", str(os.getpid()), "--snapshots", "1", "--json")
    return ("works", "") if said["exactness"] == "exact" else ("estimate", str(said["why"]))


def _command(*words: str) -> Mapping[str, Any]:
    done = subprocess.run([*_MAIN, *words], capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise RmaplabError(" ".join(done.stderr.split("\n")[-2:]).strip() or f"exit code {done.returncode}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


_TRIED: Final[Mapping[str, Callable[[], tuple[State, str]]]] = {
    "scenarios on real processes": _scenario,
    "anonymous THPs": lambda: _capability("thp"),
    "anonymous folios between a page and a PMD": lambda: _capability("mthp"),
    "large folios of shmem": lambda: _capability("shmem_thp"),
    "large folios of disk files": _disk_files,
    "swap": lambda: _capability("swap"),
    "KSM": lambda: _capability("ksm"),
    "vfork and CLONE_VM": lambda: _missing("" if sharing.available() else "the routine for it was not built"),
    "what PMDs map (PAGEMAP_SCAN)": lambda: _capability("pmd_ranges"),
    "map counts (kpagecount)": lambda: _capability("kpagecount"),
    "AnonExclusive (kpageflags)": lambda: _capability("anon_exclusive"),
    "`rmaplab inspect`": _inspect,
    "`rmaplab record`": _record,
}


def tried() -> list[Feature]:
    """All of them, one after the other: some seconds."""
    found = []
    for name, attempt in _TRIED.items():
        try:
            state, why = attempt()
        except RmaplabError as error:
            state, why = "not there", str(error)
        found.append(Feature(name, state, why))
    return found


if __name__ == "__main__":
    print(json.dumps([feature.to_dict() for feature in tried()]))
