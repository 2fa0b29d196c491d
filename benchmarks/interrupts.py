"""How a command ends that is interrupted while it starts, at random moments.

For SECURITY.md. Three starts in turn: the command, its Python alone (`python -m rmaplab`), and the command with every
CPU busy. An end is right if it is one line and exit code 130, or silent death by SIGINT, which a shell also calls 130.

    python benchmarks/interrupts.py [--times 200] [--within 300] [--seed 1] [--json]
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

WORDS = ("inspect", "1")
ONE_LINE, QUIET, ENDED, WRONG = "one line, exit 130", "died by SIGINT, no word", "had ended", "wrong"


def ended(command: list[str], delay: float) -> tuple[str, str]:
    """How the command ended after an interrupt, and what it said if that was wrong."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        time.sleep(delay)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    if (running.returncode, said) == (130, "rmaplab: interrupted\n"):
        return ONE_LINE, ""
    if (running.returncode, said) == (-signal.SIGINT, ""):
        return QUIET, ""
    if running.returncode in (0, 3):
        return ENDED, ""
    return WRONG, f"exit {running.returncode} after {delay * 1e3:.0f} ms: {said[-200:]!r}"


@contextmanager
def busy() -> Iterator[None]:
    """Twice as many busy processes as CPUs."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=300, help="milliseconds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    command = shutil.which("rmaplab", path=Path(sys.executable).parent)
    if command is None:
        raise SystemExit("no rmaplab beside this Python")
    starts = {
        "rmaplab": ([command, *WORDS], nullcontext()),
        "python -m rmaplab": ([sys.executable, "-m", "rmaplab", *WORDS], nullcontext()),
        "rmaplab, all CPUs busy": ([command, *WORDS], busy()),
    }
    results = {}
    for name, (words, around) in starts.items():
        moments = random.Random(given.seed)
        with around:
            found = [ended(words, moments.uniform(0, given.within / 1e3)) for _ in range(given.times)]
        results[name] = {kind: Counter(f[0] for f in found)[kind] for kind in (ONE_LINE, QUIET, ENDED, WRONG)}
        for _, said in found:
            if said:
                print(f"{name}: {said}", file=sys.stderr)
    if given.json:
        print(json.dumps({"times": given.times, "within_ms": given.within, "results": results}, indent=2))
        return
    kinds = " | ".join((ONE_LINE, QUIET, ENDED, WRONG))
    print(f"| {given.times} interrupts within {given.within:.0f} ms | {kinds} |")
    print("|---|---|---|---|---|")
    for name, counts in results.items():
        print(f"| {name} | " + " | ".join(str(count) for count in counts.values()) + " |")


if __name__ == "__main__":
    main()
