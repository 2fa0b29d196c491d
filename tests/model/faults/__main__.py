"""`make mutants`: plant each fault in a copy of the model, and see whether anything finds it.

First random programs, then the unit tests of the model that need no kernel. The last line is the score. Exit code 1 if a
fault stays alive that nobody called equivalent, or if something finds one that somebody did.
"""

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from faults.planted import PLANTED, Fault
from faults.trial import worlds

_HERE: Final = Path(__file__).parent
_TESTS: Final = _HERE.parents[1]
_SOURCE: Final = _TESTS.parent / "src" / "rmaplab"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a fault: `by` names what found it, "" if nothing did."""

    fault: Fault
    by: str

    @property
    def surprising(self) -> bool:
        """Alive though not equivalent, or dead though it is."""
        return bool(self.by) == bool(self.fault.equivalent)

    def line(self) -> str:
        """The fault and its fate, for people."""
        said = f"dead   {self.fault.name}: {self.by}" if self.by else f"alive  {self.fault.name}: {self.fault.rule}"
        return f"{said} (equivalent: {self.fault.equivalent})" if self.fault.equivalent else said


def plant(fault: Fault, folder: Path) -> Path:
    """A copy of the package with the fault, below `folder`. Raises ValueError unless its text occurs once there."""
    copy = folder / "rmaplab"
    shutil.copytree(_SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "recorded"))
    places = [path for path in (copy / "machine" / "model").rglob("*.py") if fault.old in path.read_text()]
    times = sum(path.read_text().count(fault.old) for path in places)
    if times != 1:
        raise ValueError(f"{fault.name}: {fault.old!r}: must occur once in the model, occurs {times} times")
    places[0].write_text(places[0].read_text().replace(fault.old, fault.new))
    return folder


def try_out(fault: Fault, reference: Path, *, tests: bool) -> Fate:
    """Run the programs on the faulty model, then, if they see nothing, the unit tests."""
    with tempfile.TemporaryDirectory(prefix="rmaplab-fault-") as name:
        path = plant(fault, Path(name))
        environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
        trial = [sys.executable, str(_HERE / "trial.py"), str(reference)]
        by = subprocess.run(trial, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        if not by and tests:
            by = _unit_tests(environment)
        return Fate(fault, by)


def _unit_tests(environment: dict[str, str]) -> str:
    folders = [str(_TESTS / name) for name in ("model", "scenarios")]
    call = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not live", "-p", "no:cacheprovider", *folders]
    done = subprocess.run(call, env=environment, cwd=_TESTS.parent, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not failed:
        raise RuntimeError(f"pytest: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return failed[0].split(" - ")[0].split("/")[-1] if failed else ""


def reference_of(seeds: Sequence[int], jobs: int, folder: Path) -> Path:
    """The right model's digests of all these programs, pickled as {seed: digests}."""
    with ProcessPoolExecutor(jobs) as pool:
        digests = dict(zip(seeds, pool.map(_listed, seeds, chunksize=8), strict=True))
    path = folder / "reference.pickle"
    path.write_bytes(pickle.dumps(digests))
    return path


def _listed(seed: int) -> list[bytes]:
    return list(worlds(seed))


def main() -> int:
    """Try all faults asked for; print fates, then the score."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--programs", type=int, default=500, help="random programs a fault has to survive")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first")
    parser.add_argument("--jobs", type=int, default=2, help="faults tried side by side")
    parser.add_argument("--only", action="append", help="this fault (may be repeated)")
    parser.add_argument("--without-tests", action="store_true", help="programs only")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args()
    unknown = sorted(set(asked.only or ()) - {fault.name for fault in PLANTED})
    if unknown:
        parser.error(f"--only: {unknown[0]}: no such fault")
    faults = [fault for fault in PLANTED if not asked.only or fault.name in asked.only]
    with tempfile.TemporaryDirectory(prefix="rmaplab-faults-") as name:
        reference = reference_of(range(asked.seed, asked.seed + asked.programs), asked.jobs, Path(name))
        fates = []
        with ThreadPoolExecutor(asked.jobs) as pool:
            for fate in pool.map(partial(try_out, reference=reference, tests=not asked.without_tests), faults):
                print(fate.line(), file=sys.stderr, flush=True)
                fates.append(fate)
    return _report(fates, asked.programs, as_json=asked.json)


def _report(fates: list[Fate], programs: int, *, as_json: bool) -> int:
    counted = [fate for fate in fates if not fate.fault.equivalent]
    dead = [fate for fate in counted if fate.by]
    numbers = {
        "programs": programs,
        "mutants": {
            "dead": len(dead),
            "alive": len(counted) - len(dead),
            "by_programs": sum(fate.by.startswith("seed") for fate in dead),
            "equivalent": len(fates) - len(counted),
        },
        "alive": [fate.fault.name for fate in counted if not fate.by],
        "wrongly_equivalent": [fate.fault.name for fate in fates if fate.fault.equivalent and fate.by],
    }
    if as_json:
        print(json.dumps(numbers))
    else:
        print(
            f"mutants {len(counted)}, dead {len(dead)} ({numbers['mutants']['by_programs']} by {programs} programs), "
            f"alive {len(counted) - len(dead)}, equivalent {len(fates) - len(counted)}"
        )
    return int(any(fate.surprising for fate in fates))


if __name__ == "__main__":
    sys.exit(main())
