"""Checks that every claim is proved without axioms, and that the claims are those a reviewer signed.

For `make prove`, after the theories compiled, and for tests/proofs. Nobody writes what is checked here: Rocq lists the
claims (every closed Prop of the stated modules) and prints them, in a process that loads no proof; a second process
is asked, by full names and with nothing imported, whether `NAME_proved` has the type `NAME` and which axioms it uses.
What the first process printed, definitions included, must be what signed.txt says, line by line. A look at the sources
comes on top: stated modules only define, and no file holds a word that plants an axiom, hides a name behind a module
or switches a check of the kernel off. Standard library only: `make prove` needs nothing but coq and python3.

Usage: audit.py [--sign] [DIRECTORY with theories/ and signed.txt]. --sign writes signed.txt instead of comparing it.
Exit code 0: all closed; 1: a finding; 2: usage; 3: no coqc.
"""

import difflib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

STATED = ("Definitions", "Witnesses", "Statements", "System", "Interleaved", "Uniform", "Width", "Play")
"""The modules a reviewer reads: what they define is signed, their closed Props are the claims."""

CLOSED = "Closed under the global context"
FORBIDDEN = re.compile(
    r"\b(Admitted|admit|give_up|Abort|Axioms?|Parameters?|Conjectures?|Module|Primitive|Extraction|Redirect|Drop"
    r"|Declare\s+ML|Load|Notation|Infix|Coercion|Canonical|(?:Global|Export)\s+(?:Set|Unset)|bypass_check"
    r"|(?:Unset|Set)\s+(?:Guard|Positivity|Universe)\s+Checking|type_in_type|Unset\s+Kernel\w*)\b"
)
ASSUMING = re.compile(r"\b(Variables?|Hypothes[ei]s|Context)\b")
SECTION = re.compile(r"\b(Section|End)\b")
DEFINING = re.compile(r"\s*(From|Import|Open Scope|Definition|Fixpoint|Record|Inductive)\b|\s*$")
OPTIONS = re.compile(r"-Q theories Rmaplab|theories/\w+\.v|")
ELIMINATORS = ("rect", "ind", "rec", "sind")
HEAD = """From Coq Require Import ZArith List Bool.
{requires}
Import ListNotations.
Open Scope Z_scope.
Set Printing Width 140.
Set Printing Depth 1000000.
"""


class RocqError(Exception):
    """coqc refused a script of the audit; `line` is where."""

    def __init__(self, stderr: str) -> None:
        found = re.search(r"line (\d+), characters[^\n]*\n(.*)", stderr, re.DOTALL)
        self.line = int(found[1]) if found else 0
        super().__init__(" ".join((found[2] if found else stderr).split()))


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
    """Findings in one source file: what would assume, or pretend, instead of prove."""
    findings, sections = [], 0
    source = without_comments(path.read_text())
    for number, line in enumerate(source.splitlines(), 1):
        sections += sum(1 if word == "Section" else -1 for word in SECTION.findall(line))
        words = FORBIDDEN.findall(line) + (ASSUMING.findall(line) if sections == 0 else [])
        findings += [f"{path.name}:{number}: {word}: assumed, not proved" for word in words]
    if path.stem in STATED:
        for sentence in re.split(r"\.\s", source):
            if not DEFINING.match(sentence):
                findings.append(f"{path.name}: {sentence.split()[0]}: a stated module only defines")
    return findings


def misbuilt(root: Path) -> list[str]:
    """Findings in _CoqProject: an option of coqc, or a theory left out."""
    lines = (root / "_CoqProject").read_text().splitlines()
    findings = [f"_CoqProject: {line}: not a theory" for line in lines if not OPTIONS.fullmatch(line)]
    missing = {f"theories/{p.name}" for p in (root / "theories").glob("*.v")} - set(lines)
    return findings + [f"_CoqProject: {name}: not listed" for name in sorted(missing)]


def ask(theories: Path, script: str) -> str:
    """What a fresh Rocq process answers to `script`; raises RocqError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Asked.v")
        path.write_text(script)
        command = ["coqc", "-q", "-Q", str(theories.absolute()), "Rmaplab", path.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RocqError(done.stderr)
    return done.stdout


def marked(names: list[str], command: str) -> str:
    """A script, one line for each name: print "== NAME", then `command` with {}, the name."""
    return "".join(f'Goal True. idtac "== {n}". Abort. {command.format(n)}\n' for n in names)


def sections(output: str) -> dict[str, str]:
    """The answers to a `marked` script, by name."""
    parts = re.split(r"^== (\S+)$", output, flags=re.MULTILINE)
    return {name: said.strip() for name, said in zip(parts[1::2], parts[2::2], strict=True)}


def stated(theories: Path) -> tuple[list[str], dict[str, str]]:
    """The claims' full names, in order, and what Rocq prints for everything that the stated modules define."""
    requires = f"From Rmaplab Require Import {' '.join(STATED)}."
    head = HEAD.format(requires=requires)
    modules = sections(ask(theories, head + marked([f"Rmaplab.{m}" for m in STATED], "Print Module {}.")))
    claims, everything = [], []
    for module, listing in modules.items():
        rows = re.findall(r"^     (\w+) (\w+)\s*:([^\n]*)", listing, re.MULTILINE)
        schemes = {f"{name}_{suffix}" for kind, name, _ in rows if kind != "Definition" for suffix in ELIMINATORS}
        for kind, name, rest in rows:
            if kind == "Definition" and rest == " Prop.":
                claims.append(f"{module}.{name}")
            if name not in schemes:
                everything.append(f"{module}.{name}")
    printed = sections(ask(theories, head + marked(everything, "Print {}.")))
    return claims, {name: re.sub(r"\n\nArguments .*", "", said, flags=re.DOTALL) for name, said in printed.items()}


def signed_text(claims: list[str], printed: dict[str, str]) -> str:
    """signed.txt: claims first, then all that their words mean."""
    lines = [
        "What is claimed, as Rocq prints it. Written by `make -C proofs sign`, read and committed by a reviewer.",
        "",
    ]
    for title, names in (("Claims", claims), ("Definitions", [n for n in printed if n not in claims])):
        lines += [f"==== {title}: {len(names)}", ""]
        for name in names:
            lines += [name, *(f"    {line.rstrip()}".rstrip() for line in printed[name].splitlines()), ""]
    return "\n".join(lines)


def proofs(theories: Path) -> dict[str, str]:
    """Claim -> full name of what calls itself its proof. A hint only: Rocq is asked whether it is one."""
    found = {}
    for path in sorted(theories.glob("*.v")):
        for name in re.findall(
            r"^\s*(?:Theorem|Lemma|Definition)\s+(\w+)_proved\b", without_comments(path.read_text()), re.M
        ):
            found[name] = f"Rmaplab.{path.stem}.{name}_proved"
    return found


def answers(theories: Path, claims: list[str]) -> dict[str, str]:
    """For each claim (full name) what `Print Assumptions` says of its proof, or why that is none."""
    found = proofs(theories)
    said = dict.fromkeys(claims, "not proved")
    asked = [claim for claim in claims if claim.rpartition(".")[2] in found]
    modules = sorted({found[claim.rpartition(".")[2]].split(".")[1] for claim in asked} | set(STATED))
    while asked:
        script = f"From Rmaplab Require {' '.join(modules)}. Set Printing Width 1000.\n"
        for claim in asked:
            proof = found[claim.rpartition(".")[2]]
            name = claim.replace(".", "_")
            script += marked([claim], f"Definition {name} : {{}} := {proof}. Print Assumptions {proof}.")
        try:
            said |= sections(ask(theories, script))
        except RocqError as error:
            if error.line < 2:
                return dict.fromkeys(claims, str(error))
            said[asked.pop(error.line - 2)] = str(error)
        else:
            break
    return said


def differences(signed: str, now: str) -> Iterator[str]:
    """Findings: every line in which the claims differ from the signed ones."""
    for line in difflib.unified_diff(signed.splitlines(), now.splitlines(), "signed.txt", "now", n=0, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield f"signed.txt: {line}"


def audit(root: Path) -> list[str]:
    """All findings; prints one line per claim."""
    theories = root / "theories"
    findings = [f for path in sorted(theories.glob("*.v")) for f in planted(path)] + misbuilt(root)
    try:
        claims, printed = stated(theories)
    except RocqError as error:
        return [*findings, f"stated modules: {error}"]
    findings += differences((root / "signed.txt").read_text(), signed_text(claims, printed))
    for claim, answer in answers(theories, claims).items():
        name = claim.removeprefix("Rmaplab.")
        print(f"{name}: {answer}")
        if answer != CLOSED:
            findings.append(f"{name}: {answer}")
    return findings


def main(arguments: list[str]) -> int:
    sign = arguments[:1] == ["--sign"]
    rest = arguments[1:] if sign else arguments
    if len(rest) > 1 or any(a.startswith("-") for a in rest):
        print("usage: audit.py [--sign] [DIRECTORY]", file=sys.stderr)
        return 2
    if shutil.which("coqc") is None:
        print("coqc: not found: install Debian package coq, or run make prove", file=sys.stderr)
        return 3
    root = Path(rest[0]) if rest else Path(__file__).parent
    if sign:
        (root / "signed.txt").write_text(signed_text(*stated(root / "theories")))
        return 0
    findings = audit(root)
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
