"""Checks that every claim of theories/Statements.v is proved, without axioms.

For `make prove`, after the theories compiled, and for tests/proofs. Two independent looks: at the sources (no word that
plants an axiom or switches a check of the kernel off) and at Rocq's own answer to `Print Assumptions` for each claim.
It proves nothing itself and trusts no file name: a claim is a `Definition NAME : Prop` of Statements.v, its proof must
be `NAME_proved` of exactly that type. Standard library only, so that `make prove` needs nothing but coq and python3.

Usage: audit.py [DIRECTORY with theories/]. Exit code 0: all closed; 1: a finding; 2: usage; 3: no coqc.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

CLOSED = "Closed under the global context"
FORBIDDEN = re.compile(
    r"\b(Admitted|admit|give_up|Abort|Axioms?|Parameters?|Conjectures?|Declare\s+Module|Module\s+Type|Primitive|Extraction"
    r"|bypass_check|(?:Unset|Set)\s+(?:Guard|Positivity|Universe)\s+Checking|type_in_type|Unset\s+Kernel\w*)\b"
)
ASSUMING = re.compile(r"\b(Variables?|Hypothes[ei]s|Context)\b")
SECTION = re.compile(r"\b(Section|End)\b")


def without_comments(text: str) -> str:
    """`text` with its nested comments blanked; line numbers stay."""
    out, depth = [], 0
    for token in re.split(r"(\(\*|\*\)|\n)", text):
        if token == "(*":
            depth += 1
        elif token == "*)":
            depth -= 1
        elif depth == 0 or token == "\n":
            out.append(token)
    return "".join(out)


def planted(path: Path) -> list[str]:
    """Findings in one source file: what would assume instead of prove."""
    findings, sections = [], 0
    for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1):
        sections += sum(1 if word == "Section" else -1 for word in SECTION.findall(line))
        words = FORBIDDEN.findall(line) + (ASSUMING.findall(line) if sections == 0 else [])
        findings += [f"{path.name}:{number}: {word}: assumed, not proved" for word in words]
    return findings


def claims(statements: Path) -> list[str]:
    """The names of all claims, in their order."""
    return re.findall(r"^Definition (\w+) : Prop :=", without_comments(statements.read_text()), re.MULTILINE)


def assumptions(theories: Path) -> str:
    """Rocq's answers to Audit.v; raises CalledProcessError if it does not compile."""
    command = ["coqc", "-Q", str(theories), "Rmaplab", str(theories / "Audit.v")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def answers(output: str, names: list[str]) -> dict[str, str]:
    """What `Print Assumptions` said of each claim whose proof has the claim's type."""
    heading = re.compile(r"^(\w+)_proved\s+:\s+(\w+)\s+:\s+(\w+)$", re.MULTILINE)
    starts = list(heading.finditer(output))
    said = {}
    for here, after in zip(starts, [*starts[1:], None], strict=True):
        if here[1] in names and here[1] == here[2] == here[3]:
            said[here[1]] = output[here.end() : after.start() if after else len(output)].strip()
    return said


def audit(theories: Path) -> list[str]:
    """All findings; prints one line per claim."""
    findings = [f for path in sorted(theories.glob("*.v")) for f in planted(path)]
    names = claims(theories / "Statements.v")
    if not names:
        findings.append("Statements.v: no claim")
    try:
        said = answers(assumptions(theories), names)
    except subprocess.CalledProcessError as error:
        return [*findings, f"Audit.v does not compile: {error.stderr.strip()}"]
    for name in names:
        answer = said.get(name, "not audited")
        print(f"{name}: {answer}")
        if answer != CLOSED:
            findings.append(f"{name}: {answer}")
    return findings


def main(arguments: list[str]) -> int:
    if len(arguments) > 1:
        print("usage: audit.py [DIRECTORY]", file=sys.stderr)
        return 2
    if shutil.which("coqc") is None:
        print("coqc: not found: install Debian package coq, or run make prove", file=sys.stderr)
        return 3
    root = Path(arguments[0]) if arguments else Path(__file__).parent
    findings = audit(root / "theories")
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
