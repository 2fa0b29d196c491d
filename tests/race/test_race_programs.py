"""`rmaplab race`: the unchanged headers keep their promises under every model, a header with one line changed does not.

Every barrier of core/ is taken out, one at a time: some model must show an execution that breaks a promise, and
sequential consistency must show none, or the barrier would not be one.
"""

import shutil
from pathlib import Path

import pytest

from rmaplab.sources import CORE
from rmaplab.verify.race.barriers import BARRIERS, needs
from rmaplab.verify.race.mappings import MAPPINGS
from rmaplab.verify.race.programs import Programs, Verdict, load

pytestmark = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="needs a C compiler")

SCHEMES = ("turn-ask", "drop-cow", "take-cow", "map-map", "drop-sanity")
COMMON = ("writer-reader", "wrap-reader", "two-writers", "two-writers-reader", "unmap-pin-ask", "map-pinned-ask")
WEAK = ("c11", "lkmm", "armv8", "armv8-llsc", "riscv", "power")

# By name in BARRIERS: the promise that breaks without it, and models that must show it.
MISSING = {
    "acquire of rmap_read_begin": ("torn", WEAK),
    "acquire fence of rmap_read_retry": ("torn", WEAK),
    "release fence of rmap_write_enter": ("torn", WEAK),
    "acquire of the wait for the exclusive writer": ("lost", ("c11",)),
    "acquire of a shared writer's entry": ("lost", ("c11",)),
    "acquire of the exclusive entry by cmpxchg": ("lost", ("c11", "riscv")),
    "acquire of the exclusive entry by add-return": ("lost", ("c11", "riscv")),
    "release of rmap_write_end": ("torn", WEAK),
    "acquire of rmap_bit_lock": ("fooled", WEAK),
    "release of rmap_bit_unlock": ("fooled", WEAK),
    "release that ends packed's freeze": ("fooled", ("lkmm", "armv8", "riscv", "power")),
}

WRONG = {
    "no retry": ("return unlikely(rmap_read(s) != start);", "return 0 & (rmap_read(s) != start);", "torn"),
    "no wait for a writer": (
        "unlikely((word = rmap_read_acquire(s)) & rmap_seq_writers_mask(how))",
        "0 & (word = rmap_read_acquire(s))",
        "torn",
    ),
    "no wait for the exclusive writer": ("while (unlikely(word & rmap_seq_exclusive_mask(how)))", "while (0)", "lost"),
    "a lost claim is not turned back": (
        "enter = RMAP_SEQ_ONE_SHARED - RMAP_SEQ_ONE_EXCLUSIVE;",
        "enter = RMAP_SEQ_ONE_SHARED;",
        "waits",
    ),
    "the end takes nobody out": ("rmap_seq_step(how) - leave);", "rmap_seq_step(how));", "inexact"),
    "the end always takes a shared writer out": (
        "exclusive ? RMAP_SEQ_ONE_EXCLUSIVE : RMAP_SEQ_ONE_SHARED;",
        "exclusive ? RMAP_SEQ_ONE_SHARED : RMAP_SEQ_ONE_SHARED;",
        "inexact",
    ),
    "the sequence stands still": (
        "rmap_add_release(s, rmap_seq_step(how) - leave);",
        "rmap_add_release(s, -leave);",
        "inexact",
    ),
    "the exclusive writer enters as a shared one": (
        "word | RMAP_SEQ_ONE_EXCLUSIVE))",
        "word | RMAP_SEQ_ONE_SHARED))",
        "inexact",
    ),
}


def changed(old: str, new: str, folder: Path, file: str = "atomic_seqcount.h") -> Programs:
    """The programs over a copy of core/ with one thing changed."""
    copy = Path(shutil.copytree(CORE, folder / "core"))
    header = copy / file
    text = header.read_text()
    assert text.count(old) == 1, f"{old!r}: must occur once"
    header.write_text(text.replace(old, new))
    return load(core=copy)


def broken(programs: Programs, model: str, promise: str, names: tuple[str, ...] = COMMON) -> list[Verdict]:
    chosen = [p for p in programs.all() if p.name in names]
    found = [v for p in chosen for v in programs.run(p, model, first_only=True)]
    return [v for v in found if v.verdict == "broken" and v.promise == promise]


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("model", MAPPINGS)
def test_unchanged_headers_keep_every_promise(model: str, bits: int) -> None:
    programs = load(bits)
    for program in programs.all():
        if program.ours and program.name in (*COMMON, *SCHEMES):
            for verdict in programs.run(program, model):
                assert verdict.verdict == "kept", (program.name, program.stage, verdict.promise, verdict.reason)
                assert verdict.executions > 0
                assert verdict.bound
                assert "bounded" in verdict.bound


@pytest.mark.parametrize("name", MISSING)
def test_missing_barrier_breaks_a_promise_in_weak_models_only(name: str) -> None:
    promise, models = MISSING[name]
    (barrier,) = (b for b in BARRIERS if b.name == name)
    (strong,) = needs([barrier], ["sc"], 10.0)
    assert strong.verdict == "not needed"
    for need in needs([barrier], models, 60.0):
        assert need.broken is not None, need.model
        assert need.broken.promise == promise, need.model
        assert need.broken.witness is not None


def test_every_barrier_but_the_last_puts_release_is_needed_somewhere() -> None:
    """rmap_put()'s is for whoever frees the folio; no program here does."""
    assert {b.name for b in BARRIERS} - set(MISSING) == {"release of rmap_put"}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_line_breaks_a_promise_in_every_model(name: str, tmp_path: Path) -> None:
    old, new, promise = WRONG[name]
    programs = changed(old, new, tmp_path)
    for model in ("sc", "c11", "armv8"):
        assert broken(programs, model, promise), model


def test_claim_won_beside_a_shared_writer_loses_an_update_of_three(tmp_path: Path) -> None:
    old = "(word & rmap_seq_writers_mask(how)) == RMAP_SEQ_ONE_EXCLUSIVE"
    new = "(word & RMAP_SEQ_ONE_EXCLUSIVE) == RMAP_SEQ_ONE_EXCLUSIVE"
    programs = changed(old, new, tmp_path)
    assert not broken(programs, "sc", "lost", ("two-writers",))
    assert broken(programs, "sc", "lost", ("three-writers",))


SAME = "rmap_read(&folio->refcount) == rmap_read(&folio->mapcount)"

# File, what stands there, what instead, the promise that breaks, a program and a model that must show it.
SCHEME_FAULTS = {
    "no retry in the linear schemes' question": (
        *("linear.h", "rmap_read_section(&folio->seq.kind)  ", "(void)rmap_read_begin(&folio->seq.kind);"),
        *("false-exclusive", "turn-ask", "sc"),
    ),
    "packed: an update does not wait for a frozen word": (
        *("packed.h", "while (unlikely(old.lo & RMAP_PACKED_FROZEN)) {", "while (0) {"),
        *("lost", "map-map-cow", "sc"),
    ),
    "packed: the word is let go of with the frozen bit": (
        *("packed.h", "rmap_write_release(&folio->packed.lo, word.lo);"),
        "rmap_write_release(&folio->packed.lo, frozen.lo);",
        *("waits", "map-map-cow", "sc"),
    ),
    "bit lock: nobody waits": (
        *("bit_lock.h", "RMAP_LOCK_BIT)) & RMAP_LOCK_BIT))", "RMAP_LOCK_BIT)) & 0))"),
        *("lost", "map-map", "sc"),
    ),
    "bit lock: given back without release": (
        *("bit_lock.h", "rmap_write_release(word, new);", "rmap_write(word, new);"),
        *("lost", "map-map", "c11"),
    ),
    "small, hashed: no retry": (
        *("small.h", "rmap_read_section(s) {", "(void)rmap_read_begin(s); {"),
        *("fooled", "drop-cow", "sc"),
    ),
    "mm-id: the refcount is read after the lock is dropped": (
        *("mm_id.h", "reuse = !(word & RMAP_MM_ID_SHARED) &&"),
        "rmap_bit_unlock(&folio->word, word);\n\treuse = !(word & RMAP_MM_ID_SHARED) &&",
        *("fooled", "take-cow", "sc"),
    ),
    "mm-id: a slot's mappings are not what the total is held against": (
        *("mm_id.h", "rmap_plain_read(&folio->count[i]) == total)", "rmap_plain_read(&folio->count[i]) <= total)"),
        *("false-exclusive", "turn-ask", "sc"),
    ),
    "moments-flag: the refcount is read after the lock is dropped": (
        *("moments_flag.h", "reuse = !(word & RMAP_MOMENTS_FLAG_SHARED) &&"),
        "rmap_bit_unlock(&folio->word, word);\n\treuse = !(word & RMAP_MOMENTS_FLAG_SHARED) &&",
        *("fooled", "take-cow", "sc"),
    ),
    "moments-flag: the flag goes whenever somebody unmaps": (
        *("moments_flag.h", "return rmap_moments_flag_settle(new, q, n);\n\treturn new;"),
        "return new;\n\treturn new & ~RMAP_MOMENTS_FLAG_SHARED;",
        *("false-exclusive", "turn-ask", "sc"),
    ),
    "moments-flag: a second MM is not noticed": (
        *("moments_flag.h", "if (rmap_rarely(rmap_moments_flag_spread(n * id) != word))", "if (0)"),
        *("lost", "map-map", "sc"),
    ),
    "sequence count: readers wait for the exclusive writer only": (
        *("atomic_seqcount.h", "= rmap_read_acquire(s)) & rmap_seq_writers_mask(how))"),
        "= rmap_read_acquire(s)) & rmap_seq_exclusive_mask(how))",
        *("torn", "writer-reader", "sc"),
    ),
    "sequence count: shared writers wait for themselves": (
        *("atomic_seqcount.h", "while (unlikely(word & rmap_seq_exclusive_mask(how)))"),
        "while (unlikely(word & rmap_seq_writers_mask(how)))",
        *("waits", "two-writers", "sc"),
    ),
    "small, hashed: references are not looked at": (
        *("small.h", "return mapcount == 1 && refcount == 1;", "return (void)refcount, mapcount == 1;"),
        *("fooled", "drop-cow", "sc"),
    ),
    "small, hashed: a write section is not closed": (
        *("small.h", "rmap_write_end(s, exclusive);", "(void)exclusive;"),
        *("waits", "drop-cow", "sc"),
    ),
    "linear: references are not looked at": (
        *("linear.h", "== RMAP_EXCLUSIVE && references;", "== RMAP_EXCLUSIVE;"),
        *("fooled", "take-cow", "sc"),
    ),
    "linear: more references than mappings are enough": (
        *("linear.h", "rmap_read(&folio->refcount) == look.n;", "rmap_read(&folio->refcount) >= look.n;"),
        *("fooled", "take-cow", "sc"),
    ),
    "packed: the word is not frozen, and stored again": (
        *("packed.h", "frozen.lo = word.lo | RMAP_PACKED_FROZEN;", "frozen.lo = word.lo;"),
        *("lost", "map-map-cow", "sc"),
    ),
    "packed: Q is not added": (
        *("packed.h", "new.hi = old.hi + add.hi;", "new.hi = old.hi;"),
        *("lost", "map-map-cow", "sc"),
    ),
    "bit lock: never given back": (
        *("bit_lock.h", "rmap_write_release(word, new);", "rmap_write_release(word, new | RMAP_LOCK_BIT);"),
        *("waits", "map-map", "sc"),
    ),
    "bit lock: not taken": (
        *("bit_lock.h", "rmap_fetch_or_acquire(word, RMAP_LOCK_BIT)", "rmap_fetch_or_acquire(word, 0)"),
        *("lost", "map-map", "sc"),
    ),
    "mm-id: a second MM does not set the flag": (
        *("mm_id.h", "return total == nr ? word : word | RMAP_MM_ID_SHARED;", "return word;"),
        *("lost", "map-map", "sc"),
    ),
    "mm-id: a new slot counts nothing": (
        *("mm_id.h", "rmap_plain_write(&folio->count[slot], nr);", "rmap_plain_write(&folio->count[slot], 0);"),
        *("lost", "map-map", "sc"),
    ),
    "mm-id: an unmap leaves the mapcount as it is": (
        *("mm_id.h", "rmap_mapcount_after(rmap_read(&folio->mapcount), -nr)"),
        "rmap_mapcount_after(rmap_read(&folio->mapcount), 0)",
        *("fooled", "drop-cow", "sc"),
    ),
    "mm-id: more references than mappings are enough": (
        *("mm_id.h", SAME, SAME.replace("==", ">=")),
        *("fooled", "take-cow", "sc"),
    ),
    "moments-flag: more references than mappings are enough": (
        *("moments_flag.h", SAME, SAME.replace("==", ">=")),
        *("fooled", "take-cow", "sc"),
    ),
    "moments-flag: Q is not added": (
        *("moments_flag.h", "rmap_plain_read(squares) + add * id);", "rmap_plain_read(squares));"),
        *("lost", "map-map", "sc"),
    ),
    "owner-counter: more references than mappings are enough": (
        *("owner_counter.h", SAME, SAME.replace("==", ">=")),
        *("fooled", "take-cow", "sc"),
    ),
    "owner-counter: whoever comes last is the owner": (
        *("owner_counter.h", "if (!before)", "if (before >= 0)"),
        *("lost", "map-map", "sc"),
    ),
    "owner-counter: others are not counted": (
        *("owner_counter.h", "others += (u64)(s64)nr;", "others += 0;"),
        *("lost", "map-map", "sc"),
    ),
    "owner-counter: the refcount is read after the lock is dropped": (
        *("owner_counter.h", "reuse = rmap_owner_answer(word, mm) == RMAP_EXCLUSIVE &&"),
        "rmap_bit_unlock(&folio->word, word);\n\treuse = rmap_owner_answer(word, mm) == RMAP_EXCLUSIVE &&",
        *("fooled", "take-cow", "sc"),
    ),
}


@pytest.mark.parametrize("name", SCHEME_FAULTS)
def test_fault_in_a_scheme_breaks_its_promise(name: str, tmp_path: Path) -> None:
    file, old, new, promise, program, model = SCHEME_FAULTS[name]
    assert broken(changed(old, new, tmp_path, file), model, promise, (program,))


def test_sanity_check_fires_where_linux_had_it_and_not_under_the_lock() -> None:
    found = {p.stage: load().run(p, "sc") for p in load().all() if p.name == "drop-sanity"}
    fired = {stage: {v.promise: v.verdict for v in verdicts}["warned"] for stage, verdicts in found.items()}
    assert fired == {"mm-id": "kept", "mm-id, before the lock": "broken", "mm-id, reversed": "broken"}


@pytest.mark.parametrize("stage", ["posted cmpxchg", "posted add-return"])
@pytest.mark.parametrize(
    ("model", "verdict"), [("c11", "broken"), ("lkmm", "kept"), ("armv8", "kept"), ("power", "kept")]
)
def test_posted_stages_lose_an_update_in_c11_alone(stage: str, model: str, verdict: str) -> None:
    """A store behind the branch of the relaxed wait is ordered by Linux' model and by machines, not by C11."""
    programs = load()
    (two,) = (p for p in programs.all() if (p.name, p.stage) == ("two-writers", stage))
    found = {v.promise: v for v in programs.run(two, model)}
    assert found["lost"].verdict == verdict
    assert not found["lost"].ours


def test_unprotected_reader_sees_a_false_exclusive_and_that_is_no_finding() -> None:
    programs = load()
    (program,) = (p for p in programs.all() if p.name == "turn-unprotected")
    (verdict,) = programs.run(program, "sc")
    assert verdict.verdict == "broken"
    assert not verdict.ours
