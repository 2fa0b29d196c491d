"""The audit finds what is assumed, hidden, dropped, weakened or forged: each way in is tried here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rocq import PROOFS, STATED, THEORIES, build, compile_theory, load_audit, needs_coqc, replace, signed_claims

audit = load_audit()

HERE = [*STATED, "Bookkeeping", "Collisions"]
"""Enough theories for an audit: the stated ones, and two with proofs."""
CLAIM = "Theorem witnesses_collide_proved : witnesses_collide."
PROOF = "  apply forallb_forall. vm_compute. reflexivity.\nQed."
WHOLE = f"{CLAIM}\nProof.\n  apply Forall_forall. intros t ht. apply collision_check_right. revert t ht.\n{PROOF}"
EASY = f" easy : witnesses_collide.\n{CLAIM}\nProof. exact easy. Qed.\nGoal witnesses_collide."


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like proofs/, with the theories of HERE alone, compiled; signed.txt is the one of the repository."""
    root = tmp_path_factory.mktemp("proofs")
    (root / "theories").mkdir()
    build(root / "theories", HERE)
    for source in (root / "theories").glob("*.v"):
        if source.stem not in HERE:
            source.unlink()
    for name in ("signed.txt", "_CoqProject"):
        shutil.copy(PROOFS / name, root)
    return root


@pytest.fixture
def attacked(proved: Path, tmp_path: Path) -> Path:
    """A copy of `proved`, to spoil."""
    return Path(shutil.copytree(proved, tmp_path / "proofs"))


def recompile(root: Path, first: str) -> None:
    """Compile `first` and all of HERE after it; what was planted must compile, or nothing is shown."""
    for name in HERE[HERE.index(first) :]:
        done = compile_theory(root / "theories", name)
        assert done.returncode == 0, done.stderr


def found(root: Path) -> list[str]:
    """Findings, without the claims whose proofs are not in HERE."""
    proved = sources(THEORIES, HERE)
    elsewhere = {
        f"{module}.{name}: not proved"
        for module in audit.STATED
        for name in signed_claims()
        if f"{name}_proved" not in proved
    }
    return [finding for finding in audit.audit(root) if finding not in elsewhere]


def sources(theories: Path, names: list[str]) -> str:
    return "\n".join((theories / f"{name}.v").read_text() for name in names)


@needs_coqc
def test_proofs_as_they_are_leave_no_finding(proved: Path) -> None:
    assert found(proved) == []


PLANTS = {
    "Admitted": (PROOF, "Admitted."),
    "admit": (PROOF, "  admit.\nAdmitted."),
    "Axiom": (CLAIM, "Axiom" + EASY),
    "Hypothesis": (CLAIM, "Hypothesis" + EASY),
}
"""What stands in Collisions.v, and what assumes it instead."""


@needs_coqc
@pytest.mark.parametrize("word", PLANTS)
def test_planted_assumption_is_found_by_its_word_and_by_rocq(attacked: Path, word: str) -> None:
    replace(attacked / "theories" / "Collisions.v", *PLANTS[word])
    recompile(attacked, "Collisions")
    findings = found(attacked)
    assert any(re.match(rf"Collisions.v:\d+: {word}: assumed", f) for f in findings)
    assert any(f.startswith("Statements.witnesses_collide: Axioms:") for f in findings)


REDEFINED = {
    "by a definition": "Definition witnesses_collide : Prop := True.\n",
    "by a notation": "Notation witnesses_collide := True.\n",
    "in a module of the same name": "Module Statements. Definition witnesses_collide := True. End Statements.\n"
    "Module Rmaplab. Module Statements. Definition witnesses_collide := True. End Statements. End Rmaplab.\n"
    "Import Statements.\n",
}


@needs_coqc
@pytest.mark.parametrize("how", REDEFINED)
def test_claim_that_a_proof_file_redefines_is_not_proved(attacked: Path, how: str) -> None:
    trivial = f"{REDEFINED[how]}{CLAIM}\nProof. exact I. Qed."
    replace(attacked / "theories" / "Collisions.v", WHOLE, trivial)
    recompile(attacked, "Collisions")
    assert any(f.startswith("Statements.witnesses_collide: Error: The term") for f in found(attacked))


@needs_coqc
def test_audit_file_that_says_closed_is_not_asked(attacked: Path) -> None:
    said = "".join(f'idtac "{c}_proved : {c}". idtac "{audit.CLOSED}". ' for c in signed_claims())
    (attacked / "theories" / "Audit.v").write_text(f"Goal True. {said}exact I. Qed.\n")
    replace(attacked / "theories" / "Collisions.v", WHOLE, f"{CLAIM}\nAdmitted.")
    recompile(attacked, "Collisions")
    findings = found(attacked)
    assert "_CoqProject: theories/Audit.v: not listed" in findings
    assert any(f.startswith("Statements.witnesses_collide: Axioms:") for f in findings)


@needs_coqc
@pytest.mark.parametrize("claim", ["Definition x: Prop := False.", "Definition\n  x\n:\nProp := 1 = 2."])
def test_claim_written_in_another_way_is_seen(attacked: Path, claim: str) -> None:
    with (attacked / "theories" / "Statements.v").open("a") as statements:
        statements.write(f"\n{claim}\n")
    recompile(attacked, "Statements")
    findings = found(attacked)
    assert "Statements.x: not proved" in findings
    assert "signed.txt: +Rmaplab.Statements.x" in findings


@needs_coqc
def test_dropped_claim_is_found(attacked: Path) -> None:
    text = (attacked / "theories" / "Statements.v").read_text()
    dropped, count = re.subn(r"Definition truth_refuses : Prop := [^.]*?step.*?\.\n", "", text, flags=re.DOTALL)
    assert count == 1
    (attacked / "theories" / "Statements.v").write_text(dropped)
    replace(
        attacked / "theories" / "Bookkeeping.v",
        "Theorem truth_refuses_proved : truth_refuses.",
        "Lemma refuses : forall ids e, step ids e = None <-> nr e = 0 \\/ count (mm e) ids < - nr e.",
    )
    recompile(attacked, "Statements")
    assert "signed.txt: -Rmaplab.Statements.truth_refuses" in found(attacked)


WEAKENED = {
    "69 mappings become 9": ("Statements", "8) 69 (2^64)", "8) 9 (2^64)"),
    "never becomes whatever": ("Statements", "es) x) (exclusive_to x ids) False.", "es) x) (exclusive_to x ids) True."),
    "a word all claims use": ("Statements", "SHARED => ~ truth", "SHARED => True"),
    "a definition": ("Definitions", "forall y, In y ids -> y = x", "forall y, In y ids -> y = y"),
    "a witness": ("Witnesses", "posted_witnesses ++ too_few_values ++ out_of_range", "posted_witnesses"),
}


@needs_coqc
@pytest.mark.parametrize("how", WEAKENED)
def test_weakened_statement_is_not_the_signed_one(attacked: Path, how: str) -> None:
    where, old, new = WEAKENED[how]
    replace(attacked / "theories" / f"{where}.v", old, new)
    for name in HERE[HERE.index(where) : HERE.index("Bookkeeping")]:
        done = compile_theory(attacked / "theories", name)
        assert done.returncode == 0, done.stderr
    claims, printed = audit.stated(attacked / "theories")
    differing = list(audit.differences((attacked / "signed.txt").read_text(), audit.signed_text(claims, printed)))
    assert any(d.startswith("signed.txt: +") for d in differing) or any(d.startswith("signed.txt: -") for d in differing)


@needs_coqc
def test_statement_file_that_does_more_than_define_is_found(attacked: Path) -> None:
    for line in (
        "Ltac easy := idtac.",
        "Section S.",
        "Hint Resolve I : core.",
        "Arguments sound _ _ _ : clear implicits.",
    ):
        source = attacked / "theories" / "Statements.v"
        source.write_text((THEORIES / "Statements.v").read_text() + f"\n{line}\n")
        assert f"Statements.v: {line.split()[0]}: a stated module only defines" in audit.planted(source)


def test_option_for_coqc_is_found(tmp_path: Path) -> None:
    shutil.copytree(THEORIES, tmp_path / "theories", ignore=shutil.ignore_patterns("*.vo*", ".*"))
    project = (PROOFS / "_CoqProject").read_text()
    (tmp_path / "_CoqProject").write_text(project.replace("theories/Linear.v\n", "-arg -type-in-type\n"))
    assert audit.misbuilt(tmp_path) == [
        "_CoqProject: -arg -type-in-type: not a theory",
        "_CoqProject: theories/Linear.v: not listed",
    ]


def test_word_in_a_comment_or_a_section_plants_nothing(tmp_path: Path) -> None:
    source = tmp_path / "T.v"
    source.write_text("(* an (* Axiom *) Admitted *)\nSection S.\nVariable v : nat.\nEnd S.\n")
    assert audit.planted(source) == []


@pytest.mark.parametrize(
    "line",
    ["Variable v : nat.", "Unset Guard Checking.", "Parameter p : nat.", "Admitted.", "Module M.", "Global Set X."],
)
def test_assumption_outside_a_section_is_found(tmp_path: Path, line: str) -> None:
    source = tmp_path / "T.v"
    source.write_text(f"Section S.\nVariable w : nat.\nEnd S.\n{line}\n")
    assert {finding.split(":")[1] for finding in audit.planted(source)} == {"4"}


def test_audit_without_coqc_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROOFS / "audit.py"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


CITED = re.compile(r"[Tt]heorems?\s+((?:\*?\s*`?\w+_\w+`?(?:,\s+|\s+and\s+)?)+)")
CITING = {"src": "*.py", "core": "*.h", "docs": "*.md", "kernel": "*.cocci"}


def test_every_theorem_that_code_or_docs_cite_is_a_claim() -> None:
    root, claims = PROOFS.parent, set(signed_claims())
    cited = {
        (str(path.relative_to(root)), name)
        for folder, pattern in CITING.items()
        for path in [*(root / folder).rglob(pattern), root / "README.md"]
        for group in CITED.findall(path.read_text())
        for name in re.findall(r"\w+_\w+", group)
    }
    assert len(cited) > 15
    assert {(path, name) for path, name in cited if name not in claims} == set()


SUBJECT = (
    "moments|moments_flag|mm_id|packed|bits|one_value|generations|owner|owner_counter"
    "|estimated_sharers|likely_shared|posted|truth"
)
LIKE_A_CLAIM = re.compile(
    rf"\b(?:{SUBJECT})_(?:sound|right|exact|exactly|isolates|leaks|refuted|refuses|frozen|room|fields|layout|identity|integers"
    r"|modulo|safe|never_\w+|false_\w+|exact_\w+)\b"
)


def test_every_name_like_a_claim_in_code_or_docs_is_one() -> None:
    """Also where no "theorem" stands before it. A function or field of that name is no citation."""
    root, claims = PROOFS.parent, set(signed_claims())
    folders = ("src", "core", "kernel", "docs", "benchmarks", "examples")
    paths = [p for f in folders for s in ("*.py", "*.h", "*.c", "*.md", "*.cocci") for p in (root / f).rglob(s)]
    named = {
        (str(path.relative_to(root)), name)
        for path in [*paths, *root.glob("*.md")]
        for text in [path.read_text()]
        for name in LIKE_A_CLAIM.findall(text)
        if not re.search(rf"\b{name}\s*[(=:]|\.{name}\b", text)
    }
    assert len(named) > 20
    assert {(path, name) for path, name in named if name not in claims} == set()


def test_docs_name_every_claim() -> None:
    named = set(re.findall(r"`(\w+)`", (PROOFS.parent / "docs" / "proofs.md").read_text()))
    assert set(signed_claims()) - named == set()
