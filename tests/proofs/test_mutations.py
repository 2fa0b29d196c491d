"""A wrong definition, a dropped bound or a planted assumption makes the check of the proofs fail."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from rocq import ORDER, THEORIES, build, compile_theory, load_audit, needs_coqc

audit = load_audit()


@dataclass(frozen=True)
class Mutation:
    """In theory `where`, `old` becomes `new`; then the proofs in `fails` must not compile."""

    where: str
    old: str
    new: str
    fails: str


MUTATIONS = {
    "an event counts with the wrong sign": Mutation(
        "Definitions", "word + nr e * addend", "word - nr e * addend", "Bookkeeping"
    ),
    "the word need not hold all digits": Mutation(
        "Statements", "base ^ Z.of_nat digits <= modulus -> sound", "0 < modulus -> sound", "Generations"
    ),
    "the room is needed even where it is there": Mutation(
        "Statements", "modulus < (P + 1) ^ Z.of_nat (length", "modulus <= (P + 1) ^ Z.of_nat (length", "Generations"
    ),
    "orders 3 to 5 use base 17": Mutation("Definitions", "2^5 + 1", "2^4 + 1", "Values"),
    "more mappings than pages are trusted": Mutation("Definitions", "(n <=? P) && all_same", "all_same", "Values"),
    "the search forgets negative digits": Mutation(
        "Definitions", "base - v mod base <=? P", "base - v mod base <=? 0", "Values"
    ),
    "the mixed term of the moments has the wrong sign": Mutation(
        "Definitions", "q - 2 * x * s + n", "q + 2 * x * s + n", "Linear"
    ),
    "the moments may just reach the modulus": Mutation(
        "Definitions", "moments_limit (w b : Z) : Z := (2^w - 1)", "moments_limit (w b : Z) : Z := 2^w", "Linear"
    ),
    "the norms get room for one field less": Mutation(
        "Definitions", "<? 2^(w - 2 * o - a - c)", "<? 2^(w - o - a - c)", "Linear"
    ),
    "packed shifts S into the mapcount": Mutation("Definitions", "1 + id * 2^f", "1 + id * 2^(f - 1)", "Linear"),
    "packed counts the frozen bit": Mutation("Definitions", "lo mod 2^(f - 1)", "lo mod 2^f", "Linear"),
    "bits hold whatever wraps": Mutation(
        "Statements",
        "size ids < 2^w -> Forall (is_chunk b) (x :: ids) ->",
        "Forall (is_chunk b) (x :: ids) ->",
        "Linear",
    ),
    "mm-id flags the first mapper, not the second": Mutation(
        "Definitions", "(slot1 s) (maybe_shared s || negb (n =? k))", "(slot1 s) (maybe_shared s || (n =? k))", "MmId"
    ),
    "mm-id keeps an emptied slot": Mutation("Definitions", "held sl - k <=? 0", "held sl - k <? 0", "MmId"),
    "owner-counter counts its first mapper among the others": Mutation(
        "Definitions", "if who =? mm e then others", "if first s =? mm e then others", "Counters"
    ),
    "estimated-sharers calls one mapping shared": Mutation(
        "Definitions", "fp_first s + fp_entire s <=? 1", "fp_first s + fp_entire s <=? 0", "Counters"
    ),
    "a witness has a mapping too many": Mutation("Witnesses", "(232, 2)", "(232, 3)", "Collisions"),
}


def needed(theory: str) -> list[str]:
    """`theory` and all it imports, in an order that compiles."""
    wanted, open_ends = set(), [theory]
    while open_ends:
        name = open_ends.pop()
        wanted.add(name)
        imports = re.search(r"From Rmaplab Require Import ([\w ]+)\.", (THEORIES / f"{name}.v").read_text())
        open_ends += imports[1].split() if imports else []
    return [name for name in ORDER if name in wanted]


def replace(path: Path, old: str, new: str) -> None:
    """The one place where `old` stands becomes `new`."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name}: {old!r} stands {text.count(old)} times"
    path.write_text(text.replace(old, new))


@needs_coqc
@pytest.mark.parametrize("name", MUTATIONS)
def test_proof_fails_when(tmp_path: Path, name: str) -> None:
    mutation = MUTATIONS[name]
    build(tmp_path, [])
    replace(tmp_path / f"{mutation.where}.v", mutation.old, mutation.new)
    *before, last = needed(mutation.fails)
    for theory in before:
        done = compile_theory(tmp_path, theory, "-vos")
        assert done.returncode == 0, done.stderr
    done = compile_theory(tmp_path, last, "-vok")
    assert done.returncode != 0
    assert f"{last}.v" in done.stderr


CLAIM = "Theorem witnesses_collide_proved : witnesses_collide."
PROOF = "  apply forallb_forall. vm_compute. reflexivity.\nQed."
EASY = f" easy : witnesses_collide.\n{CLAIM}\nProof. exact easy. Qed.\nGoal witnesses_collide."
PLANTS = {
    "Admitted": (PROOF, "Admitted."),
    "admit": (PROOF, "  admit.\nAdmitted."),
    "Axiom": (CLAIM, "Axiom" + EASY),
    "Hypothesis": (CLAIM, "Hypothesis" + EASY),
}
"""What stands in Collisions.v, and what assumes it instead."""

SHORT_AUDIT = """From Rmaplab Require Import Statements Bookkeeping Collisions.
Check (bookkeeping_proved : bookkeeping).
Print Assumptions bookkeeping_proved.
Check (witnesses_collide_proved : witnesses_collide).
Print Assumptions witnesses_collide_proved.
"""


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The theories that Collisions.v needs, compiled, and a short Audit.v."""
    theories = build(tmp_path_factory.mktemp("theories"), needed("Collisions"))
    (theories / "Audit.v").write_text(SHORT_AUDIT)
    return theories


def short_audit(theories: Path) -> dict[str, str]:
    said: dict[str, str] = audit.answers(audit.assumptions(theories), ["bookkeeping", "witnesses_collide"])
    return said


@needs_coqc
def test_proofs_as_they_are_rest_on_nothing(proved: Path) -> None:
    assert short_audit(proved) == {"bookkeeping": audit.CLOSED, "witnesses_collide": audit.CLOSED}
    assert [f for name in ORDER for f in audit.planted(proved / f"{name}.v")] == []


@needs_coqc
@pytest.mark.parametrize("word", PLANTS)
def test_planted_assumption_is_found_by_its_word_and_by_rocq(proved: Path, tmp_path: Path, word: str) -> None:
    theories = shutil.copytree(proved, tmp_path / "theories")
    replace(theories / "Collisions.v", *PLANTS[word])
    done = compile_theory(theories, "Collisions")
    assert done.returncode == 0, done.stderr
    assert any(word in finding for finding in audit.planted(theories / "Collisions.v"))
    said = short_audit(theories)
    assert said["bookkeeping"] == audit.CLOSED
    assert said["witnesses_collide"].startswith("Axioms:")


def all_closed() -> list[str]:
    return [f"{c}_proved : {c}\n     : {c}\n{audit.CLOSED}\n" for c in audit.claims(THEORIES / "Statements.v")]


def audited(monkeypatch: pytest.MonkeyPatch, output: list[str]) -> list[str]:
    """Findings if Rocq had said `output`."""
    monkeypatch.setattr(audit, "assumptions", lambda _theories: "".join(output))
    findings: list[str] = audit.audit(THEORIES)
    return findings


def test_closed_claims_leave_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audited(monkeypatch, all_closed()) == []


def test_claim_that_was_not_audited_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audited(monkeypatch, all_closed()[1:]) == ["truth_counts: not audited"]


def test_proof_of_another_claim_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    said = all_closed()
    said[0] = said[0].replace("     : truth_counts", "     : True")
    assert audited(monkeypatch, said) == ["truth_counts: not audited"]


def test_axiom_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    said = all_closed()
    said[-1] = said[-1].replace(audit.CLOSED, "Axioms:\neasy : witnesses_collide")
    assert audited(monkeypatch, said) == ["witnesses_collide: Axioms:\neasy : witnesses_collide"]


def test_audit_that_does_not_compile_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_theories: Path) -> str:
        raise subprocess.CalledProcessError(1, "coqc", stderr="Error: no such proof\n")

    monkeypatch.setattr(audit, "assumptions", fails)
    assert audit.audit(THEORIES) == ["Audit.v does not compile: Error: no such proof"]


def test_audit_file_asks_about_every_claim() -> None:
    text = (THEORIES / "Audit.v").read_text()
    claims = audit.claims(THEORIES / "Statements.v")
    assert claims
    for claim in claims:
        assert f"Check ({claim}_proved : {claim}).\nPrint Assumptions {claim}_proved.\n" in text


def test_word_in_a_comment_or_a_section_plants_nothing(tmp_path: Path) -> None:
    source = tmp_path / "T.v"
    source.write_text("(* an (* Axiom *) Admitted *)\nSection S.\nVariable v : nat.\nEnd S.\n")
    assert audit.planted(source) == []


@pytest.mark.parametrize("line", ["Variable v : nat.", "Unset Guard Checking.", "Parameter p : nat.", "Admitted."])
def test_assumption_outside_a_section_is_found(tmp_path: Path, line: str) -> None:
    source = tmp_path / "T.v"
    source.write_text(f"Section S.\nVariable w : nat.\nEnd S.\n{line}\n")
    assert [finding.split(":")[1] for finding in audit.planted(source)] == ["4"]


def test_needed_lists_theories_after_their_imports() -> None:
    assert needed("Values") == ["Definitions", "Witnesses", "Statements", "Bookkeeping", "Generations", "Values"]
    assert {p.stem for p in THEORIES.glob("*.v")} == {*ORDER, "Audit"}


def test_project_file_lists_every_theory() -> None:
    listed = re.findall(r"^theories/(\w+)\.v$", (THEORIES.parent / "_CoqProject").read_text(), re.MULTILINE)
    assert listed == ORDER


def test_every_theorem_the_schemes_name_is_a_claim() -> None:
    modules = (THEORIES.parents[1] / "src" / "rmaplab" / "schemes").glob("*.py")
    named = re.findall(r"[Tt]heorems?\s+((?:`\w+`(?:,\s+)?)+)", "\n".join(m.read_text() for m in modules))
    names = {name for group in named for name in re.findall(r"\w+", group)}
    assert len(names) > 5
    assert names <= set(audit.claims(THEORIES / "Statements.v"))
