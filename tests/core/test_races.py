"""Races: no impossible answer and no wrong counter on the core as it is, and every planted fault is found."""

import shutil
from pathlib import Path

import pytest
from mutants import Mutant, read
from planting import COMPILER, CORE, Fault, compile_core, import_core, keep_only, plant, run_sanitized

from rmaplab.core import NAMES, Module, available, load, variants, why_missing
from rmaplab.stress import Race, run
from rmaplab.stress import findings as judged
from rmaplab.stress.linear import judged_answers

pytestmark = pytest.mark.skipif(not available(), reason=str(why_missing()))
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="planting a fault needs a C compiler")

EXCLUSIVE = 'X("moments+exclusive", moments_exclusive, moments)'
PACKED = 'X("packed", packed, packed)'
FALLBACK = 'X("packed-fallback", packed_fallback, packed)'
MM_ID = 'X("mm-id", mm_id, mm_id)'
MOMENTS_FLAG = 'X("moments-flag", moments_flag, moments_flag)'
EVERY_HEADER = (
    'X("total-mapcount", total, total) X("likely-shared", likely, pages) X("owner-counter", owner, owner) '
    'X("generations+exclusive", generations_exclusive, posted) X("bits", bits_shared, bits) '
    'X("one-value+exclusive-add", one_value_exclusive_add, one_value) '
    f"{MM_ID} {MOMENTS_FLAG} {EXCLUSIVE} {PACKED} {FALLBACK}"
)
FAULTS = [m for m in read() if m.by == "stress"]


def findings(name: str, core: Module | None = None, rounds: int = 1, **race: int) -> list[str]:
    """What judge and counters say, first round that says anything."""
    for seed in range(1, rounds + 1):
        history = run(Race(variants(core)[name], seed=seed, **race), core)
        found = [str(f) for f in judged(history)]
        if found:
            return found
    return []


@pytest.mark.parametrize("processes", [0, 1], ids=["threads", "processes"])
@pytest.mark.parametrize("name", NAMES)
def test_no_impossible_answer_and_exact_counters(name: str, processes: int) -> None:
    assert findings(name, processes=processes, ops=4000) == []


@pytest.mark.parametrize("name", ["packed", "moments+exclusive-add", "generations-safe+exclusive"])
def test_many_workers_on_one_folio_keep_it_exact(name: str) -> None:
    assert findings(name, workers=6, readers=2, folios=1, ops=1500, order=9, rounds=2) == []


@pytest.mark.parametrize("name", ["generations", "moments+exclusive", "moments+exclusive-add", "packed-fallback"])
def test_32_bit_sequence_counts_keep_it_exact(name: str) -> None:
    assert findings(name, load(32), workers=4, ops=4000) == []


@needs_compiler
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_planted_fault_is_found(fault: Mutant, tmp_path: Path) -> None:
    planted = Fault(fault.name, fault.scheme, fault.file, fault.old, fault.new)
    core = import_core("_faulty", compile_core(plant(planted, tmp_path), "_faulty"))
    found = findings(next(iter(variants(core))), core, rounds=3000, **{"jitter": 3, **fault.race})
    assert found
    assert any("impossible" in line or "must be" in line or "hangs" in line for line in found)


@pytest.mark.parametrize("name", ["owner-counter", "generations", "moments", "packed", "moments-flag"])
def test_every_answer_of_a_scheme_that_promises_something_is_judged(name: str) -> None:
    history = run(Race(variants()[name], ops=2000))
    assert judged_answers(history) > 1000


SEQCOUNT_RACES = (
    Fault("nothing", PACKED, "packed.h", "rmap_packed_add(folio, mm, -nr);", "rmap_packed_add(folio, mm, -nr);"),
    Fault("nothing", EXCLUSIVE, "atomic_seqcount.h", "word = rmap_read_acquire(s);", "word = rmap_read_acquire(s);"),
    *(Fault(m.name, m.scheme, m.file, m.old, m.new) for m in read() if m.by == "sanitizer"),
)


@needs_compiler
@pytest.mark.parametrize("fault", SEQCOUNT_RACES, ids=lambda fault: fault.name)
def test_thread_sanitizer_reports_exactly_the_missing_barriers(fault: Fault, tmp_path: Path) -> None:
    # One run in four at worst reports the rarest: 200 in a row miss it once in 10^20 times.
    done = run_sanitized(plant(fault, tmp_path), "thread", runs=20 if fault.name == "nothing" else 200)
    reported = "WARNING: ThreadSanitizer: data race" in done.stderr
    assert reported == (fault.name != "nothing"), done.stderr[-2000:]
    assert done.returncode == (66 if reported else 0), done.stderr[-2000:]


@needs_compiler
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_every_header_runs_clean_under_sanitizers(sanitizer: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(CORE, tmp_path / "core"))
    keep_only(copy, EVERY_HEADER)
    done = run_sanitized(copy, sanitizer)
    assert (done.returncode, done.stderr) == (0, "")
