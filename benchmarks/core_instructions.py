"""Instructions of one operation of every scheme of the C core: what a price is where a clock cannot tell.

    python benchmarks/core_instructions.py [--order 9] [--against TREE] [--json]

One operation is single-stepped, one thread, nobody else there (core/lib/steps.c): the same count each time, for one
compiler. `--against`: a checkout of another state with a built core, counted by its own code; a cell is then `its count >
ours` where they differ. For docs/core.md.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

OPERATIONS: Final = ("map/unmap", "map/unmap 512", "verdict", "cow")
Counts = dict[str, dict[str, int | None]]


def counted(order: int) -> Counts:
    """By scheme and operation, in the order of the schemes; None where it cannot be counted."""
    from rmaplab.bench.operations import configurations, instructions, known  # noqa: PLC0415  (of the tree that is counted)

    found: Counts = {}
    for config in configurations(known(), [order]):
        if config.threads == 1 and config.order == order and config.op in OPERATIONS:
            found.setdefault(config.scheme, {})[config.op] = instructions(config)
    return found


def counted_in(tree: Path, order: int) -> Counts:
    """The same of a checkout. Raises SystemExit if it cannot say."""
    if not (tree / "src" / "rmaplab").is_dir():
        raise SystemExit(f"--against: {tree}: must be a checkout, has no src/rmaplab")
    command = [sys.executable, str(Path(__file__).resolve()), "--order", str(order), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree}: cannot be counted: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    found: Counts = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", type=int, default=9, choices=range(1, 14), metavar="1..13")
    parser.add_argument("--against", type=Path, metavar="TREE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ours = counted(options.order)
    former = counted_in(options.against.resolve(), options.order) if options.against else ours
    if options.json:
        print(json.dumps(ours if former is ours else {"former": former, "ours": ours}))
        return
    width = max(map(len, ours))
    print("".join((f"order {options.order}".ljust(width), *(operation.rjust(15) for operation in OPERATIONS))))
    for scheme, counts in ours.items():
        before = former.get(scheme, {})
        cells = (_cell(before.get(operation), counts.get(operation)) for operation in OPERATIONS)
        print("".join((scheme.ljust(width), *(cell.rjust(15) for cell in cells))))


def _cell(before: int | None, now: int | None) -> str:
    if now is None:
        return "-"
    return str(now) if before in (now, None) else f"{before} > {now}"


if __name__ == "__main__":
    main()
