"""Instructions of the model and the judges in one state of the code and in another: what a clock here cannot tell apart.

    python benchmarks/instructions.py TREE TREE ... [--work operations|scenarios] [--rounds 2]

TREE: a checkout with a built C core; the first is the yardstick. Needs valgrind (Debian: valgrind). `operations` is a
round of benchmarks/model.py's on the model, 16 MiB; `scenarios` plays `chain` and `prefork` on the model, 2 MiB, and
judges both. Each is run with one round and with 1 + ROUNDS, alone in its process; their difference has no start-up in
it. The same code runs on the same data with fixed hashes, so that counts move by a thousandth or so; all runs of a
call go in parallel, as far as there are CPUs. A run takes a minute and more: valgrind is some 50 times as slow.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Final

ONE_THREAD: Final = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


def operations() -> None:
    """A round of the model's operations."""
    from model import on_model  # noqa: PLC0415  (of the tree that is counted)

    on_model(16 << 20)


def scenarios() -> None:
    """Two scenarios, each judged by three schemes."""
    from rmaplab.judge import judge  # noqa: PLC0415  (of the tree that is counted)
    from rmaplab.machine.choose import open_machine  # noqa: PLC0415
    from rmaplab.scenarios import Parameters, find  # noqa: PLC0415
    from rmaplab.schemes import select  # noqa: PLC0415

    for name in ("chain", "prefork"):
        with open_machine("model", "linux-6.18") as machine:
            trace = find(name).play(machine, Parameters(size=2 << 20))
        judge(trace, select(["mm-id", "moments-flag", "generations-safe"]))


WORK: Final[dict[str, Callable[[], None]]] = {"operations": operations, "scenarios": scenarios}


def counted(tree: Path, work: str, rounds: int) -> int:
    """Instructions of a process that does `rounds` of `work` with the code of `tree`."""
    with tempfile.NamedTemporaryFile("r") as log:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log.name}"]
        command += [sys.executable, __file__, "--work", work, "--child", str(rounds)]
        where = {"PYTHONPATH": f"{tree / 'src'}:{Path(__file__).parent}"}
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD, **where}, stdout=subprocess.DEVNULL)
        found = re.search(r"Collected : (\d+)", log.read())
    if found is None:
        sys.exit(f"{tree}: valgrind said no count")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", metavar="TREE", type=Path, nargs="*")
    parser.add_argument("--work", choices=[*WORK], default="operations")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if options.child:
        for _ in range(options.child):
            WORK[options.work]()
        return
    if not options.trees or options.rounds < 1:
        parser.error("TREE: must be one or more, and --rounds 1 or more")
    if shutil.which("valgrind") is None:
        sys.exit("no valgrind (Debian: valgrind)")
    for tree in options.trees:
        if not (tree / "src/rmaplab").is_dir():
            parser.error(f"{tree}: must be a checkout of rmaplab")
    jobs = list(product(options.trees, (1, 1 + options.rounds)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(jobs, pool.map(lambda job: counted(job[0].resolve(), options.work, job[1]), jobs), strict=True))
    a_round = {str(tree): (counts[tree, 1 + options.rounds] - counts[tree, 1]) / options.rounds for tree in options.trees}
    if options.json:
        print(json.dumps({"work": options.work, "rounds": options.rounds, "instructions": a_round}))
        return
    first = a_round[str(options.trees[0])]
    for tree, instructions in a_round.items():
        print(f"{instructions / 1e6:>10.1f} M instructions a round of {options.work}, {instructions / first:.3f}  {tree}")


if __name__ == "__main__":
    main()
