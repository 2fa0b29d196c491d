"""Fuzzing of what others write: text of /proc, and traces on disk. Run by `make fuzz`, or with --seconds.

Each target starts from what the kernel or `rmaplab` itself writes and changes it: bytes flipped, cut, doubled, spliced.
A target may answer or raise its own error, whose message is one line; anything else ends the run with the input.
Standard library and the package only; the seed is printed, and repeats a run.
"""

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rmaplab import proctext
from rmaplab.errors import RmaplabError
from rmaplab.proctext import Malformed, decoded
from rmaplab.recorded import recorded
from rmaplab.text import for_json, for_page, for_terminal, from_json
from rmaplab.trace import read

Target = Callable[[bytes], object]
_DICTIONARY: Final = (
    b"\n", b"\0", b" ", b")", b"(", b":", b"-", b",", b"\\040", b"\\777", b"\xff", "\u2028".encode(), b"\x85", b"\x1c",
    b"99999999999999999999", b"-1", b"NaN", b"1e999", b"null", b"[", b"{", b'"', b" kB\n", b"ffffffffffffffffff", b"PAR1",
)  # fmt: skip


def _content(name: str) -> bytes:
    return Path("/proc/self", name).read_bytes()


PROC: Final[dict[str, tuple[Target, str]]] = {
    "stat": (proctext.stat, "stat"),
    "maps": (lambda raw: [proctext.maps_line(line) for line in proctext.lines(raw)], "maps"),
    "smaps": (lambda raw: list(proctext.smaps(raw)), "smaps_rollup"),
    "status": (proctext.fields, "status"),
    "cmdline": (proctext.arguments, "cmdline"),
    "cgroup": (proctext.cgroups, "cgroup"),
    "mounts": (proctext.mounts, "mounts"),
    "mountinfo": (proctext.mountinfo, "mountinfo"),
    "swaps": (proctext.swaps, "../swaps"),
    "pids": (proctext.pids, "../sys/kernel/pid_max"),
}


def printers(raw: bytes) -> None:
    """All that is shown or stored of a name."""
    name = decoded(raw)
    assert from_json(for_json(name)) == raw
    assert for_page({name: [name]}).isascii()
    assert for_terminal(name).isprintable()
    for_json(name).encode("utf-8")


def changed(raw: bytes, lots: random.Random) -> bytes:
    """`raw` after one to four changes."""
    for _ in range(lots.randint(1, 4)):
        at, to = sorted(lots.choices(range(len(raw) + 1), k=2))
        kind = lots.randrange(5)
        if kind == 0 and raw:
            at = min(at, len(raw) - 1)
            raw = raw[:at] + bytes([raw[at] ^ 1 << lots.randrange(8)]) + raw[at + 1 :]
        elif kind == 1:
            raw = raw[:at] + lots.choice(_DICTIONARY) + raw[at:]
        elif kind == 2:
            raw = raw[:at] + raw[to:]
        elif kind == 3:
            raw = raw[:to] + raw[at : at + 4096] + raw[to:]
        else:
            raw = raw[:at] + lots.randbytes(lots.randint(1, 8)) + raw[at:]
    return raw


def attempt(target: Target, raw: bytes, allowed: type[RmaplabError]) -> None:
    """Run one input. Raises whatever is not `allowed`."""
    try:
        target(raw)
    except allowed as error:
        line = str(error)
        if not line or "\n" in for_terminal(line):
            raise AssertionError(f"no clear line: {line!r}") from error


class Traces:
    """A trace in a directory of its own, of which one file at a time is changed; its sums are made to fit."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "trace"
        shutil.copytree(recorded("fork-exit-write"), self.directory)
        self.whole = {path.name: path.read_bytes() for path in self.directory.iterdir()}

    def __call__(self, raw: bytes, name: str) -> None:
        files = {**self.whole, name: raw}
        if name != "meta.json":
            meta = json.loads(files["meta.json"])
            meta["sha256"][name] = hashlib.sha256(raw).hexdigest()
            files["meta.json"] = json.dumps(meta).encode()
        for file, content in files.items():
            (self.directory / file).write_bytes(content)
        read(self.directory)


def run(seconds: float, seed: int) -> int:
    """Go round all targets until the time is over; returns how many inputs were tried."""
    lots, tried, end = random.Random(seed), 0, time.monotonic() + seconds
    texts = {name: _content(file) for name, (_, file) in PROC.items()}
    with tempfile.TemporaryDirectory(prefix="rmaplab-fuzz-") as directory:
        traces = Traces(Path(directory))
        while time.monotonic() < end:
            for name, (target, _) in PROC.items():
                for _ in range(50):
                    tried += _one(name, target, changed(texts[name][:20000], lots), Malformed)
            for _ in range(50):
                tried += _one("printers", printers, changed(lots.choice(list(texts.values()))[:200], lots), Malformed)
            for name, whole in traces.whole.items():
                raw = changed(whole, lots)
                tried += _one(f"trace {name}", lambda raw, name=name: traces(raw, name), raw, RmaplabError)
    return tried


def _one(name: str, target: Target, raw: bytes, allowed: type[RmaplabError]) -> int:
    try:
        attempt(target, raw, allowed)
    except BaseException:
        kept = Path(tempfile.gettempdir(), f"rmaplab-fuzz-{hashlib.sha256(raw).hexdigest()[:12]}")
        kept.write_bytes(raw)
        print(f"{name}: fails on {kept}", file=sys.stderr)
        raise
    return 1


def main() -> None:
    """`--seconds` (600), `--seed`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    print(f"{run(options.seconds, options.seed)} inputs, none of which did harm")


if __name__ == "__main__":
    main()
