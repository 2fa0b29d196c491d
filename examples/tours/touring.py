"""What the tours share: watch a program, and say the answer beside the number after the change."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

Sum = dict[str, Any]
MIB = 1 << 20


def watched(*words: str, env: dict[str, str] | None = None) -> Sum:
    """The sum of `rmaplab watch --json -- WORDS`, without a budget: everything is looked at."""
    command = [
        sys.executable,
        "-c",
        "from rmaplab.cli.app import main; main()",
        "watch",
        "--json",
        "--budget",
        "0",
        "--",
        *words,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=os.environ | (env or {}))
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def workers(found: Sum, name: str = "") -> list[Sum]:
    """Processes that were forked by a watched one; with a name that begins so."""
    return [one for one in found["processes"] if one["parent"] and one["name"].startswith(name)]


def copied(rows: Sequence[Sum]) -> float:
    """MiB."""
    return sum(row["bytes"] for row in rows) / MIB


def answer(question: str, lines: Sequence[str], before: float, after: float, unit: str = "MiB copied") -> None:
    """Print a tour's end; with --json one object."""
    if "--json" in sys.argv:
        print(json.dumps({"question": question, "before": before, "after": after, "unit": unit, "answer": list(lines)}))
        return
    print(question)
    for line in lines:
        print(f"  {line}")
    print(f"  before {before:.1f}, after {after:.1f} {unit}")


def where(found: Sum, most: int = 3) -> str:
    """The stacks that copied most, in a line."""
    rows = [stack for stack in found["stacks"] if stack["copied"]][:most]
    return "; ".join(f"{row['copied']} pages in {(row['frames'] or ['code that is not known'])[0]}" for row in rows)
