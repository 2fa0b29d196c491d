"""herd7 on litmus files with a `Result:` line: the second opinion where Debian's herdtools7 is installed.

For `make litmus`: `python -m rmaplab.verify.race.herd MODEL FILE...`; MODEL is the kernel's tools/memory-model, which
has linux-kernel.cfg. herd7 enumerates candidate executions one by one, so many files are beyond it: those are counted,
not taken for agreement.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

SECONDS: Final = 20.0
_RESULT: Final = re.compile(r"Result:\s*(Never|Sometimes|Always)", re.I)
_OBSERVATION: Final = re.compile(r"^Observation \S+ (Never|Sometimes|Always) ", re.M)
_OBSERVED: Final = re.compile(r"^Observation (\S+) (Never|Sometimes|Always) ", re.M)
Answer = Literal["agrees", "differs", "undecided", "refused"]


def ask(model: Path, file: Path, seconds: float = SECONDS) -> tuple[Answer, str]:
    """What herd7 says of the file's `Result:` line, and its own words."""
    wanted = _RESULT.search(file.read_text())
    command = ["herd7", "-conf", "linux-kernel.cfg", str(file.resolve())]
    try:
        done = subprocess.run(command, cwd=model, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "undecided", f"not done after {seconds:g} s"
    found = _OBSERVATION.search(done.stdout)
    if wanted is None or found is None:
        return "refused", (done.stderr or done.stdout).strip().splitlines()[
            0
        ] if done.stderr or done.stdout else "no answer"
    return "agrees" if found.group(1) == wanted.group(1).capitalize() else "differs", found.group(0).strip()


def observed(words: Sequence[str], files: Sequence[Path]) -> dict[str, str] | None:
    """What herd7, called with `words`, observes in each file, by the test's name; None if it is not installed."""
    if not shutil.which("herd7"):
        return None
    done = subprocess.run(["herd7", *words, *map(str, files)], capture_output=True, text=True, check=False)
    return dict(_OBSERVED.findall(done.stdout))


def main(words: Sequence[str]) -> int:
    """1 if herd7 says otherwise of a file; 3 if it is not installed or MODEL has no linux-kernel.cfg."""
    if len(words) < 2:
        print("python -m rmaplab.verify.race.herd MODEL FILE...", file=sys.stderr)
        return 2
    model, files = (
        Path(words[0]),
        [f for p in map(Path, words[1:]) for f in (sorted(p.glob("*.litmus")) if p.is_dir() else [p])],
    )
    if not shutil.which("herd7"):
        print("herd7: is not installed (Debian: herdtools7)", file=sys.stderr)
        return 3
    if not (model / "linux-kernel.cfg").is_file():
        print(f"{model}: must be the kernel's tools/memory-model, has no linux-kernel.cfg", file=sys.stderr)
        return 3
    answers: Counter[Answer] = Counter()
    for file in files:
        answer, said = ask(model, file)
        answers[answer] += 1
        if answer != "agrees":
            print(f"{answer}: {file.name}: {said}")
    print(", ".join(f"{name} {count}" for name, count in sorted(answers.items())))
    return int(answers["differs"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
