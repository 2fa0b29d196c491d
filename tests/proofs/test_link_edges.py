"""The rest of the link, in one script: every definition a claim uses, at edges, against Python; and faults planted in
Definitions.v that this, or the proofs (test_mutations), must notice."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rocq import build, compile_theory, evaluate, needs_coqc, replace
from test_link import LINEAR, PRELUDE, Event, edge_ids, edge_sequence, random_sequence, rocq_list
from test_link import replay as replay_scheme
from test_mutations import MUTATIONS

from rmaplab.schemes import SCHEMES, LinearScheme
from rmaplab.schemes.generations import POSTED, GenerationsSafe
from rmaplab.schemes.packed import SUM_AT
from rmaplab.verify.refute import brute, machines
from rmaplab.verify.refute.digits import Chunks
from rmaplab.verify.refute.problem import Config, Witness
from rmaplab.verify.refute.words import check, halves, one_value

pytestmark = needs_coqc

Case = tuple[str, object]
"""A Rocq term that is a list, and what it must be."""


def _truth() -> list[Case]:
    """What is mapped after a sequence, and which events are refused: unmapping too much, by a stranger, or nothing."""
    sequences = [
        [(1, 2), (2, 1), (1, -2), (2, -1)],
        [(1, 2), (1, -3)],
        [(1, 1), (2, -1)],
        [(1, 0)],
        [(3, 4), (5, 2), (3, -1), (5, -2), (5, 1)],
        [(3, 4), (5, 2), (3, -4), (5, -3)],
    ]
    cases: list[Case] = []
    for sequence in sequences:
        held: Counter[int] = Counter()
        refused = False
        for mm, nr in sequence:
            refused = refused or nr == 0 or held[mm] + nr < 0
            held[mm] += nr
        now = [-1] if refused else [sum(held.values()), *(held[mm] for mm in (1, 2, 3, 5))]
        events = rocq_list(Event(mm, 0, nr, False) for mm, nr in sequence)
        cases.append((f"now {events}", now))
    cases.append(("list_of (rename (fun m => m * 10) (Ev 7 3 (-2) true))", [70, 3, -2, 1]))
    return cases


def _layouts() -> list[Case]:
    """Digits, ID bits and limits of every order, from the schemes' own code; and the inequality one bit beyond."""
    orders = range(1, 22)
    moments, one, packed = SCHEMES["moments"], SCHEMES["one-value"], SCHEMES["packed"]
    cases: list[Case] = []
    for bits in (22, 31):
        safe, some = GenerationsSafe(id_bits=bits), (1, 2, 9, 21)
        rows = [[safe.values(o), -(-bits // safe.values(o))] for o in some]
        cases.append((f"map (fun o => [safe_values 64 o {bits}; safe_chunk 64 o {bits}]) {rocq_list(some)}", rows))
    for scheme, name in ((moments, "moments_bits 64"), (packed, "packed_bits 64 24"), (one, "one_value_bits 64")):
        which = [o for o in (1, 2, 9, 16, 17, 21) if o in scheme.orders]
        cases.append((f"map ({name}) {rocq_list(which)}", [min(24, scheme.capacity(o)) for o in which]))
    for scheme, name in ((moments, "moments_limit 64"), (packed, "packed_limit 64 24")):
        assert isinstance(scheme, LinearScheme)
        limits = sorted({(min(24, scheme.capacity(o)), scheme.trusted_mapcount(o)) for o in orders})
        cases.append((f"map ({name}) {rocq_list(b for b, _ in limits)}", [n for _, n in limits]))
    cases.append(("map gap [1; 2; 3; 24]", [1, 2, 6, (1 << 24) - 2]))
    cases.append(
        (
            "map (fun w => packed_limit w 5 3) [8; 9; 20]",
            [min((1 << w - 5) // 6, ((1 << w) - 1) // 36, 15) for w in (8, 9, 20)],
        )
    )
    return cases


def _digits() -> list[Case]:
    """`decide` against every caller and multiset, for small bases and words."""
    grid = [
        (base, digits, p, w)
        for base in (3, 4, 5)
        for digits in (1, 2, 3)
        for p in (2, 3)
        for w in (2, 3, 4, 5)
        if p < base
    ]
    said = []
    for base, digits, p, w in grid:
        weights = tuple(base**i for i in range(digits))
        chunk = Chunks(weights, 1, digits, w)
        found = brute.smallest_witness(range(1 << digits), brute.matches_modulo(chunk.subids, w), p)
        said.append(int(found is None))
    assert {0, 1} <= set(said)
    terms = rocq_list(f"flag (decide {base} {digits} {p} (2^{w}))" for base, digits, p, w in grid)
    return [
        (terms, said),
        (
            f"map (subid 33 12 1) {rocq_list(edge_ids(1 << 24, random.Random(1))[-12:])}",
            [
                Chunks(tuple(33**i for i in range(12)), 2, 24, 64).subid(1, mm)
                for mm in edge_ids(1 << 24, random.Random(1))[-12:]
            ],
        ),
    ]


def _linear() -> list[Case]:
    """States and verdicts around each scheme's limit, at a small and a large order."""
    cases: list[Case] = []
    for name, (addends, verdict) in LINEAR.items():
        scheme = SCHEMES[name]
        assert isinstance(scheme, LinearScheme)
        for o in (2, 9):
            if o not in scheme.orders:
                continue
            ids = edge_ids(scheme.accepted_ids(o), random.Random(name))
            trusted = min(scheme.trusted_mapcount(o), scheme.mapcount_limit - 3, 1 << 62)
            events, asks = edge_sequence([ids[-1], ids[0]], trusted), [ids[-1], ids[0]]
            term = f"linear ({addends.format(o=o)}) ({verdict.format(o=o)}) {rocq_list(events)} {rocq_list(asks)}"
            cases.append((term, replay_scheme(scheme, o, events, asks)))
    seventy = [Event(mm, 0, nr, False) for mm, nr in ((43, 14), (77, 28), (105, 26), (232, 2))]
    for o in (2, 9, 15):
        cases.append((f"posted_run {o} {rocq_list(seventy)}", replay_scheme(SCHEMES["generations"], o, seventy, [])[-1]))
    return cases


def _machines() -> list[Case]:
    """The state machines against the refuter's reading of them; moments-flag in small words, where all of it wraps."""
    rng = random.Random("machines")
    flag = "report (moments_flag_run {0} {1} (moments_flag_bound {1} 3)) moments_flag_words "
    flag += "(fun s _ => moments_flag_verdict s)"
    owner = "report owner_counter_run (fun s => [oc_total s; first s; others s]) owner_counter_verdict"
    runs = {
        "report mm_id_run mm_id_words (fun s _ => mm_id_verdict s)": machines.mm_id(),
        owner: machines.owner_counter(),
        "report first_page_run first_page_words (fun s _ => estimated_sharers_verdict s)": machines.estimated_sharers(),
        "report first_page_run first_page_words (fun s _ => likely_shared_verdict 4 s)": machines.likely_shared(4),
        **{flag.format(s, q): machines.moments_flag(s, q, 3) for s, q in ((4, 5), (6, 8), (62, 64))},
    }
    cases: list[Case] = []
    for report, machine in runs.items():
        for number in range(13):
            ids = rng.sample(range(1, 8), 3)
            all_come_and_go = [Event(mm, 1, nr, False) for nr in (1, -1) for mm in ids]
            events = random_sequence(2, ids, rng) if number else all_come_and_go
            state, rows = machine.start, []
            for e in events:
                state = machine.step(state, machines.Event(e.mm, e.page, e.nr, e.entire))
                rows.append([*state, *(1 if machine.exclusive(state, x) else 2 for x in ids)])
            cases.append((f"{report} {rocq_list(events)} {rocq_list(ids)}", rows))
    return cases


def _equations() -> list[Case]:
    """The equation of every kind of configuration, true and false, against the refuter's own."""
    row = next(r for r in POSTED if r.last == 9)
    posted = Witness(85, {43: 14, 77: 28, 105: 26, 232: 2})
    scheme = f"Generations {row.base} {row.bits} {row.values}"
    terms, said = [], []
    for w, config, rocq, word in (
        (posted, Config("generations", 9, 3, 24, 64), scheme, 64),
        (Witness(85, {43: 14, 77: 28, 105: 26, 233: 2}), Config("generations", 9, 3, 24, 64), scheme, 64),
        (Witness(1, {2: 2, 3: 1}), Config("bits", 2, 2, 2, 1), "Bits 2", 1),
        (Witness(1, {3: 2}), Config("bits", 2, 2, 2, 1), "Bits 2", 1),
        (Witness(1, {5: 1}), Config("moments", 2, 2, 3, 4), "Moments", 4),
        (Witness(1, {4: 1}), Config("moments", 2, 2, 3, 4), "Moments", 4),
        (Witness(2, {1: 1, 3: 1}), Config("packed", 2, 2, 2, 25), f"Packed {SUM_AT}", 25),
    ):
        try:
            check(config, w)
            said.append(1)
        except AssertionError:
            said.append(0)
        mapped = rocq_list(f"({mm}, {n})" for mm, n in w.mappings.items())
        ids = f"(witness_ids (Witness ({rocq}) {config.order} 24 {word} {w.mm} {mapped}))"
        terms.append(f"flag (equation ({rocq}) {word} {config.order} {ids} {w.mm})")
    a, c = halves(18)
    some = edge_ids(1 << 18, random.Random(2))[-10:]
    config = Config("one-value", 9, 1, 18, 64)
    return [
        (rocq_list(terms), said),
        (f"map (one_value 9 {a} {c}) {rocq_list(some)}", [one_value(config, mm) for mm in some]),
        ("map (look_up [(1, [5; 6]); (2, [7; 8])] 1) [1; 2; 3]", [6, 8, 0]),
    ]


PARTS = {part: part() for part in (_truth, _layouts, _digits, _linear, _machines, _equations)}
MORE = """
Definition now es := match mappings es with
  Some ids => size ids :: map (fun m => count m ids) [1; 2; 3; 5] | None => [-1] end.
Definition list_of e := [mm e; page e; nr e; flag (entire e)].
"""


def asked(cases: list[Case]) -> str:
    """The script that evaluates all terms."""
    return PRELUDE + MORE + "".join(f"Eval vm_compute in ({term}).\n" for term, _ in cases)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plain"), ["Definitions"])


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__.strip("_"))
def test_every_definition_equals_python_at_its_edges(plain: Path, part: Callable[[], list[Case]]) -> None:
    answers = evaluate(plain, asked(PARTS[part]))
    for (term, wanted), answer in zip(PARTS[part], answers, strict=True):
        assert answer == wanted, term


MUTANTS = {
    "unmapping takes another's entry": (
        _truth,
        "if y =? m then Some rest else option_map",
        "if y =? m + 1 then Some rest else option_map",
    ),
    "unmapping too much is no error": (
        _truth,
        "with Some rest => remove_many k m rest | None => None end",
        "with Some rest => remove_many k m rest | None => Some ids end",
    ),
    "the empty event is allowed": (
        _truth,
        "  else None.\n\nFixpoint mappings_from",
        "  else Some ids.\n\nFixpoint mappings_from",
    ),
    "mapping adds one too few": (_truth, "repeat (mm e) (Z.to_nat (nr e)) ++", "repeat (mm e) (Z.to_nat (nr e - 1)) ++"),
    "a renamed event unmaps": (_truth, "(page e) (nr e) (entire e).", "(page e) (- nr e) (entire e)."),
    "a sum forgets its last": (
        _equations,
        "fold_right (fun id rest => addend id + rest) 0 ids",
        "fold_right (fun id rest => addend id + rest) 1 ids",
    ),
    "largest stops one early": (
        _layouts,
        "if passes (Z.of_nat fuel) then Z.of_nat fuel",
        "if passes (Z.of_nat fuel) then Z.of_nat fuel - 1",
    ),
    "even digits count": (_digits, "(if Z.odd c then w else 0)", "(if Z.odd c then 0 else w)"),
    "digits are skipped": (_digits, "read_binary rest (Z.div2 c)", "read_binary rest (Z.div2 (Z.div2 c))"),
    "powers start at the base": (_digits, "| S rest => 1 :: map (Z.mul base)", "| S rest => base :: map (Z.mul base)"),
    "chunks overlap": (_digits, "Z.of_nat (k * B))).", "Z.of_nat (k * (B - 1))))."),
    "the last value is left out": (_linear, "map (subid base B) (seq 0 K)", "map (subid base B) (seq 1 (K - 1))"),
    "one value is compared": (_linear, "same modulus v (n * a x) && all_same", "same modulus v (n * a x) || all_same"),
    "generations trust one mapping more": (_linear, "(n <=? P) && all_same", "(n <=? P + 1) && all_same"),
    "generations trust one mapping less": (_linear, "(n <=? P) && all_same", "(n <? P) && all_same"),
    "decide leaves the farthest multiple out": (
        _digits,
        "(seq 1 (Z.to_nat (farthest / modulus)))",
        "(seq 1 (Z.to_nat (farthest / modulus) - 1))",
    ),
    "order 2 is read in base 2": (_linear, "(1%nat, 24%nat, 2^2 + 1)", "(1%nat, 24%nat, 2)"),
    "order 9 gets four values": (_linear, "(3%nat, 8%nat, 2^9 + 1)", "(4%nat, 6%nat, 2^9 + 1)"),
    "ceil_div rounds down": (_layouts, "(p + q - 1) / q", "p / q"),
    "one digit too many is safe": (_layouts, "(2^o + 1) ^ N <=? 2^w)", "(2^o + 1) ^ (N - 1) <=? 2^w)"),
    "the safe base is P": (_linear, "generations_addends (2^o + 1)", "generations_addends (2^o)"),
    "bit 0 is left out": (_linear, "map bit (seq 0 b)", "map bit (seq 1 b)"),
    "bits say SHARED for EXCLUSIVE": (
        _linear,
        "(bit_values b) x then EXCLUSIVE else SHARED",
        "(bit_values b) x then SHARED else EXCLUSIVE",
    ),
    "the gap is one wider": (_layouts, "Z.max (2^b - 2) 1", "Z.max (2^b - 1) 1"),
    "moments' bits leave no room": (
        _layouts,
        "2^o * (gap b * gap b) <? 2^w) 24",
        "2^o * (gap b * gap b) <? 2^(w + 2)) 24",
    ),
    "moments trust one mapping more": (_linear, "if n <=? moments_limit w b", "if n <=? moments_limit w b + 1"),
    "moments say EXCLUSIVE beyond": (
        _linear,
        "moments_limit w b then EXCLUSIVE else UNKNOWN",
        "moments_limit w b then EXCLUSIVE else EXCLUSIVE",
    ),
    "one-value's coordinates overlap": (_equations, "x + y * 2^(o + a)", "x + y * 2^(o + a - 1)"),
    "one-value trusts one mapping more": (
        _linear,
        "then if n <=? 2^o then EXCLUSIVE",
        "then if n <=? 2^o + 1 then EXCLUSIVE",
    ),
    "packed_limit without the mapcount's bound": (
        _layouts,
        "((2^(w - f) - 1) / gap b)) (2^(f - 1) - 1).",
        "((2^(w - f) - 1) / gap b)) (2^w).",
    ),
    "packed_limit without the sum's bound": (_layouts, "((2^(w - f) - 1) / gap b)", "(2^w)"),
    "packed trusts one mapping more": (_linear, "if n <=? packed_limit w f b", "if n <=? packed_limit w f b + 1"),
    "mm-id takes the second slot first": (
        _machines,
        "if owner (slot0 s) =? m then",
        "if owner (slot1 s) =? 0 then MmId n (slot0 s) (Slot m k) (maybe_shared s) else if owner (slot0 s) =? m then",
    ),
    "mm-id does not flag a third": (
        _machines,
        "else MmId n (slot0 s) (slot1 s) true.",
        "else MmId n (slot0 s) (slot1 s) (maybe_shared s).",
    ),
    "mm-id keeps its flag where nobody maps": (_machines, "(n =? 0) || holds_all n s0", "holds_all n s0"),
    "mm-id looks at one slot": (_machines, "holds_all n s0 || holds_all n s1", "holds_all n s0"),
    "mm-id takes a free slot for all": (_machines, "negb (owner sl =? 0) && (held sl =? n)", "(held sl =? n)"),
    "moments-flag's sum does not wrap": (_machines, "(mf_sum s + nr e * mm e) mod 2^ws", "(mf_sum s + nr e * mm e)"),
    "moments-flag's squares do not wrap": (
        _machines,
        "(mf_squares s + nr e * square (mm e)) mod 2^wq",
        "(mf_squares s + nr e * square (mm e))",
    ),
    "owner-counter forgets its owner late": (_machines, "(if n =? 0 then 0 else who)", "who"),
    "owner-counter counts no others": (_machines, "else others s + nr e)", "else others s + Z.sgn (nr e))"),
    "an entire mapping is one of the first page": (_machines, "negb (entire e) && (page e =? 0)", "(page e =? 0)"),
    "likely-shared calls P mappings shared": (_machines, "(P <? fp_total s)", "(P <=? fp_total s)"),
    "likely-shared looks at no PMD": (_machines, "(0 <? fp_entire s) || ", ""),
    "a table's columns are shifted": (_equations, "nth k (snd row) 0", "nth (k + 1) (snd row) 0"),
    "a witness maps one page each": (_equations, "repeat (fst who) (Z.to_nat (snd who))", "repeat (fst who) 1"),
    "moments' equation is another's": (
        _equations,
        "(sum square ids) x) 0\n  | OneValue",
        "(sum square ids) (x + 1)) 0\n  | OneValue",
    ),
}
"""Who notices, what stands in Definitions.v, and what stands there instead."""

EQUIVALENT = {
    "mm-id does not flag a third": "while both slots are taken the flag is set already",
    "mm-id takes a free slot for all": "a free slot holds 0, and a total of 0 clears the flag anyway",
}
"""Mutants that change nothing: why."""


def test_sixty_faults_of_one_line_in_definitions_are_tried() -> None:
    """Here by comparison, in test_mutations by the proofs; none twice."""
    proved = {m.new for m in MUTATIONS.values() if m.where == "Definitions"}
    compared = {new for _, _, new in MUTANTS.values()}
    assert len(proved | compared) >= 60


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_in_definitions_is_noticed(plain: Path, tmp_path: Path, name: str) -> None:
    part, old, new = MUTANTS[name]
    shutil.copy(plain / "Definitions.v", tmp_path)
    replace(tmp_path / "Definitions.v", old, new)
    done = compile_theory(tmp_path, "Definitions")
    assert done.returncode == 0, done.stderr
    noticed = evaluate(tmp_path, asked(PARTS[part])) != [wanted for _, wanted in PARTS[part]]
    assert noticed == (name not in EQUIVALENT)
