"""`make mutants`: plant each fault in a copy of the model, and see whether anything finds it.

First the programs that the hunt kept and random ones, then the unit tests of the model that need no kernel. The last line
is the score. Exit code 1 if a fault stays alive that nobody called equivalent, or if something finds one that is.
"""

import argparse
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from faults.planted import PLANTED, Fault
from faults.trial import random_program, worlds
from rmaplab.campaigns import CampaignError, Rows, Shard, carry_out
from rmaplab.machine.differential import corpus
from rmaplab.machine.differential.fates import Fate, Mutants, line, numbers, score, surprising
from rmaplab.machine.differential.program import Program

_HERE: Final = Path(__file__).parent
_TESTS: Final = _HERE.parents[1]
_SOURCE: Final = _TESTS.parent / "src" / "rmaplab"
CORPUS: Final = _TESTS / "model" / "corpus.jsonl"


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
    """Run the programs on the faulty model, then, if they see nothing, the unit tests; the fate."""
    with tempfile.TemporaryDirectory(prefix="rmaplab-fault-") as name:
        path = plant(fault, Path(name))
        also = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
        where = os.pathsep.join([str(path), *also])
        environment = {**os.environ, "PYTHONPATH": where, "PYTHONDONTWRITEBYTECODE": "1"}
        trial = [sys.executable, str(_HERE / "trial.py"), str(reference)]
        by = subprocess.run(trial, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        if not by and tests:
            by = _unit_tests(environment)
        return {"name": fault.name, "rule": fault.rule, "by": by, "equivalent": fault.equivalent or ""}


def _unit_tests(environment: dict[str, str]) -> str:
    folders = [str(_TESTS / name) for name in ("model", "scenarios")]
    # That test looks for the lines as they were: it would find every fault.
    but = ["--ignore", str(_TESTS / "model" / "test_planted.py")]
    call = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not live", "-p", "no:cacheprovider", *but, *folders]
    done = subprocess.run(call, env=environment, cwd=_TESTS.parent, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not failed:
        raise RuntimeError(f"pytest: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return failed[0].split(" - ")[0].split("/")[-1] if failed else ""


def reference_of(programs: Mapping[str, Program], jobs: int, folder: Path) -> Path:
    """The right model's digests of all these programs, pickled as {name: (program, digests)}."""
    with ProcessPoolExecutor(jobs) as pool:
        digests = pool.map(_listed, programs.values(), chunksize=8)
        told = {name: (program, right) for (name, program), right in zip(programs.items(), digests, strict=True)}
    path = folder / "reference.pickle"
    path.write_bytes(pickle.dumps(told))
    return path


def _listed(program: Program) -> list[bytes]:
    return list(worlds(program))


def _programs(asked: argparse.Namespace) -> dict[str, Program]:
    """Those the hunt kept first, then random ones."""
    hunted = {f"corpus, program {number}": program for number, program in enumerate(corpus.read(CORPUS), 1)}
    seeds = range(asked.seed, asked.seed + asked.programs)
    return {**hunted, **{f"seed {seed}": random_program(seed) for seed in seeds}}


class Threads:
    """An engine: so many units side by side, each of which is a process of its own."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def results(self, campaign: Mutants, units: Iterable[int]) -> Iterator[tuple[int, Rows]]:
        """Each unit and its result, as they come."""
        with ThreadPoolExecutor(self._jobs) as pool:
            flying = {pool.submit(campaign.run, unit): unit for unit in units}
            try:
                for done in as_completed(flying):
                    yield flying[done], done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def source() -> str:
    """Which faults there are, and what tries them."""
    files = (_HERE / "planted.py", _HERE / "trial.py", CORPUS)
    return hashlib.sha256(b"".join(one.read_bytes() for one in files)).hexdigest()[:12]


def main() -> int:
    """Try all faults asked for; print fates, then the score."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--programs", type=int, default=500, help="random programs a fault has to survive")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first")
    parser.add_argument("--jobs", type=int, default=2, help="faults tried side by side")
    parser.add_argument("--only", action="append", help="this fault (may be repeated)")
    parser.add_argument("--without-tests", action="store_true", help="programs only")
    parser.add_argument("--shard", metavar="I/N", help="part I of N only; with --resume (rmaplab merge adds them up)")
    parser.add_argument("--resume", metavar="DIR", type=Path, help="write the part there; go on if it is there")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args()
    unknown = sorted(set(asked.only or ()) - {fault.name for fault in PLANTED})
    if unknown:
        parser.error(f"--only: {unknown[0]}: no such fault")
    if asked.shard and not asked.resume:
        parser.error(f"--shard: {asked.shard}: must come with --resume DIR")
    faults = [fault for fault in PLANTED if not asked.only or fault.name in asked.only]
    try:
        found = _carried(asked, faults)
    except CampaignError as error:
        parser.error(str(error))
    print(json.dumps(found) if asked.json else score(found))
    return int(surprising(found))


def _carried(asked: argparse.Namespace, faults: Sequence[Fault]) -> dict[str, object]:
    shard = Shard.parse(asked.shard) if asked.shard else None
    with tempfile.TemporaryDirectory(prefix="rmaplab-faults-") as name:
        reference = reference_of(_programs(asked), asked.jobs, Path(name))
        tests = not asked.without_tests
        campaign = Mutants(
            tuple(fault.name for fault in faults),
            asked.programs,
            asked.seed,
            tests,
            source(),
            lambda unit: try_out(faults[unit], reference, tests=tests),
        )
        rows = carry_out(campaign, shard, asked.resume, Threads(asked.jobs), _tell)
    return numbers(rows, asked.programs)


def _tell(_unit: int, one: Rows, _so_far: Rows) -> None:
    for fate in one:
        print(line(fate), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
