"""Holds the compiled C core against Definitions.v, for all inputs: python proofs/binary [--quick] [--json] [FUNCTION...]

First gcc compiles the headers (functions.c) and Rocq exports its definitions; then every claim of claims.py is run
through the machine code and proved. One line for each function; "all" says that each of its claims holds for every
input that its premises let in. --quick: one order instead of all. --core DIRECTORY: other headers.
Exit code 0: all proved; 1: a difference, or one undecided; 2: usage; 3: gcc, coqc or a package is missing.
"""

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
try:
    from claims import claims
    from definitions import Definitions
    from machine import Binary, UnknownError, compiled, run
    from polynomials import counterexample
    from world import Claim
except ImportError as missing:
    print(f"{missing.name}: not installed: pip install pyvex 'bitstring<5' z3-solver pyelftools", file=sys.stderr)
    sys.exit(3)


def differences(claim: Claim) -> Iterator[str]:
    """The first thing that does not hold of a claim, with values, or is not decided."""
    try:
        for end in run(claim.start, claim.function, claim.merge):
            for name, goal in claim.wanted(end).items():
                said, values = counterexample([*claim.premises, *end.when], goal)
                if said != "proved":
                    shown = ", ".join(f"{k} = {v:#x}" for k, v in sorted(values.items()))
                    yield f"{claim.what}: {name}: {said}{': ' + shown if shown else ''}"
                    return
    except UnknownError as error:
        yield f"{claim.what}: undecided: {error}"


def apart(claim: Claim) -> list[str]:
    """Its differences, found by a process of its own: what z3 decides within its resources hangs on what it was asked
    before, so each claim is asked of one that was asked nothing. Raises ChildProcessError if that dies."""
    forked = multiprocessing.get_context("fork")
    answer, said = forked.Pipe(duplex=False)
    asked = forked.Process(target=lambda: said.send(list(differences(claim))))
    asked.start()
    said.close()
    try:
        return list(answer.recv())
    except EOFError:
        raise ChildProcessError(f"{claim.function}, {claim.what}: its process died") from None
    finally:
        asked.join()
        answer.close()


def checked(core: Path, wanted: list[str], quick: bool) -> Iterator[tuple[Claim, list[str]]]:
    """All claims, or those on the functions `wanted`, each with its differences."""
    with tempfile.TemporaryDirectory() as folder:
        binary: Binary = compiled(HERE / "functions.c", Path(folder, "functions.so"), "-I", str(core))
        definitions = Definitions(HERE.parent / "theories", Path(folder))
        # A prefix is of what asks for it by name, or longer: moments_flag is not moments.
        for claim in claims(
            binary, definitions, quick, lambda p: not wanted or any(f.startswith(p + "_") for f in wanted)
        ):
            if not wanted or claim.function in wanted:
                yield claim, apart(claim)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="proofs/binary", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("function", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--core", type=Path, default=HERE.parents[1] / "core")
    given = parser.parse_args()
    for tool in ("gcc", "coqc"):
        if shutil.which(tool) is None:
            print(f"{tool}: not found", file=sys.stderr)
            return 3
    rows: dict[str, dict[str, object]] = {}
    try:
        for claim, found in checked(given.core, given.function, given.quick):
            row = rows.setdefault(
                claim.function, {"function": claim.function, "claims": 0, "by": claim.definitions, "found": []}
            )
            row["claims"] = int(str(row["claims"])) + 1
            row["found"] = [*row["found"], *found]  # type: ignore[misc]
            print(f"{claim.function}, {claim.what}: {'differs' if found else 'equal'}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]}: {error.stderr.strip()}", file=sys.stderr)
        return 3
    unknown = sorted(set(given.function) - set(rows))
    if unknown:
        print(f"{unknown[0]}: no such function, or no claim on it", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(list(rows.values())))
    for row in [] if given.json else rows.values():
        print(f"{row['function']}: {row['claims']} claims, by {row['by']}: {'; '.join(row['found']) or 'all'}")  # type: ignore[arg-type]
    return 1 if any(row["found"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
