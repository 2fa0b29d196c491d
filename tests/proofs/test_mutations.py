"""A wrong definition, a dropped bound or a planted assumption makes the check of the proofs fail."""

import re
import shutil
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
    "order 10 uses 3 values of 8 bits": Mutation(
        "Definitions", "(4%nat, 6%nat, 2^10 + 1)", "(3%nat, 8%nat, 2^10 + 1)", "Values"
    ),
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
    "IDs are taken to be closer than they are": Mutation("Definitions", "2^b - 2", "2^(b - 1)", "Linear"),
    "the norms get room for one field less": Mutation(
        "Definitions", "<? 2^(w - 2 * o - a - c)", "<? 2^(w - o - a - c)", "Linear"
    ),
    "packed shifts S into the mapcount": Mutation("Definitions", "1 + id * 2^f", "1 + id * 2^(f - 1)", "Linear"),
    "bits hold whatever wraps": Mutation(
        "Statements",
        "size ids < 2^w -> Forall (is_chunk b) (x :: ids) ->",
        "Forall (is_chunk b) (x :: ids) ->",
        "Linear",
    ),
    "mm-id flags the first mapper, not the second": Mutation(
        "Definitions", "(slot1 s) (maybe_shared s || negb (n =? k))", "(slot1 s) (maybe_shared s || (n =? k))", "Trackers"
    ),
    "mm-id keeps an emptied slot": Mutation("Definitions", "held sl - k <=? 0", "held sl - k <? 0", "Trackers"),
    "owner-counter counts its first mapper among the others": Mutation(
        "Definitions", "if who =? mm e then others", "if first s =? mm e then others", "Trackers"
    ),
    "estimated-sharers calls one mapping shared": Mutation(
        "Definitions", "fp_first s + fp_entire s <=? 1", "fp_first s + fp_entire s <=? 0", "Trackers"
    ),
    "a witness has a mapping too many": Mutation("Witnesses", "(8, 2)", "(8, 3)", "Collisions"),
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
        done = compile_theory(tmp_path, theory)
        assert done.returncode == 0, done.stderr
    assert last == mutation.fails
    done = compile_theory(tmp_path, last)
    assert done.returncode != 0
    assert f"{last}.v" in done.stderr


PLANTS = {
    "Admitted": ("  apply forallb_forall. vm_compute. reflexivity.\nQed.", "Admitted."),
    "admit": (
        "  apply forallb_forall. vm_compute. reflexivity.\nQed.",
        "  admit.\nAdmitted.",
    ),
    "Axiom": (
        "Theorem witnesses_collide_proved : witnesses_collide.",
        "Axiom easy : witnesses_collide.\nTheorem witnesses_collide_proved : witnesses_collide.\nProof. exact easy. Qed.\n"
        "Goal witnesses_collide.",
    ),
    "Hypothesis": (
        "Theorem witnesses_collide_proved : witnesses_collide.",
        "Hypothesis easy : witnesses_collide.\nTheorem witnesses_collide_proved : witnesses_collide.\nProof. exact easy. "
        "Qed.\nGoal witnesses_collide.",
    ),
}


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """proofs/ with every theory compiled."""
    root = tmp_path_factory.mktemp("proofs")
    (root / "theories").mkdir()
    build(root / "theories", ORDER)
    return root


@needs_coqc
@pytest.mark.slow
def test_every_claim_is_closed(proved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([str(proved)]) == 0
    claims = audit.claims(THEORIES / "Statements.v")
    assert capsys.readouterr().out.splitlines() == [f"{claim}: {audit.CLOSED}" for claim in claims]


@needs_coqc
@pytest.mark.slow
@pytest.mark.parametrize("word", PLANTS)
def test_planted_assumption_is_found_by_its_word_and_by_rocq(proved: Path, tmp_path: Path, word: str) -> None:
    root = shutil.copytree(proved, tmp_path / "proofs")
    collisions = root / "theories" / "Collisions.v"
    replace(collisions, *PLANTS[word])
    done = compile_theory(root / "theories", "Collisions")
    assert done.returncode == 0, done.stderr
    assert any(word in finding for finding in audit.planted(collisions))
    said = audit.answers(audit.assumptions(root / "theories"), ["bookkeeping", "witnesses_collide"])
    assert said["bookkeeping"] == audit.CLOSED
    assert said["witnesses_collide"].startswith("Axioms:")
    assert audit.main([str(root)]) == 1


@needs_coqc
@pytest.mark.slow
def test_claim_without_audited_proof_is_a_finding(proved: Path, tmp_path: Path) -> None:
    root = shutil.copytree(proved, tmp_path / "proofs")
    replace(root / "theories" / "Audit.v", "Print Assumptions bookkeeping_proved.", "")
    replace(root / "theories" / "Audit.v", "Check (owner_sound_proved : owner_sound).", "")
    findings = audit.audit(root / "theories")
    assert [f.split(":")[0] for f in findings] == ["bookkeeping", "owner_sound"]


def test_word_in_a_comment_plants_nothing(tmp_path: Path) -> None:
    source = tmp_path / "T.v"
    source.write_text("(* an (* Axiom *) Admitted *)\nSection S. Variable v : nat. End S.\n")
    assert audit.planted(source) == []


@pytest.mark.parametrize("line", ["Variable v : nat.", "Unset Guard Checking.", "Parameter p : nat.", "Admitted."])
def test_assumption_outside_a_section_is_found(tmp_path: Path, line: str) -> None:
    source = tmp_path / "T.v"
    source.write_text(f"Section S. Variable w : nat. End S.\n{line}\n")
    assert [finding.split(":")[1] for finding in audit.planted(source)] == ["2"]


@needs_coqc
def test_missing_theories_are_a_finding_not_a_crash(tmp_path: Path) -> None:
    folder = tmp_path / "theories"
    folder.mkdir()
    build(folder, [])
    (folder / "Audit.v").write_text("From Rmaplab Require Import Nowhere.\n")
    assert audit.main([str(tmp_path)]) == 1


def test_needed_lists_theories_after_their_imports() -> None:
    assert needed("Values") == ["Definitions", "Witnesses", "Statements", "Bookkeeping", "Generations", "Values"]
    assert {p.stem for p in THEORIES.glob("*.v")} == {*ORDER, "Audit"}


def test_project_file_lists_every_theory() -> None:
    listed = re.findall(r"^theories/(\w+)\.v$", (THEORIES.parent / "_CoqProject").read_text(), re.MULTILINE)
    assert listed == ORDER
