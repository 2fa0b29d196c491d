"""Fuzzing of what others write: text of /proc, and traces on disk. Run by `make fuzz`, or with --seconds.

Atheris (libFuzzer) starts from what the kernel or `rmaplab` itself writes, and keeps what reaches new code in the readers
and printers; each target in a process of its own. A target may answer or raise its own error, whose message is one line;
anything else ends the run, and the input is kept. The seed is printed, and repeats a run as far as the time allows.
"""

import argparse
import hashlib
import json
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(
    include=["rmaplab.proctext", "rmaplab.text", "rmaplab.trace", "rmaplab.inspect.btf"], enable_loader_override=False
):
    from rmaplab import proctext
    from rmaplab.errors import RmaplabError
    from rmaplab.inspect.btf import Btf, BtfError
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


def _btf() -> bytes:
    """struct outer { int number; union { int in; int same; }; }; enum kinds { one = 1 }."""
    names = [b"", b"outer", b"int", b"number", b"in", b"same", b"kinds", b"one"]
    at = {name: sum(len(other) + 1 for other in names[:place]) for place, name in enumerate(names)}
    strings = b"".join(name + b"\0" for name in names)
    types = struct.pack(
        "=4I9I9I5I",
        *(at[b"int"], 1 << 24, 4, 32),
        *(0, 5 << 24 | 2, 4, at[b"in"], 1, 0, at[b"same"], 1, 0),
        *(at[b"outer"], 4 << 24 | 2, 8, at[b"number"], 1, 0, 0, 2, 32),
        *(at[b"kinds"], 6 << 24 | 1, 4, at[b"one"], 1),
    )
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


def btf(raw: bytes) -> None:
    """What the readers of kernel objects ask of type information."""
    for ask in (
        lambda found: found.field("outer", "same"),
        lambda found: found.field("outer", "number"),
        lambda found: found.size("outer"),
        lambda found: found.enumerator("kinds", "one"),
    ):
        with suppress(BtfError):
            ask(Btf(raw, "fuzz"))


def printers(raw: bytes) -> None:
    """All that is shown or stored of a name."""
    name = decoded(raw)
    assert from_json(for_json(name)) == raw
    assert for_page({name: [name]}).isascii()
    assert for_terminal(name).isprintable()
    for_json(name).encode("utf-8")


def attempt(target: Target, raw: bytes, allowed: type[Exception]) -> None:
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


def targets(traces: Traces | None) -> dict[str, tuple[Target, bytes, type[Exception]]]:
    """Every target by name: what to call, an input of the right form, and the error it may raise."""
    found: dict[str, tuple[Target, bytes, type[Exception]]] = {}
    for name, (target, file) in PROC.items():
        found[name] = (target, _content(file)[:20000], Malformed)
    found["btf"] = (btf, _btf(), BtfError)
    found["printers"] = (printers, _content("maps")[:200], Malformed)
    for name, whole in traces.whole.items() if traces else ():
        found[f"trace-{name}"] = (lambda raw, name=name: traces(raw, name), whole, RmaplabError)
    return found


def fuzz_one(name: str, seconds: int, seed: int, directory: Path) -> None:
    """Fuzz one target in this process; libFuzzer ends it. Exit code 0: nothing was found."""
    target, example, allowed = targets(Traces(directory))[name]
    corpus, words = directory / "corpus", directory / "dictionary"
    corpus.mkdir()
    (corpus / "as-the-kernel-writes-it").write_bytes(example)
    words.write_text("".join(f'"{"".join(f"{chr(92)}x{byte:02x}" for byte in word)}"\n' for word in _DICTIONARY))
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-dict={words}", f"-max_len={2 * len(example) + 64}"]
    kept = Path(tempfile.gettempdir(), f"rmaplab-fuzz-{name}-")
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={kept}", "-verbosity=0", "-print_final_stats=1", str(corpus)],
        lambda raw: attempt(target, raw, allowed),
    )
    atheris.Fuzz()


def main() -> int:
    """`--seconds` (600) for all targets together, `--seed`; `--target` for one in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    with tempfile.TemporaryDirectory(prefix="rmaplab-fuzz-") as directory:
        names = list(targets(Traces(Path(directory))))
    parser.add_argument("--target", choices=names)
    options = parser.parse_args()
    if options.target:
        with tempfile.TemporaryDirectory(prefix="rmaplab-fuzz-") as directory:
            fuzz_one(options.target, options.seconds, options.seed, Path(directory))
    print(f"seed {options.seed}", flush=True)
    each, tried = max(1, options.seconds // len(names)), 0
    for name in names:
        command = [sys.executable, __file__, "--target", name, "--seconds", str(each), "--seed", str(options.seed)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        ran = re.search(r"stat::number_of_executed_units: *(\d+)", done.stderr)
        if done.returncode or not ran:
            print(f"{name}: exit code {done.returncode}\n{done.stderr[-4000:]}", file=sys.stderr)
            return 1
        print(f"{name}: {ran[1]} inputs", flush=True)
        tried += int(ran[1])
    print(f"{tried} inputs, none of which did harm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
