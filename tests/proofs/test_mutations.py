"""A wrong definition or a dropped bound makes the check of the proofs fail."""

import re
import shutil
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
    "a field that ran over is read all the same": Mutation(
        "Width", "sensible l -> fit l ms ->\n", "sensible l ->\n", "Wrapping"
    ),
    "a reader misses nothing but standing still": Mutation(
        "Width", "(2 ^ sequence_bits l | sections during))", "sections during = 0)", "Wrapping"
    ),
    "a reader notices as many sections as the sequence has": Mutation(
        "Width", "0 < sections during < 2 ^ sequence_bits l", "0 < sections during <= 2 ^ sequence_bits l", "Wrapping"
    ),
    "as many writers as the field has values fit": Mutation(
        "Width", "sensible l -> cpus < 2 ^ shared_bits l ->", "sensible l -> cpus <= 2 ^ shared_bits l ->", "Wrapping"
    ),
    "the second stage's fields are wider than its word": Mutation(
        "Width", "Layout 16 1 47", "Layout 16 1 48", "Wrapping"
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
    "an update may begin inside another's section": Mutation(
        "Interleaved",
        "batch (turned m Referenced Counted) p (holders w) hs k -> section w = None ->",
        "batch (turned m Referenced Counted) p (holders w) hs k ->",
        "Interleaving",
    ),
    "an update of several pages counts one": Mutation(
        "Interleaved", "(with_update (Ev m p k false)", "(with_update (Ev m p 1 false)", "Interleaving"
    ),
    "an unmapping of several pages counts one": Mutation(
        "Interleaved", "(with_update (Ev m p (- k) false)", "(with_update (Ev m p (-1) false)", "Interleaving"
    ),
    "an update counts another's pages": Mutation(
        "Interleaved", "| Turned : forall l h r, mm_of h = m ->", "| Turned : forall l h r,", "Interleaving"
    ),
    "an update counts what nobody references": Mutation(
        "Interleaved",
        "page_at h = p -> in_phase h = old ->\n      turned",
        "page_at h = p ->\n      turned",
        "Interleaving",
    ),
    "several pages are mapped at once and one is counted": Mutation(
        "System", "(log f (Ev m p k false) (history w)))", "(log f (Ev m p 1 false) (history w)))", "Isolation"
    ),
    "several pages are unmapped at once and one is counted": Mutation(
        "System", "(log f (Ev m p (- k) false) (history w)))", "(log f (Ev m p (-1) false) (history w)))", "Isolation"
    ),
    "fork copies a pin": Mutation(
        "System",
        "folio_of v = f -> page_of v = p -> pinned v = false ->\n      copy",
        "folio_of v = f -> page_of v = p ->\n      copy",
        "Isolation",
    ),
    "pages are touched that somebody has": Mutation(
        "System", "forall vs c x, (forall v, In v vs -> on_page f p v = false) ->", "forall vs c x,", "Isolation"
    ),
    "another's entry is unmapped": Mutation(
        "System", "forall before v after, owner_of v = m -> folio_of", "forall before v after, folio_of", "Isolation"
    ),
    "a fault does not notice an update": Mutation(
        "Interleaved",
        "faults w = l ++ f :: r -> settled w f -> read_count",
        "faults w = l ++ f :: r -> read_count",
        "Interleaving",
    ),
    "a fault begins inside a section": Mutation(
        "Interleaved",
        "In h (holders w) -> in_phase h = Mapped -> section w = None ->",
        "In h (holders w) -> in_phase h = Mapped ->",
        "Interleaving",
    ),
    "a fault looks again inside a section": Mutation(
        "Interleaved",
        "| FaultAgain : forall l f r, faults w = l ++ f :: r -> section w = None ->",
        "| FaultAgain : forall l f r, faults w = l ++ f :: r ->",
        "Interleaving",
    ),
    "a fault compares no references": Mutation(
        "Interleaved", "read_count f = Some n -> read_refs f = Some n ->", "read_count f = Some n ->", "Interleaving"
    ),
    "a fault asks no scheme, step by step": Mutation(
        "Interleaved", "\n      says j (after j (begun f)) (fault_mm f) = EXCLUSIVE ->", "", "Interleaving"
    ),
    "a fault keeps its page without a grant": Mutation(
        "Interleaved",
        "In f (faults w) -> granted f = true ->\n      holders",
        "In f (faults w) ->\n      holders",
        "Interleaving",
    ),
    "fork takes no page table's lock": Mutation(
        "Interleaved",
        "1 <= child -> child <> mm_of h ->\n      no_fault w (mm_of h) (page_at h) ->",
        "1 <= child -> child <> mm_of h ->",
        "Interleaving",
    ),
    "fork makes the child's entry before it protects": Mutation(
        "Interleaved",
        "in_phase h = Protected -> parent h <> mm_of h",
        "in_phase h = Counted -> parent h <> mm_of h",
        "Interleaving",
    ),
    "fork protects nothing": Mutation(
        "Interleaved",
        "(in_phase h) (parent h) false (expects h) else h",
        "(in_phase h) (parent h) (can_write h) (expects h) else h",
        "Interleaving",
    ),
    "fork counts after the child's entry": Mutation(
        "Interleaved",
        "in_phase h = Counted ->\n      act j w (with_holders (map",
        "in_phase h = Referenced ->\n      act j w (with_holders (map",
        "Interleaving",
    ),
    "a reference is dropped before its mapping": Mutation(
        "Interleaved",
        "in_phase h = Uncounted \\/ in_phase h = Pinned",
        "in_phase h = Cleared \\/ in_phase h = Pinned",
        "Interleaving",
    ),
    "unmapping takes no page table's lock": Mutation(
        "Interleaved",
        "\n      no_fault w (mm_of h) (page_at h) -> no_child w (mm_of h) (page_at h) ->\n      act j w (with_holders",
        "\n      act j w (with_holders",
        "Interleaving",
    ),
    "a mapcount may leave its word": Mutation(
        "Interleaved", "(n + nr e <=? top) then", "(n + nr e <=? top + 1) then", "Saturation"
    ),
    "a saturated mapcount counts again": Mutation(
        "Interleaved", "      | None => None\n", "      | None => Some (0, fresh j)\n", "Saturation"
    ),
    "a saturated folio is exclusive": Mutation(
        "Interleaved", "| None => SHARED end)", "| None => EXCLUSIVE end)", "Saturation"
    ),
    "packed saturates at an even mapcount": Mutation(
        "Interleaved", "[2^(f - 1) - 1; q]", "[2^(f - 1) - 2; q]", "Saturation"
    ),
    "moments-flag's mapcount may fill the sum's word": Mutation(
        "Interleaved",
        "0 <= top -> top * (2^b - 1) < 2^ws ->\n  kept_is_private",
        "0 <= top -> top * (2^b - 1) <= 2^ws ->\n  kept_is_private",
        "Road",
    ),
    "packed's mapcount may reach the frozen bit": Mutation(
        "Interleaved",
        "1 <= f <= w -> 0 <= top < 2^(f - 1) ->\n  kept_is_private",
        "1 <= f <= w -> 0 <= top <= 2^(f - 1) ->\n  kept_is_private",
        "Road",
    ),
    "a witness leaks without a page for the MM that asks": Mutation(
        "System", "size (witness_ids t) < 2^order t -> leaks", "size (witness_ids t) <= 2^order t -> leaks", "Leaks"
    ),
    "the posted table leaks at order 6": Mutation("System", "7 <= o <= 9 -> leaks", "6 <= o <= 9 -> leaks", "Leaks"),
    "a page with pins is kept": Mutation(
        "System", "owner_of u = owner_of v /\\ pinned u = false", "owner_of u = owner_of v", "Isolation"
    ),
    "packed keeps a page beyond its limit": Mutation(
        "System",
        "(up_to (packed_limit W f b)) (packed_judge",
        "(up_to (packed_limit W f b + 1)) (packed_judge",
        "IsolationSchemes",
    ),
    "moments-flag keeps a page beyond its bound": Mutation(
        "Interleaved",
        "up_to (moments_flag_bound wq b / (2^b - 1)))",
        "up_to (moments_flag_bound wq b))",
        "Road",
    ),
    "mm-id keeps a page after a third": Mutation(
        "Interleaved",
        "kept_if_alone id b top two_at_a_time mm_id_judge",
        "kept_if_alone id b top anything mm_id_judge",
        "Road",
    ),
    "a fault is granted beside other references": Mutation(
        "Interleaved",
        "other_refs w = 0 /\\ section w = None /\\ no_fault",
        "0 <= other_refs w /\\ section w = None /\\ no_fault",
        "Road",
    ),
    "a page that is brought in may be held": Mutation(
        "Interleaved", "1 <= m -> (forall h, In h (holders w) -> page_at h <> p) ->", "1 <= m ->", "Interleaving"
    ),
    "a value holds one ID less than it can": Mutation(
        "Statements", "P * (Z.of_nat (length words) - 1) <=", "P * Z.of_nat (length words) <=", "Density"
    ),
    "words that do not wrap are fewer than they can be": Mutation(
        "Statements", "(P + 1) * (Z.of_nat (length words) - 2)", "(P + 1) * (Z.of_nat (length words) - 1)", "Density"
    ),
    "words that wrap are as few as those that do not": Mutation(
        "Statements", "P * (w - v) < modulus) ->", "w - v < modulus) ->", "Density"
    ),
    "three words need no more than P between them": Mutation(
        "Statements", "a < b < c -> P < c - a.", "a < b < c -> P + 1 < c - a.", "Density"
    ),
    "a value's words may be one word": Mutation(
        "Statements", "1 <= P -> NoDup words -> answers", "1 <= P -> answers", "Density"
    ),
    "a value's words may be one word, where no sum wraps": Mutation(
        "Statements", "1 <= P -> NoDup words -> (forall", "1 <= P -> (forall", "Density"
    ),
    "fewer weights pass than do": Mutation(
        "Uniform", "(w - w') * (Z.of_nat (length (before ++ w :: after)) * c -", "(w - w') * (c -", "Weights"
    ),
    "a witness has a mapping too many": Mutation("Witnesses", "(232, 2)", "(232, 3)", "Collisions"),
}


@pytest.fixture(scope="module")
def skimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All theories as they are, compiled without their proofs."""
    folder = build(tmp_path_factory.mktemp("skimmed"), [])
    for theory in ORDER:
        done = compile_theory(folder, theory, "-vos")
        assert done.returncode == 0, done.stderr
    return folder


@needs_coqc
@pytest.mark.parametrize("name", MUTATIONS)
def test_proof_fails_when(skimmed: Path, tmp_path: Path, name: str) -> None:
    """Only what depends on the changed theory is compiled anew."""
    mutation, folder = MUTATIONS[name], tmp_path / "theories"
    shutil.copytree(skimmed, folder)
    replace(folder / f"{mutation.where}.v", mutation.old, mutation.new)
    *before, last = needed(mutation.fails)
    for theory in before:
        if mutation.where in needed(theory):
            done = compile_theory(folder, theory, "-vos")
            assert done.returncode == 0, done.stderr
    done = compile_theory(folder, last, "-vok")
    assert done.returncode != 0
    assert f"{last}.v" in done.stderr


def test_needed_lists_theories_after_their_imports() -> None:
    assert needed("Values") == ["Definitions", "Witnesses", "Statements", "Bookkeeping", "Generations", "Values"]
    assert {p.stem for p in THEORIES.glob("*.v")} == set(ORDER)


def test_project_file_lists_every_theory() -> None:
    listed = re.findall(r"^theories/(\w+)\.v$", (THEORIES.parent / "_CoqProject").read_text(), re.MULTILINE)
    assert listed == ORDER
