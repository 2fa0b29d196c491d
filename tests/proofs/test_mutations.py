"""A wrong definition or a dropped bound makes the check of the proofs fail."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from rocq import ORDER, THEORIES, build, compile_theory, needed, needs_coqc, replace


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
    "moments-flag asks the sum after the addition": Mutation(
        "Definitions", "(mf_total s * mm e) (mf_sum s)", "(n * mm e) (mf_sum s)", "MomentsFlag"
    ),
    "moments-flag asks for the mapcount after the addition": Mutation(
        "Definitions", "(mf_total s * mm e) (mf_sum s)", "(mf_total s * mm e) sum", "MomentsFlag"
    ),
    "moments-flag clears beyond its bound": Mutation(
        "Definitions", "(s <=? bound) && (n * q =? s * s)", "(n * q =? s * s)", "MomentsFlag"
    ),
    "moments-flag clears one beyond its bound": Mutation(
        "Definitions",
        "moments_flag_bound (wq b : Z) : Z := (2^wq - 1)",
        "moments_flag_bound (wq b : Z) : Z := (2^wq + 2^b)",
        "MomentsFlag",
    ),
    "moments-flag forgets a set flag when it maps": Mutation(
        "Definitions", "mf_shared s || negb (same", "negb (same", "MomentsFlag"
    ),
    "moments-flag clears where the sums say shared": Mutation(
        "Definitions", "mf_shared s && negb (moments_flag_alone", "mf_shared s && (moments_flag_alone", "MomentsFlag"
    ),
    "moments-flag compares the flag the wrong way": Mutation(
        "Definitions",
        "if mf_shared s then SHARED else EXCLUSIVE",
        "if mf_shared s then EXCLUSIVE else SHARED",
        "MomentsFlag",
    ),
    "moments-flag subtracts IDs, not squares": Mutation(
        "Definitions", "mf_squares s + nr e * square (mm e)", "mf_squares s + nr e * mm e", "MomentsFlag"
    ),
    "moments-flag needs no room in the sum's word": Mutation(
        "Statements", "0 < b /\\ N * (2^b - 1) < 2^ws /\\", "0 < b /\\", "MomentsFlag"
    ),
    "IDs come again while they are in use": Mutation(
        "Statements",
        "  always (no_two_holders id) [] es -> mappings es = Some mms ->",
        "  mappings es = Some mms ->",
        "Reuse",
    ),
    "a renamed event is another's": Mutation("Definitions", "Ev (id (mm e))", "Ev (mm e)", "Reuse"),
    "a COW fault asks no references": Mutation(
        "System", "= EXCLUSIVE /\\\n  refcount w (folio_of v) = mapcount w (folio_of v).", "= EXCLUSIVE.", "Isolation"
    ),
    "a COW fault asks no scheme": Mutation(
        "System",
        "  says j (fold_left (learn j) (history w (folio_of v)) (fresh j)) (owner_of v) = EXCLUSIVE /\\\n",
        "",
        "Isolation",
    ),
    "fork leaves the parent's entry writable": Mutation(
        "System", "(pinned v) false (seen v) else v", "(pinned v) (writable v) (seen v) else v", "Isolation"
    ),
    "a reference that is no mapping is not counted": Mutation(
        "System",
        "(on_folio f) (views w) + extra w f",
        "(fun v => on_folio f v && negb (pinned v)) (views w)",
        "Isolation",
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


def test_needed_lists_theories_after_their_imports() -> None:
    assert needed("Values") == ["Definitions", "Witnesses", "Statements", "Bookkeeping", "Generations", "Values"]
    assert {p.stem for p in THEORIES.glob("*.v")} == set(ORDER)


def test_project_file_lists_every_theory() -> None:
    listed = re.findall(r"^theories/(\w+)\.v$", (THEORIES.parent / "_CoqProject").read_text(), re.MULTILINE)
    assert listed == ORDER
